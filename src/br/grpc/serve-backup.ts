// A host that answers backup requests as a store of TiKV does: whoever can back up TiKV can back up the host. It is one store, which leads all its regions. Must never answer for a range whose files are not stored, nor work on
// for a client that has gone.

import type { Server, ServerCredentials, ServerWritableStream, ServiceDefinition } from '@grpc/grpc-js';
import { AbortScope } from '../../core/abort.js';
import { checkMethods, checkWholeNumber } from '../../core/check-option.js';
import type { Clock } from '../../core/clock.js';
import { systemClock } from '../../core/clock.js';
import { BackupError } from '../../core/errors.js';
import { NORMAL_KEYS } from '../../core/key-range.js';
import { loadBrMessages } from '../../format/br/proto/load.js';
import type { BackupRequest } from '../request/backup-request.js';
import type { BrEndpoint } from '../backup/br-endpoint.js';
import { BackupCalls } from './backup-calls.js';
import { BACKUP_METHOD } from './backup-service.js';
import type { Grpc } from './load-grpc.js';
import { loadGrpc } from './load-grpc.js';
import type { OpenStorage } from './request-storage.js';
import { localFolders } from './request-storage.js';

export interface ServeBackupOptions {
  /** Of what is served: a request for another one is refused, as is one that does not say. */
  readonly clusterId: bigint;
  /** Opens the storage that a request names. Default: only local ones, in `localFolders`. */
  readonly openStorage?: OpenStorage;
  /** Folders that requests may have their files written to. Default: none. */
  readonly localFolders?: readonly string[];
  /** Where keys end: what a request without a bound is answered up to. Default 0xFF, the end of the normal keys. */
  readonly endOfKeys?: Uint8Array;
  /** How raw rows are stored by the source; a request for another encoding is refused, as TiKV does. Default `v1`. */
  readonly apiVersion?: 'v1' | 'v1ttl' | 'v2';
  /** `host:port`; port 0: any that is free. Default `127.0.0.1:0`. Not with `server`. */
  readonly address?: string;
  /** TLS. Default: none. Whoever can connect can have everything written to the storages that are served. */
  readonly credentials?: ServerCredentials;
  /** A server (of @grpc/grpc-js) that the service is added to; it stays the caller's to start and to shut down. */
  readonly server?: Server;
  /** Requests at a time; more are told to come again. Default 16. */
  readonly maxRequests?: number;
  /** A request has come. Must not throw. */
  readonly onRequest?: (request: BackupRequest, peer: string) => void;
  readonly clock?: Clock;
}

/** ms that clients have to notice that the server closes, before they are cut off. */
const FAREWELL = 2000;

/** Answers until it is closed. INVALID_OPTION, PACKAGE_MISSING; what binding the address fails with. */
export async function serveBackup(
  endpoint: Pick<BrEndpoint, 'request'>,
  options: ServeBackupOptions,
): Promise<BackupServer> {
  checkMethods('endpoint', endpoint, 'BrEndpoint', ['request']);
  if (typeof options.clusterId !== 'bigint') throw invalid('clusterId must be a bigint');
  if (options.openStorage !== undefined && options.localFolders !== undefined) {
    throw invalid('openStorage and localFolders exclude each other');
  }
  if (options.server !== undefined && options.address !== undefined)
    throw invalid('server and address exclude each other');
  const { clock = systemClock, maxRequests = 16 } = options;
  const messages = await loadBrMessages();
  const grpc = await loadGrpc();
  const calls = new BackupCalls({
    endpoint,
    messages,
    status: grpc.status,
    clusterId: options.clusterId,
    openStorage: options.openStorage ?? localFolders(options.localFolders ?? []),
    endOfKeys: options.endOfKeys ?? NORMAL_KEYS.end,
    apiVersion: options.apiVersion ?? 'v1',
    maxRequests: checkWholeNumber('maxRequests', maxRequests, 1),
    onRequest: options.onRequest,
  });
  const server = options.server ?? new grpc.Server();
  server.addService(SERVICE, { backup: (call: ServerWritableStream<Buffer, Buffer>) => calls.accept(call) });
  if (options.server !== undefined) return new BackupServer({ calls, server, clock, address: undefined });
  const address = options.address ?? '127.0.0.1:0';
  const port = await bind(grpc, server, address, options.credentials);
  return new BackupServer({ calls, server, clock, address: address.replace(/:\d+$/, `:${port}`) });
}

/** Bytes in, bytes out: decoding is done where its errors can be answered. */
const SERVICE: ServiceDefinition = {
  backup: {
    path: BACKUP_METHOD,
    requestStream: false,
    responseStream: true,
    requestSerialize: asItIs,
    requestDeserialize: asItIs,
    responseSerialize: asItIs,
    responseDeserialize: asItIs,
  },
};

function asItIs(bytes: Buffer): Buffer {
  return bytes;
}

function bind(grpc: Grpc, server: Server, address: string, credentials?: ServerCredentials): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync(address, credentials ?? grpc.ServerCredentials.createInsecure(), (error, port) => {
      if (error === null) resolve(port);
      else reject(error);
    });
  });
}

interface ServerParts {
  readonly calls: BackupCalls;
  readonly server: Server;
  readonly clock: Clock;
  readonly address: string | undefined;
}

/** From serveBackup. */
export class BackupServer implements AsyncDisposable {
  /** `host:port`, with the port that was found; undefined for a server of the caller's. */
  readonly address: string | undefined;
  readonly #parts: ServerParts;
  #closed: Promise<void> | undefined;

  constructor(parts: ServerParts) {
    this.address = parts.address;
    this.#parts = parts;
  }

  /** Requests that are being answered. */
  get running(): number {
    return this.#parts.calls.running;
  }

  /** Ends what runs (clients are told to come again), takes nothing new, and leaves nothing behind. A server of the caller's goes on without the service. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    const { calls, server, clock, address } = this.#parts;
    // The service stays until then: a call that comes in between is told to come again, not that there is no such service.
    await calls.close();
    if (address === undefined) {
      server.removeService(SERVICE);
      return;
    }
    using farewell = new AbortScope();
    const left = new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
    const cut = clock.sleep(FAREWELL, farewell.signal).then(
      () => server.forceShutdown(),
      () => undefined,
    );
    await Promise.race([left, cut]);
    farewell.end();
    await cut;
    await left;
  }
}

function invalid(message: string): BackupError {
  return new BackupError('INVALID_OPTION', message);
}
