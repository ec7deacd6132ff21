// A RangeSource over a small database that can hold on to the state of one moment: what LevelDB calls a snapshot, SQLite a read transaction.

import type {
  KeyRange,
  KeyValueBatch,
  RangeSource,
  ReadVersionRequest,
  Region,
  RegionsRequest,
  ScanRequest,
  Version,
} from 'tidemark';
import { BackupError, intersectRanges } from 'tidemark';

/** The rows as they were at one moment, whatever is written meanwhile. */
export interface StoreView {
  /** The version of the last commit that is in it. */
  readonly version: Version;
  /** Rows of the range in key order, a few at a time; empty at the end. Their memory is the caller's. */
  iterate(range: KeyRange): { next(): Promise<KeyValueBatch>; close(): Promise<void> };
  close(): Promise<void>;
}

export interface Store {
  /** The newest commit that is durable. */
  readonly version: Version;
  view(): Promise<StoreView>;
  /** Calls the listener after each commit, until the function that it returns is called. */
  onCommit(listener: () => void): () => void;
}

/** A view that is open, and who needs it. */
interface OpenView {
  readonly view: StoreView;
  /** How often its version was handed out and not released. */
  holders: number;
  scans: number;
}

export class StoreRangeSource implements RangeSource {
  readonly #store: Store;
  /** Keys at which regions begin, in order, beside the first one. They never change: so a scan need not look at a region's epoch. */
  readonly #borders: readonly Uint8Array[];
  /** Views hold up the store's garbage collection: those of readers that have died must go some day. */
  readonly #maxViews: number;
  /** Oldest first. */
  readonly #views = new Map<Version, OpenView>();

  constructor(store: Store, borders: readonly Uint8Array[] = [], maxViews = 4) {
    this.#store = store;
    this.#borders = borders;
    this.#maxViews = maxViews;
  }

  async readVersion({ atLeast, signal }: ReadVersionRequest): Promise<Version> {
    while (this.#store.version < atLeast) await this.#commit(signal);
    signal.throwIfAborted();
    const view = await this.#store.view();
    const open = this.#views.get(view.version);
    if (open === undefined) this.#views.set(view.version, { view, holders: 1, scans: 0 });
    else {
      open.holders++;
      await view.close();
    }
    const [oldest] = this.#views.keys();
    if (this.#views.size > this.#maxViews && oldest !== undefined) await this.#drop(oldest);
    return view.version;
  }

  async releaseVersion(version: Version): Promise<void> {
    const open = this.#views.get(version);
    if (open !== undefined && --open.holders <= 0) await this.#drop(version);
  }

  async *regions({ range }: RegionsRequest): AsyncIterable<Region> {
    let begin = range.begin;
    for (const [index, border] of [...this.#borders, range.end].entries()) {
      const own = intersectRanges({ begin, end: border }, range);
      if (own === undefined) continue;
      yield { id: String(index), epoch: '1', range: own };
      begin = own.end;
    }
  }

  async *scan({ range, version, signal }: ScanRequest): AsyncIterable<KeyValueBatch> {
    const open = this.#views.get(version);
    if (open === undefined) throw tooOld(version);
    open.scans++;
    const iterator = open.view.iterate(range);
    try {
      for (;;) {
        signal.throwIfAborted();
        if (!this.#views.has(version)) throw tooOld(version);
        const batch = await iterator.next();
        signal.throwIfAborted();
        if (batch.length === 0) return;
        yield batch;
      }
    } finally {
      open.scans--;
      await iterator.close();
      if (!this.#views.has(version) && open.scans === 0) await open.view.close();
    }
  }

  /** No scan begins in it any more; those that run find out, and the last one closes it. */
  async #drop(version: Version): Promise<void> {
    const open = this.#views.get(version);
    this.#views.delete(version);
    if (open?.scans === 0) await open.view.close();
  }

  /** Resolves at the next commit; leaves nothing behind when the signal aborts. */
  async #commit(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    await new Promise<void>((resolve) => {
      const done = () => {
        stopListening();
        signal.removeEventListener('abort', done);
        resolve();
      };
      const stopListening = this.#store.onCommit(done);
      signal.addEventListener('abort', done, { once: true });
    });
    signal.throwIfAborted();
  }
}

function tooOld(version: Version): BackupError {
  return new BackupError('VERSION_TOO_OLD', `the view of version ${version} is closed`, { version });
}
