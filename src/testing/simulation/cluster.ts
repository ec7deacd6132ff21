// Everything that a simulated run is made of, put together, with the checks that watch it all the time.

import type { BackupContainer } from '../../ports/backup-container.js';
import type { RestoreTarget } from '../../ports/restore-target.js';
import type { Version } from '../../core/version.js';
import { DONE_PREFIX } from '../../job/keys.js';
import type { JobRecord } from '../../job/records.js';
import { checkFiles } from './check-files.js';
import { checkPops, oldestUnfinished } from './check-pops.js';
import { KeptLedger } from './check-kept.js';
import type { StoreCheckParts } from './check-store.js';
import { checkSnapshots } from './check-snapshots.js';
import { checkStore } from './check-store.js';
import { checkVersionTimes } from './check-version-times.js';
import { checkVisible } from './check-visible.js';
import { SimCoverage } from './coverage.js';
import { SimFaults } from './faults.js';
import { SimHistory } from './history.js';
import { SimHits } from './hits.js';
import { JobBook } from './job-book.js';
import type { SimRules } from './planted-rules.js';
import type { SimProcess, SimWorld } from './process.js';
import { SimRandom } from './random.js';
import { countRules } from './rule-hits.js';
import { SimScheduler } from './scheduler.js';
import { SimContainers } from './sim-container.js';
import { SimLog } from './sim-log.js';
import { SimRanges } from './sim-ranges.js';
import { SimStore } from './sim-store.js';
import { SimTrace } from './trace.js';
import { SimVerdict } from './verdict.js';

/** Milliseconds until the log system has noticed what the store says of drained epochs, at most. */
const OLDEST_EPOCH_DELAY_MS = 60;

/** A container that had no trouble for this long is not to blame, ms. */
const BLAME_MS = 4_000;

export class SimCluster implements StoreCheckParts {
  readonly world: SimWorld;
  readonly history: SimHistory;
  readonly log: SimLog;
  readonly store: SimStore;
  readonly containers: SimContainers;
  readonly ranges: SimRanges;
  readonly jobs: JobBook;
  readonly coverage = new SimCoverage();
  readonly verdict: SimVerdict;
  readonly hits = new SimHits();
  /** What has been described as restorable so far. */
  readonly kept: KeptLedger;
  /** Jobs whose containers are to be looked at right now, in the midst of what goes on. */
  readonly toCheck = new Set<JobRecord>();
  /** The first version that the database may write. */
  readonly firstVersion: Version;

  /** What restores read: a container, or what a planted bug makes of it. */
  readonly restored: (container: BackupContainer) => BackupContainer;
  /** What restores write to, likewise. */
  readonly target: (target: RestoreTarget) => RestoreTarget;

  constructor(seed: number, trace: boolean, planted: Pick<SimRules, 'restored' | 'target'> = {}) {
    this.restored = planted.restored ?? ((container) => container);
    this.target = planted.target ?? ((target) => target);
    const random = new SimRandom(seed);
    const scheduler = new SimScheduler(random);
    const faults = new SimFaults(random, this.hits);
    this.world = { scheduler, random, faults, hits: this.hits, trace: new SimTrace(trace, () => scheduler.now) };
    this.verdict = new SimVerdict(this.world.trace, () => scheduler.now);
    // 99,999,999,9xx: the first folder's end is near.
    this.firstVersion = random.pick([1n, 1n, 1_000n, 99_999_999_950n]);
    this.history = new SimHistory(this.firstVersion, () => scheduler.now);
    this.store = new SimStore(this.world);
    this.containers = new SimContainers(this.world);
    this.jobs = new JobBook(this.store, this.containers);
    this.log = new SimLog(this.world, this.history, {
      epoch: random.int(1, 3),
      begin: this.firstVersion,
      totalTags: random.int(1, 4),
    });
    this.ranges = new SimRanges(this);
    this.kept = new KeptLedger(this);
    checkVisible(this);
    checkFiles(this);
    checkStore(this);
    checkPops(this);
    checkVersionTimes(this);
    checkSnapshots(this);
    countRules(this);
    this.#watchCare();
    this.jobs.onChange((job, before) => {
      if (job.state === before?.state) return;
      if (job.state === 'Failed') this.#checkFailure(job);
      if (job.state === 'Completed') this.#checkOwner(job);
    });
    this.store.onCommit(({ writes }) => {
      if ([...writes.keys()].some((key) => key.startsWith(DONE_PREFIX))) this.lookForDrainedEpochs();
    });
  }

  /** Of two jobs with one container only one can have stored anything. */
  #checkOwner(job: JobRecord): void {
    const { uid, url, completeFrom, stopVersion } = job;
    const isEmpty = completeFrom === undefined || stopVersion === undefined || stopVersion < completeFrom;
    this.verdict.expect(
      isEmpty || !this.jobs.isStranger(job),
      'a container belongs to one job',
      () => `job ${uid} is Completed; ${url} belongs to job ${this.jobs.byUrl(url)?.uid}`,
    );
  }

  /** P10: a job fails for what its container does, not for what happens to a worker. */
  #checkFailure(job: JobRecord): void {
    const { uid, url, failure } = job;
    const { scheduler, hits } = this.world;
    if (this.jobs.isStranger(job)) {
      hits.add("job: Failed, its container is another job's");
      return;
    }
    const trouble = this.containers.lastTrouble(url);
    this.verdict.expect(
      trouble !== undefined && scheduler.now - trouble < BLAME_MS,
      'a job fails only by its container (P10)',
      () => `job ${uid}: ${failure?.message}; its container was last in trouble at ${trouble?.toFixed(0) ?? 'no time'}`,
    );
  }

  /** Whatever an expiry or a compaction does may be the last that its process does: readers must find everything in order. */
  #watchCare(): void {
    const touched = ({ url, process }: { url: string; process: SimProcess }) => {
      if (!process.name.startsWith('care') || !this.world.random.chance(0.03)) return;
      const job = this.jobs.byUrl(url);
      if (job === undefined) return;
      this.hits.add('oracle: looked in the midst of care');
      this.toCheck.add(job);
    };
    this.containers.onFile(touched);
    this.containers.onDelete(touched);
  }

  openContainer(process: SimProcess, url: string): Promise<BackupContainer> {
    return this.containers.open(process, url);
  }

  /** The log system learns from the store which epochs are drained; drained ones are forgotten some time later. */
  lookForDrainedEpochs(): void {
    const { scheduler, random } = this.world;
    scheduler.schedule(random.between(0, OLDEST_EPOCH_DELAY_MS), () => {
      this.log.setOldestBackupEpoch(oldestUnfinished(this.log.allEpochs, this.store.values));
      scheduler.schedule(random.between(0, random.pick([1, 10]) * OLDEST_EPOCH_DELAY_MS), () => {
        this.log.forgetBefore(oldestUnfinished(this.log.allEpochs, this.store.values));
      });
    });
  }
}
