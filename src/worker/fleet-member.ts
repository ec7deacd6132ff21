// A host as a member of its fleet: from the lease it has taken until that one has ended. Looks at the fleet again and again, takes its share of the workers, gives back what is too much.
// Must never run a worker whose tag is not assigned to this very lease.

import { abortable } from '../core/abort.js';
import { BackupError } from '../core/errors.js';
import { Pace } from '../core/pace.js';
import type { LogEpoch } from '../core/version.js';
import type { FleetMember } from '../job/fleet-records.js';
import { isSameMember } from '../job/fleet-records.js';
import { tagName } from '../job/fleet-shares.js';
import type { FleetView } from '../job/fleet-transactions.js';
import * as transactions from '../job/fleet-transactions.js';
import { FLEET_CHANGED_KEY, fleetLeaseKey } from '../job/keys.js';
import type { PlannedWorker } from '../job/plan.js';
import type { TagOfEpoch } from '../job/store-access.js';
import type { ProgressTransaction } from '../ports/progress-store.js';
import type { FleetEvents, GiveBackReason, ResolvedFleetOptions } from './fleet-options.js';
import type { FleetRules } from './fleet-rules.js';
import { FleetWatches } from './fleet-watches.js';
import type { PlannedWorkers } from './planned-workers.js';
import type { RetryPolicy } from './retry.js';
import { retrying } from './retry.js';
import type { Trigger } from './trigger.js';
import { triggerOrSleep } from './trigger.js';

/** Hosts whose leases one host watches; the poll finds the end of those beyond. */
const MAX_WATCHED_HOSTS = 32;

/** What has to run, as far as this host knows. */
export interface FleetPlan {
  /** The newest epoch that the log system has told of. */
  readonly epoch: LogEpoch;
  /** By `tagName`, oldest epoch first. */
  readonly workers: ReadonlyMap<string, PlannedWorker>;
}

/** What a member has of its host. */
export interface FleetHost {
  readonly options: ResolvedFleetOptions;
  readonly rules: FleetRules;
  readonly policy: RetryPolicy;
  readonly workers: PlannedWorkers;
  /** Fired whenever there is a reason to look. */
  readonly changed: Trigger;
  /** Brings the plan up to date when something has happened, or it has grown old. */
  readonly plan: (signal: AbortSignal) => Promise<FleetPlan>;
  /** F7 */
  readonly tellBehind: (epoch: LogEpoch) => void;
  /** The next `plan` makes a new one. */
  readonly forgetPlan: () => void;
  readonly tell: <K extends keyof FleetEvents>(name: K, ...values: Parameters<FleetEvents[K]>) => void;
}

export class Member {
  readonly #host: FleetHost;
  readonly #member: FleetMember;
  readonly #watches: FleetWatches;
  /** Tags whose workers are being stopped, or which are being given back. They never reject. */
  readonly #leaving = new Map<string, Promise<void>>();
  #hosts: readonly string[] = [];
  #behindSince: number | undefined;
  #failure: { readonly error: unknown } | undefined;

  constructor(host: FleetHost, member: FleetMember) {
    this.#host = host;
    this.#member = member;
    const onChange = () => {
      host.forgetPlan();
      host.changed.fire();
    };
    this.#watches = new FleetWatches(host.options.progressStore, onChange, (error) => this.#fail(error));
  }

