// `runSnapshots` in a process of a simulated cluster, and the processes that run nothing else, where the workers have one each.

import { runSnapshotsWith } from '../../worker/snapshot-runner.js';
import type { ScheduledSnapshotKnobs, SnapshotEvent } from '../../worker/snapshot-options.js';
import type { SimCluster } from './cluster.js';
import type { SnapshotRules } from './planted-rules.js';
import { SimProcess } from './process.js';
import type { SimRandom } from './random.js';
import { describeError } from './trace.js';

export interface SnapshotRunKnobs {
  readonly leaseTtl: number;
  readonly pollInterval: number;
  readonly concurrentSnapshots: number;
  readonly stallTimeout: number;
  readonly failureDelay: number;
  readonly retryMinDelay: number;
  readonly retryMaxDelay: number;
  readonly snapshot: ScheduledSnapshotKnobs;
}

export function drawSnapshotKnobs(random: SimRandom): SnapshotRunKnobs {
  return {
    leaseTtl: random.pick([60, 200, 700]),
    pollInterval: random.pick([30, 140, 140]),
    concurrentSnapshots: random.int(1, 2),
    stallTimeout: random.pick([600, 3_000]),
    failureDelay: 40,
    retryMinDelay: 3,
    retryMaxDelay: 60,
    snapshot: {
      maxFileSize: random.pick([1, 200, 1 << 20]),
      blockSize: random.pick([512, 1 << 20]),
      numThreads: random.int(1, 3),
      batchSize: random.int(1, 3),
      ioThreadSize: random.int(1, 2),
      channelBytes: random.pick([1, 300, 1 << 20]),
      ...(random.chance(0.2) ? { rateLimit: random.pick([2_000, 20_000]) } : {}),
      maxAttempts: random.pick([2, 8]),
      retryMinDelay: 3,
      retryMaxDelay: 60,
      resumeWithin: random.pick([300, 86_400_000]),
    },
  };
}

/** Resolves when the signal has ended it; a violation for anything else but a death. */
export async function runSimSnapshots(
  cluster: SimCluster,
  process: SimProcess,
  knobs: SnapshotRunKnobs,
  rules: SnapshotRules,
  signal: AbortSignal,
): Promise<void> {
  const { store, ranges, verdict, hits } = cluster;
  const client = store.client(process);
  try {
    await runSnapshotsWith(
      {
        ...knobs,
        progressStore: rules.store?.(client) ?? client,
        rangeSource: ranges.client(process),
        openContainer: (url) => cluster.openContainer(process, url),
        clock: process.clock,
        random: process.random,
        name: process.name,
        signal,
        onEvent: (event) => note(process, event),
      },
      rules.take,
      (path) => hits.add(path),
    );
  } catch (error) {
    verdict.fail('snapshots fail only when they must', `${process.name}: ${describeError(error)}`);
  }
}

function note(process: SimProcess, event: SnapshotEvent): void {
  const { hits } = process.world;
  const { kind } = event;
  hits.add(`snapshot: ${kind}`);
  if (kind === 'retry') {
    process.note(`retries ${event.what} in ${event.delay.toFixed(1)} ms: ${describeError(event.error)}`);
    return;
  }
  if (kind === 'started' && event.isResumed) hits.add('snapshot: taken over');
  if (kind === 'finished' && event.snapshot.resumedFiles > 0)
    hits.add('snapshot: finished with files of an earlier try');
  if (kind === 'finished' && event.snapshot.beginVersion !== event.snapshot.endVersion)
    hits.add('snapshot: finished with rows of several versions');
  const what =
    kind === 'finished' ? ` ${event.snapshot.name}` : 'error' in event ? `: ${describeError(event.error)}` : '';
  process.note(`snapshot of ${event.jobUid} ${kind}${what}`);
}

const LOOK_INTERVAL_MS = 150;

interface Snapshotter {
  readonly process: SimProcess;
  readonly stop: AbortController;
  hasEnded: boolean;
  hasDouble: boolean;
}

/** Processes that take snapshots and do nothing else. One that dies is started again; one that stands still gets a double. */
export class SimSnapshotters {
  readonly #cluster: SimCluster;
  readonly #knobs: SnapshotRunKnobs;
  readonly #rules: SnapshotRules;
  readonly #all: Snapshotter[] = [];
  #isStopped = false;

  constructor(cluster: SimCluster, knobs: SnapshotRunKnobs, rules: SnapshotRules) {
    this.#cluster = cluster;
    this.#knobs = knobs;
    this.#rules = rules;
  }

  /** What their wall clocks show. */
  get wallTimes(): readonly number[] {
    return this.#running.map(({ process }) => process.clock.wallTime());
  }

  get running(): readonly string[] {
    return this.#running.map(({ process }) => process.name);
  }

  get #running(): Snapshotter[] {
    return this.#all.filter(({ hasEnded, process }) => !hasEnded && !process.isDead);
  }

  start(count: number): void {
    for (let i = 0; i < count; i++) this.#startOne();
    this.#watchOver();
  }

  stop(): void {
    this.#isStopped = true;
    for (const { process, stop } of this.#running)
      process.deliver(0, () => stop.abort(new Error('the simulation ends')));
  }

  #startOne(): void {
    if (this.#isStopped) return;
    const { world, verdict } = this.#cluster;
    const { random, scheduler } = world;
    const process = new SimProcess(world, `snap#${this.#all.length}`, { clockSkew: random.int(0, 1_000) });
    const entry: Snapshotter = { process, stop: new AbortController(), hasEnded: false, hasDouble: false };
    this.#all.push(entry);
    process.note('STARTS');
    process.onDeath(() => scheduler.schedule(random.between(20, 200), () => this.#startOne()));
    runSimSnapshots(this.#cluster, process, this.#knobs, this.#rules, entry.stop.signal)
      .then(() => (entry.hasEnded = true))
      .catch((error: unknown) => verdict.fail('simulator', describeError(error)));
  }

  #watchOver(): void {
    if (this.#isStopped) return;
    const { random, scheduler } = this.#cluster.world;
    for (const entry of this.#running) {
      if (!entry.process.isFrozen || entry.hasDouble || !random.chance(0.3)) continue;
      entry.hasDouble = true;
      this.#startOne();
    }
    scheduler.schedule(LOOK_INTERVAL_MS, () => this.#watchOver());
  }
}
