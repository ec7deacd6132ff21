// Those who look after backups while they are being written: at random moments they verify, compact, expire, record checksums and restore, in processes that die and freeze like all others.

import { toHex } from '../../core/bytes.js';
import { BackupError } from '../../core/errors.js';
import type { Version } from '../../core/version.js';
import type { JobRecord } from '../../job/records.js';
import type { BackupContainer } from '../../ports/backup-container.js';
import { compactLogs } from '../../restore/compact.js';
import { describeBackup } from '../../restore/describe.js';
import type { RestorableWindow } from '../../restore/description.js';
import type { ExpireOptions } from '../../restore/expire.js';
import { expireBackup } from '../../restore/expire.js';
import { recordChecksums } from '../../restore/record-checksums.js';
import { restore } from '../../restore/restore.js';
import { verifyBackup } from '../../restore/verify.js';
import { MemoryRestoreTarget } from '../memory-restore-target.js';
import { differenceOf } from './check-containers.js';
import { checkReport } from './check-report.js';
import { MAX_LISTING_LAG_MS } from './faults.js';
import type { CareRules } from './planted-rules.js';
import type { SimCluster } from './cluster.js';
import { SimProcess } from './process.js';
import { standstill } from './standstill.js';
import { describeError } from './trace.js';

type Care = 'expire' | 'compact' | 'verify' | 'record checksums' | 'restore';

const CARES: readonly Care[] = ['expire', 'expire', 'compact', 'compact', 'verify', 'record checksums', 'restore'];
const MAX_TRIES = 4;
const COMPACT_BLOCK_SIZE = 1 << 20;

/** One call, tried again when it fails for a passing reason, or when its process dies. */
interface CareCall {
  readonly care: Care;
  readonly job: JobRecord;
  readonly action: (container: BackupContainer, process: SimProcess) => Promise<void>;
  tries: number;
}

export class SimCare {
  readonly #cluster: SimCluster;
  readonly #rules: CareRules;
  /** Mean virtual ms between two calls. */
  readonly #meanMs: number;
  readonly #running = new Set<CareCall>();
  #processes = 0;
  #isStopped = false;

  constructor(cluster: SimCluster, rules: CareRules) {
    this.#cluster = cluster;
    this.#rules = rules;
    this.#meanMs = cluster.world.random.pick([0, 0, 150, 500]);
  }

  /** Calls that have not ended. */
  get running(): readonly string[] {
    return [...this.#running].map(({ care, job }) => `${care} ${job.uid}`);
  }

  start(): void {
    if (this.#meanMs > 0) this.#schedule();
  }

  /** Begins nothing any more. */
  stop(): void {
    this.#isStopped = true;
  }

  #schedule(): void {
    const { random, scheduler } = this.#cluster.world;
    scheduler.schedule(random.between(0, 2 * this.#meanMs), () => {
      if (this.#isStopped) return;
      this.#begin();
      this.#schedule();
    });
  }

  #begin(): void {
    const { containers, jobs, world } = this.#cluster;
    const { random } = world;
    const begun = jobs.all.filter(({ url }) => containers.files(url).has('properties/tidemark_job'));
    if (begun.length === 0) return;
    const job = random.pick(begun);
    const care = random.pick(CARES);
    // Docs: one expiry at a time; a lease would see to it.
    if (care === 'expire' && [...this.#running].some((call) => call.care === care && call.job.uid === job.uid)) return;
    this.#run({ care, job, action: this.#actionOf(care, job), tries: 0 });
  }

  #actionOf(care: Care, job: JobRecord): CareCall['action'] {
    switch (care) {
      case 'expire':
        return this.#expire(job);
      case 'compact':
        return this.#compact(job);
      case 'verify':
        return (container, process) => this.#verify(job, container, process);
      case 'record checksums':
        return async (container, process) => {
          const { problems } = await recordChecksums(container, { clock: process.clock });
          // Compaction and expiry take files away.
          const problem = problems.find(({ code }) => code !== 'FILE_NOT_FOUND');
          this.#cluster.verdict.expect(
            problem === undefined,
            'what is to be recorded is sound',
            () => `job ${job.uid}: ${problem?.message}`,
          );
        };
      case 'restore':
        return this.#restore(job);
    }
  }

  /** In a process of its own. */
  #run(call: CareCall): void {
    const { world, verdict, hits } = this.#cluster;
    const { random, scheduler } = world;
    const { care, job } = call;
    this.#running.add(call);
    call.tries++;
    const process = new SimProcess(world, `care#${++this.#processes}`, { clockSkew: random.int(0, 1_000) });
    process.note(`${care} ${job.uid}`);
    const again = () => {
      if (call.tries >= MAX_TRIES || this.#isStopped) this.#running.delete(call);
      else scheduler.schedule(random.between(5, 150), () => this.#run(call));
    };
    process.onDeath(again);
    this.#cluster.containers
      .open(process, job.url)
      .then((container) => call.action(container, process))
      .then(() => {
        hits.add(`care: ${care}`);
        process.note(`${care} ${job.uid} is done`);
        this.#running.delete(call);
      })
      .catch((error: unknown) => {
        process.note(`${care} ${job.uid} fails: ${describeError(error)}`);
        if (isExpected(care, error)) {
          hits.add(`care: ${care} refused`);
          this.#running.delete(call);
        } else if (isPassing(care, error)) again();
        else verdict.fail('care fails only when it must', `${care} job ${job.uid}: ${describeError(error)}`);
      });
  }

  #expire(job: JobRecord): CareCall['action'] {
    const { history, verdict, world } = this.#cluster;
    const { random } = world;
    const versions = history.versions(0n, history.committed + 1n);
    const pickVersion = (): Version => (versions.length === 0 ? 1n : random.pick(versions));
    const force = random.chance(0.1);
    const isByTime = random.chance(0.2);
    const wall = new SimProcess(world, 'wall', { immortal: true }).clock.wallTime();
    const before = isByTime ? new Date(wall - random.int(0, 500)) : pickVersion();
    const floor = typeof before === 'bigint' && random.chance(0.4) ? pickVersion() : undefined;
    const restorableAfter = floor !== undefined && typeof before === 'bigint' && floor >= before ? floor : undefined;
    const expire = this.#rules.expire ?? expireBackup;
    let hasBegun = false;
    return async (container, process) => {
      const options: ExpireOptions = {
        before,
        restorableAfter,
        force,
        dryRun: random.chance(0.1),
        concurrency: random.int(1, 4),
        clock: process.clock,
      };
      const earlier = await this.#windows(job);
      if (!hasBegun && options.dryRun !== true) {
        const promised = restorableAfter === undefined ? undefined : { from: restorableAfter, windows: earlier };
        this.#cluster.kept.expiryBegins(job, force, promised);
        hasBegun = true;
      }
      const { expiredEnd, files, snapshot } = await expire(container, options);
      if (files.length > 0 && options.dryRun !== true) world.hits.add('care: something expired');
      const later = await this.#windows(job);
      if (restorableAfter !== undefined && !force) this.#expectKept(job, earlier, later, restorableAfter);
      verdict.expect(
        snapshot === undefined || later.some(({ max }) => max >= expiredEnd),
        'an expiry leaves something to restore',
        () => `job ${job.uid}, expired to ${expiredEnd}`,
      );
    };
  }

  #compact(job: JobRecord): CareCall['action'] {
    const { hits, world } = this.#cluster;
    const { random } = world;
    const options = {
      targetBytes: random.pick([500, 1 << 20]),
      minFiles: random.int(2, 4),
      keepNewest: random.int(0, 2),
      // As every compaction of one backup is called: merged files of different block sizes may lie within each other, and the smaller one be the larger.
      blockSize: COMPACT_BLOCK_SIZE,
      graceMs: random.pick([0, 50, MAX_LISTING_LAG_MS]),
      concurrency: random.int(1, 3),
    };
    const compact = this.#rules.compact ?? compactLogs;
    return async (container, process) => {
      const { merged, removed, skipped } = await compact(container, {
        ...options,
        clock: process.clock,
        random: process.random,
      });
      if (merged.length > 0) hits.add('care: files merged', merged.length);
      if (removed > 0) hits.add('care: merged files removed', removed);
      // Another compaction, or an expiry, has taken files away meanwhile.
      const wrong = skipped.find(({ code }) => code !== 'WOULD_SHRINK' && code !== 'FILE_NOT_FOUND');
      if (wrong !== undefined) this.#cluster.verdict.fail('files agree', `job ${job.uid}: ${wrong.reason}`);
    };
  }

