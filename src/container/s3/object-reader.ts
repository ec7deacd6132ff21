// Reads a range of an object, whole or not at all.

import type { Readable } from 'node:stream';
import { GetObjectCommand } from '@aws-sdk/client-s3';
import { EMPTY_BYTES } from '../../core/bytes.js';
import { BackupError } from '../../core/errors.js';
import { lostAnswer } from './lost-answer.js';
import type { S3Calls } from './s3-calls.js';
import { isNoSuchBucket, isNoSuchKey, requestError } from './s3-error.js';
import type { S3Settings } from './settings.js';

export interface ReadBytes {
  /** Memory of its own. Shorter than asked for only at the end of the object. */
  readonly bytes: Uint8Array;
  /** Whether nothing comes behind these bytes. */
  readonly isEnd: boolean;
}

/** Bytes for which a read gets more time: whoever asks for more asks for "all that there is". */
const MOST_TIMED = 256 << 20;

/** `length` from 1. FILE_NOT_FOUND if there is no such object. */
export async function readObject(
  calls: S3Calls,
  settings: S3Settings,
  file: string,
  offset: number,
  length: number,
): Promise<ReadBytes> {
  const { client, bucket, dataPrefix, url } = settings;
  const last = Math.min(offset + length - 1, Number.MAX_SAFE_INTEGER);
  const command = { Bucket: bucket, Key: dataPrefix + file, Range: `bytes=${offset}-${last}` };
  return calls.run({ doing: 'reading', file, bytes: Math.min(length, MOST_TIMED) }, async (abortSignal) => {
    try {
      const answer = await client.send(new GetObjectCommand(command), { abortSignal });
      if (answer.Body === undefined) throw lostAnswer(settings, file, 'reading', 'its answer has no body');
      // A store that does not know ranges answers with the whole object.
      const range = parseContentRange(answer.ContentRange) ?? { first: 0, size: answer.ContentLength };
      const bytes = await collect(answer.Body as Readable, answer.ContentLength, abortSignal);
      if (
        range.size === undefined ||
        range.first > offset ||
        range.first + bytes.length < Math.min(range.size, last + 1)
      )
        throw lostAnswer(settings, file, 'reading', `bytes ${offset} to ${last} were asked for, and others given`);
      // Some stores give more than was asked for.
      const skip = offset - range.first;
      const wanted = skip === 0 && bytes.length <= length ? bytes : bytes.slice(skip, skip + length);
      return { bytes: wanted, isEnd: offset + wanted.length >= range.size };
    } catch (error) {
      const failure = requestError(error);
      if (failure === undefined) throw error;
      if (failure.code === 'InvalidRange' || failure.httpStatusCode === 416) return { bytes: EMPTY_BYTES, isEnd: true };
      if (isNoSuchBucket(failure) || isNoSuchKey(failure)) {
        const facts = { file, container: url, cause: failure };
        throw new BackupError('FILE_NOT_FOUND', `there is no file ${file} in ${url}`, facts);
      }
      throw error;
    }
  });
}

/** `bytes 0-99/1000` */
function parseContentRange(text: string | undefined): { first: number; size: number } | undefined {
  const match = /^bytes (\d+)-\d+\/(\d+)$/.exec(text ?? '');
  return match === null ? undefined : { first: Number(match[1]), size: Number(match[2]) };
}

/** The body's bytes. Rejects when the connection is cut, also where the stream just ends. */
async function collect(body: Readable, length: number | undefined, signal: AbortSignal): Promise<Uint8Array> {
  // The SDK lets go of the signal as soon as there is an answer; the body may still hang.
  const onAbort = () => body.destroy(signal.reason as Error);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    if (signal.aborted) onAbort();
    // Not from Node's pool: the caller may keep it.
    let bytes: Uint8Array = new Uint8Array(length ?? 0);
    let filled = 0;
    for await (const chunk of body as AsyncIterable<Uint8Array>) {
      if (filled + chunk.length > bytes.length) bytes = grown(bytes, filled, filled + chunk.length);
      bytes.set(chunk, filled);
      filled += chunk.length;
    }
    if (length !== undefined && filled < length) throw new Error(`the body ended after ${filled} of ${length} bytes`);
    return filled === bytes.length ? bytes : bytes.slice(0, filled);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

function grown(bytes: Uint8Array, filled: number, atLeast: number): Uint8Array {
  const larger = new Uint8Array(Math.max(atLeast, 2 * bytes.length));
  larger.set(bytes.subarray(0, filled));
  return larger;
}