  /**
   * Resolves when this host should leave, because it is behind. Rejects when the signal aborts, with LEASE_LOST, or with a permanent error of the store. Either way its workers have ended.
   */
  async run(signal: AbortSignal): Promise<void> {
    const { options, policy, changed, tell } = this.#host;
    const pace = new Pace(policy.clock);
    try {
      await this.#transact('join the fleet', signal, (tx) =>
        transactions.announceMember(tx, this.#member, policy.random.uid()),
      );
      this.#host.rules.met('F1 joined');
      tell('joined', this.#member);
      for (;;) {
        await pace.next(signal);
        const seen = changed.count;
        if (this.#failure !== undefined) throw this.#failure.error;
        const plan = await this.#host.plan(signal);
        const view = await this.#transact('look at the fleet', signal, transactions.readFleet);
        this.#checkLease(view);
        this.#noteHosts(view);
        if (this.#isBehind(view, plan)) return;
        await this.#act(view, plan, signal);
        this.#watches.follow(this.#keysToWatch(view));
        await triggerOrSleep(changed, seen, policy.clock, options.lookInterval, signal);
      }
    } finally {
      await Promise.all([this.#watches.end(), this.#stopWorkers()]);
      await Promise.all(this.#leaving.values());
    }
  }

  /** F6: gives back all that is assigned to this lease. The member's workers have ended. */
  async leave(signal: AbortSignal): Promise<void> {
    const { policy, tell } = this.#host;
    for (let given = transactions.MAX_TAGS_AT_ONCE; given >= transactions.MAX_TAGS_AT_ONCE;) {
      const tags = await this.#transact('give all tags back', signal, (tx) =>
        transactions.giveBackAll(tx, this.#member, policy.random.uid()),
      );
      for (const { epoch, tag } of tags) tell('givenBack', { epoch, tag }, 'leaving');
      given = tags.length;
    }
  }

  async #stopWorkers(): Promise<void> {
    const { workers } = this.#host;
    await Promise.all(workers.tags().map((at) => workers.stop(at)));
  }

  #checkLease(view: FleetView): void {
    const own = view.leases.get(this.#member.host);
    if (own !== undefined && isSameMember(transactions.memberOf(this.#member.host, own), this.#member)) return;
    if (!this.#host.rules.stopsWithoutLease) return;
    this.#host.rules.met('F1 lease found gone');
    throw transactions.leaseLost(this.#member);
  }

  #noteHosts({ leases }: FleetView): void {
    const hosts = [...leases.keys()];
    if (hosts.length === this.#hosts.length && hosts.every((name, index) => name === this.#hosts[index])) return;
    this.#hosts = hosts;
    this.#host.tell('hosts', hosts);
  }

  /** F7 */
  #isBehind(view: FleetView, plan: FleetPlan): boolean {
    const { policy, options, rules, tellBehind } = this.#host;
    if (view.epoch === undefined || view.epoch.epoch <= plan.epoch) {
      this.#behindSince = undefined;
      return false;
    }
    const now = policy.clock.now();
    this.#behindSince ??= now;
    if (now - this.#behindSince < options.leaseTime) return false;
    rules.met('F7 left: not told of the newest epoch');
    tellBehind(view.epoch.epoch);
    return true;
  }

  async #act(view: FleetView, plan: FleetPlan, signal: AbortSignal): Promise<void> {
    const own = view.assignments.filter(({ holder }) => isSameMember(holder, this.#member));
    this.#runOwn(own, plan, signal);
    // F7: what it would take is not there for it any more, and what the others should have it does not know.
    if (this.#behindSince !== undefined) return;
    await this.#removeFinished(view, plan, signal);
    const holders = new Map(view.assignments.flatMap((at) => (at.isLive ? [[tagName(at), at.holder.host]] : [])));
    const planned = [...plan.workers.values()].map(placeOf);
    const share = this.#host.rules.share({
      host: this.#member.host,
      hosts: [...view.leases.keys()],
      planned,
      holders,
    });
    if (share.take.length > 0) await this.#take(share.take, plan, signal);
    const surplus = share.surplus - this.#leaving.size;
    if (surplus > 0) this.#giveBackSurplus(own, plan, surplus, signal);
  }

  /** What is assigned runs; what is not, does not. */
  #runOwn(own: readonly TagOfEpoch[], plan: FleetPlan, signal: AbortSignal): void {
    const { workers } = this.#host;
    const names = new Set(own.map(tagName));
    for (const at of own) {
      const planned = plan.workers.get(tagName(at));
      if (planned !== undefined) this.#start(planned, signal);
    }
    for (const at of workers.tags()) {
      if (!names.has(tagName(at))) this.#inBackground(at, () => workers.stop(at));
    }
  }

  #start(planned: PlannedWorker, signal: AbortSignal): void {
    const at = placeOf(planned);
    if (this.#leaving.has(tagName(at))) return;
    const { workers, rules } = this.#host;
    const fence = async (tx: ProgressTransaction) => {
      try {
        await transactions.checkAssigned(tx, this.#member, at);
      } catch (error) {
        if (BackupError.is(error, 'DISPLACED')) rules.met('F3 a transaction finds the lease or the assignment gone');
        throw error;
      }
    };
    workers.start(planned, { signal, restartsDisplaced: true, ...(rules.fencesWorkers ? { fence } : {}) });
  }

  async #take(tags: readonly TagOfEpoch[], plan: FleetPlan, signal: AbortSignal): Promise<void> {
    const { rules, workers, changed, tell } = this.#host;
    const wanted = tags.slice(0, transactions.MAX_TAGS_AT_ONCE);
    const taken = await this.#transact('take tags', signal, (tx) =>
      transactions.takeTags(tx, { member: this.#member, tags: wanted }, plan.epoch, rules),
    );
    for (const { epoch, tag, from } of taken) {
      rules.met(from === undefined ? 'F2 taken: nobody had it' : 'F2 taken over from a host without a lease');
      tell('assigned', { epoch, tag }, from);
      const planned = plan.workers.get(tagName({ epoch, tag }));
      if (planned === undefined) continue;
      // F5: what failed for good here may be mended, and nobody else would try it.
      workers.readmit(planned);
      this.#start(planned, signal);
    }
    // Others were quicker, or the plan has grown old.
    if (taken.length < wanted.length) {
      rules.met('F2 a tag was not to be had any more');
      this.#host.forgetPlan();
    }
    // Few at a time: a transaction is bounded.
    if (taken.length > 0 && wanted.length < tags.length) changed.fire();
  }

  /** F4: what does not run goes first, then the newest epoch: a worker of an old one would have to pull again what it holds. */
  #giveBackSurplus(own: readonly TagOfEpoch[], plan: FleetPlan, surplus: number, signal: AbortSignal): void {
    const { workers, rules } = this.#host;
    const names = new Set(own.map(tagName));
    const candidates = [...plan.workers.values()]
      .filter((planned) => names.has(tagName(placeOf(planned))) && !this.#leaving.has(tagName(placeOf(planned))))
      .reverse();
    const isDown = (planned: PlannedWorker) => workers.isRetired(planned);
    const inOrder = [...candidates.filter(isDown), ...candidates.filter((planned) => !isDown(planned))];
    for (const planned of inOrder.slice(0, surplus)) {
      rules.met('F4 surplus given back');
      this.#giveBack(placeOf(planned), 'rebalance', signal);
    }
  }

  #giveBack(at: TagOfEpoch, why: GiveBackReason, signal: AbortSignal): void {
    const { workers, policy, tell } = this.#host;
    this.#inBackground(at, async () => {
      await workers.stop(at);
      await this.#transact('give a tag back', signal, (tx) =>
        transactions.giveBackTags(tx, { member: this.#member, tags: [at] }, policy.random.uid()),
      );
      tell('givenBack', at, why);
    });
  }

  /** F2: old epochs' tags that the plan does not have any more. A worker of such a one that still runs ends by itself first. */
  async #removeFinished(view: FleetView, plan: FleetPlan, signal: AbortSignal): Promise<void> {
    const { workers, policy, rules, tell } = this.#host;
    const isOwn = (holder: FleetMember) => isSameMember(holder, this.#member);
    const finished = view.assignments.filter((at) => {
      if (at.epoch >= plan.epoch || plan.workers.has(tagName(at)) || this.#leaving.has(tagName(at))) return false;
      return isOwn(at.holder) ? !workers.has(at) : !at.isLive;
    });
    const tags = finished.slice(0, transactions.MAX_TAGS_AT_ONCE);
    if (tags.length === 0) return;
    const removed = await this.#transact('remove drained tags', signal, (tx) =>
      transactions.removeFinished(tx, { member: this.#member, tags }, plan.epoch, policy.random.uid()),
    );
    for (const { epoch, tag, holder } of removed) {
      rules.met('F2 assignment of a drained tag removed');
      if (isOwn(holder)) tell('givenBack', { epoch, tag }, 'finished');
    }
  }

  /** One at a time for each tag. */
  #inBackground(at: TagOfEpoch, work: () => Promise<void>): void {
    const name = tagName(at);
    if (this.#leaving.has(name)) return;
    const done = work()
      .catch((error: unknown) => this.#fail(error))
      .finally(() => {
        this.#leaving.delete(name);
        this.#host.changed.fire();
      });
    this.#leaving.set(name, done);
  }

  /** Ends `run` with the error. */
  #fail(error: unknown): void {
    this.#failure ??= { error };
    this.#host.changed.fire();
  }

  /** Those that come after this one, by name: so everyone is watched by somebody. */
  #keysToWatch({ leases, changed }: FleetView): Map<string, Uint8Array | undefined> {
    const hosts = [...leases.keys()];
    const own = hosts.indexOf(this.#member.host);
    const others = [...hosts.slice(own + 1), ...hosts.slice(0, own)].slice(0, MAX_WATCHED_HOSTS);
    const keys = new Map<string, Uint8Array | undefined>([[FLEET_CHANGED_KEY, changed]]);
    for (const name of others) keys.set(fleetLeaseKey(name), leases.get(name));
    return keys;
  }

  #transact<T>(what: string, signal: AbortSignal, body: (tx: ProgressTransaction) => Promise<T>): Promise<T> {
    const { policy, options } = this.#host;
    return retrying(policy, what, signal, () =>
      abortable(
        options.progressStore.transact((tx) => {
          // A try that hung while the host was stopped must not take effect after all.
          signal.throwIfAborted();
          return body(tx);
        }),
        signal,
      ),
    );
  }
}

function placeOf({ backupEpoch, tag }: PlannedWorker): TagOfEpoch {
  return { epoch: backupEpoch, tag };
}
