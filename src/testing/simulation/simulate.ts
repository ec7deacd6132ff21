// One simulated run: a seed in, a verdict out. First a while of commits, jobs, recoveries and faults; then the faults stop, and everything must come to rest; then every
// container is read back.

import { PAUSED_KEY, progressKey, noopKey, snapshotKey } from '../../job/keys.js';
import type { JobRecord } from '../../job/records.js';
import { decodeSnapshotRecord, isSnapshotDue } from '../../job/snapshot-record.js';
import { decodeProgress, decodeVersion } from '../../job/records.js';
import type { SimFleet, SimKnobs } from './fleet.js';
import type { FleetUnrest } from './check-fleet.js';
import { SimFleets } from './sim-fleets.js';
import { hasFleet } from './fleet-seeds.js';
import { SimHosts } from './sim-hosts.js';
import { checkLeftovers } from './check-leftovers.js';
import { checkContainers } from './check-containers.js';
import { checkLagging } from './check-lagging.js';
import { activeJobs } from './check-store.js';
import { SimCare } from './sim-care.js';
import { SimCluster } from './cluster.js';
import { SimLooks } from './looks.js';
import { provokeNoops, provokeStarts, recover } from './provoked.js';
import { SimDatabase } from './sim-database.js';
import { SimOperator } from './sim-operator.js';
import { SimJobs } from './sim-jobs.js';
import { SimRecruiter } from './sim-recruiter.js';
import type { SimRules } from './planted-rules.js';
import { SimSnapshotters, drawSnapshotKnobs } from './snapshot-runs.js';
import type { SimViolation } from './verdict.js';

export interface SimulateOptions {
  readonly seed: number;
  /** Keep a readable trace. Costs time. Default false. */
  readonly trace?: boolean;
  /** Planted bugs; see PLANTED_BUGS. */
  readonly rules?: SimRules;
}

export interface SimulationResult {
  readonly seed: number;
  /** Undefined: everything was as it must be. */
  readonly violation: SimViolation | undefined;
  /** How often each fault and each interesting path was met. */
  readonly hits: Readonly<Record<string, number>>;
  /** Events that happened, and the virtual ms that they took. */
  readonly events: number;
  readonly virtualMs: number;
  /** Empty unless asked for. */
  readonly trace: string;
}

/** Longest virtual time from the end of the faults until everything is at rest. */
const REST_MS = 30_000;
/** Longest virtual time from there until a fleet is: leases end, frozen hosts thaw, and tags move one after the other. */
const FLEET_REST_MS = 8_000;
/** Longest virtual time for workers to heed their signal: one that is frozen thaws first. */
const STOP_MS = 5_000;

export async function simulate(options: SimulateOptions): Promise<SimulationResult> {
  const simulation = new Simulation(options);
  await simulation.run();
  return simulation.result();
}

class Simulation {
  readonly #seed: number;
  readonly #cluster: SimCluster;
  readonly #database: SimDatabase;
  readonly #fleet: SimFleet;
  readonly #snapshotters: SimSnapshotters;
  /** Processes that take snapshots and nothing else. */
  readonly #snapshotterCount: number;
  readonly #operator: SimOperator;
  readonly #jobs: SimJobs;
  readonly #care: SimCare;
  readonly #looks: SimLooks;
  /** Virtual ms at which the faults stop. */
  readonly #calmAt: number;

