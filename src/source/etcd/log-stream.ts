// The log of one tag from one version on: a watch that is opened when someone waits for it, held up when nobody takes what it brings, and resumed where it was. It must never give a version of which etcd may
// have kept a part only, nor hold more than its limit.
//
// Nothing here runs by itself: a watch that has failed is opened again by the next peek, which also reports the failure. So there is no loop of reconnections behind the worker's back.
//
// Compaction beside a watch. A watch that asks for versions before the compact revision is ended by etcd, which says so. But one that reads versions from etcd's storage, since it is behind, and has to go on at
// exactly the revision that is compacted just then, is not, and the deletes of that revision are gone (before 3.4.34 and 3.5.16, etcd pull request 18475; and 19251): so a watch begins one version early, and
// what may have been read from storage is given only after a linearizable read of the version before it has shown that it was not compacted.

import type { Etcd3, IWatchResponse } from 'etcd3';
import { AbortScope, abortable } from '../../core/abort.js';
import type { Clock } from '../../core/clock.js';
import { BackupError } from '../../core/errors.js';
import type { Version } from '../../core/version.js';
import { etcdError, etcdFault } from '../../etcd/errors.js';
import { revisionNumber } from '../../etcd/keys.js';
import { failIfCanceled } from '../../etcd/watch-stream.js';
import type { EtcdCluster } from './cluster.js';
import { withinTime } from './cluster.js';
import type { LogVersionsOptions, ReadyBatch } from './log-versions.js';
import { LogVersions, RevisionHole } from './log-versions.js';
import { WatchCall } from './watch-call.js';

export interface LogStreamOptions extends LogVersionsOptions {
  readonly client: Etcd3;
  readonly clock: Clock;
  readonly cluster: EtcdCluster;
  /** Above it the watch is held up. */
  readonly bufferBytes: number;
  /** The watch has broken: nobody knows what has become of the cluster until it is looked at again. */
  readonly onBroken?: (() => void) | undefined;
}

export type LogStreamReply = ReadyBatch | { readonly compacted: Version };

/** ms: a watch that is held up for longer is ended: etcd keeps what it has not sent in its memory. */
const LONGEST_PAUSE = 10_000;
/** ms between looks whether a silent watch is silent because nothing happens. */
const SILENCE = 5_000;
/** Answers that wait in etcd's memory for a watch, before it puts the watch aside and later reads on from storage (etcd: chanBufLen; 1,024 in 3.4). */
const ETCD_ANSWER_QUEUE = 128;
/** ms between two answers to peeks that bring little: a few records each would cost the worker more than they are. */
const GATHER_TIME = 10;
/** etcd's first revision is that of the empty store and has no events. */
const FIRST_REVISION = 2;

export class LogStream {
  readonly #options: LogStreamOptions;
  readonly #versions: LogVersions;
  readonly #scope = new AbortScope();
  #watch: WatchCall | undefined;
  #failure: Error | undefined;
  /** When a read was answered last, by the clock. */
  #gaveAt = -Infinity;
  #compacted = 0;
  #busy = false;
  #wake: (() => void) | undefined;
  /** How often there was something new. */
  #changes = 0;

  /** The watch may be behind: what it brings was read from etcd's storage, perhaps. */
  #lagging = true;
  /** The revision of the cluster at some moment since it lags; a watch that has come so far is no longer behind. */
  #behindUntil: number | undefined;
  #isProving = false;
  /** From here on everything has come as it was committed: it needs no proof. undefined: the last answer did not. */
  #liveFrom: number | undefined;
  #answerVersions = 0;
  /** Answers since the watch was opened; Infinity once it was held up. */
  #answers = 0;
  /** What was missing when a watch was last ended for it. */
  #hole: number | undefined;
  #pause: AbortScope | undefined;

  constructor(options: LogStreamOptions) {
    this.#options = options;
    this.#versions = new LogVersions({ ...options, begin: Math.max(options.begin, FIRST_REVISION) });
  }

  /** Where the next batch begins. */
  get position(): number {
    return this.#versions.position;
  }

  get batchBytes(): number {
    return this.#options.batchBytes;
  }

  /** Bytes held here. */
  get bytes(): number {
    return this.#versions.bytes;
  }

  get isBusy(): boolean {
    return this.#busy;
  }

  get isClosed(): boolean {
    return this.#scope.signal.aborted;
  }

