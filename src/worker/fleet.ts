// A fleet of hosts that share one backup's workers: every worker that has to run runs on one of them, whichever of them live (rules F1 to F7). Each host makes one BackupFleet.

import { EventEmitter } from 'eventemitter3';
import { AbortScope, abortable } from '../core/abort.js';
import { BackupError } from '../core/errors.js';
import { lingerFor } from '../core/linger.js';
import { Pace } from '../core/pace.js';
import type { LogEpoch } from '../core/version.js';
import type { FleetMember } from '../job/fleet-records.js';
import { encodeMember } from '../job/fleet-records.js';
import { tagName } from '../job/fleet-shares.js';
import { fleetLeaseKey } from '../job/keys.js';
import { readEpoch } from '../job/store-access.js';
import { callSafely } from './events.js';
import type { FleetHost, FleetPlan } from './fleet-member.js';
import { Member } from './fleet-member.js';
import type { BackupFleetOptions, FleetEvents, ResolvedFleetOptions } from './fleet-options.js';
import { resolveFleetOptions } from './fleet-options.js';
import type { FleetRules } from './fleet-rules.js';
import { fleetRules } from './fleet-rules.js';
import { PlanFollower, planningPolicy } from './plan-follower.js';
import { PlannedWorkers } from './planned-workers.js';
import type { RetryPolicy } from './retry.js';
import { retrying } from './retry.js';
import { Trigger, triggerOrSleep } from './trigger.js';
import type { HeldLease } from './under-lease.js';
import { underLease } from './under-lease.js';
import { watchOrPoll } from './watch.js';

interface Membership {
  readonly member: FleetMember;
  readonly held: HeldLease;
}

/** One object per run. Emits the events of FleetEvents. */
export class BackupFleet extends EventEmitter<FleetEvents> {
  readonly #options: ResolvedFleetOptions;
  readonly #rules: FleetRules;
  readonly #policy: RetryPolicy;
  readonly #changed = new Trigger();
  readonly #follower: PlanFollower;
  readonly #workers: PlannedWorkers;
  #plan: FleetPlan | undefined;
  /** undefined: a new one is due. */
  #plannedAt: number | undefined;
  #failure: { readonly error: unknown } | undefined;
  #hasStarted = false;
  /** The epoch that `behind` has named since the last plan: once is enough. */
  #toldBehind: LogEpoch | undefined;
  /** Of the run. */
  #scope: AbortScope | undefined;

