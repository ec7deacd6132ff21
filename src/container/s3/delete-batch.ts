// Deletes objects: those that are asked for within one turn of the event loop go to the store in one request.

import { DeleteObjectCommand, DeleteObjectsCommand } from '@aws-sdk/client-s3';
import type { BackupError } from '../../core/errors.js';
import { lostAnswer } from './lost-answer.js';
import { fileOf } from './object-token.js';
import type { S3Calls } from './s3-calls.js';
import { S3RequestError, errorOf, isNoSuchBucket, isNoSuchKey, isNotImplemented, requestError } from './s3-error.js';
import type { S3Settings } from './settings.js';

/** Keys in one request. https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html */
const MOST_KEYS = 1_000;

/** Keys that come through XML and its parsers unharmed; others are deleted one by one. */
const PLAIN_KEY = /^[\w,=./-]+$/;

interface Waiting {
  readonly key: string;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export class DeleteBatch {
  readonly #calls: S3Calls;
  readonly #settings: S3Settings;
  #waiting: Waiting[] = [];
  /** Some stores (Google's, in its S3 form) know only single deletes. */
  #isBatchKnown = true;

  constructor(calls: S3Calls, settings: S3Settings) {
    this.#calls = calls;
    this.#settings = settings;
  }

  /** Fine if there is no such object, or no such bucket. */
  async delete(key: string): Promise<void> {
    if (!PLAIN_KEY.test(key)) return this.#deleteOne(key);
    const deleted = new Promise<void>((resolve, reject) => {
      this.#waiting.push({ key, resolve, reject });
    });
    if (this.#waiting.length === 1) {
      await this.#settings.clock.yieldToHost();
      const batch = this.#waiting;
      this.#waiting = [];
      // None of them rejects: each of those who wait is told.
      const requests: Promise<void>[] = [];
      for (let i = 0; i < batch.length; i += MOST_KEYS) requests.push(this.#deleteAll(batch.slice(i, i + MOST_KEYS)));
      await Promise.all(requests);
    }
    return deleted;
  }

  async #deleteAll(batch: readonly Waiting[]): Promise<void> {
    const keys = new Set(batch.map(({ key }) => key));
    if (keys.size > 1 && this.#isBatchKnown) {
      const outcome = await this.#deleteTogether(keys);
      if (outcome !== undefined) {
        for (const { key, resolve, reject } of batch) {
          const error = outcome.get(key);
          if (error === undefined) resolve();
          else reject(error);
        }
        return;
      }
    }
    await Promise.all(
      [...keys].map(async (key) => {
        const same = batch.filter((waiting) => waiting.key === key);
        try {
          await this.#deleteOne(key);
          for (const { resolve } of same) resolve();
        } catch (error) {
          for (const { reject } of same) reject(error);
        }
      }),
    );
  }

  /** The errors of the keys that could not be deleted. Undefined: the store does not know this request. */
  async #deleteTogether(keys: ReadonlySet<string>): Promise<ReadonlyMap<string, unknown> | undefined> {
    const left = new Set(keys);
    const errors = new Map<string, BackupError>();
    try {
      await this.#calls.run({ doing: 'deleting from' }, async (signal) => {
        await this.#request(left, errors, signal);
        // Keys that failed for a passing reason are tried again, with those of which nothing was said.
        const passing = [...left].map((key) => errors.get(key) ?? this.#notSaid(key)).find((error) => error.retryable);
        if (passing !== undefined) throw passing;
      });
      return errors;
    } catch (error) {
      if (!this.#isBatchKnown) return undefined;
      return new Map([...left].map((key) => [key, errors.get(key) ?? error]));
    }
  }

  /** One request for the keys that are left. Those that are gone then leave `left`; what the store says of the others is in `errors`. */
  async #request(left: Set<string>, errors: Map<string, BackupError>, abortSignal: AbortSignal): Promise<void> {
    const { client, bucket, url } = this.#settings;
    const Delete = { Objects: [...left].map((Key) => ({ Key })), Quiet: false };
    errors.clear();
    try {
      const command = new DeleteObjectsCommand({ Bucket: bucket, Delete });
      const { Deleted = [], Errors = [] } = await client.send(command, { abortSignal });
      for (const { Key } of Deleted) left.delete(Key ?? '');
      for (const { Key = '', Code = 'InternalError', Message = '' } of Errors) {
        const failure = new S3RequestError({ name: Code, message: Message, $metadata: statusOf(Code) });
        const file = fileOf(this.#settings, Key);
        if (isNoSuchKey(failure)) left.delete(Key);
        else errors.set(Key, errorOf(failure, { doing: 'deleting', file }, url));
      }
    } catch (error) {
      const failure = requestError(error);
      if (failure !== undefined && isNoSuchBucket(failure)) {
        left.clear();
        return;
      }
      if (failure !== undefined && isUnknownRequest(failure)) this.#isBatchKnown = false;
      throw error;
    }
  }

  async #deleteOne(key: string): Promise<void> {
    const { client, bucket } = this.#settings;
    await this.#calls.run({ doing: 'deleting', file: fileOf(this.#settings, key) }, async (abortSignal) => {
      try {
        await client.send(new DeleteObjectCommand({ Bucket: bucket, Key: key }), { abortSignal });
      } catch (error) {
        const failure = requestError(error);
        if (failure === undefined || !(isNoSuchKey(failure) || isNoSuchBucket(failure))) throw error;
      }
    });
  }

  #notSaid(key: string): BackupError {
    const file = fileOf(this.#settings, key);
    return lostAnswer(this.#settings, file, 'deleting', 'the answer does not say what became of it');
  }
}

/** Of a status 400: what passes, and says nothing of the request. */
const PASSING = new Set(['BadDigest', 'ExpiredToken', 'InvalidToken', 'RequestTimeout', 'TokenRefreshRequired']);

/** Also a store that wants another checksum of the request's body than the SDK gives. What is wrong with the keys themselves, single deletes tell. */
function isUnknownRequest(failure: S3RequestError): boolean {
  return isNotImplemented(failure) || (failure.httpStatusCode === 400 && !PASSING.has(failure.code));
}

/** An error inside an answer has a code, but no status. */
function statusOf(code: string): { httpStatusCode: number } {
  return { httpStatusCode: /^(?:InternalError|ServiceUnavailable|SlowDown)$/.test(code) ? 503 : 400 };
}
