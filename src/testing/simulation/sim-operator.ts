// The people who run the backup: they submit jobs, pause and resume, discontinue and abort, and try again when a call fails.

import { BackupError } from '../../core/errors.js';
import type { KeyRange } from '../../core/key-range.js';
import { utf8 } from '../../core/bytes.js';
import type { Version } from '../../core/version.js';
import { jobKey } from '../../job/keys.js';
import { BackupOperator } from '../../job/operator.js';
import type { SimCluster } from './cluster.js';
import { SimProcess } from './process.js';
import type { RuleHit } from './rule-hits.js';
import type { SimEvent } from './scheduler.js';
import { describeError } from './trace.js';

export interface SimJobPlan {
  readonly uid: string;
  readonly url: string;
  readonly ranges: readonly KeyRange[];
  readonly startVersion: Version;
  readonly logOnly: boolean;
  readonly snapshotInterval: number | undefined;
  /** Virtual ms. */
  readonly submitAt: number;
  readonly end: 'never' | 'discontinue' | 'abort';
  readonly endAt: number;
  /** When a snapshot is asked for besides. */
  readonly requestsAt: readonly number[];
}

export class SimOperator {
  readonly #cluster: SimCluster;
  /** Jobs whose submit has neither resolved nor rejected. */
  readonly #waiting = new Set<string>();
  readonly #planned: { readonly plan: SimJobPlan; readonly event: SimEvent }[] = [];
  readonly #submitted = new Set<string>();
  #processes = 0;
  #pausesAllowed = true;

  constructor(cluster: SimCluster) {
    this.#cluster = cluster;
  }

  /** Jobs whose submit is still open. */
  get waiting(): readonly string[] {
    return [...this.#waiting];
  }

  run(plan: SimJobPlan): void {
    const { scheduler } = this.#cluster.world;
    const event = scheduler.schedule(plan.submitAt, () => this.#submit(plan));
    this.#planned.push({ plan, event });
    if (plan.end !== 'never') scheduler.schedule(plan.endAt, () => this.#end(plan));
    for (const at of plan.requestsAt) scheduler.schedule(at, () => this.#requestSnapshot(plan));
  }

  /** Whether a job is still to be submitted. */
  get hasPlans(): boolean {
    return this.#nextPlan !== undefined;
  }

  /** Submits a job now that was planned for later: the moment is an interesting one. */
  hurry(why: 'a noop' | 'a recovery'): void {
    const next = this.#nextPlan;
    if (next === undefined) return;
    next.event.cancelled = true;
    this.#cluster.hits.add(`operator: submit just after ${why}`);
    this.#submit(next.plan);
  }

  /** Discontinues a job now that is Running, unless an operator means to abort it. */
  discontinueOne(): void {
    const { hits, jobs, world } = this.#cluster;
    const running = this.#planned.filter(
      ({ plan }) => plan.end !== 'abort' && jobs.byUid(plan.uid)?.state === 'Running',
    );
    if (running.length === 0) return;
    hits.add('operator: discontinue just after a recovery');
    this.#end({ ...world.random.pick(running).plan, end: 'discontinue' });
  }

  get #nextPlan(): { readonly plan: SimJobPlan; readonly event: SimEvent } | undefined {
    return this.#planned.find(({ plan }) => !this.#submitted.has(plan.uid));
  }

  pause(): void {
    if (!this.#pausesAllowed) return;
    this.#cluster.hits.add('operator: pause');
    // A pause that is tried again must not come after the last resume.
    this.#act('pause', (operator) => (this.#pausesAllowed ? operator.pause() : Promise.resolve()));
  }

  resume(): void {
    this.#act('resume', (operator) => operator.resume());
  }

  /** Resumes for good. */
  stopPausing(): void {
    this.#pausesAllowed = false;
    this.resume();
  }

  #submit(plan: SimJobPlan): void {
    const { hits, firstVersion, store, verdict } = this.#cluster;
    this.#waiting.add(plan.uid);
    this.#submitted.add(plan.uid);
    hits.add('operator: submit');
    const { uid, url, ranges, startVersion, logOnly, snapshotInterval } = plan;
    const interval = snapshotInterval === undefined ? {} : { snapshotInterval };
    this.#act(`submit ${uid}`, async (operator, process) => {
      try {
        const result = await operator.submit({ uid, url, ranges, startVersion, logOnly, firstVersion, ...interval });
        process.note(`job ${uid} is complete from ${result.completeFrom}`);
        hits.add('P03 submit resolves' satisfies RuleHit);
        const recorded = this.#cluster.jobs.byUid(uid)?.completeFrom;
        verdict.expect(
          recorded === result.completeFrom,
          'submit resolves with completeFrom (P3)',
          () => `${result.completeFrom}, recorded is ${recorded}`,
        );
      } catch (error) {
        // Submitted by an earlier try whose answer was lost, or ended before it could start.
        if (
          !BackupError.is(error, 'JOB_EXISTS') &&
          !BackupError.is(error, 'JOB_ABORTED') &&
          !BackupError.is(error, 'JOB_FAILED')
        )
          throw error;
        if (!BackupError.is(error, 'JOB_EXISTS')) hits.add('P03 submit rejects: the job has ended' satisfies RuleHit);
        verdict.expect(store.values.has(jobKey(uid)), 'submit rejects for a reason', () => describeError(error));
      }
      this.#waiting.delete(uid);
    });
  }

