// One watch of the whole key space on a gRPC stream of its own: what etcd sends, as it is. Why not the client's own Watcher: that one resumes behind our back from the revision of a header, shares its
// stream with all others, joins no fragments and cannot be held up. It must never hand on anything after `close`, nor leave the stream open.

import type { Etcd3, IWatchResponse } from 'etcd3';

/** Called in order, never after `close`. `onEnd` is the last call. */
export interface WatchHandlers {
  readonly onResponse: (response: IWatchResponse) => void;
  /** The stream is over: it failed, or the server ended it (undefined). */
  readonly onEnd: (error: Error | undefined) => void;
}

/** The smallest key, and etcd's `range_end` for "to the end of the key space": the same byte. */
const ZERO_KEY = Buffer.from([0]);

type WatchStream = Awaited<ReturnType<Etcd3['watchClient']['watch']>>;
type WatchCallOptions = NonNullable<Parameters<Etcd3['watchClient']['watch']>[0]>;
type Interceptor = NonNullable<WatchCallOptions['interceptors']>[number];

export class WatchCall {
  readonly #stream: WatchStream;
  #handlers: WatchHandlers | undefined;

  private constructor(stream: WatchStream, handlers: WatchHandlers) {
    this.#stream = stream;
    this.#handlers = handlers;
    stream.on('data', (response) => this.#handlers?.onResponse(response));
    stream.on('error', (error) => this.#end(error));
    stream.on('end', () => this.#end(undefined));
  }

  /** Rejects when there is no connection; all else comes through the handlers, once `begin` was called. */
  static async open(client: Etcd3, handlers: WatchHandlers): Promise<WatchCall> {
    return new WatchCall(await client.watchClient.watch(requireLeader), handlers);
  }

  /** Asks for every event from `startRevision` (above 0) on. Once. */
  begin(startRevision: number): void {
    this.#stream.write({
      create_request: {
        key: ZERO_KEY,
        range_end: ZERO_KEY,
        start_revision: String(startRevision),
        fragment: true,
        progress_notify: true,
      },
    });
  }

  /** What is on its way already still comes: up to 16 messages and the window of the connection. */
  pause(): void {
    if (isPausable(this.#stream)) this.#stream.pause();
  }

  resume(): void {
    if (isPausable(this.#stream)) this.#stream.resume();
  }

  close(): void {
    this.#handlers = undefined;
    // Ended first: the client takes the cancellation of a writable stream for a failure of the host, and closes all that goes to it.
    this.#stream.end();
    this.#stream.cancel();
  }

  #end(error: Error | undefined): void {
    const handlers = this.#handlers;
    if (handlers === undefined) return;
    this.close();
    handlers.onEnd(error);
  }
}

/**
 * A member that has lost its leader then ends the stream, instead of keeping it open and still for as long as the partition lasts (clientv3.WithRequireLeader). etcd3 passes no metadata on, so it is put
 * in by what a gRPC interceptor may do; one in the client's own default call options is not used for this stream.
 */
const requireLeader: WatchCallOptions = {
  interceptors: [
    (options, nextCall) => {
      const call = nextCall(options);
      const start = call.start.bind(call);
      call.start = (metadata, listener) => {
        metadata.set('hasleader', 'true');
        start(metadata, listener);
      };
      // eslint-disable-next-line @typescript-eslint/no-unsafe-class-instance-assignment -- gRPC uses no more of it than its interface; the class is in a package that is the client's, not ours
      return call as ReturnType<Interceptor>;
    },
  ],
};

interface Pausable {
  pause(): unknown;
  resume(): unknown;
}

/** It is a Node stream; the client's types do not say so. */
function isPausable(stream: object): stream is Pausable {
  return 'pause' in stream && 'resume' in stream;
}
