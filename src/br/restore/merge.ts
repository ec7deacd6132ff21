// All rows of many files in the order of their user keys, key by key: of equal keys first write records, then long values. A file is opened when the merge comes to its range, and closed at its end, so that few are open
// at a time where files do not overlap. Synchronous within the loaded rows: nothing is awaited for each of them.

import { compareBytes, equalBytes } from '../../core/bytes.js';
import { BackupError } from '../../core/errors.js';
import type { BrCursor } from './cursor.js';
import type { PlannedFile } from './plan.js';

/** What is done with the rows of one user key. */
export interface KeyRows {
  /** The row that the cursor stands at; its fields are valid during the call alone. */
  add(cursor: BrCursor): void;
}

/** Files that hold the same key; more would take too much memory, and are none of BR's. */
const MOST_OPEN = 512;
/** Files that are opened before the merge comes to them. */
const OPEN_AHEAD = 2;

/** With rows it stands at the first of them. */
type Opened = { readonly cursor: BrCursor; readonly hasRows: boolean } | { readonly error: unknown };

export class RowMerge implements AsyncDisposable {
  /** By start key; from #next on they have not been taken in yet. */
  readonly #files: readonly PlannedFile[];
  readonly #open: (file: PlannedFile) => Promise<BrCursor>;
  readonly #rows: KeyRows;
  /** Being opened, in the order of #files from #next on. */
  readonly #ahead: Promise<Opened>[] = [];
  #next = 0;
  /** A heap: the smallest row first. */
  readonly #heap: BrCursor[] = [];
  /** Cursors that are at the end of what is loaded. */
  #waiting: BrCursor[] = [];
  /** The user key whose rows are being handed over. */
  #key: Uint8Array = new Uint8Array(0);
  #isOpen = false;

  constructor(files: readonly PlannedFile[], open: (file: PlannedFile) => Promise<BrCursor>, rows: KeyRows) {
    this.#files = files;
    this.#open = open;
    this.#rows = rows;
  }

  /** The user key of the last `next` that was true. */
  get key(): Uint8Array {
    return this.#key;
  }

  /** Hands over all rows of the next user key. False: `refill` comes first; what of the key was handed over stays so, and the next call goes on with it. */
  next(): boolean {
    if (this.#waiting.length > 0) return false;
    const heap = this.#heap;
    if (!this.#isOpen) {
      const first = heap[0];
      if (first === undefined || this.#isFileDue(first.userKey)) return false;
      this.#key = first.userKey;
      this.#isOpen = true;
    }
    for (let cursor = heap[0]; cursor !== undefined && equalBytes(cursor.userKey, this.#key); cursor = heap[0]) {
      this.#rows.add(cursor);
      if (cursor.next()) {
        this.#sinkFirst();
        continue;
      }
      this.#removeFirst();
      this.#waiting.push(cursor);
      // Its next row may be of this key, and come before those of the others.
      return false;
    }
    this.#isOpen = false;
    return true;
  }

  /** Loads what `next` waits for. False: there are no more rows, and every file was whole. */
  async refill(): Promise<boolean> {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const [i, cursor] of waiting.entries()) {
      try {
        if ((await cursor.load()) && cursor.next()) this.#push(cursor);
        else await cursor.close();
      } catch (error) {
        // Those that were not loaded are still to be closed.
        this.#waiting.push(...waiting.slice(i));
        throw error;
      }
    }
    while (this.#isFileDue(this.#heap[0]?.userKey)) await this.#takeInFile();
    return this.#heap.length > 0 || this.#isOpen;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const cursors = [...this.#heap, ...this.#waiting];
    for (const opened of await Promise.all(this.#ahead)) if ('cursor' in opened) cursors.push(opened.cursor);
    this.#heap.length = this.#waiting.length = this.#ahead.length = 0;
    await Promise.all(cursors.map((cursor) => cursor.close()));
  }

  /** Whether the next file may hold a row at or before this key; any file is due where nothing is left to read. Never in the middle of a key: every file that can hold it is there. */
  #isFileDue(key: Uint8Array | undefined): boolean {
    const file = this.#files[this.#next]?.file;
    if (file === undefined || this.#isOpen) return false;
    return key === undefined || compareBytes(file.startKey, key) <= 0;
  }

  async #takeInFile(): Promise<void> {
    const planned = this.#files[this.#next] as PlannedFile;
    if (this.#heap.length >= MOST_OPEN) {
      throw new BackupError(
        'UNSUPPORTED_FORMAT',
        `more than ${MOST_OPEN} files may hold one key, ${planned.file.name} among them: this is no backup of BR`,
        { file: planned.file.name },
      );
    }
    this.#startOpening();
    const opened = await (this.#ahead.shift() as Promise<Opened>);
    this.#next++;
    if ('error' in opened) throw opened.error;
    this.#startOpening();
    const { cursor, hasRows } = opened;
    if (hasRows) this.#push(cursor);
    else await cursor.close();
  }

  #startOpening(): void {
    while (this.#ahead.length < OPEN_AHEAD) {
      const planned = this.#files[this.#next + this.#ahead.length];
      if (planned === undefined) return;
      this.#ahead.push(this.#opened(planned));
    }
  }

  /** Never rejects: it may fail long before anyone waits for it. */
  async #opened(planned: PlannedFile): Promise<Opened> {
    let cursor: BrCursor | undefined;
    try {
      cursor = await this.#open(planned);
      return { cursor, hasRows: (await cursor.load()) && cursor.next() };
    } catch (error) {
      await cursor?.close();
      return { error };
    }
  }

  #push(cursor: BrCursor): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(cursor);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(cursor, heap[parent] as BrCursor)) break;
      heap[at] = heap[parent] as BrCursor;
      at = parent;
    }
    heap[at] = cursor;
  }

  #removeFirst(): void {
    const last = this.#heap.pop() as BrCursor;
    if (this.#heap.length === 0) return;
    this.#heap[0] = last;
    this.#sinkFirst();
  }

  #sinkFirst(): void {
    const heap = this.#heap;
    const cursor = heap[0] as BrCursor;
    let at = 0;
    for (let child = 1; child < heap.length; child = 2 * at + 1) {
      const right = heap[child + 1];
      if (right !== undefined && isBefore(right, heap[child] as BrCursor)) child++;
      if (!isBefore(heap[child] as BrCursor, cursor)) break;
      heap[at] = heap[child] as BrCursor;
      at = child;
    }
    heap[at] = cursor;
  }
}

function isBefore(a: BrCursor, b: BrCursor): boolean {
  const order = compareBytes(a.userKey, b.userKey);
  return order < 0 || (order === 0 && a.rank < b.rank);
}
