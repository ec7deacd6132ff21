// The log of a simulated database: tags, epochs, an uncommitted tail that is served and sometimes rolled back, pops that really discard, and a log system whose
// news reach some processes late.

import { abortable } from '../../core/abort.js';
import { BackupError, assert } from '../../core/errors.js';
import type { LogEpoch, Tag, Version } from '../../core/version.js';
import { LOG_ROUTER_LOCALITY, maxVersion, minVersion } from '../../core/version.js';
import type { LogEpochInfo, LogSource, LogSystemInfo, PeekReply, PeekRequest } from '../../ports/log-source.js';
import { SimBuffers } from './buffers.js';
import type { SimHistory, SimTransactionRecord } from './history.js';
import type { SimProcess, SimWorld } from './process.js';
import { SimEpochLog } from './sim-epoch.js';

/** Called at the moment at which a pop discards something. */
export type PopObserver = (pop: { epoch: LogEpoch; tag: number; upTo: Version; process: SimProcess }) => void;

/** Milliseconds by which news are late for a process that is cut off. */
const CUT_OFF_MS = 1_500;

/** An aborted peek may be answered within this time. */
const LATE_REPLY_MS = 300;

/** A peek that waits: true when it has got its answer, or nobody waits for it any more. */
type Waiter = () => boolean;

export class SimLog {
  readonly #world: SimWorld;
  readonly #history: SimHistory;
  readonly #epochs = new Map<LogEpoch, SimEpochLog>();
  readonly #popObservers: PopObserver[] = [];
  /** Peeks that wait for something to be written. */
  #waiters: Waiter[] = [];
  readonly #subscribers = new Map<() => void, SimProcess>();
  #current: SimEpochLog;
  #state: LogSystemInfo['recoveryState'] = 'recovering';
  #oldestBackupEpoch: LogEpoch | undefined;
  /** Virtual ms at which the news of the last recovery set out. */
  #heardAt = 0;

  constructor(world: SimWorld, history: SimHistory, first: { epoch: LogEpoch; begin: Version; totalTags: number }) {
    this.#world = world;
    this.#history = history;
    this.#current = new SimEpochLog(first.epoch, first.begin, first.totalTags);
    this.#epochs.set(first.epoch, this.#current);
  }

  get current(): SimEpochLog {
    return this.#current;
  }

