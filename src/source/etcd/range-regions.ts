// Which ranges of an etcd cluster are scanned by themselves: about as many keys each. Only borders are kept, never a list of keys.

import { createHash } from 'node:crypto';
import { compareBytes, keyAfter } from '../../core/bytes.js';
import type { KeyRange } from '../../core/key-range.js';
import type { Version } from '../../core/version.js';
import type { Region } from '../../ports/range-source.js';
import type { EtcdPages } from './range-pages.js';

export interface RegionsOptions {
  readonly pages: EtcdPages;
  /** What is to be covered. */
  readonly range: KeyRange;
  /** The parts of it that are read: in order, disjoint. */
  readonly wanted: readonly KeyRange[];
  readonly revision: Version;
  readonly keysPerRegion: number;
  readonly signal: AbortSignal;
}

/**
 * In key order, covering the range, the last one as large as it comes out. A key that is written afterwards belongs to the region around it.
 *
 * etcd counts all keys behind a page before it answers: with n keys and pages of up to 10,000 the whole list takes it n * n / 20,000 steps in its index.
 */
export async function* listRegions(options: RegionsOptions): AsyncGenerator<Region, void, undefined> {
  const { pages, range, wanted, revision, keysPerRegion, signal } = options;
  let begin = range.begin;
  let keys = 0;
  for (const part of wanted) {
    for await (const page of pages.read({ range: part, revision, keysOnly: true, signal })) {
      for (let left = page.length; left > 0;) {
        const taken = Math.min(left, keysPerRegion - keys);
        keys += taken;
        left -= taken;
        if (keys < keysPerRegion) continue;
        const border = keyAfter((page[page.length - left - 1] as (typeof page)[number]).key);
        // The border behind the last key of all may be the end itself.
        if (compareBytes(border, range.end) < 0) {
          yield regionOf({ begin, end: border });
          begin = border;
        }
        keys = 0;
      }
    }
  }
  yield regionOf({ begin, end: range.end });
}

/**
 * Regions here are nothing but ranges: etcd keeps all keys in one place, and a scan of any range at a revision that is kept is exact, whatever was listed when. So a region never changes, it is one of those that are
 * listed or none: its id says its range, and its epoch is always the same.
 */
function regionOf(range: KeyRange): Region {
  const hash = createHash('sha256').update(`${range.begin.length}:`).update(range.begin).update(range.end);
  return { id: hash.digest('hex').slice(0, 32), epoch: '1', range };
}
