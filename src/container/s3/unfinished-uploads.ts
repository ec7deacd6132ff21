// Multipart uploads that nobody will complete: those of processes that died, and those whose beginning was answered, but not heard.

import { AbortMultipartUploadCommand, ListMultipartUploadsCommand, ListPartsCommand } from '@aws-sdk/client-s3';
import type { S3Calls } from './s3-calls.js';
import { isNoSuchBucket, isNotImplemented, requestError } from './s3-error.js';
import type { S3Settings } from './settings.js';

interface OpenUpload {
  readonly key: string;
  readonly id: string;
  /** ms since 1970, by the store's clock. */
  readonly initiated: number;
}

/** ms that the store's clock and ours may differ by, where it matters only for tidiness. */
const CLOCK_DIFFERENCE = 120_000;

/** Uploads in one listing: a bound for a store that never comes to an end. */
const MOST_UPLOADS = 1_000_000;

/**
 * Aborts uploads of just this key that were begun since `since`, have no part yet, and are not `keep`. One of another process that writes the same file, and has begun it this very moment, may be among them: that process
 * is told that its upload is gone, and writes the file again. What cannot be listed stays for the bucket's rule.
 */
export async function abortLostUploads(
  calls: S3Calls,
  settings: S3Settings,
  { key, since, keep }: { key: string; since: number; keep: string | undefined },
): Promise<void> {
  for await (const upload of openUploads(calls, settings, key)) {
    if (upload.key !== key || upload.id === keep || upload.initiated < since - CLOCK_DIFFERENCE) continue;
    if (await hasParts(calls, settings, upload)) continue;
    await abortUpload(calls, settings, upload);
  }
}

/** Aborts uploads below the container's prefix that were begun more than `olderThan` ms ago, and says how many there were. */
export async function abortOldUploads(calls: S3Calls, settings: S3Settings, olderThan: number): Promise<number> {
  const before = settings.clock.wallTime() - olderThan;
  let aborted = 0;
  for await (const upload of openUploads(calls, settings, settings.dataPrefix)) {
    if (upload.initiated > before) continue;
    await abortUpload(calls, settings, upload);
    aborted++;
  }
  return aborted;
}

async function* openUploads(
  calls: S3Calls,
  { client, bucket }: S3Settings,
  prefix: string,
): AsyncGenerator<OpenUpload, void, undefined> {
  let marker: { KeyMarker?: string; UploadIdMarker?: string } = {};
  for (let count = 0; count < MOST_UPLOADS;) {
    const page = await calls.run({ doing: 'listing the uploads of' }, async (abortSignal) => {
      try {
        const command = new ListMultipartUploadsCommand({ Bucket: bucket, Prefix: prefix, ...marker });
        return await client.send(command, { abortSignal });
      } catch (error) {
        const failure = requestError(error);
        if (failure !== undefined && (isNotImplemented(failure) || isNoSuchBucket(failure))) return undefined;
        throw error;
      }
    });
    const uploads = page?.Uploads ?? [];
    for (const { Key, UploadId, Initiated } of uploads) {
      count++;
      if (Key !== undefined && UploadId !== undefined)
        yield { key: Key, id: UploadId, initiated: Initiated?.getTime() ?? Number.POSITIVE_INFINITY };
    }
    if (page?.IsTruncated !== true || uploads.length === 0 || page.NextKeyMarker === undefined) return;
    marker = {
      KeyMarker: page.NextKeyMarker,
      ...(page.NextUploadIdMarker === undefined ? {} : { UploadIdMarker: page.NextUploadIdMarker }),
    };
  }
}

async function hasParts(calls: S3Calls, { client, bucket }: S3Settings, { key, id }: OpenUpload): Promise<boolean> {
  return calls.run({ doing: 'looking at the uploads of' }, async (abortSignal) => {
    const command = new ListPartsCommand({ Bucket: bucket, Key: key, UploadId: id, MaxParts: 1 });
    try {
      return ((await client.send(command, { abortSignal })).Parts ?? []).length > 0;
    } catch (error) {
      const failure = requestError(error);
      // Completed or aborted by now, or the store does not say: it is left alone.
      if (failure?.code === 'NoSuchUpload' || (failure !== undefined && isNotImplemented(failure))) return true;
      throw error;
    }
  });
}

async function abortUpload(calls: S3Calls, { client, bucket }: S3Settings, { key, id }: OpenUpload): Promise<void> {
  await calls.run({ doing: 'discarding an upload of' }, async (abortSignal) => {
    const command = new AbortMultipartUploadCommand({ Bucket: bucket, Key: key, UploadId: id });
    try {
      await client.send(command, { abortSignal });
    } catch (error) {
      if (requestError(error)?.code !== 'NoSuchUpload') throw error;
    }
  });
}
