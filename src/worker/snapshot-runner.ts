// Takes the snapshots of all jobs that want some, on their schedules (rule S1). Any number of processes may run it: a lease per job sees to it that one of them is at work.

import { AbortScope, abortable } from '../core/abort.js';
import { Pace } from '../core/pace.js';
import { STARTED_KEY } from '../job/keys.js';
import { findDueSnapshots } from '../job/snapshot-transactions.js';
import { takeSnapshot } from '../snapshot/take-snapshot.js';
import { callSafely } from './events.js';
import type { RetryPolicy } from './retry.js';
import { retrying } from './retry.js';
import type { ResolvedSnapshotsOptions, RunSnapshotsOptions } from './snapshot-options.js';
import { resolveSnapshotsOptions } from './snapshot-options.js';
import { SnapshotTurn } from './snapshot-turn.js';
import { Trigger, waitForAny } from './trigger.js';
import { watchOrPoll } from './watch.js';
import type { SnapshotPath } from './worker-path.js';

/**
 * Runs until the signal aborts; then it has stopped all its snapshots, which others, or a later call, go on with. Does not reject when a snapshot fails: that is an event, it shows in `status()`, and it is tried again. Rejects
 * with INVALID_OPTION or a permanent error of the store.
 */
export function runSnapshots(options: RunSnapshotsOptions): Promise<void> {
  return runSnapshotsWith(options);
}

/** The same, with another way to take one, and a count of where it has been: for tests and the simulation. */
export async function runSnapshotsWith(
  options: RunSnapshotsOptions,
  take = takeSnapshot,
  met: (path: SnapshotPath) => void = () => undefined,
): Promise<void> {
  await new SnapshotRunner(resolveSnapshotsOptions(options), take, met).run();
}

class SnapshotRunner {
  readonly options: ResolvedSnapshotsOptions;
  readonly #take: typeof takeSnapshot;
  readonly #met: (path: SnapshotPath) => void;
  readonly #policy: RetryPolicy;
  readonly #scope: AbortScope;
  /** Fired when a turn has ended: there may be room for another. */
  readonly #changed = new Trigger();
  /** Turns, by job; they never reject. */
  readonly #running = new Map<string, Promise<void>>();
  #failure: { readonly error: unknown } | undefined;

  constructor(options: ResolvedSnapshotsOptions, take: typeof takeSnapshot, met: (path: SnapshotPath) => void) {
    this.options = options;
    this.#take = take;
    this.#met = met;
    const { clock, random, retryMinDelay, retryMaxDelay, onEvent } = options;
    this.#policy = {
      clock,
      random,
      minDelay: retryMinDelay,
      maxDelay: retryMaxDelay,
      onRetry: (what, error, delay) => callSafely(() => onEvent?.({ kind: 'retry', what, error, delay })),
    };
    this.#scope = new AbortScope(options.signal);
  }

  async run(): Promise<void> {
    const { signal } = this.#scope;
    // A store that gives leases to all who ask, or takes them back at once, must not make this a loop without a pause.
    const pace = new Pace(this.options.clock);
    try {
      for (;;) {
        await pace.next(signal);
        const seen = this.#changed.count;
        if (this.#failure !== undefined) throw this.#failure.error;
        const started = await this.#startWhatIsDue(signal);
        await waitForAny(signal, [
          (inner) => this.#changed.after(seen, inner),
          (inner) => watchOrPoll(this, STARTED_KEY, started, inner),
        ]);
      }
    } catch (error) {
      if (!this.options.signal.aborted) throw error;
    } finally {
      this.#scope.end();
      await Promise.all(this.#running.values());
    }
  }

  /** Returns the list of active jobs as it was looked at. */
  async #startWhatIsDue(signal: AbortSignal): Promise<Uint8Array | undefined> {
    const { progressStore, clock, concurrentSnapshots } = this.options;
    const { due, started } = await retrying(this.#policy, 'look for snapshots that are due', signal, () =>
      abortable(
        progressStore.transact(async (tx) => ({
          due: await findDueSnapshots(tx, Math.floor(clock.wallTime())),
          started: await tx.get(STARTED_KEY),
        })),
        signal,
      ),
    );
    if (due === undefined) this.#met('S1 none begun while paused');
    for (const uid of due ?? []) {
      if (this.#running.size >= concurrentSnapshots) {
        this.#met('S1 no more than may run at a time');
        break;
      }
      if (!this.#running.has(uid)) this.#start(uid, signal);
    }
    return started;
  }

  #start(uid: string, signal: AbortSignal): void {
    const turn = new SnapshotTurn(uid, this.options, this.#policy, this.#take, this.#met);
    const running = turn
      .run(signal)
      .catch((error: unknown) => {
        if (!signal.aborted) this.#failure ??= { error };
      })
      .finally(() => {
        this.#running.delete(uid);
        this.#changed.fire();
      });
    this.#running.set(uid, running);
  }
}