  /** Throws INVALID_OPTION. @param rules for simulations that plant a bug; leave it out. */
  constructor(options: BackupFleetOptions, rules: FleetRules = fleetRules) {
    super();
    this.#options = resolveFleetOptions(options, rules.shortestLease);
    this.#rules = rules;
    const workerPolicy = planningPolicy(this.#options, (what, error, delay) => this.#tell('retry', what, error, delay));
    // A host that waits for long while the store is back would be late for its lease.
    const { lookInterval } = this.#options;
    this.#policy = {
      ...workerPolicy,
      minDelay: Math.min(workerPolicy.minDelay, lookInterval),
      maxDelay: Math.min(workerPolicy.maxDelay, lookInterval),
    };
    this.#follower = new PlanFollower(this.#options, this.#policy, (isNewEpoch) => {
      if (isNewEpoch) this.#workers.noteNewEpoch();
      this.#forgetPlan();
      this.#changed.fire();
    });
    this.#workers = new PlannedWorkers(this.#options, rules.worker, workerPolicy, {
      onWorker: (worker, planned) => this.#tell('workerStarted', worker, planned),
      onEnded: (planned, result) => {
        if (result.outcome === 'displaced') rules.met('F5 displaced worker of an assigned tag');
        this.#tell('workerEnded', planned, result);
      },
      onError: (error, planned, willRestart) => {
        if (!willRestart) rules.met('F5 failed worker stays assigned');
        // Nobody listens: the fleet itself is the only one who can be loud.
        if (!willRestart && this.listenerCount('workerFailed') === 0) this.#fail(error);
        this.#tell('workerFailed', error, planned, willRestart);
      },
      onChange: () => {
        this.#forgetPlan();
        this.#changed.fire();
      },
    });
  }

  /** Its name in the store. */
  get host(): string {
    return this.#options.host;
  }

  /**
   * Runs this host's share of the workers until the signal aborts: then they stop, their tags are given back, and the other hosts go on with them at once. Does not reject while the store or the log cannot be reached, nor for a worker that fails
   * when there is a listener of `workerFailed`. Rejects with INVALID_EPOCHS or a permanent error of the store. Call it once.
   */
  async run({ signal }: { readonly signal: AbortSignal }): Promise<void> {
    if (this.#hasStarted)
      throw new BackupError('INVALID_STATE', 'run() was called before: make a new BackupFleet for each run');
    this.#hasStarted = true;
    const scope = new AbortScope(signal);
    this.#scope = scope;
    const following = this.#follower.follow(scope.signal).catch((error: unknown) => this.#fail(error));
    // A store that gives leases to all who ask, or takes them back at once, must not make this a loop without a pause.
    const pace = new Pace(this.#policy.clock);
    try {
      for (;;) {
        await pace.next(scope.signal);
        await this.#untilPlanned(scope.signal);
        await this.#serve(await this.#join(scope.signal), scope.signal);
      }
    } catch (error) {
      if (this.#failure !== undefined) throw this.#failure.error;
      if (!signal.aborted) throw error;
    } finally {
      scope.end();
      await following;
    }
  }

  /** F1: a host that does not know what has to run would keep a share from those who do. F7: so would one that knows an older epoch only. */
  async #untilPlanned(signal: AbortSignal): Promise<void> {
    const { planInterval, leaseTime } = this.#options;
    const { clock } = this.#policy;
    let behindSince: number | undefined;
    for (;;) {
      const seen = this.#changed.count;
      this.#forgetPlan();
      if (this.#follower.epochs !== undefined) {
        if (await this.#replan(signal)) break;
        behindSince ??= clock.now();
        if (clock.now() - behindSince >= leaseTime) await this.#tellBehind(signal);
      }
      await triggerOrSleep(this.#changed, seen, clock, planInterval, signal);
    }
    this.#toldBehind = undefined;
  }

  async #tellBehind(signal: AbortSignal): Promise<void> {
    const { progressStore } = this.#options;
    const announced = await retrying(this.#policy, 'look at the epoch', signal, () =>
      abortable(progressStore.transact(readEpoch), signal),
    );
    if (announced !== undefined) this.#noteBehind(announced.epoch);
  }

  #noteBehind(epoch: LogEpoch): void {
    if (epoch === this.#toldBehind) return;
    this.#toldBehind = epoch;
    this.#tell('behind', epoch);
  }

  /** F1. Waits until the name is free. */
  async #join(signal: AbortSignal): Promise<Membership> {
    const { progressStore, host, lookInterval } = this.#options;
    const { clock } = this.#policy;
    const key = fleetLeaseKey(host);
    for (let isFirst = true; ; isFirst = false) {
      const membership = await this.#acquire(key, signal);
      if (membership !== undefined) return membership;
      if (isFirst) {
        this.#rules.met('F1 name held under another lease');
        this.#tell('waiting', host);
      }
      const seen = await retrying(this.#policy, `look at ${key}`, signal, () =>
        abortable(
          progressStore.transact((tx) => tx.get(key)),
          signal,
        ),
      );
      if (seen === undefined) continue;
      await watchOrPoll({ options: { progressStore, clock, pollInterval: lookInterval } }, key, seen, signal);
    }
  }

  #acquire(key: string, signal: AbortSignal): Promise<Membership | undefined> {
    const { progressStore, host, leaseTime: ttl } = this.#options;
    const { clock, random } = this.#policy;
    return retrying(this.#policy, `take the lease ${key}`, signal, async () => {
      const member = { host, leaseId: random.uid() };
      const acquiredAt = clock.now();
      const acquiring = progressStore.acquireLease({ key, value: encodeMember(member), ttl });
      const lease = await abortable(acquiring, signal, (late) => void late?.release().catch(ignoreLateFailure));
      return lease && { member, held: { lease, ttl, acquiredAt } };
    });
  }

  /** Returns when the host has to join anew. */
  async #serve({ member, held }: Membership, signal: AbortSignal): Promise<void> {
    const { clock } = this.#policy;
    const membership = new Member(this.#asHost(), member);
    const run = (inner: AbortSignal) => membership.run(inner);
    let isHeld = true;
    try {
      await (this.#rules.stopsWithoutLease ? underLease(held, this.#policy, signal, run) : run(signal));
    } catch (error) {
      if (!BackupError.is(error, 'LEASE_LOST') || signal.aborted) throw error;
      isHeld = false;
      this.#rules.met('F1 lease lost: workers stopped');
      this.#tell('leaseLost', error);
    } finally {
      // F6. What cannot be given back in time is taken over when the lease has ended.
      using scope = new AbortScope();
      if (isHeld) await lingerFor(membership.leave(scope.signal), clock);
      await lingerFor(held.lease.release(), clock);
      if (isHeld) {
        this.#rules.met('F6 left');
        this.#tell('left');
      }
    }
  }

  #asHost(): FleetHost {
    return {
      options: this.#options,
      rules: this.#rules,
      policy: this.#policy,
      workers: this.#workers,
      changed: this.#changed,
      plan: async (signal) => {
        await this.#replan(signal);
        return this.#plan as FleetPlan;
      },
      forgetPlan: () => this.#forgetPlan(),
      tellBehind: (epoch) => this.#noteBehind(epoch),
      tell: (name, ...values) => this.#tell(name, ...values),
    };
  }

  #forgetPlan(): void {
    this.#plannedAt = undefined;
  }

  /** False: another process has announced a newer epoch, and the plan stays what it was. */
  async #replan(signal: AbortSignal): Promise<boolean> {
    const { clock } = this.#policy;
    const now = clock.now();
    if (this.#plannedAt !== undefined && now - this.#plannedAt < this.#options.planInterval) return true;
    const epochs = this.#follower.epochs ?? [];
    this.#plannedAt = now;
    const planned = await this.#follower.plan(epochs, signal);
    if (planned === undefined) return false;
    if (this.#workers.hasMetGaps && !(await this.#follower.hasActiveJobs(signal))) this.#workers.forgetGaps();
    this.#plan = {
      epoch: epochs.at(-1)?.epoch ?? 0,
      workers: new Map(planned.map((worker) => [tagName({ epoch: worker.backupEpoch, tag: worker.tag }), worker])),
    };
    return true;
  }

  /** Ends `run` with the error, after this host has left. */
  #fail(error: unknown): void {
    // What fails after the end is a consequence of it.
    if (this.#scope?.signal.aborted === false) this.#failure ??= { error };
    this.#scope?.end(error);
  }

  #tell<K extends keyof FleetEvents>(name: K, ...values: Parameters<FleetEvents[K]>): void {
    callSafely(() =>
      (this.emit as (name: K, ...values: Parameters<FleetEvents[K]>) => boolean).call(this, name, ...values),
    );
  }
}

/** Nobody waits for it any more; the lease ends by its time. */
function ignoreLateFailure(): void {
  return undefined;
}
