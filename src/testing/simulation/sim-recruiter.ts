// Whatever starts workers: it announces each epoch, plans, starts what the plan says in processes of its own, and replaces what has died. It takes a process that stands
// still for dead sooner or later, and sometimes it is simply wrong: then two processes believe that they own one tag.

import { BackupError } from '../../core/errors.js';
import { logRouterTag } from '../../core/version.js';
import type { PlannedWorker } from '../../job/plan.js';
import { announceEpoch, planFromStore } from '../../job/recruiter-transactions.js';
import type { ProgressStore } from '../../ports/progress-store.js';
import type { WorkerRules } from '../../worker/rules.js';
import { BackupWorker } from '../../worker/backup-worker.js';
import { SimBuffers } from './buffers.js';
import type { WatchedMemory } from './check-memory.js';
import { checkAccounts, checkGivenBack, checkHeld } from './check-memory.js';
import type { SimCluster } from './cluster.js';
import type { SimFleet, SimKnobs } from './fleet.js';
import { countedRules, listenToWorker } from './fleet.js';
import type { HostRules, PlantedOptions } from './planted-rules.js';
import { SimProcess } from './process.js';
import { countPlan } from './rule-hits.js';
import { describeError } from './trace.js';

/** One worker in its process. */
interface SimWorker {
  readonly plan: PlannedWorker;
  readonly process: SimProcess;
  readonly worker: BackupWorker;
  readonly memory: WatchedMemory;
  readonly stop: AbortController;
  hasEnded: boolean;
}

const LOOK_INTERVAL_MS = 150;
/** More would mean that workers die as fast as they start: a bound for runs that go wrong. */
const MAX_WORKERS = 300;

export class SimRecruiter implements SimFleet {
  readonly #cluster: SimCluster;
  readonly #knobs: SimKnobs;
  readonly #rules: Partial<WorkerRules>;
  readonly #planted: HostRules;
  readonly #workers: SimWorker[] = [];
  readonly #duplicates: number;
  #processes = 0;
  #wake: (() => void) | undefined;
  #isStopped = false;

  constructor(cluster: SimCluster, knobs: SimKnobs, rules: Partial<WorkerRules>, planted: HostRules) {
    this.#cluster = cluster;
    this.#knobs = knobs;
    this.#rules = rules;
    this.#planted = planted;
    this.#duplicates = cluster.world.random.pick([0, 0.02, 0.1]);
  }

  /** Its processes take no snapshots. */
  get wallTimes(): readonly number[] {
    return [];
  }

  get running(): readonly string[] {
    return this.#running.map(({ process, worker }) => `${process.name} is ${worker.state}`);
  }

