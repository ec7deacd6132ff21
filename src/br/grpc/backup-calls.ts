// The calls of the backup service that are being answered: each from its request to its last answer. A client that reads slowly holds up the work, not the memory; one that has gone ends it.

import { once } from 'node:events';
import type { ServerWritableStream, status } from '@grpc/grpc-js';
import { AbortScope } from '../../core/abort.js';
import { EMPTY_BYTES, equalBytes } from '../../core/bytes.js';
import { BackupError } from '../../core/errors.js';
import type { BrMessages } from '../../format/br/message-codec.js';
import type { BrInit, BrKeyRange } from '../../format/br/messages.js';
import type { BrBackupResponse } from '../../format/br/request-messages.js';
import type { BackupContainer } from '../../ports/backup-container.js';
import type { BackupRequest, RequestApiVersion } from '../request/backup-request.js';
import type { BrEndpoint } from '../backup/br-endpoint.js';
import type { BrRangesRequest } from '../backup/br-endpoint-options.js';
import type { BrRangeResponse } from '../backup/br-range-response.js';
import { endsBefore } from '../backup/br-range.js';
import { receivedRequest } from './received-request.js';
import type { OpenStorage } from './request-storage.js';
import { storageName } from './request-storage.js';
import { brErrorOf, clusterIdError, messageOf } from './response-errors.js';

export interface BackupCallsOptions {
  readonly endpoint: Pick<BrEndpoint, 'request'>;
  readonly messages: BrMessages;
  /** gRPC's statuses. */
  readonly status: typeof status;
  readonly clusterId: bigint;
  readonly openStorage: OpenStorage;
  readonly endOfKeys: Uint8Array;
  readonly apiVersion: 'v1' | 'v1ttl' | 'v2';
  readonly maxRequests: number;
  readonly onRequest: ((request: BackupRequest, peer: string) => void) | undefined;
}

type Call = ServerWritableStream<Buffer, Buffer>;

/** Scans at a time that a request may ask for. */
const MAX_CONCURRENCY = 1024;

/** A call that ends with a status instead of OK. */
class CallFailed extends Error {
  readonly status: number;

  constructor(code: number, message: string) {
    super(message);
    this.name = 'CallFailed';
    this.status = code;
  }
}

export class BackupCalls {
  readonly #options: BackupCallsOptions;
  readonly #scope = new AbortScope();
  readonly #running = new Set<Promise<void>>();

  constructor(options: BackupCallsOptions) {
    this.#options = options;
  }

  get running(): number {
    return this.#running.size;
  }

