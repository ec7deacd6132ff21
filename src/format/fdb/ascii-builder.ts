// Gathers a large text of ASCII characters as bytes: as one string, a manifest of a million files would take its size twice over, and might not fit into a string at all.

/** Characters per piece. */
const PIECE = 1 << 20;

export class AsciiBuilder {
  readonly #pieces: Uint8Array[] = [];
  #open = '';
  #bytes = 0;

  /** Bytes so far. */
  get length(): number {
    return this.#bytes + this.#open.length;
  }

  /** `text` must be ASCII. */
  add(text: string): void {
    this.#open += text;
    if (this.#open.length >= PIECE) this.#close();
  }

  /** The pieces so far, in order; what is added later is not in them. */
  pieces(): readonly Uint8Array[] {
    this.#close();
    return this.#pieces;
  }

  build(): Uint8Array {
    const bytes = new Uint8Array(this.length);
    let at = 0;
    for (const piece of this.pieces()) {
      bytes.set(piece, at);
      at += piece.length;
    }
    return bytes;
  }

  #close(): void {
    if (this.#open === '') return;
    const piece = Buffer.from(this.#open, 'latin1');
    this.#pieces.push(piece);
    this.#bytes += piece.length;
    this.#open = '';
  }
}
