// Offers the database's log to other processes, on a local socket: LevelDB can be opened by one process only, and backup workers live in others.

import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { packBatch } from './batch-codec.js';
import type { LevelDatabase } from './level-database.js';
import { framesOf, sendFrame, type LogAnswer, type LogRequest, type RequestHeader } from './wire.js';

interface Reply {
  readonly answer: LogAnswer;
  readonly body?: Uint8Array;
}

/** A request that makes no sense, now or ever. */
class BadRequest extends Error {}

export class LogServer {
  readonly #database: LevelDatabase;
  readonly #server: Server;
  readonly #connections = new Set<Promise<void>>();
  readonly #sockets = new Set<Socket>();

  private constructor(database: LevelDatabase) {
    this.#database = database;
    this.#server = createServer((socket) => {
      const connection = this.#serve(socket).finally(() => this.#connections.delete(connection));
      this.#connections.add(connection);
    });
  }

  /** `path`: where the Unix socket will be. One that is there was left by a host that was killed: LevelDB lets nobody else have the database open. */
  static async listen(database: LevelDatabase, path: string): Promise<LogServer> {
    const server = new LogServer(database);
    await rm(path, { force: true });
    server.#server.listen(path);
    await once(server.#server, 'listening');
    return server;
  }

  /** Breaks all connections and resolves when nothing is left. The database stays open. */
  async close(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
    await Promise.all(this.#connections);
  }

  /** One connection: requests are answered as soon as they can be, in any order; all are cancelled when the client goes away. */
  async #serve(socket: Socket): Promise<void> {
    this.#sockets.add(socket);
    const requests = new Map<number, { cancel: AbortController; done: Promise<void> }>();
    try {
      for await (const { header } of framesOf<RequestHeader>(socket)) {
        if (header.call === 'cancel') {
          requests.get(header.id)?.cancel.abort();
          continue;
        }
        const cancel = new AbortController();
        const done = this.#reply(socket, header.id, header, cancel.signal).finally(() => requests.delete(header.id));
        requests.set(header.id, { cancel, done });
      }
    } catch {
      // The client was killed or the server is closing: the client, if it lives, connects again.
    } finally {
      for (const { cancel } of requests.values()) cancel.abort();
      await Promise.all([...requests.values()].map(({ done }) => done));
      socket.destroy();
      this.#sockets.delete(socket);
    }
  }

  async #reply(socket: Socket, id: number, request: LogRequest, signal: AbortSignal): Promise<void> {
    try {
      const { answer, body } = await this.#answer(request, signal);
      if (!socket.destroyed) sendFrame(socket, { id, answer }, body);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      if (!socket.destroyed) sendFrame(socket, { id, error: { message, permanent: error instanceof BadRequest } });
    }
  }

  async #answer(request: LogRequest, signal: AbortSignal): Promise<Reply> {
    if ('epoch' in request && request.epoch !== this.#database.epoch)
      throw new BadRequest(`There is no epoch ${request.epoch}`);
    if ('tagId' in request && !(request.tagId >= 0 && request.tagId < this.#database.totalTags)) {
      throw new BadRequest(`There is no tag ${request.tagId}: the log has ${this.#database.totalTags}`);
    }
    switch (request.call) {
      case 'peek':
        return this.#peek(request, signal);
      case 'pop':
        await this.#database.popLog(request.tagId, BigInt(request.upTo));
        return this.#durableVersion();
      case 'minKnownCommittedVersion':
      case 'committedVersion':
        // A commit is acknowledged when it is durable: both are the same here.
        return this.#durableVersion();
    }
  }

  async #peek(request: LogRequest & { call: 'peek' }, signal: AbortSignal): Promise<Reply> {
    const { tagId, maxBytes } = request;
    const { batch, end, popped, durableVersion } = await this.#database.readLog({
      tagId,
      begin: BigInt(request.begin),
      maxBytes,
      signal,
    });
    const answer = {
      end: String(end),
      popped: popped === undefined ? null : String(popped),
      durableVersion: String(durableVersion),
    };
    return { answer, body: packBatch(batch) };
  }

  #durableVersion(): Reply {
    return { answer: { durableVersion: String(this.#database.durableVersion) } };
  }
}
