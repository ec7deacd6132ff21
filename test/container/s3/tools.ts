// What the tests of S3Container share.

import { randomBytes } from 'node:crypto';
import type { S3Client } from '@aws-sdk/client-s3';
import { ListMultipartUploadsCommand } from '@aws-sdk/client-s3';
import type { S3ContainerOptions } from '../../../src/container/s3-options.js';
import { S3Container } from '../../../src/container/s3/s3-container.js';
import type { Clock } from '../../../src/core/clock.js';
import { systemClock } from '../../../src/core/clock.js';
import type { BackupContainer, WriteFileOptions } from '../../../src/ports/backup-container.js';
import { seededRandom } from '../../../src/testing/conformance.js';
import { bytes } from '../../../src/testing/container-tools.js';

/** Waits for retries are short; limits of time are the real ones. */
export const hurriedClock: Clock = {
  now: () => systemClock.now(),
  wallTime: () => systemClock.wallTime(),
  sleep: (ms, signal) => systemClock.sleep(ms < 20_000 ? Math.min(ms, 2) : ms, signal),
  yieldToHost: () => systemClock.yieldToHost(),
};

export function newBucket(): string {
  return `tidemark-${randomBytes(6).toString('hex')}`;
}

/** A container in a bucket of its own, made. */
export async function madeContainer(
  client: S3Client,
  options: S3ContainerOptions = {},
  bucket = newBucket(),
): Promise<{ container: S3Container; bucket: string }> {
  const container = new S3Container({ client, bucket, name: 'backup', clock: hurriedClock, ...options });
  await container.create();
  return { container, bucket };
}

export async function putBytes(
  container: BackupContainer,
  name: string,
  content: Uint8Array,
  options: WriteFileOptions & { readonly chunk?: number } = {},
): Promise<void> {
  const { chunk = 1 << 20, ...rest } = options;
  const file = await container.writeFile(name, rest);
  try {
    for (let i = 0; i < content.length; i += chunk) await file.append([content.subarray(i, i + chunk)]);
    await file.finish();
  } catch (error) {
    await file.abort();
    throw error;
  }
}

/** The same for the same length. */
export function content(length: number): Uint8Array {
  const block = bytes(65_536, seededRandom(length));
  const all = new Uint8Array(length);
  for (let i = 0; i < length; i += block.length) {
    all.set(block.subarray(0, Math.min(block.length, length - i)), i);
    block[0] = ((block[0] ?? 0) + 1) & 0xff;
  }
  return all;
}

/** The keys of the multipart uploads that are open in the bucket. */
export async function openUploads(client: S3Client, bucket: string): Promise<(string | undefined)[]> {
  const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket: bucket }));
  return Uploads.map(({ Key }) => Key);
}
