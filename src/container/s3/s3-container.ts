// A container in S3, or in a store that speaks its protocol. Laid out as FoundationDB's blob store has it, so that either can read what the other has written: the files of the backup `name` are the objects
// `data/<name>/<file>`, and the empty object `backups/<name>` says that there is such a backup.

import type { S3Client } from '@aws-sdk/client-s3';
import { CreateBucketCommand, HeadBucketCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { AbortScope } from '../../core/abort.js';
import { BufferPool } from '../../core/buffer-pool.js';
import { EMPTY_BYTES } from '../../core/bytes.js';
import { checkWholeNumber } from '../../core/check-option.js';
import { BackupError } from '../../core/errors.js';
import { checkFileName, fileNameProblem } from '../../core/file-name.js';
import { redactUrl } from '../../core/redact-url.js';
import type { BackupContainer, BackupFile, ListedFile, WriteFileOptions } from '../../ports/backup-container.js';
import { checkReadRange } from '../check-read-range.js';
import type { S3ContainerOptions } from '../s3-options.js';
import { DeleteBatch } from './delete-batch.js';
import { ExclusiveWrites } from './exclusive-writes.js';
import { listObjects } from './object-listing.js';
import { readObject } from './object-reader.js';
import { findOwner } from './object-token.js';
import { PartSlots } from './part-slots.js';
import { ReadAhead } from './read-ahead.js';
import { S3Calls } from './s3-calls.js';
import { requestError } from './s3-error.js';
import { S3File } from './s3-file.js';
import type { S3Place, S3Settings } from './settings.js';
import { checkSettings } from './settings.js';
import { abortOldUploads } from './unfinished-uploads.js';

/** ms: what `abortUnfinishedUploads` leaves alone unless it is told otherwise. */
const DEFAULT_OLDER_THAN = 24 * 3_600_000;

/** Parts' buffers kept for the next part. */
const MAX_IDLE_BYTES = 64 << 20;

export interface S3ContainerParts extends S3Place, S3ContainerOptions {
  /** Yours: it is not closed with the container. */
  readonly client: S3Client;
  /** What the container is called, without credentials. Default: `s3://<bucket>/<name>`. */
  readonly url?: string | undefined;
}

/**
 * Errors: CONTAINER_UNAVAILABLE, with `retryable: true` where it may pass; CONTAINER_ACCESS_DENIED for what the store refuses; EXCLUSIVE_WRITE_UNSUPPORTED (see `exclusiveWrites`). Their `cause` has the store's code and
 * request id, and nothing of the request. Any number of processes may use one place.
 */
export class S3Container implements BackupContainer {
  readonly url: string;
  readonly listingLag: number;
  readonly #settings: S3Settings;
  readonly #scope = new AbortScope();
  readonly #calls: S3Calls;
  readonly #pool: BufferPool;
  readonly #slots: PartSlots;
  readonly #exclusive: ExclusiveWrites;
  readonly #deletes: DeleteBatch;
  readonly #readAhead: ReadAhead;
  readonly #onClose: (() => void) | undefined;

  /** @param onClose called once by `close`: for whoever made the client */
  constructor(parts: S3ContainerParts, onClose?: () => void) {
    const { client, bucket, name, url, ...options } = parts;
    const settings = checkSettings(client, { bucket, name }, redactUrl(url ?? `s3://${bucket}/${name}`), options);
    this.url = settings.url;
    this.listingLag = settings.listingLag;
    this.#settings = settings;
    this.#calls = new S3Calls(settings, this.#scope.signal);
    this.#pool = new BufferPool({ maxIdleBytes: Math.max(MAX_IDLE_BYTES, 2 * settings.partSize) });
    this.#slots = new PartSlots(settings.partsInParallel);
    this.#exclusive = new ExclusiveWrites(this.#calls, settings);
    this.#deletes = new DeleteBatch(this.#calls, settings);
    this.#readAhead = new ReadAhead(settings.readAhead, settings.clock);
    this.#onClose = onClose;
  }

  /** Makes the bucket too, unless `createBucket` is false. */
  async create(): Promise<void> {
    const { client, bucket, indexKey, createBucket } = this.#settings;
    if (createBucket && (await this.#isBucketMissing())) await this.#createBucket();
    if ((await findOwner(this.#calls, this.#settings, indexKey, undefined)) !== 'none') return;
    await this.#calls.run({ doing: 'making' }, (abortSignal) => {
      const command = new PutObjectCommand({ Bucket: bucket, Key: indexKey, Body: EMPTY_BYTES, ContentLength: 0 });
      return client.send(command, { abortSignal });
    });
  }

  async exists(): Promise<boolean> {
    return (await findOwner(this.#calls, this.#settings, this.#settings.indexKey, undefined)) !== 'none';
  }

  /** An exclusive write's first call finds out whether the store can do it: EXCLUSIVE_WRITE_UNSUPPORTED. */
  async writeFile(name: string, options: WriteFileOptions = {}): Promise<BackupFile> {
    checkFileName(name);
    this.#scope.signal.throwIfAborted();
    const exclusive = options.exclusive ?? false;
    if (exclusive) await this.#exclusive.check();
    return new S3File({
      name,
      calls: this.#calls,
      settings: this.#settings,
      pool: this.#pool,
      slots: this.#slots,
      exclusive,
      publish: (parts, step) => this.#changing(name, () => this.#publish(name, exclusive, parts, step)),
    });
  }

  async readFile(name: string, offset: number, length: number): Promise<Uint8Array> {
    checkFileName(name);
    checkReadRange(name, offset, length);
    if (length === 0) {
      // Whether there is such a file is to be said all the same.
      await readObject(this.#calls, this.#settings, name, 0, 1);
      return EMPTY_BYTES;
    }
    return this.#readAhead.read(name, offset, length, (from, count) =>
      readObject(this.#calls, this.#settings, name, from, count),
    );
  }

  async *listFiles(prefix: string): AsyncIterable<ListedFile> {
    const { dataPrefix } = this.#settings;
    for await (const page of listObjects(this.#calls, this.#settings, dataPrefix + prefix)) {
      for (const { key, size } of page) {
        const name = key.slice(dataPrefix.length);
        // Markers for folders, probes of ours, and what other tools have left: nothing that could be read or written here.
        if (fileNameProblem(name) === undefined) yield { name, size };
      }
    }
  }

  /** Files whose deletion is asked for at about the same time go to the store in one request. */
  async deleteFile(name: string): Promise<void> {
    checkFileName(name);
    await this.#changing(name, () => this.#deletes.delete(this.#settings.dataPrefix + name));
  }

  /**
   * Aborts the multipart uploads that processes which died have left in this backup's folder: those begun longer ago than `olderThan` ms (default a day), which must be longer than any file takes to be written. Resolves
   * with how many there were. A rule of the bucket for incomplete uploads does the same (docs/guides/s3.md).
   */
  async abortUnfinishedUploads(options: { readonly olderThan?: number } = {}): Promise<number> {
    const olderThan = checkWholeNumber('olderThan', options.olderThan ?? DEFAULT_OLDER_THAN, 0);
    return abortOldUploads(this.#calls, this.#settings, olderThan);
  }

  /** Ends what is under way, with INVALID_STATE, and every later call. Closes the client if `openS3Container` has made it. Safe more than once. */
  close(): void {
    if (this.#scope.signal.aborted) return;
    this.#scope.end(new BackupError('INVALID_STATE', `${this.url} was closed`, { container: this.url }));
    this.#readAhead.clear();
    this.#onClose?.();
  }

  /** What was read ahead of a file that changes is of no use: neither what there is, nor what is on its way. */
  async #changing(name: string, work: () => Promise<void>): Promise<void> {
    this.#readAhead.forget(name);
    try {
      await work();
    } finally {
      this.#readAhead.forget(name);
    }
  }

  #publish(
    name: string,
    exclusive: boolean,
    parts: boolean,
    step: (onlyIfNew: boolean) => Promise<void>,
  ): Promise<void> {
    return exclusive ? this.#exclusive.publish(name, parts, step) : step(false);
  }

  async #isBucketMissing(): Promise<boolean> {
    const { client, bucket } = this.#settings;
    return this.#calls.run({ doing: 'looking for the bucket of' }, async (abortSignal) => {
      try {
        await client.send(new HeadBucketCommand({ Bucket: bucket }), { abortSignal });
        return false;
      } catch (error) {
        const status = requestError(error)?.httpStatusCode;
        if (status === 404) return true;
        // It is there, and whoever may not look at it may write to it all the same.
        if (status === 403 || status === 301) return false;
        throw error;
      }
    });
  }

  async #createBucket(): Promise<void> {
    const { client, bucket } = this.#settings;
    await this.#calls.run({ doing: 'making the bucket of' }, async (abortSignal) => {
      try {
        await client.send(new CreateBucketCommand({ Bucket: bucket }), { abortSignal });
      } catch (error) {
        // Another process was faster, or an attempt of ours whose answer was lost. Whose bucket it is, the next call tells.
        if (!['BucketAlreadyOwnedByYou', 'BucketAlreadyExists'].includes(requestError(error)?.code ?? '')) throw error;
      }
    });
  }
}