  /** Oldest first. */
  get epochs(): readonly LogEpochInfo[] {
    return [...this.#epochs.values()].filter((epoch) => !epoch.isForgotten).map((epoch) => epoch.info);
  }

  /** Those that are forgotten too. */
  get allEpochs(): readonly LogEpochInfo[] {
    return [...this.#epochs.values()].map((epoch) => epoch.info);
  }

  popped(epoch: LogEpoch, tag: number): Version | undefined {
    return this.#epochs.get(epoch)?.popped(tag);
  }

  get info(): LogSystemInfo {
    return {
      recoveryCount: this.#current.epoch,
      recoveryState: this.#state,
      oldestBackupEpoch: this.#oldestBackupEpoch,
      epochs: this.epochs,
    };
  }

  /** The living who still hear of recoveries. */
  subscribed(): string[] {
    return [...this.#subscribers.values()].filter(({ isDead }) => !isDead).map(({ name }) => name);
  }

  onPop(observer: PopObserver): void {
    this.#popObservers.push(observer);
  }

  /** Puts a transaction at the log's end; it is served at once, and committed later. */
  append(transaction: SimTransactionRecord): void {
    assert(transaction.version >= this.#current.known, 'versions must ascend');
    this.#history.append(transaction);
    this.#current.append(transaction);
    this.#wake();
  }

  /** Ends the current epoch at `end` and begins the next one there; the tail at or above it is rolled back. */
  recover(next: { epoch: LogEpoch; end: Version; totalTags: number; unheardMs?: number }): void {
    this.#heardAt = this.#world.scheduler.now + (next.unheardMs ?? 0);
    const rolledBack = this.#history.rollBack(next.end);
    if (rolledBack > 0) this.#world.hits.add('log: uncommitted tail rolled back');
    this.#world.trace.add(
      'log',
      `RECOVERY: epoch ${this.#current.epoch} ends at ${next.end}, ${rolledBack} versions rolled back; epoch ${next.epoch} has ${next.totalTags} tags`,
    );
    // What survives of the tail is durable from this moment on.
    this.#history.commit(next.end - 1n);
    this.#current.finish(next.end);
    this.#current = new SimEpochLog(next.epoch, next.end, next.totalTags);
    this.#epochs.set(next.epoch, this.#current);
    this.#state = 'recovering';
    this.#oldestBackupEpoch = undefined;
    this.#wake();
    this.#publish();
  }

  /** ms from now until anybody hears of the last recovery. */
  get unheardMs(): number {
    return Math.max(0, this.#heardAt - this.#world.scheduler.now);
  }

  setRecoveryState(state: LogSystemInfo['recoveryState']): void {
    this.#state = state;
    this.#publish();
  }

  /** As computed from the store's done records. Epochs below it are gone for good. */
  setOldestBackupEpoch(oldest: LogEpoch): void {
    if (this.#oldestBackupEpoch === oldest) return;
    this.#oldestBackupEpoch = oldest;
    this.#publish();
  }

  /** The log system forgets drained epochs altogether. */
  forgetBefore(oldest: LogEpoch): void {
    for (const [epoch, log] of this.#epochs) {
      if (epoch >= oldest || log.end === undefined || log.isForgotten) continue;
      this.#world.trace.add('log', `epoch ${epoch} is forgotten`);
      log.forget();
    }
    this.#publish();
  }

  /** Inclusive (rule P14): never above the end of the epoch from the moment of a recovery. */
  minKnownCommitted(epoch: LogEpoch): Version {
    const end = this.#epochs.get(epoch)?.end;
    return end === undefined ? this.#history.committed : minVersion(this.#history.committed, end - 1n);
  }

  client(process: SimProcess, buffers: SimBuffers = new SimBuffers()): LogSource {
    return {
      peek: (request) => this.#peek(process, request, buffers),
      pop: ({ epoch, tag, upTo }) =>
        process.call(
          'log',
          `pop epoch ${epoch} tag ${tag.id} up to ${upTo}`,
          () => this.#pop(process, epoch, tag, upTo),
          unavailable,
        ),
      minKnownCommittedVersion: ({ epoch, signal }) =>
        abortable(
          process.call('log', `committed of epoch ${epoch}`, () => this.minKnownCommitted(epoch), unavailable),
          signal,
        ),
      committedVersion: (signal) =>
        abortable(
          process.call('log', 'committed', () => this.#history.committed, unavailable),
          signal,
        ),
      logSystem: (signal) => this.#logSystem(process, signal),
    };
  }

  #pop(process: SimProcess, epoch: LogEpoch, tag: Tag, upTo: Version): void {
    checkTag(tag);
    process.note(`POP epoch ${epoch} tag ${tag.id} up to ${upTo}`);
    for (const observer of this.#popObservers) observer({ epoch, tag: tag.id, upTo, process });
    // Cumulative, as in the original: older epochs' messages of the tag go too. That is why pops are withheld while one is unfinished.
    for (const log of this.#epochs.values())
      if (log.epoch <= epoch) log.pop(tag.id, minVersion(upTo, (log.end ?? upTo + 1n) - 1n));
    this.#world.hits.add('log: pop');
  }

  #peek(process: SimProcess, request: PeekRequest, buffers: SimBuffers): Promise<PeekReply> {
    const { faults } = this.#world;
    checkTag(request.tag);
    const what = `peek epoch ${request.epoch} tag ${request.tag.id} from ${request.begin}`;
    const isShort = faults.strikes('shortPeek');
    const isLost = faults.strikes('lostReply');
    let isOver = false;
    const reply = process
      .call('log', what, () => undefined, unavailable)
      .then(
        () =>
          new Promise<PeekReply>((resolve, reject) => {
            const tryAnswer = () => {
              if (isOver || process.isDead) return true;
              const answer = this.#answer(process, request, isShort);
              if (answer === undefined) return false;
              if (this.#world.trace.enabled) process.note(`${what} -> ${describeReply(answer)}`);
              process.deliver(faults.latency(), () => {
                if (isOver) return;
                if (isLost) reject(unavailable());
                else resolve({ ...answer, batch: buffers.track(answer.batch) });
              });
              return true;
            };
            if (!tryAnswer()) this.#waiters.push(tryAnswer);
          }),
      );
    const end = () => (isOver = true);
    if (!faults.strikes('lateReply')) return abortable(reply, request.signal).finally(end);
    return this.#untilAborted(process, reply, request.signal).finally(end);
  }

  /** A request that has been aborted may still be answered, for a while. */
  #untilAborted(process: SimProcess, reply: Promise<PeekReply>, signal: AbortSignal): Promise<PeekReply> {
    const { hits, random, scheduler } = this.#world;
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        scheduler.schedule(random.between(0, LATE_REPLY_MS), () =>
          process.deliver(0, () => reject(signal.reason as Error)),
        );
      };
      if (signal.aborted) onAbort();
      else signal.addEventListener('abort', onAbort, { once: true });
      reply
        .then((answer) => {
          if (signal.aborted) hits.add('log: reply to an aborted peek');
          resolve(answer);
        }, reject)
        .finally(() => signal.removeEventListener('abort', onAbort));
    });
  }

  /** Undefined: nothing is known beyond `begin` yet. */
  #answer(process: SimProcess, request: PeekRequest, short: boolean): PeekReply | undefined {
    const { hits } = this.#world;
    const log = this.#epochs.get(request.epoch);
    const tag = request.tag.id;
    if (log === undefined) return undefined;
    assert(tag < log.totalTags, `epoch ${request.epoch} has no tag ${tag}`);
    const popped = log.popped(tag);
    const hasGap = popped !== undefined && popped >= request.begin;
    // Above the end of an epoch that has ended: an empty answer at once. Whoever asks has not been told of the recovery.
    const isBeyond = log.end !== undefined && request.begin >= log.end;
    if (log.known <= request.begin && !hasGap && !isBeyond) return undefined;
    if (isBeyond) hits.add('log: peek above the end of its epoch');
    const minKnownCommittedVersion = this.minKnownCommitted(request.epoch);
    const known = maxVersion(log.known, request.begin);
    const end = short ? this.#someEnd(request.begin, known) : known;
    if (end === request.begin) hits.add('log: empty peek reply');
    if (end > minKnownCommittedVersion + 1n) hits.add('log: uncommitted versions served');
    if (hasGap) hits.add('log: peek meets a gap');
    if (process.isFrozen) hits.add('log: peek answered to a frozen process');
    return { ...log.read(tag, request.begin, end, request.maxBytes), minKnownCommittedVersion, popped };
  }

  /** Where a short reply ends: between two versions, or at once. */
  #someEnd(begin: Version, known: Version): Version {
    const versions = this.#history.versions(begin, known);
    return versions.length === 0 ? known : this.#world.random.pick(versions);
  }

  #wake(): void {
    const waiting = this.#waiters;
    this.#waiters = [];
    for (const tryAnswer of waiting) if (!tryAnswer()) this.#waiters.push(tryAnswer);
  }

