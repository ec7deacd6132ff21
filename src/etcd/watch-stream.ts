// One stream of etcd's Watch service, read with backpressure: etcd sends no more than the reader takes. It must never lose or reorder an answer, nor leave a stream, a listener or a timer behind.
//
// How to use it: `watchRevisions(client, { key, rangeEnd, startRevision }, options)` for one watch (whole revisions, in order; it throws when the stream breaks, and the caller begins again behind the last
// revision it has); `WatchStream` itself for many watches on one stream. Reconnecting is the caller's: it alone knows what it has.
//
// Why not etcd3's own Watcher: it has no backpressure (events pile up in the host's memory when the reader is slow), it does not join fragments, it cannot tell a silent server from an idle one, and it goes
// on by itself behind the header's revision, without telling whoever has to know where it went on.

import type { Etcd3, IDuplexStream, IEvent, IWatchCreateRequest, IWatchRequest, IWatchResponse } from 'etcd3';
import { abortable, AbortScope, ScopeEnded } from '../core/abort.js';
import type { Clock } from '../core/clock.js';
import { BackupError } from '../core/errors.js';
import type { Version } from '../core/version.js';
import { etcdError } from './errors.js';
import { revisionOf } from './keys.js';

/** Any Etcd3 client; tests may give less. */
export type EtcdWatchClient = Pick<Etcd3, 'watchClient'>;

type RawStream = IDuplexStream<IWatchRequest, IWatchResponse>;

/** Answers that wait for the reader, above which the stream is paused; Node's own buffer holds up to 16 more. Each is at most about as large as --max-request-bytes. */
const PAUSE_ABOVE = 4;

export class WatchStream {
  readonly #stream: RawStream;
  readonly #signal: AbortSignal;
  readonly #queue: IWatchResponse[] = [];
  #failure: Error | undefined;
  #isPaused = false;
  #isClosed = false;
  #wake: (() => void) | undefined;
  #heard = 0;
  readonly #onAbort = () => this.close();

