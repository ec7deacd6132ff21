// What networks, proxies and S3 itself do on bad days: nothing is lost, nothing half is seen, and no upload is left open.

import type { S3Client } from '@aws-sdk/client-s3';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { S3Container } from '../../../src/container/s3/s3-container.js';
import { S3RequestError } from '../../../src/container/s3/s3-error.js';
import type { BackupError } from '../../../src/core/errors.js';
import { list, names, put, text } from '../../../src/testing/container-tools.js';
import type { S3Server } from '../../servers/s3.js';
import { s3Client, startS3 } from '../../servers/s3.js';
import type { Fault, S3Proxy } from '../../servers/s3-proxy.js';
import { errorXml, is, startProxy } from '../../servers/s3-proxy.js';
import { content, madeContainer, openUploads, putBytes } from './tools.js';

const MIB = 1 << 20;
const PART = 5 * MIB;

let server: S3Server;
let proxy: S3Proxy;
/** Past the faults. */
let direct: S3Client;
let client: S3Client;
let container: S3Container;
let bucket: string;
beforeAll(async () => {
  server = await startS3();
  proxy = await startProxy(server.url);
  direct = server.client();
  client = s3Client(proxy.url);
}, 60_000);
afterAll(async () => {
  client.destroy();
  direct.destroy();
  await proxy.stop();
  await server.stop();
});
beforeEach(async () => {
  ({ container, bucket } = await madeContainer(client, { partSize: PART, partsInParallel: 2 }));
  proxy.heal();
});
afterEach(async () => {
  const { isSpent } = proxy;
  proxy.heal();
  expect(await openUploads(direct, bucket)).toEqual([]);
  container.close();
  expect(isSpent).toBe(true);
});

const isWhole = async (name: string, length: number) => {
  expect(await list(container, name)).toEqual([{ name, size: length }]);
  expect(Buffer.from(await container.readFile(name, 0, length + 1)).equals(content(length))).toBe(true);
};

describe('a fault that passes is not noticed', () => {
  const passing: [string, Fault][] = [
    ['the connection cut in the middle of the body', { kind: 'cut-request' }],
    ['503 SlowDown', { kind: 'error', status: 503, code: 'SlowDown' }],
    ['500', { kind: 'error', status: 500, code: 'InternalError' }],
    ['429', { kind: 'error', status: 429, code: 'TooManyRequests' }],
    ['the answer lost', { kind: 'lose-answer' }],
    ['a byte changed on its way', { kind: 'corrupt-request' }],
  ];

  it.each(passing)('%s, of a part', async (_what, fault) => {
    proxy.break(is.part, fault, 2);
    await putBytes(container, 'large', content(3 * PART + 17));
    await isWhole('large', 3 * PART + 17);
  });

  it.each(passing)('%s, of a file in one request', async (_what, fault) => {
    proxy.break(is.put, fault, 2);
    await putBytes(container, 'small', content(300_000));
    await isWhole('small', 300_000);
    expect(proxy.count(is.begin)).toBe(0);
  });

  it.each(passing.slice(1, 5))('%s, of the beginning of an upload', async (_what, fault) => {
    proxy.break(is.begin, fault, 2);
    await putBytes(container, 'large', content(PART + 1));
    await isWhole('large', PART + 1);
  });

  it.each([
    ...passing.slice(1, 5),
    ['200 with an error inside', { kind: 'answer', status: 200, body: errorXml('InternalError') }] as [string, Fault],
    ['200 with nothing inside', { kind: 'answer', status: 200, body: '' }] as [string, Fault],
  ])('%s, of the end of an upload', async (_what, fault) => {
    proxy.break(is.complete, fault, 2);
    await putBytes(container, 'large', content(PART + 1));
    await isWhole('large', PART + 1);
  });

  it.each([
    ['the connection cut in the middle of the answer', { kind: 'cut-answer' }],
    ['503 SlowDown', { kind: 'error', status: 503, code: 'SlowDown' }],
    ['the answer lost', { kind: 'lose-answer' }],
  ] as [string, Fault][])('%s, of a read', async (_what, fault) => {
    await putBytes(container, 'a', content(2_000_000));
    proxy.break(is.get, fault, 2);
    await isWhole('a', 2_000_000);
  });

  it.each([
    ['the connection cut in the middle of the answer', { kind: 'cut-answer' }],
    ['500', { kind: 'error', status: 500, code: 'InternalError' }],
    ['the answer lost', { kind: 'lose-answer' }],
  ] as [string, Fault][])('%s, of a delete of many', async (_what, fault) => {
    for (const name of ['a', 'b', 'c']) await put(container, name, name);
    proxy.break(is.deleteMany, fault, 2);
    await Promise.all(['a', 'b'].map((name) => container.deleteFile(name)));
    expect(await names(container, '')).toEqual(['c']);
  });
});