  /** Resolves once there is something beyond the position, or it is known to be compacted. One call at a time. */
  async read(signal: AbortSignal): Promise<LogStreamReply> {
    this.#busy = true;
    try {
      for (;;) {
        this.#scope.signal.throwIfAborted();
        await this.#gather(signal);
        const reply = this.#take();
        if (reply !== undefined) {
          this.#gaveAt = this.#options.clock.now();
          return reply;
        }
        this.#throwFailure();
        if (this.#watch === undefined) await this.#open(signal);
        else await this.#waitForMore(signal);
      }
    } finally {
      this.#busy = false;
    }
  }

  close(): void {
    this.#endWatch();
    this.#versions.dropAll();
    this.#scope.end(new BackupError('INVALID_STATE', 'the log stream was closed', { retryable: true }));
  }

  async #gather(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    const left = this.#gaveAt + GATHER_TIME - clock.now();
    if (left > 0 && this.#versions.hasVersions && !this.#versions.hasFullBatch) await clock.sleep(left, signal);
  }

  #take(): LogStreamReply | undefined {
    const ready = this.#versions.give();
    if (ready !== undefined) {
      if (this.#pause !== undefined && this.#versions.bytes < this.#options.bufferBytes / 2) this.#resume();
      return ready;
    }
    const { position, next } = this.#versions;
    return position === next && this.#compacted >= position ? { compacted: BigInt(this.#compacted) } : undefined;
  }

  #throwFailure(): void {
    const failure = this.#failure;
    if (failure === undefined) return;
    this.#failure = undefined;
    throw failure;
  }

  async #open(signal: AbortSignal): Promise<void> {
    const { client, clock, cluster } = this.#options;
    const { next } = this.#versions;
    // Before the watch, since it also logs in again where a token has ended, which a watch does not.
    await cluster.reach(BigInt(next - 1), signal);
    this.#lagging = true;
    this.#behindUntil = undefined;
    this.#liveFrom = undefined;
    this.#answerVersions = 0;
    this.#answers = 0;
    let watch: WatchCall | undefined;
    const handlers = {
      onResponse: (response: IWatchResponse) => this.#guard(() => this.#onResponse(response)),
      onEnd: (error: Error | undefined) => this.#fail(watchError(error)),
    };
    try {
      watch = await withinTime(clock, 'opening a watch', signal, (within) =>
        abortable(WatchCall.open(client, handlers), within, (late) => late.close()),
      );
    } catch (error) {
      signal.throwIfAborted();
      throw watchError(error);
    }
    if (this.isClosed) watch.close();
    this.#scope.signal.throwIfAborted();
    // It may have failed before it was here; then the failure is told.
    if (this.#failure !== undefined) return;
    this.#watch = watch;
    watch.begin(Math.max(next - 1, 1));
  }

  /** Until something has changed; or, when nothing does, until it is clear that nothing has to. */
  async #waitForMore(signal: AbortSignal): Promise<void> {
    if (await this.#changesWithin(SILENCE, signal)) return;
    const seen = this.#changes;
    const { next } = this.#versions;
    // While it is held up, or a proof is under way, there is a reason.
    if (this.#pause !== undefined || this.#isProving) return;
    const head = await this.#options.cluster.read(signal);
    // It may have been committed just now.
    if (head < next || this.#changes !== seen || (await this.#changesWithin(SILENCE, signal))) return;
    this.#fail(
      new BackupError(
        'ETCD_UNAVAILABLE',
        `etcd: the watch has brought nothing for ${2 * SILENCE} ms, although the cluster is at revision ${head} and ${next} is due: it is begun again`,
        { retryable: true, version: BigInt(next) },
      ),
    );
  }

  /** Whether `#notify` was called within so many ms. Rejects when the signal aborts or the stream is closed. */
  async #changesWithin(ms: number, signal: AbortSignal): Promise<boolean> {
    using scope = new AbortScope(signal);
    const woken = new Promise<true>((resolve) => {
      this.#wake = () => resolve(true);
    });
    const slept = this.#options.clock.sleep(ms, scope.signal).then(() => false);
    try {
      return await abortable(Promise.race([woken, slept]), this.#scope.signal);
    } finally {
      scope.end();
      // It has ended, or has just been told to.
      await slept.catch(() => undefined);
    }
  }

  #notify(): void {
    this.#changes++;
    this.#wake?.();
    this.#wake = undefined;
  }

  /** An error in a listener would be nobody's. */
  #guard(handle: () => void): void {
    try {
      handle();
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    this.#endWatch();
    this.#options.onBroken?.();
    this.#failure = error instanceof Error ? error : new Error(String(error));
    this.#notify();
  }

