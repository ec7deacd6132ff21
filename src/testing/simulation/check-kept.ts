// What was restorable once stays restorable: only an expiry may take it away, and only what it was allowed to. Neither compaction nor a recovery, a death, a job's end or any care may.

import type { Version } from '../../core/version.js';
import { maxVersion } from '../../core/version.js';
import type { JobRecord } from '../../job/records.js';
import type { BackupDescription, SnapshotDescription } from '../../restore/description.js';
import { rangeHolding } from '../../restore/version-ranges.js';
import { markOf } from './expiry-mark.js';
import type { SimHits } from './hits.js';
import type { SimContainers } from './sim-container.js';
import type { SimVerdict } from './verdict.js';

/** Inclusive ends. */
interface Kept {
  readonly min: Version;
  readonly max: Version;
  /** Exclusive: an expiry up to here leaves it alone. */
  readonly safeUpTo: Version;
  readonly what: string;
}

/** What an expiry has promised, until the next one. */
interface Promised {
  readonly from: Version;
  readonly windows: readonly { readonly min: Version; readonly max: Version }[];
}

/** What the ledger needs to know of a job, and of what is described of it. */
type KeptJob = Pick<JobRecord, 'uid' | 'url' | 'state'>;
type Described = Pick<BackupDescription, 'windows' | 'complete' | 'notRestorable'> & {
  readonly snapshots: readonly Pick<SnapshotDescription, 'name' | 'beginVersion' | 'endVersion' | 'restorable'>[];
};

export class KeptLedger {
  readonly #containers: Pick<SimContainers, 'files'>;
  readonly #verdict: SimVerdict;
  readonly #hits: SimHits;
  /** By URL. */
  readonly #kept = new Map<string, readonly Kept[]>();
  readonly #promised = new Map<string, Promised>();
  readonly #forced = new Set<string>();

  constructor({
    containers,
    verdict,
    hits,
  }: {
    containers: Pick<SimContainers, 'files'>;
    verdict: SimVerdict;
    hits: SimHits;
  }) {
    this.#containers = containers;
    this.#verdict = verdict;
    this.#hits = hits;
  }

  /** An expiry begins. `promised`: what it must leave; undefined when it was given no `restorableAfter`. */
  expiryBegins({ url }: KeptJob, force: boolean, promised: Promised | undefined): void {
    if (force) this.#forced.add(url);
    if (force || promised === undefined) this.#promised.delete(url);
    else this.#promised.set(url, promised);
  }

  /** Holds what is described now against what was described before. */
  check(job: KeptJob, description: Described): void {
    const { url } = job;
    const mark = markOf(this.#containers.files(url));
    const kept = (this.#kept.get(url) ?? []).filter(({ safeUpTo }) => mark <= safeUpTo);
    for (const { min, max, what } of kept)
      this.#expect(job, description, 'what was restorable stays so unless it is expired', min, max, what);
    const promised = this.#promised.get(url);
    for (const window of promised?.windows ?? []) {
      const min = maxVersion(window.min, promised?.from ?? 0n);
      if (min > window.max) continue;
      this.#hits.add('oracle: the promise of an expiry is kept');
      this.#expect(job, description, 'an expiry keeps its promise', min, window.max, 'promised');
    }
    if (mark > 0n && !this.#forced.has(url)) {
      this.#verdict.expect(
        description.windows.some(({ max }) => max >= mark),
        'an expiry leaves something to restore',
        () => `job ${job.uid}, ${job.state}, expired to ${mark}: ${description.notRestorable ?? 'nothing above it'}`,
      );
    }
    if (kept.length > 0) this.#hits.add('oracle: still restorable');
    this.#kept.set(url, restorableOf(description));
  }

  #expect(
    { uid, state }: KeptJob,
    { windows }: Described,
    check: string,
    min: Version,
    max: Version,
    what: string,
  ): void {
    this.#verdict.expect(
      windows.some((window) => window.min <= min && window.max >= max),
      check,
      () =>
        `job ${uid}, ${state}: ${min} to ${max} (${what}); now ${windows.map((window) => `${window.min} to ${window.max}`).join(', ') || 'nothing'}`,
    );
  }
}

/** Snapshot by snapshot: an expiry may take one, and leave another that describe does not list as a window of its own because it lies within the first one's. */
function restorableOf({ snapshots, complete, windows }: Described): Kept[] {
  const fromNothing = windows
    .filter(({ snapshot }) => snapshot === undefined)
    .map(({ min, max }) => ({ min, max, safeUpTo: min, what: 'from nothing' }));
  const fromSnapshots = snapshots
    .filter(({ restorable }) => restorable)
    .map(({ name, beginVersion, endVersion }) => {
      const log = rangeHolding(complete, beginVersion);
      const max = log === undefined ? endVersion : maxVersion(endVersion, log.end - 1n);
      return { min: endVersion, max, safeUpTo: beginVersion, what: name };
    });
  return [...fromNothing, ...fromSnapshots];
}
