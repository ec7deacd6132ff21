// --out: the backup's files as they are in S3, fetched without the library, and the rows that it must restore to. Any reader of the format can be held against them.

import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { GetObjectCommand, paginateListObjectsV2, type S3Client } from '@aws-sdk/client-s3';
import { formatRows } from '../level-host/history.js';
import type { Expected } from './checks.js';
import { BUCKET, OBJECT_PREFIX } from './settings.js';

export async function keepRows(folder: string, expected: readonly Expected[]): Promise<void> {
  for (const { version, rows } of expected) await writeFile(join(folder, `rows-${version}.txt`), formatRows(rows));
}

/** Every object of the backup, as the file of its name. */
export async function copyObjects(client: S3Client, folder: string): Promise<void> {
  for await (const { Contents = [] } of paginateListObjectsV2({ client }, { Bucket: BUCKET, Prefix: OBJECT_PREFIX })) {
    for (const { Key = '' } of Contents) {
      const { Body } = await client.send(new GetObjectCommand({ Bucket: BUCKET, Key }));
      const path = join(folder, Key.slice(OBJECT_PREFIX.length));
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, (await Body?.transformToByteArray()) ?? new Uint8Array(0));
    }
  }
}
