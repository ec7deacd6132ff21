// Exclusive writes to a store that ignores their condition, and to one that does not.

import type { S3Client } from '@aws-sdk/client-s3';
import { ListObjectsV2Command } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { S3Container } from '../../../src/container/s3/s3-container.js';
import { exclusively, names, put, text } from '../../../src/testing/container-tools.js';
import type { S3Server } from '../../servers/s3.js';
import { s3Client, startS3 } from '../../servers/s3.js';
import type { S3Proxy } from '../../servers/s3-proxy.js';
import { is, startProxy } from '../../servers/s3-proxy.js';
import { content, hurriedClock, madeContainer, openUploads, putBytes } from './tools.js';

const PART = 5 << 20;

describe('a store that ignores If-None-Match', () => {
  let server: S3Server;
  let client: S3Client;
  beforeAll(async () => {
    server = await startS3({ conditionalWrites: false });
    client = server.client();
  }, 60_000);
  afterAll(async () => {
    client.destroy();
    await server.stop();
  });

  it('is found out before the first exclusive write, which is refused', async () => {
    const { container, bucket } = await madeContainer(client);
    await put(container, 'a', 'kept');
    const refused = { code: 'EXCLUSIVE_WRITE_UNSUPPORTED', retryable: false };
    await expect(container.writeFile('a', { exclusive: true })).rejects.toMatchObject(refused);
    await expect(container.writeFile('b', { exclusive: true })).rejects.toMatchObject(refused);
    expect(await text(container, 'a')).toBe('kept');
    expect(await names(container, '')).toEqual(['a']);
    const { Contents = [] } = await client.send(new ListObjectsV2Command({ Bucket: bucket, Prefix: 'data/' }));
    expect(Contents.map(({ Key }) => Key)).toEqual(['data/backup/a']);
  });

  it('serves exclusive writes of one process where the host has chosen check-first', async () => {
    const { container, bucket } = await madeContainer(client, { exclusiveWrites: 'check-first', partSize: PART });
    const options = { client, bucket, name: 'backup', clock: hurriedClock, exclusiveWrites: 'check-first' } as const;
    const other = new S3Container(options);
    const races = await Promise.allSettled(
      [container, other, container, other].map((each, i) => exclusively(each, 'a', `writer ${i}`)),
    );
    expect(races.filter(({ status }) => status === 'fulfilled').length).toBe(1);
    await putBytes(container, 'large', content(PART + 1), { exclusive: true });
    await expect(putBytes(other, 'large', content(PART + 1), { exclusive: true })).rejects.toMatchObject({
      code: 'FILE_EXISTS',
    });
  });
});

describe('a store that heeds If-None-Match', () => {
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

  it('is asked once, and its probe is not left', async () => {
    const { container, bucket } = await madeContainer(client);
    proxy.heal();
    for (const name of ['a', 'b', 'c']) await exclusively(container, name, name);
    const probes = proxy.requests.filter(({ method, url }) => method === 'PUT' && url.includes('/probe-'));
    expect(probes.length).toBe(2);
    const { Contents = [] } = await client.send(new ListObjectsV2Command({ Bucket: bucket, Prefix: 'data/' }));
    expect(Contents.length).toBe(3);
  });

  it('is asked again where the probe could not be made', async () => {
    const { container } = await madeContainer(client);
    proxy.break(is.put, { kind: 'error', status: 503, code: 'SlowDown' }, 4);
    await expect(container.writeFile('a', { exclusive: true })).rejects.toMatchObject({ retryable: true });
    await exclusively(container, 'a', 'now');
    expect(await text(container, 'a')).toBe('now');
  });

  it('but not for uploads in parts, is found out before a large one is finished', async () => {
    const { container, bucket } = await madeContainer(client, { partSize: PART });
    const name = 'large';
    proxy.break((request) => is.complete(request) && request.url.includes('/probe-'), {
      kind: 'error',
      status: 501,
      code: 'NotImplemented',
    });
    await expect(putBytes(container, name, content(PART + 1), { exclusive: true })).rejects.toMatchObject({
      code: 'EXCLUSIVE_WRITE_UNSUPPORTED',
    });
    expect(await names(container, '')).toEqual([]);
    expect(await openUploads(client, bucket)).toEqual([]);
  });

  it('lost the answer to a probe: the condition held all the same', async () => {
    const { container } = await madeContainer(client);
    proxy.break(is.put, { kind: 'lose-answer' });
    await exclusively(container, 'a', 'x');
    await expect(exclusively(container, 'a', 'y')).rejects.toMatchObject({ code: 'FILE_EXISTS' });
  });
});