  #end(plan: SimJobPlan): void {
    const { hits, jobs } = this.#cluster;
    hits.add(`operator: ${plan.end}`);
    this.#act(`${plan.end} ${plan.uid}`, async (operator) => {
      try {
        await (plan.end === 'abort' ? operator.abort(plan.uid) : operator.discontinue(plan.uid));
        if (plan.end === 'discontinue' && jobs.byUid(plan.uid)?.state === 'Aborted')
          hits.add('P08 discontinued before it was started: aborted' satisfies RuleHit);
      } catch (error) {
        if (!isOver(error)) throw error;
      }
    });
  }

  #requestSnapshot({ uid }: SimJobPlan): void {
    const { hits } = this.#cluster;
    this.#act(`request a snapshot of ${uid}`, async (operator) => {
      try {
        await operator.requestSnapshot(uid);
        hits.add('operator: requestSnapshot');
      } catch (error) {
        if (!isOver(error) && !BackupError.is(error, 'INVALID_STATE')) throw error;
        hits.add('operator: requestSnapshot refused');
      }
    });
  }

  /** Does it in a process of its own; again when the call fails, and in a new process when that one dies. */
  #act(what: string, action: (operator: BackupOperator, process: SimProcess) => Promise<void>): void {
    const { world, store, verdict } = this.#cluster;
    const { scheduler, random } = world;
    const process = new SimProcess(world, `operator#${++this.#processes}`);
    const operator = new BackupOperator(store.client(process), {
      clock: process.clock,
      random: process.random,
      pollInterval: 120,
    });
    const again = () => scheduler.schedule(random.between(5, 80), () => this.#act(what, action));
    process.note(what);
    process.onDeath(again);
    action(operator, process).catch((error: unknown) => {
      if (BackupError.is(error) && error.retryable) again();
      else verdict.fail('operator', `${what}: ${describeError(error)}`);
    });
  }
}

/** There is nothing to be done to the job: not yet, or not any more. */
function isOver(error: unknown): boolean {
  return ['JOB_NOT_FOUND', 'JOB_ABORTED', 'JOB_FAILED'].some((code) => BackupError.is(error) && error.code === code);
}

/** Ranges of a job: none, some that overlap others' and themselves, one that holds nothing, a comb whose gaps hardly a clear misses. */
export function drawRanges(cluster: SimCluster): KeyRange[] {
  const { random } = cluster.world;
  const keyOf = (index: number) => utf8(`k${String(index).padStart(2, '0')}`);
  const key = () => keyOf(random.int(0, 24));
  if (random.chance(0.4)) return [];
  if (random.chance(0.05)) return [{ begin: utf8('x'), end: utf8('y') }];
  if (random.chance(0.15)) {
    const first = random.int(0, 6);
    return [0, 3, 6, 9].map((at) => ({ begin: keyOf(first + at), end: keyOf(first + at + 2) }));
  }
  const ranges: KeyRange[] = [];
  for (let i = random.int(1, 3); i > 0; i--) {
    const [begin, end] = [key(), key()].sort((a, b) => Buffer.compare(a, b)) as [Uint8Array, Uint8Array];
    if (Buffer.compare(begin, end) < 0) ranges.push({ begin, end });
  }
  return ranges.length === 0 ? [{ begin: utf8('k05'), end: utf8('k12') }] : ranges;
}