  constructor({ seed, trace, rules = {} }: SimulateOptions) {
    this.#seed = seed;
    this.#cluster = new SimCluster(seed, trace ?? false, rules);
    const { random } = this.#cluster.world;
    this.#calmAt = random.pick([600, 1200, 2500]);
    this.#database = new SimDatabase(this.#cluster);
    const knobs = this.#drawKnobs();
    // The library's recruit loop knows no planted bugs.
    const hasHosts = random.chance(0.2) && Object.keys(rules).length === 0;
    const snapshotKnobs = drawSnapshotKnobs(random);
    const isFleet = hasFleet(seed, rules);
    this.#fleet = isFleet
      ? new SimFleets(this.#cluster, knobs, snapshotKnobs, rules.fleet ?? {})
      : hasHosts
        ? new SimHosts(this.#cluster, knobs, snapshotKnobs)
        : new SimRecruiter(this.#cluster, knobs, rules.worker ?? {}, rules.host ?? {});
    this.#snapshotters = new SimSnapshotters(this.#cluster, snapshotKnobs, rules.snapshots ?? {});
    this.#snapshotterCount = isFleet || hasHosts ? 0 : random.int(1, 2);
    this.#operator = new SimOperator(this.#cluster);
    this.#jobs = new SimJobs({
      cluster: this.#cluster,
      database: this.#database,
      fleet: this.#fleet,
      operator: this.#operator,
      calmAt: this.#calmAt,
    });
    this.#care = new SimCare(this.#cluster, rules.care ?? {});
    this.#looks = new SimLooks(this.#cluster, this.#fleet);
  }

  async run(): Promise<void> {
    const { scheduler } = this.#cluster.world;
    const hasFailed = () => !this.#cluster.verdict.isGood;
    this.#jobs.plan();
    this.#planMishaps();
    provokeNoops(this.#cluster, this.#operator);
    provokeStarts(this.#cluster, this.#operator);
    this.#database.start();
    this.#cluster.ranges.start();
    this.#snapshotters.start(this.#snapshotterCount);
    this.#care.start();
    this.#looks.start();
    await this.#runUntil(this.#calmAt);
    if (hasFailed()) return;
    await checkContainers(this.#cluster, false);
    await checkLagging(this.#cluster);
    this.#calm();
    await this.#rest();
    if (hasFailed()) return;
    await checkContainers(this.#cluster, true);
    this.#fleet.stop();
    this.#snapshotters.stop();
    const running = () => [...this.#fleet.running, ...this.#snapshotters.running];
    await scheduler.run(() => hasFailed() || running().length === 0, scheduler.now + STOP_MS);
    this.#cluster.verdict.expect(running().length === 0, 'workers heed their signal', () => running().join(', '));
    if (!hasFailed()) this.#fleet.checkEnd?.();
    if (!hasFailed()) await checkLeftovers(this.#cluster);
  }

  /** Stops now and then to look at a container. */
  async #runUntil(moment: number): Promise<void> {
    const { toCheck, verdict, world } = this.#cluster;
    const { scheduler } = world;
    const isInterrupted = () => !verdict.isGood || toCheck.size > 0;
    for (;;) {
      await scheduler.run(isInterrupted, moment);
      if (!isInterrupted() || !verdict.isGood) return;
      const jobs = [...toCheck];
      toCheck.clear();
      await checkContainers(this.#cluster, false, jobs);
      await checkLagging(this.#cluster);
    }
  }

  result(): SimulationResult {
    const { world, verdict, hits } = this.#cluster;
    return {
      seed: this.#seed,
      violation: verdict.violation,
      hits: hits.toObject(),
      events: world.scheduler.executed,
      virtualMs: world.scheduler.now,
      trace: world.trace.text(),
    };
  }

  #drawKnobs(): SimKnobs {
    const { random } = this.#cluster.world;
    const lockBytes = random.pick([300, 2_000, 1 << 20]);
    return {
      lockBytes,
      peekBytes: Math.min(lockBytes, random.pick([100, 800, 1 << 16])),
      uploadBytes: Math.min(lockBytes, random.pick([200, 1_000, 1 << 18])),
      uploadDelay: random.pick([20, 60, 150]),
      idleUploadDelay: random.pick([150, 400]),
      blockSize: random.pick([128, 1_024, 1 << 20]),
      concurrentWrites: random.int(1, 3),
      noopPopDelay: random.pick([60, 300, 1_200]),
      jobStallTimeout: 600,
      versionTimeInterval: random.pick([0, 70, 300]),
      metricsInterval: 1_000_000,
      pollInterval: 150,
      coordinationInterval: 90,
      retryMinDelay: 3,
      retryMaxDelay: 60,
    };
  }

  /** What happens to the cluster as a whole, besides what happens to single calls. */
  #planMishaps(): void {
    const { containers, world } = this.#cluster;
    const { random, scheduler } = world;
    const sometime = () => random.between(20, this.#calmAt);
    const recoverNow = () => recover(this.#cluster, this.#database, this.#operator);
    for (let i = random.int(0, 3); i > 0; i--) {
      const at = sometime();
      scheduler.schedule(at, recoverNow);
      // Before the last one has been dealt with.
      if (random.chance(0.2)) scheduler.schedule(at + random.between(0, 80), recoverNow);
    }
    for (let i = random.chance(0.3) ? random.int(1, 3) : 0; i > 0; i--) {
      const at = sometime();
      scheduler.schedule(at, () => this.#operator.pause());
      scheduler.schedule(at + random.between(50, 800), () => this.#operator.resume());
    }
    if (random.chance(0.2)) scheduler.schedule(sometime(), () => this.#fleet.restartOne());
    if (random.chance(0.25)) {
      const url = `sim://job${random.int(0, 2)}`;
      const at = sometime();
      scheduler.schedule(at, () => containers.setHealth(url, 'down'));
      scheduler.schedule(at + random.between(50, 1_500), () => containers.setHealth(url, 'fine'));
    }
    if (random.chance(0.06))
      scheduler.schedule(sometime(), () => containers.setHealth(`sim://job${random.int(0, 2)}`, 'gone'));
  }

  #calm(): void {
    const { faults, trace } = this.#cluster.world;
    trace.add('simulation', 'CALM: no more faults, no more commits');
    faults.stop();
    this.#database.idle();
    this.#care.stop();
    this.#operator.stopPausing();
  }

  /** P-rules say what must come true once nothing goes wrong any more. */
  async #rest(): Promise<void> {
    const { world, verdict, store } = this.#cluster;
    const { scheduler } = world;
    const deadline = scheduler.now + REST_MS;
    const fleet = this.#fleet;
    let unrest: string | undefined = 'just begun';
    let fleetUnrest: FleetUnrest | undefined;
    let fleetDeadline = Number.POSITIVE_INFINITY;
    while (
      (unrest ?? fleetUnrest) !== undefined &&
      verdict.isGood &&
      scheduler.now < Math.min(deadline, fleetDeadline)
    ) {
      const until = scheduler.now + 100;
      await this.#runUntil(until);
      // A pause that was on its way when the last resume came.
      if (store.values.has(PAUSED_KEY)) this.#operator.stopPausing();
      unrest = this.#unrest();
      fleetUnrest = unrest === undefined ? fleet.unrest : undefined;
      const isAtRest = unrest === undefined;
      fleetDeadline = isAtRest ? Math.min(fleetDeadline, scheduler.now + FLEET_REST_MS) : Number.POSITIVE_INFINITY;
    }
    if (unrest !== undefined) verdict.fail('liveness', `${REST_MS} ms after the last fault: ${unrest}`);
    if (fleetUnrest !== undefined)
      verdict.fail(fleetUnrest.check, `${FLEET_REST_MS} ms after all else is at rest: ${fleetUnrest.what}`);
  }

  /** The first thing that is not yet as it must become; undefined when all is at rest. */
  #unrest(): string | undefined {
    const { log, history, store, jobs } = this.#cluster;
    const { epoch, totalTags } = log.current;
    const values = store.values;
    if (log.info.oldestBackupEpoch !== epoch) return `epoch ${String(log.info.oldestBackupEpoch)} is not drained`;
    if (this.#operator.hasPlans) return 'a job is still to be submitted';
    if (this.#operator.waiting.length > 0) return `submit of ${this.#operator.waiting.join(', ')} is still open`;
    const unsettled = [...jobs.all, ...jobs.strangers].find(
      (job) => job.state === 'Submitted' || job.state === 'Stopping',
    );
    if (unsettled !== undefined) return `job ${unsettled.uid} is ${unsettled.state}`;
    if (this.#care.running.length > 0) return `${this.#care.running.join(', ')} has not ended`;
    const waiting = jobs.all.find((job) => this.#waitsForSnapshot(job));
    if (waiting !== undefined) return `job ${waiting.uid} has no snapshot`;
    const isActive = activeJobs(values).length > 0;
    for (let tag = 0; tag < totalTags; tag++) {
      const saved = values.get(progressKey(epoch, tag));
      const noop = values.get(noopKey(epoch, tag));
      const savedVersion = saved === undefined ? -1n : decodeProgress('progress', saved).savedVersion;
      const noopVersion = noop === undefined ? -1n : decodeVersion('noop', noop);
      const stored = isActive || savedVersion > noopVersion ? savedVersion : noopVersion;
      const committed = history.committed;
      if (committed < log.current.begin) continue;
      if (stored < committed && !(isActive && noopVersion >= committed))
        return `tag ${tag} has stored ${stored}, committed is ${committed}`;
      const popped = log.popped(epoch, tag) ?? -1n;
      if (popped < committed) return `tag ${tag} is discarded up to ${popped}, committed is ${committed}`;
    }
    return undefined;
  }

  /** A first one, whatever has become of it since, and what was asked for. */
  #waitsForSnapshot(job: JobRecord): boolean {
    const { uid, state, snapshotInterval, completeFrom } = job;
    const { history, store } = this.#cluster;
    if (snapshotInterval === undefined || state !== 'Running') return false;
    if (completeFrom === undefined || completeFrom > history.committed) return false;
    const value = store.values.get(snapshotKey(uid));
    const record = value && decodeSnapshotRecord('snapshot', value);
    if (record?.last !== undefined && record.requested !== true) return false;
    // Clocks that were set back see it as due only later, by twenty minutes at most (S1).
    const clocks = [...this.#fleet.wallTimes, ...this.#snapshotters.wallTimes];
    return clocks.length === 0 || clocks.some((now) => isSnapshotDue(job, record, now));
  }
}
