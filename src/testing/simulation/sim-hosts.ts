// Host processes that run the library's own recruit loop and share the tags between them. A host that dies is started again; one that stands still gets a double
// sooner or later, and when it thaws both believe that they have its tags.

import { recruitWith } from '../../worker/recruit.js';
import type { BackupWorker } from '../../worker/backup-worker.js';
import { SimBuffers } from './buffers.js';
import type { WatchedMemory } from './check-memory.js';
import { checkAccounts, checkGivenBack, checkHeld } from './check-memory.js';
import type { SimCluster } from './cluster.js';
import type { SimFleet, SimKnobs } from './fleet.js';
import { countedRules, listenToWorker } from './fleet.js';
import { SimProcess } from './process.js';
import type { SnapshotRunKnobs } from './snapshot-runs.js';
import { runSimSnapshots } from './snapshot-runs.js';
import { describeError } from './trace.js';

interface SimHost {
  /** Its tags: those whose id leaves this remainder. */
  readonly share: number;
  readonly process: SimProcess;
  readonly memory: WatchedMemory;
  readonly stop: AbortController;
  hasEnded: boolean;
  hasDouble: boolean;
}

const LOOK_INTERVAL_MS = 150;

export class SimHosts implements SimFleet {
  readonly #cluster: SimCluster;
  readonly #knobs: SimKnobs;
  readonly #snapshotKnobs: SnapshotRunKnobs;
  /** Parts into which the tags are divided. */
  readonly #shares: number;
  readonly #hosts: SimHost[] = [];
  #isStopped = false;

  constructor(cluster: SimCluster, knobs: SimKnobs, snapshotKnobs: SnapshotRunKnobs) {
    this.#cluster = cluster;
    this.#knobs = knobs;
    this.#snapshotKnobs = snapshotKnobs;
    this.#shares = cluster.world.random.int(1, 3);
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

  checkAccounts(): void {
    for (const { memory } of this.#running) checkAccounts(this.#cluster.verdict, memory);
  }

  start(): void {
    this.#cluster.hits.add('shape: hosts that recruit');
    for (let share = 0; share < this.#shares; share++) this.#startHost(share);
    this.#watchOver();
  }

  stop(): void {
    this.#isStopped = true;
    for (const host of this.#running) this.#stopHost(host, 'the simulation ends');
  }

  restartOne(): void {
    const running = this.#running.filter(({ process }) => !process.isFrozen);
    if (running.length > 0) this.#stopHost(this.#cluster.world.random.pick(running), 'the host restarts');
  }

  #stopHost({ process, stop }: SimHost, why: string): void {
    process.deliver(0, () => stop.abort(new Error(why)));
  }

  /** Whoever watches over the hosts neither dies nor freezes. */
  #watchOver(): void {
    if (this.#isStopped) return;
    const { random, scheduler } = this.#cluster.world;
    for (const host of this.#running) {
      if (host.process.isFrozen && !host.hasDouble && random.chance(0.3)) {
        host.hasDouble = true;
        this.#startHost(host.share);
      }
    }
    scheduler.schedule(LOOK_INTERVAL_MS, () => this.#watchOver());
  }

  /** Each host is watched over by itself: a double that dies is replaced too, because the one that it displaced will not claim its tags again. */
  #replace(share: number): void {
    const { random, scheduler } = this.#cluster.world;
    scheduler.schedule(random.between(20, 200), () => {
      if (!this.#isStopped) this.#startHost(share);
    });
  }

  #startHost(share: number): void {
    const { world, log, store, hits, verdict } = this.#cluster;
    const process = new SimProcess(world, `host${share}#${this.#hosts.length}`, {
      clockSkew: world.random.int(0, 1_000_000),
      wallSkew: world.random.int(0, 200),
    });
    const stop = new AbortController();
    const started: BackupWorker[] = [];
    const buffers = new SimBuffers(() => checkHeld(verdict, memory));
    const memory: WatchedMemory = {
      name: process.name,
      lockBytes: this.#knobs.lockBytes,
      buffers,
      workers: started,
    };
    const host: SimHost = { share, process, memory, stop, hasEnded: false, hasDouble: false };
    this.#hosts.push(host);
    process.onDeath(() => this.#replace(share));
    process.note('STARTS');
    const snapshots = runSimSnapshots(this.#cluster, process, this.#snapshotKnobs, {}, stop.signal);
    const workers = recruitWith(
      {
        ...this.#knobs,
        logSource: log.client(process, buffers),
        progressStore: store.client(process),
        openContainer: (url) => this.#cluster.openContainer(process, url),
        clock: process.clock,
        random: process.random,
        signal: stop.signal,
        planInterval: LOOK_INTERVAL_MS,
        tags: (_epoch, tag) => tag % this.#shares === share,
        onWorker: (worker, { recruitedEpoch, backupEpoch, tag, startVersion }) => {
          hits.add('worker: recruited by a host');
          const name = `w${recruitedEpoch}.${backupEpoch}/${tag} `;
          process.note(`${name}STARTS at ${startVersion}`);
          listenToWorker(worker, process, name);
          started.push(worker);
        },
        onWorkerError: (error, { backupEpoch, tag }) =>
          verdict.fail(
            'a worker fails only when it must',
            `${process.name}, epoch ${backupEpoch}, tag ${tag}: ${describeError(error)}`,
          ),
      },
      countedRules(hits),
    ).catch((error: unknown) =>
      verdict.fail('a host fails only when it must', `${process.name}: ${describeError(error)}`),
    );
    Promise.all([workers, snapshots])
      .then(() => process.note('ENDS'))
      .finally(() => {
        host.hasEnded = true;
        this.#replace(share);
        checkGivenBack(verdict, memory);
      })
      .catch((error: unknown) => verdict.fail('simulator', describeError(error)));
  }
}