  async #verify(job: JobRecord, container: BackupContainer, process: SimProcess): Promise<void> {
    const { random } = this.#cluster.world;
    const deep = random.chance(0.8);
    const report = await verifyBackup(container, { deep, concurrency: random.int(1, 4), clock: process.clock });
    checkReport(this.#cluster, job, report, false);
  }

  /** Called again when files go under its hands. The target lives on when the process dies. */
  #restore(job: JobRecord): CareCall['action'] {
    const { history, verdict, hits, world } = this.#cluster;
    const { random } = world;
    const target = new MemoryRestoreTarget();
    const shards = random.int(1, 3);
    return async (container, process) => {
      const { version, snapshot } = await restore({
        container,
        target,
        version: 'latest',
        shards,
        applyBytes: random.pick([1, 300, 1 << 20]),
        readBytes: random.pick([100, 1 << 20]),
        clock: process.clock,
      });
      const rows = new Map([...target.rows()].map(({ key, value }) => [toHex(key), toHex(value)]));
      const difference = differenceOf(rows, history.rowsAt(version, job.ranges));
      if (snapshot !== undefined) hits.add('care: restored from a snapshot');
      verdict.expect(
        difference === undefined,
        'a restore beside writers is exact',
        () => `job ${job.uid} at ${version} from ${snapshot ?? 'the log alone'}: ${difference}`,
      );
    };
  }

  async #windows(job: JobRecord): Promise<readonly RestorableWindow[]> {
    const description = await describeBackup(this.#cluster.containers.reader(job.url), { clock: standstill });
    return description.windows;
  }

  /** What was restorable from `from` on still is. */
  #expectKept(
    job: JobRecord,
    earlier: readonly RestorableWindow[],
    later: readonly RestorableWindow[],
    from: Version,
  ): void {
    for (const { min, max } of earlier) {
      const begin = min > from ? min : from;
      if (begin > max) continue;
      this.#cluster.verdict.expect(
        later.some((window) => window.min <= begin && window.max >= max),
        'what is to stay restorable does',
        () => `job ${job.uid}: ${begin} to ${max}`,
      );
    }
  }
}

/** Refused for good, and rightly so. */
function isExpected(care: Care, error: unknown): boolean {
  if (BackupError.is(error, 'CONTAINER_UNAVAILABLE') && !error.retryable) return true;
  if (care === 'expire') return BackupError.is(error, 'EXPIRE_REFUSED');
  return care === 'restore' && BackupError.is(error, 'NOT_RESTORABLE');
}

/** Docs: a restore whose files go is called again. */
function isPassing(care: Care, error: unknown): boolean {
  return BackupError.is(error) && (error.retryable || (care === 'restore' && error.code === 'FILE_NOT_FOUND'));
}
