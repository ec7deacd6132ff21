// Files that must not exist yet. A store that ignores the condition would let two hosts both believe that they were first, so it is asked before it is trusted.

import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  PutObjectCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { BackupError } from '../../core/errors.js';
import { KeyedLock } from './keyed-lock.js';
import { fileExists, lostAnswer } from './lost-answer.js';
import { findOwner } from './object-token.js';
import type { S3Calls } from './s3-calls.js';
import type { S3RequestError } from './s3-error.js';
import { isConditionFailed, isNotImplemented, requestError } from './s3-error.js';
import type { S3Settings } from './settings.js';

/** By URL and name, for the whole process: containers of one place that were opened twice must not both be first. */
const checkFirstLock = new KeyedLock();

/** The two calls that may carry the condition; a store may know one and not the other. */
type Kind = 'PutObject' | 'CompleteMultipartUpload';

export class ExclusiveWrites {
  readonly #calls: S3Calls;
  readonly #settings: S3Settings;
  /** Resolves if the store keeps to the condition. A probe that failed otherwise is not kept. */
  readonly #probes = new Map<Kind, Promise<void>>();

  constructor(calls: S3Calls, settings: S3Settings) {
    this.#calls = calls;
    this.#settings = settings;
  }

  /** Before an exclusive write begins: EXCLUSIVE_WRITE_UNSUPPORTED where it could not end well. */
  async check(kind: Kind = 'PutObject'): Promise<void> {
    if (this.#settings.exclusiveWrites === 'check-first') return;
    let probe = this.#probes.get(kind);
    if (probe === undefined) {
      probe = this.#probe(kind);
      this.#probes.set(kind, probe);
    }
    try {
      await probe;
    } catch (error) {
      if (!BackupError.is(error, 'EXCLUSIVE_WRITE_UNSUPPORTED')) this.#probes.delete(kind);
      throw error;
    }
  }

  /** Runs the step that makes the file visible. FILE_EXISTS if there is one of that name. */
  async publish(file: string, parts: boolean, step: (onlyIfNew: boolean) => Promise<void>): Promise<void> {
    if (this.#settings.exclusiveWrites === 'atomic') {
      await this.check(parts ? 'CompleteMultipartUpload' : 'PutObject');
      await step(true);
      return;
    }
    const { url, dataPrefix } = this.#settings;
    await checkFirstLock.run(`${url} ${file}`, async () => {
      const owner = await findOwner(this.#calls, this.#settings, dataPrefix + file, undefined);
      if (owner !== 'none') throw fileExists(this.#settings, file);
      await step(false);
    });
  }

  /** With an object of its own, whose name no listing of the container shows. */
  async #probe(kind: Kind): Promise<void> {
    const { random, dataPrefix, bucket, client } = this.#settings;
    const key = `${dataPrefix}probe-${random.uid()}.temp`;
    try {
      const isKept = (await this.#isRefused(key)) || (await this.#isRefused(key));
      if (!isKept) throw this.#unsupported('PutObject');
      if (kind === 'CompleteMultipartUpload' && !(await this.#isUploadRefused(key))) throw this.#unsupported(kind);
    } finally {
      // What is left over is never listed, and is a few bytes.
      await this.#calls
        .run({ doing: 'deleting a probe of' }, (abortSignal) =>
          client.send(new DeleteObjectCommand({ Bucket: bucket, Key: key }), { abortSignal }),
        )
        .catch(() => undefined);
    }
  }

  /** The first time the name is free, the second time it is taken. Refused the first time: an attempt whose answer was lost came before, which is as good. */
  async #isRefused(key: string): Promise<boolean> {
    const { bucket, client } = this.#settings;
    const body = new TextEncoder().encode('conditional write?');
    return this.#calls.run({ doing: 'trying a conditional write in' }, async (abortSignal) => {
      try {
        const command = { Bucket: bucket, Key: key, Body: body, ContentLength: body.length, IfNoneMatch: '*' };
        await client.send(new PutObjectCommand(command), { abortSignal });
        return false;
      } catch (error) {
        return this.#isConditionFailed(error, 'PutObject');
      }
    });
  }

  /** An upload to a name that is taken. */
  async #isUploadRefused(key: string): Promise<boolean> {
    const { bucket, client } = this.#settings;
    return this.#calls.run({ doing: 'trying a conditional write in' }, async (abortSignal) => {
      const target = { Bucket: bucket, Key: key };
      const { UploadId } = await client.send(new CreateMultipartUploadCommand(target), { abortSignal });
      if (UploadId === undefined) throw lostAnswer(this.#settings, key, 'trying', 'its answer has no upload id');
      const upload = { ...target, UploadId };
      try {
        const part = { ...upload, PartNumber: 1, Body: new TextEncoder().encode('?'), ContentLength: 1 };
        const { ETag, ChecksumCRC32 } = await client.send(new UploadPartCommand(part), { abortSignal });
        const parts = [{ PartNumber: 1, ETag, ...(ChecksumCRC32 === undefined ? {} : { ChecksumCRC32 }) }];
        const command = { ...upload, MultipartUpload: { Parts: parts }, IfNoneMatch: '*' };
        await client.send(new CompleteMultipartUploadCommand(command), { abortSignal });
        return false;
      } catch (error) {
        return this.#isConditionFailed(error, 'CompleteMultipartUpload');
      } finally {
        // After a completion there is nothing to abort, which is what the answer says then.
        await client.send(new AbortMultipartUploadCommand(upload), { abortSignal }).catch(() => undefined);
      }
    });
  }

  #isConditionFailed(error: unknown, kind: Kind): boolean {
    const failure = requestError(error);
    if (failure === undefined) throw error;
    if (isConditionFailed(failure)) return true;
    if (isNotImplemented(failure)) throw this.#unsupported(kind, failure);
    throw error;
  }

  #unsupported(kind: Kind, cause?: S3RequestError): BackupError {
    const { url } = this.#settings;
    return new BackupError(
      'EXCLUSIVE_WRITE_UNSUPPORTED',
      `the store of ${url} does not heed "If-None-Match: *" of ${kind}, so that two hosts could both make the same file. Use a store that does, or, where only one process ever writes to this container, exclusiveWrites: 'check-first'`,
      { container: url, cause },
    );
  }
}
