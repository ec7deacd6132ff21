// Which versions a job's files claim, tag by tag: what is popped, called saved or called complete must lie in here.

import type { Version } from '../../core/version.js';
import { maxVersion } from '../../core/version.js';

interface Interval {
  readonly begin: Version;
  readonly end: Version;
}

export class SimCoverage {
  /** Sorted, disjoint, not touching; by job URL and tag. */
  readonly #intervals = new Map<string, Interval[]>();

  add(url: string, tag: number, begin: Version, end: Version): void {
    const key = `${url} ${tag}`;
    const merged: Interval[] = [];
    let joined: Interval = { begin, end };
    for (const interval of this.#intervals.get(key) ?? []) {
      if (interval.end < joined.begin || interval.begin > joined.end) merged.push(interval);
      else
        joined = {
          begin: interval.begin < joined.begin ? interval.begin : joined.begin,
          end: maxVersion(interval.end, joined.end),
        };
    }
    merged.push(joined);
    this.#intervals.set(
      key,
      merged.sort((a, b) => (a.begin < b.begin ? -1 : 1)),
    );
  }

  /** The first version of [begin, end) that no file claims; undefined when all are claimed. */
  firstGap(url: string, tag: number, begin: Version, end: Version): Version | undefined {
    if (begin >= end) return undefined;
    const around = (this.#intervals.get(`${url} ${tag}`) ?? []).find(
      (interval) => interval.begin <= begin && begin < interval.end,
    );
    if (around === undefined) return begin;
    return around.end >= end ? undefined : around.end;
  }
}