  #publish(): void {
    for (const subscriber of this.#subscribers.keys()) subscriber();
  }

  async *#logSystem(process: SimProcess, signal: AbortSignal): AsyncGenerator<LogSystemInfo> {
    const { faults, random } = this.#world;
    // Now and then one process is all but cut off from the news.
    const lateness = random.chance(faults.rates.cutOff) ? CUT_OFF_MS : 0;
    let pending = true;
    let wake: (() => void) | undefined;
    const subscriber = () => {
      if (process.isDead) {
        this.#subscribers.delete(subscriber);
        return;
      }
      const delay = random.between(lateness / 2, lateness + faults.rates.noticeDelayMs);
      process.deliver(this.unheardMs + delay, () => {
        pending = true;
        wake?.();
      });
    };
    this.#subscribers.set(subscriber, process);
    try {
      while (!signal.aborted) {
        if (pending) {
          pending = false;
          yield this.info;
        } else {
          // An abort ends the loop.
          await abortable(new Promise<void>((resolve) => (wake = resolve)), signal).catch(() => undefined);
        }
      }
    } finally {
      this.#subscribers.delete(subscriber);
    }
  }
}

function describeReply({ batch, end, minKnownCommittedVersion, popped }: PeekReply): string {
  return `${batch.versionCount} versions, end ${end}, committed ${minKnownCommittedVersion}, popped ${popped ?? '-'}`;
}

function checkTag(tag: Tag): void {
  if (tag.locality !== LOG_ROUTER_LOCALITY)
    throw new BackupError('ADAPTER_CONTRACT', `workers peek log router tags, not ${tag.locality}:${tag.id}`, { tag });
}

function unavailable(): BackupError {
  return new BackupError('TIMEOUT', 'the simulated log does not answer', { retryable: true });
}
