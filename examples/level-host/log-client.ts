// The workers' LogSource: a client of the log server. It connects when it is first asked something and again after a connection has broken; what was
// asked meanwhile fails with an error that the worker retries.

import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import {
  BackupError,
  LOG_ROUTER_LOCALITY,
  type LogSource,
  type PeekReply,
  type PeekRequest,
  type PopRequest,
  type Tag,
  type Version,
} from 'tidemark';
import { unpackBatch } from './batch-codec.js';
import { framesOf, sendFrame, type Frame, type LogAnswer, type LogRequest, type ReplyHeader } from './wire.js';

interface Reply {
  readonly answer: LogAnswer;
  readonly body: Uint8Array;
}

interface PendingReply {
  readonly resolve: (reply: Reply) => void;
  readonly reject: (error: unknown) => void;
}

export class LevelLogClient implements LogSource {
  readonly #path: string;
  readonly #pending = new Map<number, PendingReply>();
  #connecting: Promise<Socket> | undefined;
  #reading: Promise<void> = Promise.resolve();
  #lastId = 0;

  /** `path`: the log server's Unix socket. */
  constructor(path: string) {
    this.#path = path;
  }

  async peek({ epoch, tag, begin, maxBytes, signal }: PeekRequest): Promise<PeekReply> {
    const request = { call: 'peek', epoch, tagId: tagIdOf(tag), begin: String(begin), maxBytes } as const;
    const { answer, body } = await this.#call(request, signal);
    if (!('end' in answer)) throw new BackupError('ADAPTER_CONTRACT', 'The log server answered a peek without an end');
    return {
      batch: unpackBatch(body),
      end: BigInt(answer.end),
      minKnownCommittedVersion: BigInt(answer.durableVersion),
      popped: answer.popped === null ? undefined : BigInt(answer.popped),
    };
  }

  async pop({ epoch, tag, upTo }: PopRequest): Promise<void> {
    await this.#call({ call: 'pop', epoch, tagId: tagIdOf(tag), upTo: String(upTo) });
  }

  async minKnownCommittedVersion({ epoch, signal }: { epoch: number; signal: AbortSignal }): Promise<Version> {
    const { answer } = await this.#call({ call: 'minKnownCommittedVersion', epoch }, signal);
    return BigInt(answer.durableVersion);
  }

  async committedVersion(signal: AbortSignal): Promise<Version> {
    const { answer } = await this.#call({ call: 'committedVersion' }, signal);
    return BigInt(answer.durableVersion);
  }

  /** Requests in flight fail. A later request would connect again. */
  async close(): Promise<void> {
    const connecting = this.#connecting;
    if (connecting === undefined) return;
    await connecting.then(
      (socket) => socket.destroy(),
      () => undefined, // it never connected: nothing to close
    );
    await this.#reading;
  }

  async #call(request: LogRequest, signal?: AbortSignal): Promise<Reply> {
    signal?.throwIfAborted();
    const socket = await this.#connection();
    signal?.throwIfAborted();
    if (socket.destroyed) throw new Error('The connection to the log server is gone');
    const id = ++this.#lastId;
    const cancel = () => {
      if (!socket.destroyed) sendFrame(socket, { id, call: 'cancel' });
      this.#pending.get(id)?.reject(signal?.reason);
    };
    signal?.addEventListener('abort', cancel, { once: true });
    try {
      return await new Promise<Reply>((resolve, reject) => {
        this.#pending.set(id, { resolve, reject });
        sendFrame(socket, { id, ...request });
      });
    } finally {
      this.#pending.delete(id);
      signal?.removeEventListener('abort', cancel);
    }
  }

  #connection(): Promise<Socket> {
    this.#connecting ??= this.#connect().catch((error: unknown) => {
      this.#connecting = undefined;
      throw error;
    });
    return this.#connecting;
  }

  async #connect(): Promise<Socket> {
    const socket = connect(this.#path);
    await once(socket, 'connect');
    this.#reading = this.#readReplies(socket);
    return socket;
  }

  async #readReplies(socket: Socket): Promise<void> {
    let reason: unknown = new Error('The log server closed the connection');
    try {
      for await (const frame of framesOf<ReplyHeader>(socket)) this.#settle(frame);
    } catch (error) {
      reason = error;
    }
    socket.destroy();
    this.#connecting = undefined;
    for (const { reject } of this.#pending.values()) reject(reason);
  }

  #settle({ header, body }: Frame<ReplyHeader>): void {
    const pending = this.#pending.get(header.id);
    if (pending === undefined) return; // withdrawn
    if ('answer' in header) pending.resolve({ answer: header.answer, body });
    else if (header.error.permanent) pending.reject(new BackupError('ADAPTER_CONTRACT', header.error.message));
    else pending.reject(new Error(header.error.message));
  }
}

function tagIdOf(tag: Tag): number {
  if (tag.locality !== LOG_ROUTER_LOCALITY)
    throw new BackupError('INVALID_OPTION', `No log of locality ${tag.locality} is served here`);
  return tag.id;
}