  /** Never throws: what goes wrong, the client is told. */
  accept(call: Call): void {
    // What is written to a client that has gone is of no interest; without a listener it would end the process.
    call.on('error', ignore);
    const work = this.#answer(call);
    this.#running.add(work);
    void work.finally(() => this.#running.delete(work));
  }

  /** Ends all calls, and waits for them. */
  async close(): Promise<void> {
    this.#scope.end(this.#failed('UNAVAILABLE', 'the server is closing'));
    await Promise.all(this.#running);
  }

  async #answer(call: Call): Promise<void> {
    using scope = new AbortScope(this.#scope.signal);
    const onGone = () => scope.end(new BackupError('STOPPED', 'the client has gone'));
    call.on('cancelled', onGone);
    try {
      if (call.cancelled) onGone();
      await this.#serve(call, scope.signal);
      call.end();
    } catch (error) {
      if (!call.cancelled) fail(call, error instanceof CallFailed ? error : this.#failedWith(error));
    } finally {
      call.off('cancelled', onGone);
    }
  }

  /** Sends everything but the end. */
  async #serve(call: Call, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const { messages, clusterId, maxRequests, onRequest } = this.#options;
    if (this.#running.size >= maxRequests)
      throw this.#failed('RESOURCE_EXHAUSTED', `${maxRequests} backups are under way`);
    const send = (answer: BrInit<BrBackupResponse>) => write(call, messages.encode('BackupResponse', answer), signal);
    const message = messages.decode('BackupRequest', call.request, { file: `request of ${call.getPeer()}` });
    if (message.clusterId !== clusterId) {
      await send({ error: clusterIdError(clusterId, message.clusterId) });
      return;
    }
    const request = receivedRequest(message);
    const redact = (text: string) => request.storage.redactIn(text);
    onRequest?.(request, call.getPeer());
    try {
      const wanted = await this.#open(request, signal);
      if ('refused' in wanted) await send({ error: { msg: messageOf(wanted.refused, redact) } });
      else for await (const answer of this.#answers(wanted, redact)) await send(answer);
    } catch (error) {
      signal.throwIfAborted();
      throw this.#failedWith(error, redact);
    }
  }

  /** What can be answered with an error, as TiKV does, is not a failure of the call. */
  async #open(request: BackupRequest, signal: AbortSignal): Promise<Wanted | { readonly refused: unknown }> {
    const { openStorage, apiVersion, endOfKeys } = this.#options;
    try {
      const { facts } = request;
      // Transactional rows are the same in all of them.
      if (facts.isRawKv && facts.apiVersion !== apiVersion) throw otherApiVersion(apiVersion, facts.apiVersion);
      return wantedOf(request, await openStorage(request.storage, { request, signal }), endOfKeys, signal);
    } catch (refused) {
      signal.throwIfAborted();
      return { refused };
    }
  }

  async *#answers(wanted: Wanted, redact: (text: string) => string): AsyncGenerator<BrInit<BrBackupResponse>> {
    const { endpoint } = this.#options;
    const { apiVersion } = wanted;
    for (const range of wanted.beyond) yield { ...range, apiVersion };
    if (wanted.request.ranges.length === 0) return;
    for await (const answer of endpoint.request(wanted.request)) {
      yield { ...responseOf(answer, wanted, redact), apiVersion };
    }
  }

  #failedWith(error: unknown, redact = (text: string) => text): CallFailed {
    const text = messageOf(error, redact);
    if (!BackupError.is(error)) return this.#failed('INTERNAL', text);
    if (error.code === 'INVALID_OPTION' || error.code === 'CORRUPT_FILE') return this.#failed('INVALID_ARGUMENT', text);
    if (error.code === 'UNSUPPORTED_FORMAT') return this.#failed('UNIMPLEMENTED', text);
    return this.#failed(error.retryable ? 'UNAVAILABLE' : 'FAILED_PRECONDITION', text);
  }

  #failed(code: keyof typeof status, message: string): CallFailed {
    return new CallFailed(this.#options.status[code], message);
  }
}

/** What the endpoint is asked for, and what needs no asking. */
interface Wanted {
  readonly request: BrRangesRequest;
  /** Beyond the end of the keys: no rows. */
  readonly beyond: readonly BrKeyRange[];
  /** That is answered with "no bound" instead of it; undefined: the request has a bound. */
  readonly end: Uint8Array | undefined;
  /** That was asked for: a client compares. */
  readonly apiVersion: RequestApiVersion;
}

/** INVALID_OPTION for what the endpoint cannot be asked. */
function wantedOf(
  { facts, cipher, storage }: BackupRequest,
  container: BackupContainer,
  endOfKeys: Uint8Array,
  signal: AbortSignal,
): Wanted {
  const beyond = facts.ranges.filter(({ startKey, endKey }) => endKey.length === 0 && endsBefore(endOfKeys, startKey));
  const within = facts.ranges.filter((range) => !beyond.includes(range));
  const hasEnd = within.every(({ endKey }) => endKey.length > 0);
  const { isRawKv, startVersion, endVersion, compression, compressionLevel, concurrency, rateLimit } = facts;
  const request: BrRangesRequest = {
    container,
    ranges: within.map(({ startKey, endKey }) => ({ begin: startKey, end: endKey.length === 0 ? endOfKeys : endKey })),
    storage: storageName(storage),
    cipher,
    // Anything else is refused where the request is received.
    compression: compression === 'unknown' || typeof compression === 'number' ? undefined : compression,
    compressionLevel: compressionLevel === 0 ? undefined : compressionLevel,
    concurrency: concurrency === 0 ? undefined : Math.min(MAX_CONCURRENCY, concurrency),
    rateLimit: rateLimit === 0n ? undefined : Math.min(Number.MAX_SAFE_INTEGER, Number(rateLimit)),
    signal,
    ...(isRawKv
      ? { kind: 'raw', cf: facts.cf, apiVersion: facts.apiVersion }
      : { kind: 'txn', startTs: startVersion, endTs: endVersion }),
  };
  return { request, beyond, end: hasEnd ? undefined : endOfKeys, apiVersion: facts.apiVersion };
}

function responseOf(
  answer: BrRangeResponse,
  { end }: Wanted,
  redact: (text: string) => string,
): BrInit<BrBackupResponse> {
  const { range, files, error } = answer;
  const isLast = end !== undefined && equalBytes(range.end, end);
  const keys = { startKey: range.begin, endKey: isLast ? EMPTY_BYTES : range.end };
  return files === undefined ? { ...keys, error: brErrorOf(error, redact) } : { ...keys, files };
}

/** Waits while the client is behind: gRPC buffers a few answers. */
async function write(call: Call, bytes: Uint8Array, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  if (call.write(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength))) return;
  try {
    await once(call, 'drain', { signal });
  } catch (error) {
    // Not Node's AbortError, but why.
    signal.throwIfAborted();
    throw error;
  }
}

/** gRPC makes the status of what its stream is said to have failed with. */
function fail(call: Call, { status: code, message }: CallFailed): void {
  call.emit('error', { name: 'CallFailed', code, details: message, message });
}

function otherApiVersion(own: string, asked: string): BackupError {
  return new BackupError('INVALID_OPTION', `rows are stored here as API version ${own}, the request is for ${asked}`);
}

function ignore(): void {
  return undefined;
}
