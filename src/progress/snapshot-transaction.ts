// One run of a transaction's body: reads from one state, keeps its writes to itself, and remembers what it read.

import type { ProgressEntry, ProgressTransaction } from '../ports/progress-store.js';
import { OwnWrites } from './own-writes.js';
import { checkProgressKey } from './progress-key.js';
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
  readonly #own = new OwnWrites();

  constructor(base: ProgressState) {
    this.#base = base;
  }

  async get(key: string): Promise<Uint8Array | undefined> {
    this.#own.checkOpen();
    checkProgressKey(key);
    if (this.#own.has(key)) return this.#own.get(key);
    this.#readKeys.add(key);
    return this.#base.get(key)?.slice();
  }

  async getRange(begin: string, end: string): Promise<readonly ProgressEntry[]> {
    this.#own.checkOpen();
    this.#readRanges.push({ begin, end });
    const found = this.#base.range(begin, end).map(({ key, value }) => [key, value] as const);
    return this.#own.over(found, begin, end);
  }

  set(key: string, value: Uint8Array): void {
    this.#own.set(key, value);
  }

  clear(key: string): void {
    this.#own.clear(key);
  }

  /** The body has returned. */
  end(): void {
    this.#own.end();
  }

  get writes(): ProgressWrites {
    return this.#own.all;
  }

  /** Whether all that was read is the same in `now`. */
  stillValid(now: ProgressState): boolean {
    if (now === this.#base) return true;
    for (const key of this.#readKeys) {
      if (!sameValue(this.#base.get(key), now.get(key))) return false;
    }
    return this.#readRanges.every(({ begin, end }) => sameEntries(this.#base.range(begin, end), now.range(begin, end)));
  }
}
