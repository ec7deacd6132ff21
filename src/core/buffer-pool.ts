// Buffers that are used again and again. Fresh large buffers cost page faults and, because the garbage collector learns of them late, memory far above what is live.
// Must never hand out a buffer that someone still holds: whoever gives a buffer back must have dropped every view of it.

import { BackupError, assert } from './errors.js';

export interface BufferPoolOptions {
  /** Most bytes kept idle; a buffer given back beyond that is left to the garbage collector. Default 64 MiB. */
  readonly maxIdleBytes?: number;
}

const DEFAULT_MAX_IDLE_BYTES = 64 << 20;
const MAX_IDLE_PER_SIZE = 256;

/** An idle buffer of up to twice the size is better than a fresh one. */
const SIZES_PER_POWER = 4;

/** 1, 1.25, 1.5 and 1.75 times the powers of two from 1 KiB to 4 GiB: few sizes, so that a buffer given back fits the next request, and at most a fifth of a fresh one is waste. */
const SIZES: readonly number[] = (() => {
  const sizes: number[] = [];
  for (let power = 1024; power < 2 ** 32; power *= 2)
    for (let quarters = 4; quarters < 8; quarters++) sizes.push((power / 4) * quarters);
  sizes.push(2 ** 32);
  return sizes;
})();

/** A bounded pool of buffers. Not thread-safe; one per process or per worker. */
export class BufferPool {
  readonly #maxIdleBytes: number;
  /** By index in SIZES: buffers that nobody holds. */
  readonly #idle: Uint8Array[][] = SIZES.map(() => []);
  #idleBytes = 0;

  constructor(options: BufferPoolOptions = {}) {
    const maxIdleBytes = options.maxIdleBytes ?? DEFAULT_MAX_IDLE_BYTES;
    if (!Number.isSafeInteger(maxIdleBytes) || maxIdleBytes < 0) {
      throw new BackupError('INVALID_OPTION', `maxIdleBytes must be a whole number >= 0, got ${String(maxIdleBytes)}`);
    }
    this.#maxIdleBytes = maxIdleBytes;
  }

  /** Bytes of buffers that wait to be taken. */
  get idleBytes(): number {
    return this.#idleBytes;
  }

  /** A buffer of at least `minBytes`, usually longer, that starts at offset 0 of its own ArrayBuffer. Its content is arbitrary. */
  take(minBytes: number): Uint8Array {
    const index = sizeIndex(minBytes);
    for (let larger = index; larger <= index + SIZES_PER_POWER; larger++) {
      const buffer = this.#idle[larger]?.pop();
      if (buffer === undefined) continue;
      this.#idleBytes -= buffer.length;
      return buffer;
    }
    return new Uint8Array(SIZES[index] ?? minBytes);
  }

  /** Takes back a buffer from `take`, or any view of the whole of one. */
  give(buffer: Uint8Array): void {
    const index = sizeIndex(buffer.length);
    const idle = this.#idle[index];
    if (idle === undefined) return; // Larger than every size: not worth keeping.
    assert(
      SIZES[index] === buffer.length && buffer.length === buffer.buffer.byteLength,
      'a buffer given to a pool must come from a pool',
    );
    if (this.#idleBytes + buffer.length > this.#maxIdleBytes || idle.length === MAX_IDLE_PER_SIZE) return;
    assert(!idle.some((other) => other.buffer === buffer.buffer), 'a buffer must not be given back twice');
    idle.push(buffer);
    this.#idleBytes += buffer.length;
  }
}

/** Index of the smallest size that holds `bytes`; SIZES.length when none does. */
function sizeIndex(bytes: number): number {
  let low = 0;
  let high = SIZES.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((SIZES[middle] as number) < bytes) low = middle + 1;
    else high = middle;
  }
  return low;
}
