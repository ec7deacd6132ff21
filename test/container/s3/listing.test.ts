// Listings in pages, some of which go wrong on their way: nothing is lost and nothing comes twice, or there is an error.

import type { S3Client } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { S3Calls } from '../../../src/container/s3/s3-calls.js';
import { listObjects } from '../../../src/container/s3/object-listing.js';
import { checkSettings } from '../../../src/container/s3/settings.js';
import type { BackupError } from '../../../src/core/errors.js';
import { put } from '../../../src/testing/container-tools.js';
import type { S3Server } from '../../servers/s3.js';
import { s3Client, startS3 } from '../../servers/s3.js';
import type { Fault, S3Proxy } from '../../servers/s3-proxy.js';
import { is, startProxy } from '../../servers/s3-proxy.js';
import { hurriedClock, madeContainer } from './tools.js';

const NAMES = Array.from({ length: 11 }, (_, i) => `logs/${String(i).padStart(2, '0')},a+b c&d`);

let server: S3Server;
let proxy: S3Proxy;
let client: S3Client;
let bucket: string;
beforeAll(async () => {
  server = await startS3();
  proxy = await startProxy(server.url);
  client = s3Client(proxy.url);
  const made = await madeContainer(client);
  ({ bucket } = made);
  for (const name of NAMES) await put(made.container, name, 'x');
}, 60_000);
afterAll(async () => {
  client.destroy();
  await proxy.stop();
  await server.stop();
});
beforeEach(() => proxy.heal());

async function listed(prefix = '', pageSize = 3): Promise<string[]> {
  const settings = checkSettings(client, { bucket, name: 'backup' }, 's3://x/backup', { clock: hurriedClock });
  const calls = new S3Calls(settings, new AbortController().signal);
  const found: string[] = [];
  for await (const page of listObjects(calls, settings, settings.dataPrefix + prefix, pageSize))
    found.push(...page.map(({ key }) => key.slice(settings.dataPrefix.length)));
  return found;
}

describe('a listing in pages', () => {
  it.each([1, 2, 3, 11, 12])('of %i keys gives every key once', async (pageSize) => {
    expect(await listed('', pageSize)).toEqual(NAMES);
    expect(await listed('logs/0', pageSize)).toEqual(NAMES.slice(0, 10));
  });

  const passing: [string, Fault][] = [
    ['the first page comes again', { kind: 'repeat-answer' }],
    ['503 SlowDown', { kind: 'error', status: 503, code: 'SlowDown' }],
    ['the connection is cut in the middle of a page', { kind: 'cut-answer' }],
    ['keys are missing', { kind: 'change-answer', change: (body) => body.replace(/<Contents>.*?<\/Contents>/s, '') }],
    ['a page is upside down', { kind: 'change-answer', change: upsideDown }],
    ['a page is another prefix', { kind: 'change-answer', change: (body) => body.replaceAll('logs/', 'other/') }],
  ];

  it.each(passing)('asks again where %s', async (_what, fault) => {
    let lists = 0;
    proxy.break((request) => is.list(request) && ++lists > 1, fault, 2);
    expect(await listed()).toEqual(NAMES);
    expect(proxy.isSpent).toBe(true);
  });

  it.each([passing[0], passing[3], passing[4]].map((each) => each as [string, Fault]))(
    'fails, rather than leave anything out, where %s every time',
    async (_what, fault) => {
      let lists = 0;
      proxy.break((request) => is.list(request) && ++lists > 1, fault, Infinity);
      const error = (await listed().catch((thrown: unknown) => thrown)) as BackupError;
      expect(error).toMatchObject({ code: 'CONTAINER_UNAVAILABLE', retryable: true });
    },
  );
});

function upsideDown(body: string): string {
  const contents = body.match(/<Contents>.*?<\/Contents>/gs) ?? [];
  const first = body.indexOf('<Contents>');
  const last = body.lastIndexOf('</Contents>') + '</Contents>'.length;
  return body.slice(0, first) + contents.reverse().join('') + body.slice(last);
}
