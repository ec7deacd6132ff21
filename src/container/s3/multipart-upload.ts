// A multipart upload: its parts come in any order, several at a time, and nothing is to be seen of it until it is completed. Must never leave one open that it knows of.

import type { CompletedPart } from '@aws-sdk/client-s3';
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { assert } from '../../core/errors.js';
import { fileExists, lostAnswer } from './lost-answer.js';
import { fileOf, findOwner, tokenMetadata } from './object-token.js';
import type { S3Calls } from './s3-calls.js';
import type { S3RequestError } from './s3-error.js';
import { isConditionFailed, requestError } from './s3-error.js';
import type { S3Settings } from './settings.js';
import { abortLostUploads } from './unfinished-uploads.js';

export interface UploadRequest {
  readonly key: string;
  readonly token: string;
  readonly onlyIfNew: boolean;
  readonly signal: AbortSignal;
}

function isNoSuchUpload(error: S3RequestError): boolean {
  return error.code === 'NoSuchUpload';
}

export class MultipartUpload {
  readonly #calls: S3Calls;
  readonly #settings: S3Settings;
  readonly #request: UploadRequest;
  readonly #file: string;
  #id: string | undefined;
  /** When it was begun, if an answer to that was lost: there may be an upload whose id nobody knows. */
  #lostSince: number | undefined;
  readonly #parts: CompletedPart[] = [];

  constructor(calls: S3Calls, settings: S3Settings, request: UploadRequest) {
    this.#calls = calls;
    this.#settings = settings;
    this.#request = request;
    this.#file = fileOf(settings, request.key);
  }

  /** Called once, before the first part. */
  async begin(): Promise<void> {
    const { client, checksums, clock } = this.#settings;
    const command = {
      ...this.#target(),
      Metadata: tokenMetadata(this.#request.token),
      ...(checksums ? { ChecksumAlgorithm: 'CRC32' as const } : {}),
    };
    const begunAt = clock.wallTime();
    // Until an answer is here, there may be an upload all the same.
    this.#lostSince = begunAt;
    // What is told is kept outside of the tries: one that was given up may still get its answer.
    const { id, isOnly } = await this.#run('beginning to store', 0, async (abortSignal, attempt) => {
      const { UploadId, $metadata } = await client.send(new CreateMultipartUploadCommand(command), { abortSignal });
      if (UploadId === undefined || UploadId === '') throw this.#lost('its answer has no upload id');
      return { id: UploadId, isOnly: attempt === 0 && ($metadata.attempts ?? 1) === 1 };
    });
    this.#id = id;
    if (isOnly) this.#lostSince = undefined;
  }

  /** `number` from 1. The bytes must not change until it has resolved, and may be kept for longer if it rejects. */
  async part(number: number, bytes: Uint8Array): Promise<void> {
    const { client, checksums } = this.#settings;
    const command = {
      ...this.#openTarget(),
      PartNumber: number,
      Body: bytes,
      ContentLength: bytes.length,
      ...(checksums ? { ChecksumAlgorithm: 'CRC32' as const } : {}),
    };
    const part = await this.#run('storing', bytes.length, async (abortSignal) => {
      try {
        const { ETag, ChecksumCRC32 } = await client.send(new UploadPartCommand(command), { abortSignal });
        if (ETag === undefined || ETag === '') throw this.#lost(`the answer to part ${number} has no ETag`);
        return { PartNumber: number, ETag, ...(ChecksumCRC32 === undefined ? {} : { ChecksumCRC32 }) };
      } catch (error) {
        throw this.#unlessGone(error);
      }
    });
    this.#parts.push(part);
  }

  /** FILE_EXISTS where the file was to be new and is not. After any failure the upload is to be aborted. */
  async complete(): Promise<void> {
    const { client } = this.#settings;
    const { key, token, onlyIfNew, signal } = this.#request;
    const command = {
      ...this.#openTarget(),
      MultipartUpload: { Parts: this.#parts.sort((a, b) => (a.PartNumber ?? 0) - (b.PartNumber ?? 0)) },
      ...(onlyIfNew ? { IfNoneMatch: '*' } : {}),
    };
    await this.#run('finishing', 0, async (abortSignal) => {
      try {
        // An answer of 200 with an error inside, which S3 gives when it fails after it has begun to answer, is an error to the SDK too.
        const { ETag } = await client.send(new CompleteMultipartUploadCommand(command), { abortSignal });
        if (ETag === undefined || ETag === '') throw this.#lost('its answer has no ETag');
      } catch (error) {
        const failure = requestError(error);
        const conditionFailed = failure !== undefined && onlyIfNew && isConditionFailed(failure);
        if (failure === undefined || !(conditionFailed || isNoSuchUpload(failure))) throw error;
        // An earlier attempt, ours or the SDK's, may have completed it, and only its answer was lost.
        const owner = await findOwner(this.#calls, this.#settings, key, token, signal);
        if (owner === 'ours') return;
        if (conditionFailed && owner === 'other') throw fileExists(this.#settings, this.#file, failure);
        throw this.#lost(
          'the upload is gone: it was aborted elsewhere, or the file was replaced or deleted since',
          failure,
        );
      }
    });
    this.#id = undefined;
  }

  /**
   * Discards what was uploaded; no part may be under way any more. Also where nobody knows whether the upload was ever begun. Rejects when the store cannot be reached: the bucket's rule for incomplete uploads is for that.
   */
  async abort(): Promise<void> {
    const { client } = this.#settings;
    const id = this.#id;
    const signal = this.#calls.closed;
    if (id !== undefined) {
      const command = { ...this.#target(), UploadId: id };
      const options = { doing: 'discarding', file: this.#file, signal };
      await this.#calls.run(options, async (abortSignal) => {
        try {
          await client.send(new AbortMultipartUploadCommand(command), { abortSignal });
        } catch (error) {
          const failure = requestError(error);
          if (failure === undefined || !(isNoSuchUpload(failure) || failure.httpStatusCode === 404)) throw error;
        }
      });
      this.#id = undefined;
    }
    await this.sweep();
  }

  /** Aborts what a begin whose answer was lost has left. */
  async sweep(): Promise<void> {
    const since = this.#lostSince;
    if (since === undefined) return;
    this.#lostSince = undefined;
    await abortLostUploads(this.#calls, this.#settings, { key: this.#request.key, since, keep: this.#id });
  }

  get hasLostAnswer(): boolean {
    return this.#lostSince !== undefined;
  }

  #target(): { Bucket: string; Key: string } {
    return { Bucket: this.#settings.bucket, Key: this.#request.key };
  }

  #openTarget(): { Bucket: string; Key: string; UploadId: string } {
    assert(this.#id !== undefined, 'a part needs an upload that has begun');
    return { ...this.#target(), UploadId: this.#id };
  }

  #run<T>(doing: string, bytes: number, call: (signal: AbortSignal, attempt: number) => Promise<T>): Promise<T> {
    return this.#calls.run({ doing, file: this.#file, bytes, signal: this.#request.signal }, call);
  }

  /** A part of an upload that is gone cannot be tried again, but the whole file can. */
  #unlessGone(error: unknown): unknown {
    const failure = requestError(error);
    if (failure === undefined || !isNoSuchUpload(failure)) return error;
    return this.#lost('the upload is gone: somebody else has aborted it', failure);
  }

  #lost(what: string, cause?: unknown): Error {
    return lostAnswer(this.#settings, this.#file, 'storing', what, cause);
  }
}
