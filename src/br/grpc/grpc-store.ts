// A store that is reached over gRPC: one request, a stream of answers. Turns gRPC's statuses into errors that say whether asking again makes sense.

import type { Client, ServiceError } from '@grpc/grpc-js';
import { BackupError } from '../../core/errors.js';
import type { BrMessages } from '../../format/br/message-codec.js';
import type { BrInit } from '../../format/br/messages.js';
import type { BrBackupRequest, BrBackupResponse } from '../../format/br/request-messages.js';
import type { BackupStore } from '../request/backup-store.js';
import { StorageBackend } from '../request/storage-backend.js';
import { BACKUP_METHOD } from './backup-service.js';

/** By what gRPC's statuses mean for a backup; the others may pass. 3 invalid argument, 5 not found, 6 exists, 9 failed precondition, 11 out of range, 12 unimplemented, 15 data loss. */
const FINAL_STATUSES: ReadonlySet<number> = new Set([3, 5, 6, 9, 11, 12, 15]);
const UNIMPLEMENTED = 12;
/** 7 permission denied, 16 unauthenticated. */
const DENIED_STATUSES: ReadonlySet<number> = new Set([7, 16]);

/** Characters of what a store says: it ends up in errors and logs. */
const MAX_DETAILS = 4096;

export class GrpcBackupStore implements BackupStore {
  readonly name: string;
  readonly #client: Client;
  readonly #messages: BrMessages;

  constructor(name: string, client: Client, messages: BrMessages) {
    this.name = name;
    this.#client = client;
    this.#messages = messages;
  }

  async *backup(
    request: BrInit<BrBackupRequest>,
    signal: AbortSignal,
  ): AsyncGenerator<BrBackupResponse, void, undefined> {
    signal.throwIfAborted();
    // Before gRPC sees it: its own errors of an encoder have no code.
    const bytes = this.#messages.encode('BackupRequest', request);
    const call = this.#client.makeServerStreamRequest(BACKUP_METHOD, asBuffer, asItIs, bytes);
    const cancel = () => call.cancel();
    // gRPC reports the end of a call that nobody reads any more, too: without a listener that would end the process.
    call.on('error', ignore);
    signal.addEventListener('abort', cancel, { once: true });
    try {
      for await (const answer of call as AsyncIterable<Buffer>) {
        // A copy: what is decoded are views, kept for as long as the backup takes, and gRPC's buffers are larger than a message.
        yield this.#messages.decode('BackupResponse', new Uint8Array(answer), { file: `answer of ${this.name}` });
      }
      signal.throwIfAborted();
    } catch (error) {
      signal.throwIfAborted();
      throw isServiceError(error) ? storeError(this.name, error, request) : error;
    } finally {
      signal.removeEventListener('abort', cancel);
      cancel();
    }
  }
}

/** What gRPC says is not kept as the cause: its status, metadata and stack may quote the storage that the store was given, with its credentials. */
function storeError(
  store: string,
  { code, details, message }: ServiceError,
  request: BrInit<BrBackupRequest>,
): BackupError {
  const redacted = redactorOf(request)(details || message).slice(0, MAX_DETAILS);
  const text = `${store}: ${redacted} (gRPC status ${code})`;
  if (DENIED_STATUSES.has(code)) return new BackupError('TIKV_DENIED', text);
  if (!FINAL_STATUSES.has(code)) return new BackupError('TIKV_UNAVAILABLE', text, { retryable: true });
  const hint = (code as number) === UNIMPLEMENTED ? '. Is it a store of TiKV (20160 is its usual port)?' : '';
  return new BackupError('TIKV_FAILED', text + hint);
}

function redactorOf({ storageBackend }: BrInit<BrBackupRequest>): (text: string) => string {
  if (storageBackend?.backend === undefined) return (text) => text;
  const storage = StorageBackend.fromMessage(storageBackend);
  return (text) => storage.redactIn(text);
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && 'code' in error && typeof error.code === 'number' && 'details' in error;
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function asItIs(bytes: Buffer): Buffer {
  return bytes;
}

function ignore(): void {
  return undefined;
}
