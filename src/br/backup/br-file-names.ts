// Gives each file of a backup a name of its own.

import type { Clock } from '../../core/clock.js';
import { systemClock } from '../../core/clock.js';
import type { BrStorageName } from '../../format/br/file-name.js';
import { brFileName, startKeyHash } from '../../format/br/file-name.js';

/** A region as file names know it. */
export interface BrFileRegion {
  readonly id: bigint;
  readonly epochVersion: bigint;
}

export interface BrFileNamesOptions {
  /** Decides whether a store's files have a folder of their own. */
  readonly storage: BrStorageName;
  readonly storeId: bigint;
  /** Default: the system's. */
  readonly clock?: Clock | undefined;
}

export interface BrNameParts {
  readonly region: BrFileRegion;
  readonly startKey: Uint8Array;
  /** Raw KV. */
  readonly isRaw: boolean;
}

/** The names of the files of one piece, which differ in their column family alone. */
export interface BrPieceName {
  of(cf: string): string;
  /** False: whoever stores that piece again gives its files the same names. */
  readonly isUnique: boolean;
}

/** Names that are remembered, at most; they are of one millisecond. */
const MOST_REMEMBERED = 4_096;

/** One for all files of a store's backup. */
export class BrFileNames {
  readonly #options: BrFileNamesOptions;
  /** The latest time in a name, and what has been named with it. */
  #ms = 0;
  readonly #taken = new Set<string>();

  constructor(options: BrFileNamesOptions) {
    this.#options = options;
  }

  /**
   * A piece that is stored again, in the same millisecond, too, or after the clock was set back, has other names than before: time in names only moves forward. As in TiKV, a raw piece that begins with the empty key is the
   * exception: its names have no time.
   */
  next({ region, startKey, isRaw }: BrNameParts): BrPieceName {
    const { storage, storeId } = this.#options;
    const base = { storeId, regionId: region.id, epochVersion: region.epochVersion };
    if (isRaw && startKey.length === 0) return { of: (cf) => brFileName({ ...base, cf }, storage), isUnique: false };
    const hash = startKeyHash(startKey);
    const unixMs = this.#timeFor(`${region.id}_${region.epochVersion}_${hash}`);
    return { of: (cf) => brFileName({ ...base, startKeyHash: hash, unixMs, cf }, storage), isUnique: true };
  }

  #timeFor(piece: string): number {
    const now = Math.max(0, Math.floor((this.#options.clock ?? systemClock).wallTime()));
    if (now > this.#ms) this.#moveTo(now);
    else if (this.#taken.has(piece) || this.#taken.size >= MOST_REMEMBERED) this.#moveTo(this.#ms + 1);
    this.#taken.add(piece);
    return this.#ms;
  }

  #moveTo(ms: number): void {
    this.#ms = ms;
    this.#taken.clear();
  }
}