  #endWatch(): void {
    this.#pause?.end();
    this.#pause = undefined;
    this.#watch?.close();
    this.#watch = undefined;
    this.#versions.dropUnproven();
  }

  #onResponse(response: IWatchResponse): void {
    this.#options.cluster.observe(response.header);
    if (response.canceled) this.#onCanceled(response);
    else if (response.events.length > 0) this.#onEvents(response);
  }

  #onCanceled(response: IWatchResponse): void {
    const compacted = revisionNumber(response.compact_revision);
    if (compacted === 0) failIfCanceled(response);
    this.#endWatch();
    // A member that was brought up by a snapshot may end a watch that is far ahead of it: that one is just opened again, since the position is above it.
    this.#compacted = compacted;
    this.#notify();
  }

  #onEvents(response: IWatchResponse): void {
    const versions = this.#versions;
    const from = versions.next;
    try {
      this.#answerVersions += versions.take(response);
    } catch (error) {
      if (!(error instanceof RevisionHole)) throw error;
      this.#onHole(error);
      return;
    }
    if (versions.next > from) this.#hole = undefined;
    this.#judge(response, from);
    if (versions.bytes >= this.#options.bufferBytes && versions.hasVersions && this.#pause === undefined)
      this.#holdUp();
    this.#notify();
  }

  /** A watch that was overtaken by a compaction may leave versions out instead of ending (before 3.4.31 and 3.5.13, etcd pull request 17610): one that is begun anew then says so. */
  #onHole({ expected, found }: RevisionHole): void {
    if (this.#hole !== expected) {
      this.#endWatch();
      if (this.#versions.next === expected) this.#hole = expected;
      this.#notify();
      return;
    }
    throw new BackupError(
      'LOG_INCONSISTENT',
      `etcd: the watch leaves out revisions ${expected} to ${found - 1}: revision ${found} came next, twice. Every revision changes some key, so changes are missing: does the client's user see all keys ` +
        '(role with a range from \\0 to the end), and does nothing between it and etcd filter them?',
      { versions: { begin: BigInt(expected), end: BigInt(found) } },
    );
  }

  /** Whether what has come may be given at once: it was sent as it was committed, one revision at a time; or has to be proven, since it may have been read from storage. */
  #judge({ header, fragment }: IWatchResponse, from: number): void {
    const versions = this.#versions;
    const last = versions.next - 1;
    this.#answers++;
    const isWhole = !fragment && revisionNumber(header.revision) <= last;
    const fromStorage = !isWhole || this.#answerVersions > 1;
    if (!fragment) this.#answerVersions = 0;
    const lagged = this.#lagging || fromStorage;
    this.#lagging = lagged && !(isWhole && this.#hasCaughtUp(last, fromStorage));
    if (lagged) {
      this.#liveFrom = undefined;
      this.#startProof();
      return;
    }
    this.#liveFrom ??= from;
    if (versions.proven === from) versions.prove(versions.next);
  }

  /** A watch that was sent all there was goes on in step with the commits, unless it has been put aside meanwhile: that takes a full queue of answers. */
  #hasCaughtUp(last: number, fromStorage: boolean): boolean {
    if (this.#answers <= ETCD_ANSWER_QUEUE) return true;
    return !fromStorage && this.#behindUntil !== undefined && last >= this.#behindUntil;
  }

  #startProof(): void {
    if (this.#isProving || this.#watch === undefined || this.#versions.proven === this.#versions.next) return;
    this.#isProving = true;
    const watch = this.#watch;
    // Its failure is that of the watch.
    void this.#prove(watch)
      .catch((error: unknown) => {
        if (this.#watch === watch) this.#fail(error);
      })
      .finally(() => {
        this.#isProving = false;
        this.#startProof();
      });
  }

  /** Nothing at or above the first version that is not proven was compacted, as of a moment after they had come. More comes meanwhile, under load always: what there is may not have to wait for that. */
  async #prove(watch: WatchCall): Promise<void> {
    const versions = this.#versions;
    const { proven, next } = versions;
    versions.sealAll();
    const { kept, head } = await this.#options.cluster.isKeptAfter(proven - 1, this.#scope.signal);
    if (this.#watch !== watch) return;
    if (kept) {
      const isAllLive = this.#liveFrom !== undefined && this.#liveFrom <= next;
      versions.prove(isAllLive ? versions.next : next);
      if (this.#lagging) this.#behindUntil ??= head;
    }
    // Compacted: the watch that is begun there again is told so by etcd, with the revision.
    else this.#endWatch();
    this.#notify();
  }

  #holdUp(): void {
    const watch = this.#watch;
    if (watch === undefined) return;
    const pause = new AbortScope(this.#scope.signal);
    this.#pause = pause;
    watch.pause();
    // Rejects when the pause has ended before; then nothing is to be done.
    void this.#options.clock.sleep(LONGEST_PAUSE, pause.signal).then(
      () => this.#endWatch(),
      () => undefined,
    );
  }

  #resume(): void {
    this.#pause?.end();
    this.#pause = undefined;
    this.#lagging = true;
    this.#behindUntil = undefined;
    this.#answers = Infinity;
    this.#watch?.resume();
  }
}

function watchError(error: unknown): unknown {
  if (error === undefined) {
    return new BackupError('ETCD_UNAVAILABLE', 'etcd: the watch was ended by the server: it is begun again', {
      retryable: true,
    });
  }
  if (etcdFault(error) === 'too-large') {
    return new BackupError(
      'ETCD_LIMIT',
      `etcd: the watch cannot be read: ${(error as Error).message}: the client takes no message so large. Give it grpcOptions: ETCD_GRPC_OPTIONS, which set ` +
        "'grpc.max_receive_message_length' to -1 (no limit)",
      { cause: error },
    );
  }
  return etcdError('watching', error);
}
