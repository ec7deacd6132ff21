// Random numbers that a seed decides, so that a failing run can be run again.

import type { Random } from 'tidemark';

/** Mulberry32: small, quick, good enough for a workload. */
export class SeededRandom implements Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let x = this.#state;
    x = Math.imul(x ^ (x >>> 15), x | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  }

  uid(): string {
    return Buffer.from(this.bytes(16)).toString('hex');
  }

  /** A whole number from 0 to below `end`. */
  below(end: number): number {
    return Math.floor(this.next() * end);
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  bytes(length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    for (let i = 0; i < length; i++) bytes[i] = this.below(256);
    return bytes;
  }

  /** From 1 to about `max`; every order of magnitude is as likely as the next. */
  mixedSize(max: number): number {
    return Math.floor(max ** this.next());
  }
}

/** Picks 0 to count - 1; the number in place r is picked in proportion to 1 / (r + 1): a few are hot, most are cold. */
export class Zipf {
  readonly #sums: Float64Array;

  constructor(count: number) {
    this.#sums = new Float64Array(count);
    let sum = 0;
    for (let rank = 0; rank < count; rank++) this.#sums[rank] = sum += 1 / (rank + 1);
  }

  pick(random: SeededRandom): number {
    const wanted = random.next() * (this.#sums.at(-1) ?? 0);
    let low = 0;
    let high = this.#sums.length - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#sums[middle] as number) > wanted) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}
