// One run of a transaction's body: reads from one state, keeps its writes to itself, and remembers what it read.

import { BackupError } from '../core/errors.js';
import type { ProgressEntry, ProgressTransaction } from '../ports/progress-store.js';
import { checkWritableKey, checkProgressKey } from './progress-key.js';
import type { ProgressState, ProgressWrites } from './progress-state.js';
import { sameEntries, sameValue } from './progress-state.js';

/**
 * Optimistic: nothing is locked. All reads come from one state, so that a body never sees half of another's commit. Before
 * its writes are published, `stillValid` says whether every read would give the same answer now; if so, the transaction is
 * as good as one that ran wholly at this moment, which makes it serializable, phantoms included.
 */
export class SnapshotTransaction implements ProgressTransaction {
  readonly #base: ProgressState;
  readonly #readKeys = new Set<string>();
  readonly #readRanges: { readonly begin: string; readonly end: string }[] = [];
  readonly #writes = new Map<string, Uint8Array | undefined>();
  #ended = false;

  constructor(base: ProgressState) {
    this.#base = base;
  }

  async get(key: string): Promise<Uint8Array | undefined> {
    this.#checkOpen();
    checkProgressKey(key);
    if (this.#writes.has(key)) return this.#writes.get(key)?.slice();
    this.#readKeys.add(key);
    return this.#base.get(key)?.slice();
  }

  async getRange(begin: string, end: string): Promise<readonly ProgressEntry[]> {
    this.#checkOpen();
    this.#readRanges.push({ begin, end });
    const found = new Map(this.#base.range(begin, end).map((entry) => [entry.key, entry.value]));
    for (const [key, value] of this.#writes) {
      if (key < begin || key >= end) continue;
      if (value === undefined) found.delete(key);
      else found.set(key, value);
    }
    const keys = [...found.keys()].sort();
    return keys.map((key) => ({ key, value: (found.get(key) as Uint8Array).slice() }));
  }

  set(key: string, value: Uint8Array): void {
    this.#checkOpen();
    checkWritableKey(key);
    if (!(value instanceof Uint8Array))
      throw new BackupError('INVALID_OPTION', `the value of ${key} must be a Uint8Array`);
    // A plain Uint8Array of its own: the caller may go on using the memory, and a Buffer's slice() would share it.
    this.#writes.set(key, new Uint8Array(value));
  }

  clear(key: string): void {
    this.#checkOpen();
    checkWritableKey(key);
    this.#writes.set(key, undefined);
  }

  /** The body has returned: what it still does with the transaction is an error, since it would be lost. */
  end(): void {
    this.#ended = true;
  }

  get writes(): ProgressWrites {
    return this.#writes;
  }

  /** Whether all that was read is the same in `now`. */
  stillValid(now: ProgressState): boolean {
    if (now === this.#base) return true;
    for (const key of this.#readKeys) {
      if (!sameValue(this.#base.get(key), now.get(key))) return false;
    }
    return this.#readRanges.every(({ begin, end }) => sameEntries(this.#base.range(begin, end), now.range(begin, end)));
  }

  #checkOpen(): void {
    if (this.#ended)
      throw new BackupError('INVALID_STATE', 'the transaction has ended: await every call inside its body');
  }
}
