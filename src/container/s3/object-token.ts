// Whose an object is: each file that is written carries a token of its own, by which a write whose answer was lost knows its object again.

import { HeadObjectCommand } from '@aws-sdk/client-s3';
import type { S3Calls } from './s3-calls.js';
import { isNoSuchBucket, isNoSuchKey, requestError } from './s3-error.js';
import type { S3Settings } from './settings.js';

/** Stored as `x-amz-meta-tidemark-upload`. */
const TOKEN_NAME = 'tidemark-upload';

export function tokenMetadata(token: string): Record<string, string> {
  return { [TOKEN_NAME]: token };
}

export type Owner = 'ours' | 'other' | 'none';

/** Whose object has that key now. */
export async function findOwner(
  calls: S3Calls,
  settings: S3Settings,
  key: string,
  token: string | undefined,
  signal?: AbortSignal,
): Promise<Owner> {
  const command = { Bucket: settings.bucket, Key: key };
  const options = { doing: 'looking for', file: fileOf(settings, key), ...(signal === undefined ? {} : { signal }) };
  return calls.run(options, async (abortSignal) => {
    try {
      const { Metadata } = await settings.client.send(new HeadObjectCommand(command), { abortSignal });
      return token !== undefined && Metadata?.[TOKEN_NAME] === token ? 'ours' : 'other';
    } catch (error) {
      const request = requestError(error);
      if (request !== undefined && (isNoSuchKey(request) || isNoSuchBucket(request))) return 'none';
      throw error;
    }
  });
}

/** What a message calls the key: the file's name, where it is one of the container's. */
export function fileOf({ dataPrefix }: S3Settings, key: string): string {
  return key.startsWith(dataPrefix) ? key.slice(dataPrefix.length) : key;
}