  /** Workers that have not ended, with those that are frozen. */
  get #running(): SimWorker[] {
    return this.#workers.filter(({ hasEnded, process }) => !hasEnded && !process.isDead);
  }

  checkAccounts(): void {
    for (const { memory } of this.#running) checkAccounts(this.#cluster.verdict, memory);
  }

  start(): void {
    const { world, store } = this.#cluster;
    const process = new SimProcess(world, `recruiter#${++this.#processes}`);
    process.onDeath(() => world.scheduler.schedule(world.random.between(20, 200), () => this.start()));
    this.#loop(process, store.client(process)).catch((error: unknown) => {
      this.#cluster.verdict.fail('recruiter', describeError(error));
    });
  }

  /** Looks again at once. */
  wake(): void {
    this.#wake?.();
  }

  /** Asks every worker to stop, and starts none any more. */
  stop(): void {
    this.#isStopped = true;
    for (const worker of this.#running) stopWorker(worker, 'the simulation ends');
  }

  /** Asks one worker to stop: the host is restarted in good order. */
  restartOne(): void {
    const running = this.#running.filter(({ process }) => !process.isFrozen);
    if (running.length === 0) return;
    this.#cluster.hits.add('host: worker stopped by its signal');
    stopWorker(this.#cluster.world.random.pick(running), 'the host restarts');
  }

  async #loop(process: SimProcess, store: ProgressStore): Promise<void> {
    const { random } = this.#cluster.world;
    while (!this.#isStopped) {
      try {
        await this.#recruit(process, store);
      } catch (error) {
        // Behind a recovery, or the store did not answer: the next look finds out.
        if (!BackupError.is(error) || !(error.retryable || error.code === 'DISPLACED')) throw error;
        process.note(`recruiting failed: ${describeError(error)}`);
      }
      const woken = new Promise<void>(
        (resolve) => (this.#wake = () => process.deliver(random.between(0, 20), resolve)),
      );
      await Promise.race([woken, process.clock.sleep(LOOK_INTERVAL_MS)]);
    }
  }

  async #recruit(process: SimProcess, store: ProgressStore): Promise<void> {
    const { log, world, hits } = this.#cluster;
    // It hears of some recoveries late; of others it does, and is slow.
    const isLate = log.unheardMs > 0 && world.random.chance(0.5);
    if (isLate) await process.clock.sleep(log.unheardMs);
    const info = await process.call('log', 'look at the log system', () => log.info, unavailable);
    const current = info.epochs.at(-1);
    if (current === undefined) return;
    await announceEpoch(store, current);
    if (log.unheardMs > 0) await process.clock.sleep(world.random.between(0, log.unheardMs));
    const plan = await (this.#planted.plan ?? planFromStore)(store, info.epochs);
    countPlan(this.#cluster, info.epochs, plan);
    for (const planned of plan.workers) {
      const others = this.#running.filter((other) => isSamePlace(other.plan, planned));
      const alive = others.filter((other) => !other.process.isFrozen || world.random.chance(0.7));
      if (alive.length === 0) this.#startWorker(planned);
      else if (!world.faults.stopped && world.random.chance(this.#duplicates)) {
        hits.add('fault: second owner started');
        this.#startWorker(planned);
      }
    }
  }

  #startWorker(plan: PlannedWorker): void {
    const { world, log, store, hits, verdict } = this.#cluster;
    if (this.#workers.length >= MAX_WORKERS || this.#isStopped) return;
    const name = `w${plan.recruitedEpoch}.${plan.backupEpoch}/${plan.tag}#${this.#workers.length}`;
    const process = new SimProcess(world, name, { clockSkew: world.random.int(0, 1_000_000) });
    const workers: BackupWorker[] = [];
    const buffers = new SimBuffers(() => checkHeld(verdict, memory));
    const memory: WatchedMemory = { name, lockBytes: this.#knobs.lockBytes, buffers, workers };
    const stop = new AbortController();
    const { backupEpoch, recruitedEpoch, tag, totalTags, startVersion, endVersion } = plan;
    const planted: PlantedOptions = this.#planted.options ?? ((options) => options);
    const worker = new BackupWorker(
      planted({
        ...this.#knobs,
        logSource: log.client(process, buffers),
        progressStore: store.client(process),
        openContainer: (url) => this.#cluster.openContainer(process, url),
        tag: logRouterTag(tag),
        totalTags,
        startVersion,
        ...(endVersion === undefined ? {} : { endVersion }),
        recruitedEpoch,
        backupEpoch,
        clock: process.clock,
        random: process.random,
      }),
      countedRules(hits, this.#rules),
    );
    const entry: SimWorker = { plan, process, worker, memory, stop, hasEnded: false };
    workers.push(worker);
    this.#workers.push(entry);
    listenToWorker(worker, process);
    process.onDeath(() => this.wake());
    process.note(`STARTS at ${startVersion}, end ${endVersion ?? '-'}, of ${totalTags} tags`);
    hits.add(endVersion === undefined ? 'worker: current epoch' : 'worker: old epoch');
    worker
      .run({ signal: stop.signal })
      .then((result) => {
        process.note(`ENDS ${result.outcome}`);
        hits.add(`worker: ${result.outcome}`);
      })
      .catch((error: unknown) => verdict.fail('a worker fails only when it must', `${name}: ${describeError(error)}`))
      .finally(() => {
        entry.hasEnded = true;
        checkGivenBack(verdict, memory);
        this.wake();
      })
      .catch((error: unknown) => verdict.fail('simulator', describeError(error)));
  }
}

/** Its signal aborts inside the process: a frozen one notices when it thaws. */
function stopWorker({ process, stop }: SimWorker, why: string): void {
  process.deliver(0, () => stop.abort(new Error(why)));
}

function isSamePlace(a: PlannedWorker, b: PlannedWorker): boolean {
  return a.recruitedEpoch === b.recruitedEpoch && a.backupEpoch === b.backupEpoch && a.tag === b.tag;
}

function unavailable(): BackupError {
  return new BackupError('TIMEOUT', 'the simulated log system does not answer', { retryable: true });
}
