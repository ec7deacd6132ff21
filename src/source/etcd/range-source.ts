// The RangeSource of an etcd cluster: etcd keeps the history of every key until it is compacted, so a scan at a revision is exact whatever is written meanwhile. It never answers with rows of another revision than
// was asked for, nor holds more than a page of them.

import { checkWholeNumber } from '../../core/check-option.js';
import type { Clock } from '../../core/clock.js';
import { systemClock } from '../../core/clock.js';
import { BackupError } from '../../core/errors.js';
import type { KeyRange } from '../../core/key-range.js';
import { equalRanges, formatRange, intersectRanges } from '../../core/key-range.js';
import type { Version } from '../../core/version.js';
import type {
  KeyValueBatch,
  RangeSource,
  ReadVersionRequest,
  Region,
  RegionsRequest,
  ScanRequest,
} from '../../ports/range-source.js';
import { EtcdCluster } from './cluster.js';
import type { EtcdEpoch } from './epoch.js';
import type { EtcdOptions, KeyFilter } from './options.js';
import { resolveKeys } from './options.js';
import { EtcdPages } from './range-pages.js';
import { withoutRanges } from './range-parts.js';
import { listRegions } from './range-regions.js';
import { CALL_TIMEOUT } from './timed-call.js';

export interface EtcdRangeOptions extends EtcdOptions {
  /** From `etcdEpoch()`: answers of another cluster are refused. Default: the cluster that answers first. */
  readonly epoch?: Pick<EtcdEpoch, 'clusterId'> | undefined;
  /** Keys of a region, which one worker scans by itself. Default 10,000. */
  readonly keysPerRegion?: number | undefined;
  /** ms: a page of rows without an answer has failed then, with ETCD_UNAVAILABLE. Default 30,000. */
  readonly callTimeout?: number | undefined;
}

const KEYS_PER_REGION = 10_000;
/** ms between two looks at the cluster's revision while a version is waited for: doubled up to the second. */
const FIRST_WAIT = 20;
const LONGEST_WAIT = 500;

/**
 * A version is a revision. What `range` leaves out and what `exclude` names is not read and yields no rows; leases are not read either: a key that had one is a key like any other.
 *
 * Nothing holds up compaction: a cluster that compacts more often than a snapshot takes gives VERSION_TOO_OLD, and the rest is read at a newer revision. Its user needs the right to read the range.
 *
 * Errors: VERSION_TOO_OLD when the revision is compacted, also in the middle; LOG_INCONSISTENT when the cluster has not come to the revision (it was restored from an older state) or is another one; ETCD_DENIED,
 * ETCD_LIMIT; ETCD_UNAVAILABLE, which snapshots retry; INVALID_OPTION.
 */
export class EtcdRangeSource implements RangeSource {
  readonly #filter: KeyFilter;
  readonly #keysPerRegion: number;
  readonly #clock: Clock;
  readonly #cluster: EtcdCluster;
  readonly #pages: EtcdPages;

  constructor(options: EtcdRangeOptions) {
    const { client, epoch, keysPerRegion = KEYS_PER_REGION, callTimeout = CALL_TIMEOUT } = options;
    const { clock = systemClock } = options;
    this.#filter = resolveKeys(options);
    this.#keysPerRegion = checkWholeNumber('keysPerRegion', keysPerRegion, 1);
    this.#clock = clock;
    this.#cluster = new EtcdCluster(client, clock, epoch?.clusterId);
    const timeout = checkWholeNumber('callTimeout', callTimeout, 1);
    this.#pages = new EtcdPages(client, this.#cluster, { clock, timeout });
  }

  /** By a linearizable read, which every commit that was acknowledged before is in. etcd's revision grows by writes alone: what is asked for beyond it is waited for until someone writes. */
  async readVersion({ atLeast, signal }: ReadVersionRequest): Promise<Version> {
    for (let wait = FIRST_WAIT; ; wait = Math.min(2 * wait, LONGEST_WAIT)) {
      signal.throwIfAborted();
      const revision = BigInt(await this.#cluster.read(signal));
      if (revision >= atLeast) return revision;
      await this.#clock.sleep(wait, signal);
    }
  }

  async *regions({ range, signal }: RegionsRequest): AsyncIterable<Region> {
    signal.throwIfAborted();
    const revision = BigInt(await this.#cluster.read(signal));
    const keysPerRegion = this.#keysPerRegion;
    yield* listRegions({
      pages: this.#pages,
      range,
      wanted: this.#wanted(range),
      revision,
      keysPerRegion,
      signal,
    });
  }

  async *scan({ region, range, version, signal }: ScanRequest): AsyncIterable<KeyValueBatch> {
    const inside = intersectRanges(region.range, range);
    if (inside === undefined || !equalRanges(inside, range)) {
      throw new BackupError('INVALID_OPTION', `${formatRange(range)} is not within ${formatRange(region.range)}`);
    }
    signal.throwIfAborted();
    for (const part of this.#wanted(range)) {
      for await (const page of this.#pages.read({ range: part, revision: version, keysOnly: false, signal })) {
        yield page.map(({ key, value }) => [key, value] as const);
      }
    }
  }

  /** The parts of the range that are backed up: in order, disjoint. */
  #wanted(range: KeyRange): readonly KeyRange[] {
    const { begin, end, exclude } = this.#filter;
    const own = intersectRanges(range, { begin, end: end ?? range.end });
    return own === undefined ? [] : withoutRanges([own], exclude);
  }
}
