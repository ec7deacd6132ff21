// Copies of small byte strings, many in one buffer: cheaper than a buffer for each, and what they were views of can go.

const SLAB_BYTES = 64 << 10;
/** Longer ones are left where they are: most of what they lie in is they themselves. */
const LONGEST = 16 << 10;

export class ByteSlab {
  #slab = new Uint8Array(SLAB_BYTES);
  #used = 0;

  /** The same bytes, in memory that nobody writes to any more; long ones are given back as they are. */
  copy(bytes: Uint8Array): Uint8Array {
    const { length } = bytes;
    if (length > LONGEST) return bytes;
    if (this.#used + length > SLAB_BYTES) {
      this.#slab = new Uint8Array(SLAB_BYTES);
      this.#used = 0;
    }
    const from = this.#used;
    this.#used += length;
    this.#slab.set(bytes, from);
    return this.#slab.subarray(from, this.#used);
  }
}