describe('a fault that stays', () => {
  const slow: Fault = { kind: 'error', status: 503, code: 'SlowDown' };

  it('is CONTAINER_UNAVAILABLE and retryable, with the code of the store and nothing of the request', async () => {
    proxy.break(is.put, slow, 4);
    const error: unknown = await putBytes(container, 'a', content(10)).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'CONTAINER_UNAVAILABLE', retryable: true, file: 'a' });
    const { cause } = error as BackupError;
    expect(cause).toBeInstanceOf(S3RequestError);
    expect(cause).toMatchObject({ code: 'SlowDown', httpStatusCode: 503 });
    expect(Object.keys(cause as object).sort()).toEqual(['attempts', 'code', 'httpStatusCode', 'name', 'requestId']);
    expect(await names(container, '')).toEqual([]);
  });

  it('of a part leaves no upload and no file', async () => {
    proxy.break(is.part, slow, Infinity);
    const error: unknown = await putBytes(container, 'large', content(4 * PART)).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'CONTAINER_UNAVAILABLE', retryable: true, file: 'large' });
    expect(await names(container, '')).toEqual([]);
  });

  it('of the beginning of an upload, which had begun all the same, leaves no upload and no file', async () => {
    proxy.break(is.begin, { kind: 'lose-answer' }, 4);
    await expect(putBytes(container, 'large', content(2 * PART))).rejects.toMatchObject({ retryable: true });
    expect(await names(container, '')).toEqual([]);
  });

  it('of the end of an upload leaves no upload and no file', async () => {
    proxy.break(is.complete, { kind: 'answer', status: 200, body: errorXml('InternalError') }, 4);
    await expect(putBytes(container, 'large', content(2 * PART))).rejects.toMatchObject({ retryable: true });
    expect(await names(container, '')).toEqual([]);
  });

  it('of the end because a late try has stored a part anew is one after which the file is written again', async () => {
    proxy.break(is.complete, { kind: 'error', status: 400, code: 'InvalidPart' }, 4);
    await expect(putBytes(container, 'large', content(2 * PART))).rejects.toMatchObject({ retryable: true });
    expect(await names(container, '')).toEqual([]);
  });

  it.each([
    ['AccessDenied', 403, { code: 'CONTAINER_ACCESS_DENIED', retryable: false }],
    ['InvalidAccessKeyId', 403, { code: 'CONTAINER_ACCESS_DENIED', retryable: false }],
    ['SignatureDoesNotMatch', 403, { code: 'CONTAINER_ACCESS_DENIED', retryable: false }],
    ['InvalidArgument', 400, { code: 'CONTAINER_UNAVAILABLE', retryable: false }],
  ])('that will not pass, %s, is not tried again', async (code, status, expected) => {
    proxy.break(is.put, { kind: 'error', status, code });
    await expect(putBytes(container, 'a', content(10))).rejects.toMatchObject(expected);
    expect(proxy.count(is.put)).toBe(1);
  });

  it('of single keys fails their deletes alone', async () => {
    for (const name of ['a', 'b', 'c']) await put(container, name, name);
    const change = (body: string) =>
      body.replace(
        '<Deleted><Key>data/backup/b</Key></Deleted>',
        '<Error><Key>data/backup/b</Key><Code>AccessDenied</Code><Message>no</Message></Error>',
      );
    proxy.break(is.deleteMany, { kind: 'change-answer', change });
    const outcomes = await Promise.allSettled(['a', 'b', 'c'].map((name) => container.deleteFile(name)));
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect((outcomes[1] as PromiseRejectedResult).reason).toMatchObject({ code: 'CONTAINER_ACCESS_DENIED', file: 'b' });
  });
});

