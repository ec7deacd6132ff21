// What was read ahead of files that are read from one end to the other. Must never give bytes of a file that this container has written or deleted since, nor any that are older than a moment.

import { EMPTY_BYTES } from '../../core/bytes.js';
import type { Clock } from '../../core/clock.js';
import type { ReadBytes } from './object-reader.js';

/**
 * ms for which bytes that were read ahead may be used. Another process may delete or replace the file meanwhile, and `readFile` is to be exact at once: what lies ahead is therefore only ever used by a reader who goes on
 * where it left off, who has read the beginning of the same object a moment ago, and who would have read the rest then, had it asked for more.
 */
const MAX_AGE = 2_000;
/** Bytes ahead of one file. */
const MOST_AHEAD = 4 << 20;
/** Files whose end of the last read is remembered. */
const MOST_FILES = 256;

interface FileState {
  /** Where the last read ended. */
  next: number;
  /** Bytes from `next` on; empty: none were read ahead. Its memory is only ours. */
  ahead: Uint8Array;
  /** Whether the file ends behind `ahead`. */
  isEnd: boolean;
  /** When `ahead` was asked for. */
  readAt: number;
}

export type Fetch = (offset: number, length: number) => Promise<ReadBytes>;

export class ReadAhead {
  readonly #limit: number;
  readonly #clock: Clock;
  /** The one that was used last is the last one. */
  readonly #files = new Map<string, FileState>();
  #bytes = 0;
  /** Counts what was written or deleted: a read that was under way then remembers nothing. */
  #changes = 0;

  /** @param limit bytes of all files together; 0: nothing is read ahead */
  constructor(limit: number, clock: Clock) {
    this.#limit = limit;
    this.#clock = clock;
  }

  /** Bytes held. */
  get bytes(): number {
    return this.#bytes;
  }

  /** `length` bytes from `offset`, fewer at the end of the file. Memory of its own. `length` from 1. */
  async read(file: string, offset: number, length: number, fetch: Fetch): Promise<Uint8Array> {
    const found = this.#take(file, offset, length);
    if (found !== undefined) return found;
    const isSequential = offset > 0 && this.#files.get(file)?.next === offset;
    const more = isSequential ? Math.min(MOST_AHEAD, this.#limit) : 0;
    const readAt = this.#clock.now();
    const changes = this.#changes;
    const { bytes, isEnd } = await fetch(offset, Math.max(length, more));
    const wanted = bytes.length <= length ? bytes : bytes.slice(0, length);
    if (this.#limit > 0 && changes === this.#changes) {
      const rest = bytes.length <= length ? EMPTY_BYTES : bytes.slice(length);
      this.#keep(file, { next: offset + wanted.length, ahead: rest, isEnd, readAt });
    }
    return wanted;
  }

  /** Called before and after the file is written or deleted. */
  forget(file: string): void {
    this.#changes++;
    this.#drop(file);
  }

  clear(): void {
    this.#changes++;
    this.#files.clear();
    this.#bytes = 0;
  }

  /** The bytes, if they are all here and young enough. */
  #take(file: string, offset: number, length: number): Uint8Array | undefined {
    const state = this.#files.get(file);
    if (state?.next !== offset || state.ahead.length === 0) return undefined;
    const isHere = state.ahead.length >= length || state.isEnd;
    if (!isHere || this.#clock.now() - state.readAt > MAX_AGE) {
      // Where it was read to stays known: what is asked for now is read ahead again.
      this.#bytes -= state.ahead.length;
      state.ahead = EMPTY_BYTES;
      return undefined;
    }
    const bytes = state.ahead.slice(0, length);
    this.#files.delete(file);
    this.#files.set(file, state);
    this.#bytes -= bytes.length;
    state.ahead = state.ahead.subarray(bytes.length);
    state.next += bytes.length;
    return bytes;
  }

  #keep(file: string, state: FileState): void {
    this.#drop(file);
    this.#files.set(file, state);
    this.#bytes += state.ahead.length;
    for (const oldest of this.#files.keys()) {
      if (this.#bytes <= this.#limit && this.#files.size <= MOST_FILES) break;
      this.#drop(oldest);
    }
  }

  #drop(file: string): void {
    const state = this.#files.get(file);
    if (state === undefined) return;
    this.#bytes -= state.ahead.length;
    this.#files.delete(file);
  }
}