  private constructor(stream: RawStream, signal: AbortSignal) {
    this.#stream = stream;
    this.#signal = signal;
    stream.on('data', (response) => this.#take(response));
    stream.on('error', (error) => this.#fail(error));
    stream.on('end', () => this.#fail(new Error('14 UNAVAILABLE: the watch stream has ended')));
    signal.addEventListener('abort', this.#onAbort, { once: true });
  }

  /** Rejects with ETCD_UNAVAILABLE and the like, or with the signal's reason; an abort later closes the stream. */
  static async open(client: EtcdWatchClient, signal: AbortSignal): Promise<WatchStream> {
    signal.throwIfAborted();
    let stream: RawStream;
    try {
      stream = await abortable(client.watchClient.watch(), signal, endRaw);
    } catch (error) {
      signal.throwIfAborted();
      throw etcdError('opening a watch stream', error);
    }
    return new WatchStream(stream, signal);
  }

  /** How many answers have come so far: one that does not grow, although something was asked, is a stream that is dead. */
  get heard(): number {
    return this.#heard;
  }

  /** After the stream has failed it does nothing: `next` tells. */
  send(request: IWatchRequest): void {
    if (this.#failure === undefined && !this.#isClosed) this.#stream.write(request);
  }

  /** Asks for any answer at all (`watch_id` -1). Its revision means nothing: etcd before 3.4.25 and 3.5.8 sends it ahead of events (etcd issue 15220). */
  probe(): void {
    this.send({ progress_request: {} });
  }

  /** The next answer, in order. What has come before a failure is given first. */
  async next(): Promise<IWatchResponse> {
    for (;;) {
      this.#signal.throwIfAborted();
      const response = this.#queue.shift();
      if (response !== undefined) {
        if (this.#isPaused && this.#queue.length === 0) this.#pause(false);
        return response;
      }
      if (this.#failure !== undefined) throw etcdError('watching', this.#failure);
      if (this.#isClosed) throw new BackupError('INVALID_STATE', 'the watch stream was closed');
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#signal.removeEventListener('abort', this.#onAbort);
    endRaw(this.#stream);
    this.#queue.length = 0;
    this.#awake();
  }

  #take(response: IWatchResponse): void {
    if (this.#isClosed) return;
    this.#heard++;
    this.#queue.push(response);
    if (this.#queue.length > PAUSE_ABOVE && !this.#isPaused) this.#pause(true);
    this.#awake();
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#awake();
  }

  #awake(): void {
    this.#wake?.();
    this.#wake = undefined;
  }

  #pause(pause: boolean): void {
    this.#isPaused = pause;
    const stream = this.#stream;
    if (!isPausable(stream)) return;
    if (pause) stream.pause();
    else stream.resume();
  }
}

/** In this order: a stream that fails (as a cancelled one does) while it can still be written to counts as a failure of its host, and the client drops its connections. The error it then emits has its listener. */
function endRaw(stream: RawStream): void {
  stream.on('error', () => undefined);
  stream.end();
  stream.cancel();
}

interface Pausable {
  pause(): void;
  resume(): void;
}

/** The client's types hide that its streams are Node's. */
function isPausable(stream: object): stream is Pausable {
  return 'pause' in stream && typeof stream.pause === 'function' && 'resume' in stream;
}

export interface WatchRevisionsRequest {
  readonly key: Buffer;
  /** As in `rangeOf`; left out: the one key. */
  readonly rangeEnd?: Buffer | undefined;
  /** The first revision wanted, inclusive. */
  readonly startRevision: Version;
  /** etcd tells now and then how far it has come when nothing happens (--experimental-watch-progress-notify-interval). Default true. */
  readonly progressNotify?: boolean;
  readonly prevKv?: boolean;
}

export interface WatchRevisionsOptions {
  readonly signal: AbortSignal;
  /**
   * ms: a stream from which nothing was heard for so long is asked for a sign of life, and fails with ETCD_UNAVAILABLE after as long again without one. A server that stands still, or a connection that
   * swallows everything, shows by nothing else. Left out: it may be silent for ever.
   */
  readonly silence?: { readonly clock: Clock; readonly ms: number } | undefined;
  /** Called once etcd has made the watch, with the revision at which it is. */
  readonly onCreated?: (revision: Version) => void;
}

export interface WatchedRevisions {
  /** Everything up to and including it has been given, with these events. */
  readonly revision: Version;
  /** Whole revisions, in order; none at all is a progress notification. In a revision they have the order of the transaction's operations. */
  readonly events: readonly IEvent[];
}

/**
 * The changes of a key or range from a revision on. Fragments are joined: a revision is never split over two items, and no more than one revision is held for it. Throws ETCD_COMPACTED (its `version` is
 * the compact revision: the first that is still kept) when it can no longer begin there, ETCD_UNAVAILABLE and the like when the stream breaks, and the signal's reason. Returning early ends the stream.
 */
export async function* watchRevisions(
  client: EtcdWatchClient,
  request: WatchRevisionsRequest,
  options: WatchRevisionsOptions,
): AsyncGenerator<WatchedRevisions, void, undefined> {
  using scope = new AbortScope(options.signal);
  const stream = await WatchStream.open(client, scope.signal);
  const silence = options.silence;
  // It ends with the scope, and its failure is this one's.
  const watching = silence === undefined ? undefined : failWhenSilent(stream, silence, scope);
  try {
    stream.send({ create_request: createRequest(request) });
    const joiner = new FragmentJoiner();
    for (;;) {
      const response = await stream.next();
      failIfCanceled(response);
      if (response.created) options.onCreated?.(revisionOf(response.header.revision));
      else if (response.watch_id !== '-1') {
        const whole = joiner.join(response);
        if (whole !== undefined) yield whole;
      }
    }
  } finally {
    stream.close();
    scope.end();
    await watching;
  }
}

export function createRequest({ key, rangeEnd, startRevision, progressNotify, prevKv }: WatchRevisionsRequest) {
  return {
    key,
    ...(rangeEnd === undefined ? {} : { range_end: rangeEnd }),
    start_revision: String(startRevision),
    progress_notify: progressNotify ?? true,
    prev_kv: prevKv ?? false,
    fragment: true,
  } satisfies IWatchCreateRequest;
}

/** Throws what a watch that etcd has ended, or did not begin, means. */
export function failIfCanceled(response: IWatchResponse): void {
  if (!response.canceled) return;
  const compacted = revisionOf(response.compact_revision);
  if (compacted > 0n) {
    throw new BackupError(
      'ETCD_COMPACTED',
      `etcd: watching failed: the revisions before ${compacted} have been compacted: let etcd keep more of its history (--auto-compaction-retention)`,
      { version: compacted },
    );
  }
  const reason = response.cancel_reason === '' ? 'no reason given' : response.cancel_reason;
  throw etcdError('watching', new Error(reason.includes('etcdserver:') ? reason : `14 UNAVAILABLE: ${reason}`));
}

/** Ends the scope when the stream is dead; resolves when the scope has ended, and never rejects. */
export async function failWhenSilent(
  stream: WatchStream,
  { clock, ms }: { readonly clock: Clock; readonly ms: number },
  scope: AbortScope,
): Promise<void> {
  try {
    for (;;) {
      const before = stream.heard;
      await clock.sleep(ms, scope.signal);
      if (stream.heard !== before) continue;
      stream.probe();
      await clock.sleep(ms, scope.signal);
      if (stream.heard === before) break;
    }
    scope.end(
      new BackupError(
        'ETCD_UNAVAILABLE',
        `etcd: watching failed: nothing was heard for ${2 * ms} ms: it is tried again`,
        {
          retryable: true,
        },
      ),
    );
  } catch (error) {
    // The end of the scope is why the sleep has ended; a clock that fails otherwise ends the watch.
    if (!(error instanceof ScopeEnded) && !scope.signal.aborted) scope.end(error);
  }
}

/** Holds back the last revision of a fragment, since the next one may go on with it. */
class FragmentJoiner {
  #held: IEvent[] = [];

  join({ events, fragment, header }: IWatchResponse): WatchedRevisions | undefined {
    // Of an answer with events the header's revision says nothing: etcd may be far ahead of what it has sent.
    const all = this.#held.length === 0 ? events : this.#held.concat(events);
    const last = all.at(-1);
    if (last === undefined) return fragment ? undefined : { revision: revisionOf(header.revision), events: all };
    let whole = all.length;
    while (fragment && whole > 0 && all[whole - 1]?.kv.mod_revision === last.kv.mod_revision) whole--;
    this.#held = all.slice(whole);
    const before = all[whole - 1];
    if (before === undefined) return undefined;
    return { revision: revisionOf(before.kv.mod_revision), events: whole === all.length ? all : all.slice(0, whole) };
  }
}