describe('a write that must not replace anything', () => {
  it.each([
    ['in one request', 1_000, is.put],
    ['in parts', PART + 1, is.complete],
  ])('whose answer was lost, %s, knows its own file again', async (_what, length, match) => {
    await putBytes(container, 'first', content(length), { exclusive: true });
    proxy.break(match, { kind: 'lose-answer' });
    await putBytes(container, 'a', content(length), { exclusive: true });
    await isWhole('a', length);
    proxy.break(match, { kind: 'lose-answer' });
    await expect(putBytes(container, 'a', content(length), { exclusive: true })).rejects.toMatchObject({
      code: 'FILE_EXISTS',
    });
    await isWhole('a', length);
  });

  it('in parts does not replace a file that came meanwhile', async () => {
    const file = await container.writeFile('a', { exclusive: true });
    await file.append([content(PART + 1)]);
    await put(container, 'a', 'other');
    await expect(file.finish()).rejects.toMatchObject({ code: 'FILE_EXISTS' });
    await file.abort();
    expect(await text(container, 'a')).toBe('other');
  });
});

describe('a call that is given up', () => {
  it.each([
    ['a part', is.part],
    ['the beginning of an upload', is.begin],
    ['the end of an upload', is.complete],
  ])('while %s is on its way leaves no upload and no file, or the whole file', async (what, match) => {
    proxy.break(match, { kind: 'hold' });
    const file = await container.writeFile('large');
    const written = (async () => {
      for (let i = 0; i < 3; i++) await file.append([content(PART)]);
      await file.finish();
    })();
    const outcome = expect(written).rejects.toMatchObject({ code: 'INVALID_STATE' });
    await proxy.untilHeld();
    await file.abort();
    await outcome;
    proxy.release();
    expect(await names(container, '')).toEqual([]);
    expect(what).not.toBe('');
  });

  it('by closing the container ends everything that is under way, and every later call', async () => {
    await put(container, 'a', 'x');
    proxy.break(is.get, { kind: 'hold' });
    const read = expect(container.readFile('a', 0, 1)).rejects.toMatchObject({ code: 'INVALID_STATE' });
    await proxy.untilHeld();
    container.close();
    await read;
    await expect(container.exists()).rejects.toMatchObject({ code: 'INVALID_STATE' });
    await expect(container.writeFile('a')).rejects.toMatchObject({ code: 'INVALID_STATE' });
  });
});

describe('memory', () => {
  it('holds no more parts than may be under way, whatever the number of files', async () => {
    proxy.break(is.part, { kind: 'hold' }, 2);
    let appended = 0;
    const writes = ['a', 'b', 'c'].map(async (name) => {
      const file = await container.writeFile(name);
      for (let i = 0; i < 4; i++) {
        await file.append([content(PART)]);
        appended++;
      }
      await file.finish();
    });
    await proxy.untilHeld(2);
    // A turn of everything that could go on if nothing held it.
    for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve));
    // Each file has a buffer of its own, and two parts are under way.
    expect(appended).toBe(3 + 2);
    proxy.release();
    await Promise.all(writes);
    expect(proxy.mostParts).toBe(2);
    for (const name of ['a', 'b', 'c']) expect(await list(container, name)).toEqual([{ name, size: 4 * PART }]);
  });
});
