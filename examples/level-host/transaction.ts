// What a client of the database writes: changes that take effect together, in this order, at one version.

import { MutationType, type Mutation } from 'tidemark';
import { ALL_ROWS, rowKey } from './keys.js';

export class Transaction {
  readonly #mutations: Mutation[] = [];

  get mutations(): readonly Mutation[] {
    return this.#mutations;
  }

  set(key: Uint8Array, value: Uint8Array): this {
    return this.#push(MutationType.SetValue, key, value);
  }

  clear(key: Uint8Array): this {
    return this.#push(MutationType.ClearRange, key, Uint8Array.of(...key, 0));
  }

  /** begin inclusive, end exclusive. */
  clearRange(begin: Uint8Array, end: Uint8Array): this {
    if (Buffer.compare(begin, end) >= 0) throw new RangeError('clearRange: begin must be below end');
    if (Buffer.compare(end, ALL_ROWS.end) > 0) throw new RangeError('clearRange: end must be 0xFF or below');
    return this.#push(MutationType.ClearRange, begin, end);
  }

  /** Adds a little-endian integer to the value, which becomes as long as `operand` and wraps around. A missing value counts as 0. */
  add(key: Uint8Array, operand: Uint8Array): this {
    return this.#push(MutationType.AddValue, key, operand);
  }

  #push(type: MutationType, param1: Uint8Array, param2: Uint8Array): this {
    this.#mutations.push({ type, param1: rowKey(param1), param2 });
    return this;
  }
}
