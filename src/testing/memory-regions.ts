// The regions of a MemoryDatabase: the whole key space, cut at the keys that a test chooses.

import { compareBytes, equalBytes, printableBytes } from '../core/bytes.js';
import { BackupError } from '../core/errors.js';
import type { KeyRange } from '../core/key-range.js';
import { intersectRanges } from '../core/key-range.js';
import type { Region } from '../ports/range-source.js';

interface OwnRegion {
  readonly id: number;
  readonly epoch: number;
  readonly begin: Uint8Array;
}

export class MemoryRegions {
  /** In key order; each ends where the next one begins, the last one nowhere. */
  #regions: readonly OwnRegion[] = [{ id: 1, epoch: 1, begin: new Uint8Array(0) }];
  #lastId = 1;
  #lastEpoch = 1;

  /** The keys at which one region ends and the next begins, in order. */
  get borders(): readonly Uint8Array[] {
    return this.#regions.slice(1).map(({ begin }) => begin);
  }

  /** Those that meet the range, clipped to it, as they are when the listing begins. */
  *list(range: KeyRange): IterableIterator<Region> {
    // Regions are replaced as a whole, never changed.
    const regions = this.#regions;
    for (let index = this.#indexOf(range.begin); index < regions.length; index++) {
      const region = regions[index] as OwnRegion;
      const end = regions[index + 1]?.begin ?? range.end;
      const own = intersectRanges({ begin: region.begin, end }, range);
      if (own === undefined) return;
      yield { id: String(region.id), epoch: String(region.epoch), range: own };
    }
  }

  /** Whether the region is still what it was when it was listed. */
  isCurrent({ id, epoch }: Region): boolean {
    return this.#regions.some((region) => String(region.id) === id && String(region.epoch) === epoch);
  }

  /** The region of the key ends there; a new one begins. The right part keeps nothing of it. Nothing changes where there is a border already. */
  split(key: Uint8Array): void {
    const at = this.#indexOf(key);
    const region = this.#regions[at] as OwnRegion;
    if (equalBytes(region.begin, key)) return;
    const left = { ...region, epoch: ++this.#lastEpoch };
    const right = { id: ++this.#lastId, epoch: ++this.#lastEpoch, begin: key.slice() };
    this.#regions = this.#regions.toSpliced(at, 1, left, right);
  }

  /** The region that begins at this border vanishes into the one before it. */
  merge(border: Uint8Array): void {
    const at = this.#indexOf(border);
    const region = this.#regions[at] as OwnRegion;
    if (at === 0 || !equalBytes(region.begin, border)) {
      throw new BackupError('INVALID_OPTION', `no region begins at "${printableBytes(border)}"`);
    }
    const left = { ...(this.#regions[at - 1] as OwnRegion), epoch: ++this.#lastEpoch };
    this.#regions = this.#regions.toSpliced(at - 1, 2, left);
  }

  /** The region of the key moves elsewhere: another id, the same range. */
  move(key: Uint8Array): void {
    const at = this.#indexOf(key);
    const { begin } = this.#regions[at] as OwnRegion;
    this.#regions = this.#regions.with(at, { id: ++this.#lastId, epoch: ++this.#lastEpoch, begin });
  }

  #indexOf(key: Uint8Array): number {
    let low = 0;
    let high = this.#regions.length;
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      if (compareBytes((this.#regions[middle] as OwnRegion).begin, key) <= 0) low = middle;
      else high = middle;
    }
    return low;
  }
}
