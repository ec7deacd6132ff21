// What a transaction has written itself: kept back until it commits, and seen by its own reads. No memory is shared with the body, neither in nor out.

import { BackupError } from '../core/errors.js';
import type { ProgressEntry } from '../ports/progress-store.js';
import { checkWritableKey } from './progress-key.js';
import type { ProgressWrites } from './progress-state.js';

export class OwnWrites {
  readonly #writes = new Map<string, Uint8Array | undefined>();
  #isOver = false;

  /** By key; undefined: cleared. */
  get all(): ProgressWrites {
    return this.#writes;
  }

  has(key: string): boolean {
    return this.#writes.has(key);
  }

  get(key: string): Uint8Array | undefined {
    return this.#writes.get(key)?.slice();
  }

  set(key: string, value: Uint8Array): void {
    this.checkOpen();
    checkWritableKey(key);
    if (!(value instanceof Uint8Array))
      throw new BackupError('INVALID_OPTION', `the value of ${key} must be a Uint8Array`);
    // A plain Uint8Array of its own: the caller may go on using the memory, and a Buffer's slice() would share it.
    this.#writes.set(key, new Uint8Array(value));
  }

  clear(key: string): void {
    this.checkOpen();
    checkWritableKey(key);
    this.#writes.set(key, undefined);
  }

  /** What a read of begin <= key < end gives that has found these: in key order, with what was written since. */
  over(found: Iterable<readonly [string, Uint8Array]>, begin: string, end: string): ProgressEntry[] {
    const values = new Map(found);
    for (const [key, value] of this.#writes) {
      if (key < begin || key >= end) continue;
      if (value === undefined) values.delete(key);
      else values.set(key, value);
    }
    const keys = [...values.keys()].sort();
    return keys.map((key) => ({ key, value: (values.get(key) as Uint8Array).slice() }));
  }

  /** The body has returned: what it still does with the transaction is an error, since it would be lost. */
  end(): void {
    this.#isOver = true;
  }

  checkOpen(): void {
    if (this.#isOver)
      throw new BackupError('INVALID_STATE', 'the transaction has ended: await every call inside its body');
  }
}
