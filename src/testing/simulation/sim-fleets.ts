// Host processes that run the library's BackupFleet, and take snapshots. A host that dies is started again, one that stands still gets a double sooner or later; some come later, some leave for good.
// Names are kept over restarts in some seeds (then the next process waits for the lease of the one before it), and new each time in others.

import { BackupFleet } from '../../worker/fleet.js';
import type { FleetRules } from '../../worker/fleet-rules.js';
import { fleetRules } from '../../worker/fleet-rules.js';
import type { PlannedWorker } from '../../job/plan.js';
import type { BackupWorker } from '../../worker/backup-worker.js';
import type { ProgressStore } from '../../ports/progress-store.js';
import { SimBuffers } from './buffers.js';
import type { FleetHostState, FleetUnrest, FleetWorker } from './check-fleet.js';
import { FleetChecks } from './check-fleet.js';
import type { WatchedMemory } from './check-memory.js';
import { checkAccounts, checkGivenBack, checkHeld } from './check-memory.js';
import type { SimCluster } from './cluster.js';
import type { SimFleet, SimKnobs } from './fleet.js';
import { countedRules, listenToWorker } from './fleet.js';
import type { PlantedFleet } from './planted-rules.js';
import { SimProcess } from './process.js';
import type { SnapshotRunKnobs } from './snapshot-runs.js';
import { runSimSnapshots } from './snapshot-runs.js';
import type { Stillness } from './standing-still.js';
import { standingStill } from './standing-still.js';
import { describeError } from './trace.js';

interface SimHost {
  /** Its place: a host that dies is followed by another one there. */
  readonly slot: number;
  /** In the store. */
  readonly name: string;
  readonly process: SimProcess;
  readonly memory: WatchedMemory;
  readonly stop: AbortController;
  /** Those that run. */
  readonly running: Map<PlannedWorker, FleetWorker>;
  hasEnded: boolean;
  hasDouble: boolean;
  /** Virtual ms since which it has had no lease, and not been frozen; undefined: it has one. */
  withoutLeaseSince: number | undefined;
}

const LOOK_INTERVAL_MS = 150;
/** Hosts at a time, doubles among them. */
const MAX_HOSTS = 6;
/** More would mean that hosts die as fast as they start: a bound for runs that go wrong. */
const MAX_PROCESSES = 120;
/** For the last calls of workers that have been told to stop: a container may hang for 900 ms. */
const STOP_MS = 2_500;

export class SimFleets implements SimFleet {
  readonly #cluster: SimCluster;
  readonly #knobs: SimKnobs;
  readonly #snapshotKnobs: SnapshotRunKnobs;
  readonly #planted: PlantedFleet;
  readonly #checks: FleetChecks;
  readonly #fleetKnobs: { readonly leaseTime: number; readonly lookInterval: number; readonly planInterval: number };
  readonly #keepsNames: boolean;
  /** See `standingStill`. */
  readonly #stillness: Stillness;
  /** Places that are to have a host. */
  readonly #slots = new Set<number>();
  readonly #hosts: SimHost[] = [];
  #isStopped = false;

