// A file that goes to the store in one request.

import { PutObjectCommand } from '@aws-sdk/client-s3';
import { fileExists, lostAnswer } from './lost-answer.js';
import { fileOf, findOwner, tokenMetadata } from './object-token.js';
import type { S3Calls } from './s3-calls.js';
import { isConditionFailed, requestError } from './s3-error.js';
import type { S3Settings } from './settings.js';

export interface PutRequest {
  readonly key: string;
  /** Must not change until the call has resolved, and may be kept for longer if it rejects. */
  readonly bytes: Uint8Array;
  readonly token: string;
  /** Only if there is no such object: by `If-None-Match: *`. */
  readonly onlyIfNew: boolean;
  readonly signal?: AbortSignal;
}

/** FILE_EXISTS where it was to be new and is not. */
export async function putObject(calls: S3Calls, settings: S3Settings, request: PutRequest): Promise<void> {
  const { key, bytes, token, onlyIfNew, signal } = request;
  const file = fileOf(settings, key);
  const command = {
    Bucket: settings.bucket,
    Key: key,
    Body: bytes,
    ContentLength: bytes.length,
    Metadata: tokenMetadata(token),
    ...(settings.checksums ? { ChecksumAlgorithm: 'CRC32' as const } : {}),
    ...(onlyIfNew ? { IfNoneMatch: '*' } : {}),
  };
  const options = { doing: 'storing', file, bytes: bytes.length, ...(signal === undefined ? {} : { signal }) };
  await calls.run(options, async (abortSignal, attempt) => {
    try {
      const { ETag } = await settings.client.send(new PutObjectCommand(command), { abortSignal });
      // Every store gives one; an answer without is no store's.
      if (ETag === undefined || ETag === '') throw lostAnswer(settings, file, 'storing', 'its answer has no ETag');
    } catch (error) {
      const failure = requestError(error);
      if (failure === undefined || !onlyIfNew || !isConditionFailed(failure)) throw error;
      // An earlier attempt may have stored it, and only its answer was lost: ours or the SDK's.
      const owner = await findOwner(calls, settings, key, token, abortSignal);
      if (owner === 'ours') return;
      if (owner === 'none' && (attempt > 0 || failure.attempts > 1))
        throw lostAnswer(settings, file, 'storing', 'whether it was stored, and then deleted, cannot be told');
      throw fileExists(settings, file, failure);
    }
  });
}
