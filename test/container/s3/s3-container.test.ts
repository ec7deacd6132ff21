// What only a container in S3 has: the bucket, uploads that processes which died have left, the limit of parts, batches of deletes.

import type { S3Client } from '@aws-sdk/client-s3';
import { CreateMultipartUploadCommand, ListObjectsV2Command } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { PartSlots } from '../../../src/container/s3/part-slots.js';
import { S3Calls } from '../../../src/container/s3/s3-calls.js';
import { S3Container } from '../../../src/container/s3/s3-container.js';
import { S3File } from '../../../src/container/s3/s3-file.js';
import { checkSettings } from '../../../src/container/s3/settings.js';
import { BufferPool } from '../../../src/core/buffer-pool.js';
import { names, put } from '../../../src/testing/container-tools.js';
import type { S3Server } from '../../servers/s3.js';
import { s3Client, startS3 } from '../../servers/s3.js';
import type { S3Proxy } from '../../servers/s3-proxy.js';
import { is, startProxy } from '../../servers/s3-proxy.js';
import { content, hurriedClock, madeContainer, newBucket, openUploads } from './tools.js';

const PART = 5 << 20;

let server: S3Server;
let proxy: S3Proxy;
let client: S3Client;
beforeAll(async () => {
  server = await startS3();
  proxy = await startProxy(server.url);
  client = s3Client(proxy.url);
}, 60_000);
afterAll(async () => {
  client.destroy();
  await proxy.stop();
  await server.stop();
});
beforeEach(() => proxy.heal());

it('lies where FoundationDB looks for it', async () => {
  const { container, bucket } = await madeContainer(client);
  await put(container, 'plogs/a', 'x');
  const { Contents = [] } = await client.send(new ListObjectsV2Command({ Bucket: bucket }));
  expect(Contents.map(({ Key, Size }) => [Key, Size])).toEqual([
    ['backups/backup', 0],
    ['data/backup/plogs/a', 1],
  ]);
});

it('makes no bucket where it was not to', async () => {
  const parts = { client, bucket: newBucket(), name: 'backup', clock: hurriedClock, createBucket: false, attempts: 2 };
  const container = new S3Container(parts);
  await expect(container.create()).rejects.toMatchObject({
    code: 'CONTAINER_UNAVAILABLE',
    message: expect.stringContaining('createBucket') as string,
  });
});

it('lists no names that cannot be files: markers for folders, and what other tools have left', async () => {
  const { container } = await madeContainer(client);
  await put(container, 'a', 'x');
  proxy.break(is.list, {
    kind: 'change-answer',
    change: (body) => {
      const [own = ''] = /<Contents>.*?<\/Contents>/s.exec(body) ?? [];
      const odd = ['b//c', 'd.temp', 'e.part', 'folder/'].map((name) => own.replace('backup/a<', `backup/${name}<`));
      return body.replace(own, own + odd.join('')).replace('<KeyCount>1<', '<KeyCount>5<');
    },
  });
  expect(await names(container, '')).toEqual(['a']);
  expect(proxy.isSpent).toBe(true);
});

it('aborts the uploads of processes that died, and those of no other backup', async () => {
  const { container, bucket } = await madeContainer(client);
  for (const Key of ['data/backup/plogs/a', 'data/backup/b', 'data/backup2/c'])
    await client.send(new CreateMultipartUploadCommand({ Bucket: bucket, Key }));
  expect(await container.abortUnfinishedUploads()).toBe(0);
  await expect(container.abortUnfinishedUploads({ olderThan: -1 })).rejects.toMatchObject({ code: 'INVALID_OPTION' });
  expect(await container.abortUnfinishedUploads({ olderThan: 0 })).toBe(2);
  expect(await openUploads(client, bucket)).toEqual(['data/backup2/c']);
});

it('says so where a file has more parts than an upload may have', async () => {
  const { bucket } = await madeContainer(client);
  const settings = checkSettings(client, { bucket, name: 'backup' }, 's3://x/backup', { partSize: PART });
  const file = new S3File({
    name: 'large',
    calls: new S3Calls(settings, new AbortController().signal),
    settings,
    pool: new BufferPool(),
    slots: new PartSlots(4),
    exclusive: false,
    publish: (_parts, step) => step(false),
    mostParts: 2,
  });
  await file.append([content(3 * PART - 1)]).catch(() => undefined);
  await expect(file.append([content(PART)])).rejects.toMatchObject({ code: 'INVALID_STATE' });
  await file.abort();
  expect(await openUploads(client, bucket)).toEqual([]);
});

it('deletes in one request what is to be deleted at the same time', async () => {
  const { container } = await madeContainer(client);
  const all = Array.from({ length: 20 }, (_, i) => `f/${String(i).padStart(2, '0')}`);
  for (const name of [...all, 'kept']) await put(container, name, 'x');
  proxy.heal();
  await Promise.all([...all, 'f/00', 'never'].map((name) => container.deleteFile(name)));
  expect(proxy.count(is.deleteMany)).toBe(1);
  expect(proxy.count(({ method }) => method === 'DELETE')).toBe(0);
  expect(await names(container, '')).toEqual(['kept']);
});

it.each([
  ['does not know such requests', 501, 'NotImplemented'],
  ['wants another checksum of them', 400, 'MissingContentMD5'],
])('deletes one by one where the store %s', async (_what, status, code) => {
  const { container } = await madeContainer(client);
  for (const name of ['a', 'b', 'c', 'd']) await put(container, name, 'x');
  proxy.heal();
  proxy.break(is.deleteMany, { kind: 'error', status, code }, Infinity);
  await Promise.all(['a', 'b'].map((name) => container.deleteFile(name)));
  await Promise.all(['c', 'd'].map((name) => container.deleteFile(name)));
  expect(await names(container, '')).toEqual([]);
  expect(proxy.count(is.deleteMany)).toBe(1);
});

it('deletes together again after an error that passes', async () => {
  const { container } = await madeContainer(client);
  for (const name of ['a', 'b', 'c', 'd']) await put(container, name, 'x');
  proxy.heal();
  proxy.break(is.deleteMany, { kind: 'error', status: 400, code: 'ExpiredToken' }, Infinity);
  const refused = await Promise.allSettled(['a', 'b'].map((name) => container.deleteFile(name)));
  expect(refused.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  proxy.heal();
  await Promise.all(['a', 'b', 'c', 'd'].map((name) => container.deleteFile(name)));
  expect(await names(container, '')).toEqual([]);
  expect(proxy.count(is.deleteMany)).toBe(1);
});

it('reads a file from one end to the other with few requests, and sees at once what it has written itself', async () => {
  const { container } = await madeContainer(client);
  const file = await container.writeFile('a');
  await file.append([content(1 << 20)]);
  await file.finish();
  proxy.heal();
  const parts: Uint8Array[] = [];
  for (let offset = 0; offset < 1 << 20; offset += 64 << 10)
    parts.push(await container.readFile('a', offset, 64 << 10));
  expect(Buffer.concat(parts).equals(content(1 << 20))).toBe(true);
  expect(proxy.count(is.get)).toBe(2);
  await container.readFile('a', 0, 10);
  await container.readFile('a', 10, 10);
  await put(container, 'a', 'y'.repeat(100));
  expect(new TextDecoder().decode(await container.readFile('a', 20, 10))).toBe('y'.repeat(10));
  await container.readFile('a', 30, 10);
  await container.deleteFile('a');
  await expect(container.readFile('a', 40, 10)).rejects.toMatchObject({ code: 'FILE_NOT_FOUND' });
});