  constructor(cluster: SimCluster, knobs: SimKnobs, snapshotKnobs: SnapshotRunKnobs, planted: PlantedFleet) {
    const { random } = cluster.world;
    this.#cluster = cluster;
    this.#knobs = knobs;
    this.#snapshotKnobs = snapshotKnobs;
    this.#planted = planted;
    this.#checks = new FleetChecks(cluster);
    this.#fleetKnobs = {
      leaseTime: random.pick([150, 400, 1_200]),
      lookInterval: random.pick([20, 100]),
      planInterval: random.pick([60, 400]),
    };
    this.#keepsNames = random.chance(0.5);
    this.#stillness = { chance: random.pick([0, 0.03, 0.15]), leaseTime: this.#fleetKnobs.leaseTime };
  }

  /** What their wall clocks show. */
  get wallTimes(): readonly number[] {
    return this.#running.map(({ process }) => process.clock.wallTime());
  }

  get running(): readonly string[] {
    return this.#running.map(({ process }) => process.name);
  }

  get #running(): SimHost[] {
    return this.#hosts.filter(({ hasEnded, process }) => !hasEnded && !process.isDead);
  }

  get #states(): FleetHostState[] {
    return this.#running
      .filter(({ stop }) => !stop.signal.aborted)
      .map(({ name, process, running }) => ({ name, process, workers: [...running.values()] }));
  }

  get unrest(): FleetUnrest | undefined {
    return this.#checks.unrest(this.#states);
  }

  checkEnd(): void {
    this.#checks.checkLeft();
  }

  checkAccounts(): void {
    for (const { memory } of this.#running) checkAccounts(this.#cluster.verdict, memory);
  }

  start(): void {
    const { hits, random } = this.#cluster.world;
    hits.add('shape: hosts that run a fleet');
    for (let slot = random.int(1, 4); slot > 0; slot--) this.#open(slot);
    if (random.chance(0.4)) this.#later(() => this.#open(10));
    if (random.chance(0.3)) this.#later(() => this.#closeOne());
    this.#watchOver();
  }

  /** A moment in the midst of faults. */
  #later(action: () => void): void {
    const { faults, random, scheduler } = this.#cluster.world;
    scheduler.schedule(random.between(50, 1_500), () => {
      if (!this.#isStopped && !faults.stopped) action();
    });
  }

  #open(slot: number): void {
    if (slot >= 10) this.#cluster.hits.add('fleet: a host joins later');
    this.#slots.add(slot);
    this.#startHost(slot);
  }

  /** One place is given up for good, unless it is the last. */
  #closeOne(): void {
    const { hits, random } = this.#cluster.world;
    if (this.#slots.size < 2) return;
    const slot = random.pick([...this.#slots]);
    hits.add('fleet: a host leaves for good');
    this.#slots.delete(slot);
    for (const host of this.#running) if (host.slot === slot) stopHost(host, 'the host leaves');
  }

  stop(): void {
    this.#isStopped = true;
    for (const host of this.#running) stopHost(host, 'the simulation ends');
  }

  restartOne(): void {
    const running = this.#running.filter(({ process }) => !process.isFrozen);
    if (running.length === 0) return;
    this.#cluster.hits.add('host: worker stopped by its signal');
    stopHost(this.#cluster.world.random.pick(running), 'the host restarts');
  }

  /** Whoever watches over the hosts neither dies nor freezes. */
  #watchOver(): void {
    if (this.#isStopped) return;
    const { random, scheduler } = this.#cluster.world;
    for (const host of this.#running) {
      this.#checkLease(host);
      if (!host.process.isFrozen || host.hasDouble || this.#running.length >= MAX_HOSTS || !random.chance(0.3))
        continue;
      host.hasDouble = true;
      this.#cluster.hits.add('fleet: a frozen host gets a double');
      this.#startHost(host.slot);
    }
    scheduler.schedule(LOOK_INTERVAL_MS, () => this.#watchOver());
  }

  /** F1: without a lease no worker runs, but for the time that it needs to end. */
  #checkLease(host: SimHost): void {
    const { verdict, world } = this.#cluster;
    const { now } = world.scheduler;
    const { process, running } = host;
    if (process.isFrozen || this.#checks.memberOf(process) !== undefined) {
      host.withoutLeaseSince = undefined;
      return;
    }
    host.withoutLeaseSince ??= now;
    verdict.expect(
      running.size === 0 || now - host.withoutLeaseSince < STOP_MS,
      'a host without a lease runs no worker (F1)',
      () => `${process.name} has none since ${host.withoutLeaseSince?.toFixed(0)}`,
    );
  }

  #replace(slot: number): void {
    const { random, scheduler } = this.#cluster.world;
    scheduler.schedule(random.between(20, 200), () => {
      if (!this.#isStopped && this.#slots.has(slot)) this.#startHost(slot);
    });
  }

  #startHost(slot: number): void {
    const { world, hits, verdict } = this.#cluster;
    if (this.#hosts.length >= MAX_PROCESSES || this.#running.length >= MAX_HOSTS) return;
    const process = new SimProcess(world, `fleet${slot}#${this.#hosts.length}`, {
      clockSkew: world.random.int(0, 1_000_000),
      wallSkew: world.random.int(0, 200),
    });
    const workers: BackupWorker[] = [];
    const buffers = new SimBuffers(() => checkHeld(verdict, memory));
    const memory: WatchedMemory = { name: process.name, lockBytes: this.#knobs.lockBytes, buffers, workers };
    const host: SimHost = {
      slot,
      name: this.#keepsNames ? `h${slot}` : process.name.replace('#', '-'),
      process,
      memory,
      stop: new AbortController(),
      running: new Map(),
      hasEnded: false,
      hasDouble: false,
      withoutLeaseSince: undefined,
    };
    this.#hosts.push(host);
    process.onDeath(() => this.#replace(slot));
    process.note(`STARTS as ${host.name}`);
    const { signal } = host.stop;
    const snapshots = runSimSnapshots(this.#cluster, process, this.#snapshotKnobs, {}, signal);
    const fleet = this.#makeFleet(host, buffers, workers);
    const serving = fleet
      .run({ signal })
      .catch((error: unknown) =>
        verdict.fail('a host fails only when it must', `${process.name}: ${describeError(error)}`),
      );
    Promise.all([serving, snapshots])
      .then(() => process.note('ENDS'))
      .finally(() => {
        host.hasEnded = true;
        this.#replace(slot);
        hits.add('fleet: a host ends in good order');
        checkGivenBack(verdict, memory);
      })
      .catch((error: unknown) => verdict.fail('simulator', describeError(error)));
  }

  #makeFleet(host: SimHost, buffers: SimBuffers, workers: BackupWorker[]): BackupFleet {
    const { log, store, hits } = this.#cluster;
    const { process, name } = host;
    const planted = this.#planted.store ?? ((own: ProgressStore) => own);
    const rules: FleetRules = {
      ...fleetRules,
      shortestLease: 1,
      worker: countedRules(hits),
      met: (path) => hits.add(path),
      ...this.#planted.rules,
    };
    const fleet = new BackupFleet(
      {
        ...this.#knobs,
        ...this.#fleetKnobs,
        host: name,
        logSource: log.client(process, buffers),
        progressStore: standingStill(process, planted(store.client(process), name), name, this.#stillness),
        openContainer: (url) => this.#cluster.openContainer(process, url),
        clock: process.clock,
        random: process.random,
      },
      rules,
    );
    this.#listen(fleet, host, workers);
    return fleet;
  }

  #listen(fleet: BackupFleet, host: SimHost, workers: BackupWorker[]): void {
    const { process, running } = host;
    const { hits, verdict } = this.#cluster;
    fleet.on('workerStarted', (worker, planned) => {
      const { recruitedEpoch, backupEpoch, tag, startVersion } = planned;
      hits.add('worker: run by a fleet');
      const who = `w${recruitedEpoch}.${backupEpoch}/${tag} `;
      process.note(`${who}STARTS at ${startVersion}`);
      listenToWorker(worker, process, who);
      workers.push(worker);
      running.set(planned, { epoch: backupEpoch, tag });
      this.#checkLease(host);
    });
    fleet.on('workerEnded', (planned, { outcome }) => {
      const { recruitedEpoch, backupEpoch, tag } = planned;
      process.note(`w${recruitedEpoch}.${backupEpoch}/${tag} ENDS ${outcome}`);
      hits.add(`worker: ${outcome}`);
      running.delete(planned);
    });
    fleet.on('workerFailed', (error, planned) => {
      running.delete(planned);
      const { backupEpoch, tag } = planned;
      const where = `${process.name}, epoch ${backupEpoch}, tag ${tag}`;
      verdict.fail('a worker fails only when it must', `${where}: ${describeError(error)}`);
    });
    fleet.on('joined', ({ leaseId }) => process.note(`JOINS with ${leaseId.slice(0, 8)}`));
    fleet.on('waiting', (name) => process.note(`waits for the name ${name}`));
    fleet.on('assigned', ({ epoch, tag }, from) => process.note(`takes ${epoch}/${tag} from ${from ?? 'nobody'}`));
    fleet.on('givenBack', ({ epoch, tag }, why) => {
      process.note(`gives ${epoch}/${tag} back: ${why}`);
      hits.add(`fleet: tag given back, ${why}`);
    });
    fleet.on('leaseLost', (error) => process.note(`LOSES its lease: ${describeError(error)}`));
    fleet.on('behind', (epoch) => process.note(`is behind: epoch ${epoch} has begun`));
    fleet.on('left', () => process.note('LEAVES'));
  }
}

/** Its signal aborts inside the process: a frozen one notices when it thaws. */
function stopHost({ process, stop }: SimHost, why: string): void {
  process.deliver(0, () => stop.abort(new Error(why)));
}
