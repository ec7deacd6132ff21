import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as grpc from '@grpc/grpc-js';
import { afterEach, describe, expect, it } from 'vitest';
import { utf8 } from '../../src/core/bytes.js';
import { BackupError } from '../../src/core/errors.js';
import { MemoryContainer } from '../../src/container/memory-container.js';
import { BackupRequestBuilder } from '../../src/br/request/backup-request-builder.js';
import { BrEndpoint } from '../../src/br/backup/br-endpoint.js';
import type { BrRangesRequest } from '../../src/br/backup/br-endpoint-options.js';
import type { BrRangeResponse } from '../../src/br/backup/br-range-response.js';
import type { BackupServer, ServeBackupOptions } from '../../src/br/grpc/serve-backup.js';
import { serveBackup } from '../../src/br/grpc/serve-backup.js';
import { TikvBackupClient } from '../../src/br/grpc/tikv-backup-client.js';
import { restoreBrBackup } from '../../src/br/restore/restore-br.js';
import { StorageBackend } from '../../src/br/request/storage-backend.js';
import type { BrInit } from '../../src/format/br/messages.js';
import type { BrBackupRequest, BrBackupResponse } from '../../src/format/br/request-messages.js';
import { loadBrMessages } from '../../src/format/br/proto/load.js';
import { MemoryRangeSource } from '../../src/testing/memory-range-source.js';
import { MemoryRestoreTarget } from '../../src/testing/memory-restore-target.js';
import { MemoryTxnSource } from '../../src/testing/memory-txn-source.js';
import { txnRows } from './backup-world.js';
import { FakeTikv } from './fake-tikv.js';
import { METHOD } from './grpc-stores.js';
import { rowsOf, text } from './restore-tools.js';

const builder = new BackupRequestBuilder().clusterId(7n).storage('local:///backup').compression('lz4');
const everything = builder.range(utf8(''), utf8(''));

const closing: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

type Endpoint = Pick<BrEndpoint, 'request'>;

async function serve(endpoint: Endpoint, options: Partial<ServeBackupOptions> = {}): Promise<BackupServer> {
  const server = await serveBackup(endpoint, { clusterId: 7n, ...options });
  closing.push(() => server.close());
  return server;
}

async function clientOf(server: BackupServer): Promise<TikvBackupClient> {
  const client = await TikvBackupClient.open({ addresses: [server.address ?? ''] });
  closing.push(() => client.close());
  return client;
}

/** One call without a client of ours: its answers, or its failure. */
async function ask(
  server: Pick<BackupServer, 'address'>,
  request: BrInit<BrBackupRequest> | Uint8Array,
): Promise<BrBackupResponse[]> {
  const messages = await loadBrMessages();
  const bytes = request instanceof Uint8Array ? request : messages.encode('BackupRequest', request);
  const client = new grpc.Client(server.address ?? '', grpc.credentials.createInsecure());
  closing.push(() => client.close());
  const call = client.makeServerStreamRequest(
    METHOD,
    (b: Uint8Array) => Buffer.from(b),
    (b) => b,
    bytes,
  );
  const answers: BrBackupResponse[] = [];
  for await (const answer of call as AsyncIterable<Buffer>) answers.push(messages.decode('BackupResponse', answer));
  return answers;
}

/** An endpoint that answers what it is told. */
function scripted(
  body: (request: BrRangesRequest) => AsyncGenerator<BrRangeResponse>,
): Endpoint & { requests: BrRangesRequest[] } {
  const requests: BrRangesRequest[] = [];
  return {
    requests,
    request: (request) => {
      requests.push(request);
      return body(request);
    },
  };
}

async function* answerAll({ ranges }: BrRangesRequest): AsyncGenerator<BrRangeResponse> {
  await Promise.resolve();
  for (const range of ranges) yield { range, files: [] };
}

const open = () => new MemoryContainer();

describe('a host that serves backups', () => {
  it('is backed up by a client of TiKV, and restored: full, then incremental', async () => {
    const source = new MemoryTxnSource({ borders: ['k0010', 'k0025'].map(utf8) });
    const first = source.commit(txnRows(40));
    const containers = [new MemoryContainer(), new MemoryContainer()] as const;
    let which = 0;
    const server = await serve(new BrEndpoint({ txn: source }), {
      openStorage: () => containers[which] ?? new MemoryContainer(),
    });
    const client = await clientOf(server);
    const full = await client.backup(everything.versions({ at: first }).build(), {
      meta: { container: containers[0] },
    });
    expect(full.ranges.map(({ endKey }) => text(endKey)).at(-1)).toBe('');
    const second = source.commit([{ key: utf8('k0003') }, { key: utf8('new'), value: utf8('row') }]);
    which = 1;
    await client.backup(everything.versions({ since: first, at: second }).build(), {
      meta: { container: containers[1] },
    });
    for (const [links, at] of [
      [1, first],
      [2, second],
    ] as const) {
      const target = new MemoryRestoreTarget();
      await restoreBrBackup({ chain: containers.slice(0, links).map((container) => ({ container })), target });
      const rows = source.rowsAt(at).map(({ key, value = new Uint8Array(0) }) => [text(key), text(value)] as const);
      expect(rowsOf(target)).toEqual(Object.fromEntries(rows));
    }
  });

  it('is backed up raw, encrypted, in parts', async () => {
    const source = new MemoryRangeSource();
    source.commit(
      ['a', 'b', 'c', 'd'].map((key) => ({ mutation: { type: 0, param1: utf8(key), param2: utf8(`${key}!`) } })),
    );
    const container = new MemoryContainer();
    const server = await serve(new BrEndpoint({ raw: source }), { openStorage: () => container });
    const client = await clientOf(server);
    const cipher = { method: 'aes256-ctr', key: new Uint8Array(32).fill(9) } as const;
    const request = builder.raw().cipher(cipher).range(utf8('a'), utf8('c')).range(utf8('d'), utf8('')).build();
    const { files } = await client.backup(request, { meta: { container } });
    expect(files.map(({ cipherIv }) => cipherIv.length)).toEqual([16, 16]);
    const target = new MemoryRestoreTarget();
    await restoreBrBackup({ chain: [{ container, cipher }], target });
    expect(rowsOf(target)).toEqual({ a: 'a!', b: 'b!', d: 'd!' });
  });

  it('writes local storages only where the host lets it', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'tidemark-serve-'));
    closing.push(() => rm(folder, { recursive: true }));
    const source = new MemoryTxnSource();
    const at = source.commit(txnRows(5));
    const server = await serve(new BrEndpoint({ txn: source }), { localFolders: [folder] });
    const to = (storage: StorageBackend | string) => everything.storage(storage).versions({ at }).build().toMessage();
    const inside = await ask(server, to(`local://${folder}/one`));
    expect(inside.map(({ error }) => error)).toEqual([undefined]);
    expect(inside[0]?.files.length).toBeGreaterThan(0);
    expect(await readdir(folder)).toEqual(['one']);
    for (const storage of [
      `local://${folder}/../elsewhere`,
      'local:///etc',
      `local://${folder}x`,
      's3://bucket/x?access-key=AK&secret-access-key=SECRET1',
      'noop://',
    ]) {
      const [answer, ...others] = await ask(server, to(storage));
      expect(others).toEqual([]);
      expect(answer?.error).toMatchObject({ msg: expect.stringMatching(/refused/) as string });
      expect(answer?.error?.msg).not.toMatch(/SECRET1/);
    }
    expect(await readdir(folder)).toEqual(['one']);
  });

  it('refuses every storage unless it is told otherwise', async () => {
    const server = await serve(scripted(answerAll));
    const [answer] = await ask(server, everything.versions({ at: 5n }).build().toMessage());
    expect(answer?.error?.msg).toMatch(/refused.*not in a folder/);
  });

  it.each([8n, 0n])('refuses a request for cluster %s', async (clusterId) => {
    const endpoint = scripted(answerAll);
    const server = await serve(endpoint, { openStorage: open });
    const request = { ...everything.versions({ at: 5n }).build().toMessage(), clusterId };
    expect(await ask(server, request)).toMatchObject([
      { error: { detail: { kind: 'cluster-id', current: 7n, request: clusterId } }, files: [] },
    ]);
    expect(endpoint.requests).toEqual([]);
  });

  it('asks the endpoint for what the request says', async () => {
    const endpoint = scripted(answerAll);
    const server = await serve(endpoint, { openStorage: open });
    const ranges = [
      { startKey: utf8('a'), endKey: utf8('b') },
      { startKey: utf8('x'), endKey: new Uint8Array(0) },
    ];
    const request = builder
      .cipher({ method: 'aes128-ctr', key: new Uint8Array(16) })
      .rateLimit(1000)
      .concurrency(3)
      .versions({ since: 3n, at: 9n });
    const answers = await ask(
      server,
      ranges
        .reduce((b, { startKey, endKey }) => b.range(startKey, endKey), request)
        .build()
        .toMessage(),
    );
    expect(answers.map(({ startKey, endKey }) => [text(startKey), text(endKey)])).toEqual([
      ['a', 'b'],
      ['x', ''],
    ]);
    expect(endpoint.requests).toMatchObject([
      {
        kind: 'txn',
        ranges: [
          { begin: utf8('a'), end: utf8('b') },
          { begin: utf8('x'), end: Uint8Array.of(0xff) },
        ],
        startTs: 3n,
        endTs: 9n,
        compression: 'lz4',
        compressionLevel: undefined,
        cipher: { method: 'aes128-ctr' },
        rateLimit: 1000,
        concurrency: 3,
        storage: 'local',
      },
    ]);
  });

  it('takes sub-ranges, and groups of them, for all that is wanted; beyond the end of the keys nothing is', async () => {
    const endpoint = scripted(answerAll);
    const server = await serve(endpoint, { openStorage: open, endOfKeys: utf8('m') });
    const one = { startKey: utf8('a'), endKey: utf8('b') };
    const two = { startKey: utf8('c'), endKey: utf8('d') };
    const base = everything.versions({ at: 5n }).build().toMessage();
    await ask(server, { ...base, subRanges: [one, two] });
    await ask(server, { ...base, sortedSubRangesGroups: [{ subRanges: [two] }, { subRanges: [one] }] });
    const ends = endpoint.requests.map(({ ranges }) => ranges.map(({ begin, end }) => text(begin) + text(end)));
    expect(ends).toEqual([
      ['ab', 'cd'],
      ['ab', 'cd'],
    ]);
    const beyond = await ask(server, { ...base, startKey: utf8('q') });
    expect(beyond).toMatchObject([{ startKey: utf8('q'), endKey: new Uint8Array(0), files: [] }]);
    expect(endpoint.requests).toHaveLength(2);
  });

  it.each([
    ['no bytes of a request', Uint8Array.of(0x0a, 0xff), grpc.status.INVALID_ARGUMENT],
    ['files copied', { mode: 'file' }, grpc.status.UNIMPLEMENTED],
    ['an unknown compression', { compressionType: 77 }, grpc.status.UNIMPLEMENTED],
    [
      'a cipher that we do not have',
      { cipherInfo: { cipherType: 'sm4-ctr', cipherKey: new Uint8Array(16) } },
      grpc.status.UNIMPLEMENTED,
    ],
    [
      'a key of the wrong length',
      { cipherInfo: { cipherType: 'aes128-ctr', cipherKey: new Uint8Array(5) } },
      grpc.status.INVALID_ARGUMENT,
    ],
    ['a key without a method', { cipherInfo: { cipherKey: new Uint8Array(16) } }, grpc.status.INVALID_ARGUMENT],
    ['no version', { endVersion: 0n }, grpc.status.INVALID_ARGUMENT],
    ['versions backwards', { startVersion: 8n, endVersion: 8n }, grpc.status.INVALID_ARGUMENT],
    ['a range backwards', { startKey: utf8('b'), endKey: utf8('a') }, grpc.status.INVALID_ARGUMENT],
    [
      'sub-ranges that overlap',
      {
        subRanges: [
          { startKey: utf8('a'), endKey: utf8('c') },
          { startKey: utf8('b'), endKey: utf8('d') },
        ],
      },
      grpc.status.INVALID_ARGUMENT,
    ],
    ['no storage', { storageBackend: undefined }, grpc.status.INVALID_ARGUMENT],
    ['an unknown column family', { isRawKv: true, cf: 'mine' }, grpc.status.INVALID_ARGUMENT],
  ] as [string, Uint8Array | BrInit<BrBackupRequest>, number][])('refuses %s', async (_name, change, code) => {
    const endpoint = scripted(answerAll);
    const server = await serve(endpoint, { openStorage: open });
    const request =
      change instanceof Uint8Array ? change : { ...everything.versions({ at: 5n }).build().toMessage(), ...change };
    await expect(ask(server, request)).rejects.toMatchObject({ code });
    expect(endpoint.requests).toEqual([]);
    expect(server.running).toBe(0);
  });

  it('answers a request for another API version as TiKV does', async () => {
    const server = await serve(scripted(answerAll), { openStorage: open });
    const [answer] = await ask(server, everything.raw().apiVersion('v2').build().toMessage());
    expect(answer?.error?.msg).toMatch(/API version v1.*v2/);
  });

  it('takes a level without a codec for one of its own codec, as TiKV does', async () => {
    const endpoint = scripted(answerAll);
    const server = await serve(endpoint, { openStorage: open });
    const message = everything.versions({ at: 5n }).build().toMessage();
    await ask(server, { ...message, compressionType: 'unknown', compressionLevel: 9 });
    expect(endpoint.requests).toMatchObject([{ compression: 'zstd', compressionLevel: 9 }]);
  });

  it('asks no transactional request for its API version: it has none', async () => {
    const server = await serve(scripted(answerAll), { openStorage: open, apiVersion: 'v2' });
    const [answer] = await ask(server, everything.versions({ at: 5n }).build().toMessage());
    expect(answer).toMatchObject({ apiVersion: 'v1' });
    expect(answer?.error).toBeUndefined();
  });

  it.each([
    [new BackupError('REGION_CHANGED', 'it split'), { detail: { kind: 'region', epochNotMatch: {} } }],
    [
      new BackupError('CONTAINER_UNAVAILABLE', 'full', { retryable: true }),
      { detail: { kind: 'region', serverIsBusy: { reason: 'CONTAINER_UNAVAILABLE: full' } } },
    ],
    [new BackupError('VERSION_TOO_OLD', 'gone'), { msg: 'VERSION_TOO_OLD: gone', detail: undefined }],
    [new BackupError('ADAPTER_CONTRACT', 'hole'), { msg: 'ADAPTER_CONTRACT: hole', detail: undefined }],
  ])('says what went wrong with a range in the words of TiKV: %s', async (error, expected) => {
    const server = await serve(
      scripted(async function* ({ ranges }) {
        for await (const { range } of answerAll({ ranges } as BrRangesRequest)) yield { range, error };
      }),
      { openStorage: open },
    );
    expect(await ask(server, everything.versions({ at: 5n }).build().toMessage())).toMatchObject([
      { error: expected, files: [] },
    ]);
  });

  it('ends the call when the endpoint fails, and says no secret', async () => {
    const secret = StorageBackend.s3({ bucket: 'b', accessKey: 'AKEY', secretAccessKey: 's3cr3t/+' });
    const request = everything.storage(secret).versions({ at: 5n }).build().toMessage();
    const failing = (error: Error) =>
      scripted(async function* () {
        await Promise.resolve();
        yield* [];
        throw error;
      });
    const of = async (error: Error, options: Partial<ServeBackupOptions> = {}) =>
      await ask(await serve(failing(error), { openStorage: open, ...options }), request).then(
        (answers) => ({ answers, message: answers[0]?.error?.msg }),
        (failure: unknown) => failure as grpc.ServiceError,
      );
    expect(await of(new Error('PUT with s3cr3t/+ and s3cr3t%2F%2B'))).toMatchObject({
      code: grpc.status.INTERNAL,
      details: 'PUT with *** and ***',
    });
    expect(await of(new BackupError('PACKAGE_MISSING', 'npm install x'))).toMatchObject({
      code: grpc.status.FAILED_PRECONDITION,
    });
    expect(await of(new BackupError('STORE_UNAVAILABLE', 'x', { retryable: true }))).toMatchObject({
      code: grpc.status.UNAVAILABLE,
    });
    const refuse = { openStorage: () => Promise.reject(new Error('no bucket for AKEY:s3cr3t/+')) };
    expect(await of(new Error('never'), refuse)).toMatchObject({ message: 'no bucket for ***:***' });
  });

  it('works no faster than its client reads', async () => {
    let made = 0;
    const filler = 'n'.repeat(30_000);
    const endpoint = scripted(async function* ({ ranges }) {
      const [first] = ranges;
      for (; first !== undefined && made < 5000; made++) {
        await Promise.resolve();
        yield {
          range: { begin: first.begin, end: first.end },
          error: new BackupError('CORRUPT_FILE', filler.slice(0, 4000)),
        };
      }
    });
    const server = await serve(endpoint, { openStorage: open });
    const messages = await loadBrMessages();
    const client = new grpc.Client(server.address ?? '', grpc.credentials.createInsecure());
    closing.push(() => client.close());
    const bytes = messages.encode('BackupRequest', everything.versions({ at: 5n }).build().toMessage());
    const call = client.makeServerStreamRequest(
      METHOD,
      (b: Uint8Array) => Buffer.from(b),
      (b) => b,
      bytes,
    );
    const answers = (call as AsyncIterable<Buffer>)[Symbol.asyncIterator]();
    await answers.next();
    const standstill = await untilStill(() => made);
    expect(standstill).toBeGreaterThan(1);
    expect(standstill).toBeLessThan(1000);
    let read = 1;
    while ((await answers.next()).done !== true) read++;
    expect(read).toBe(5000);
  });

  it('ends its work when the client goes, or is cut off', async () => {
    let ended: unknown;
    const endpoint = scripted(async function* ({ signal, ranges: [range] }) {
      if (range === undefined || signal === undefined) return;
      yield { range, files: [] };
      try {
        await new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)));
      } catch (error) {
        ended = error;
        throw error;
      }
    });
    const server = await serve(endpoint, { openStorage: open });
    const client = await clientOf(server);
    const controller = new AbortController();
    const request = builder.range(utf8('a'), utf8('b')).versions({ at: 5n }).build();
    const gone = expect(
      client.gather(request, { signal: controller.signal, onAnswer: () => controller.abort(new Error('bye')) }),
    ).rejects.toThrow('bye');
    await gone;
    await expect.poll(() => server.running).toBe(0);
    expect(ended).toMatchObject({ code: 'STOPPED', message: 'the client has gone' });
  });

  it('tells clients to come again when it closes, and leaves nothing', async () => {
    const endpoint = scripted(async function* ({ signal, ranges: [range] }) {
      if (range === undefined || signal === undefined) return;
      yield { range: { begin: range.begin, end: utf8('b') }, files: [] };
      await new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)));
    });
    const server = await serve(endpoint, { openStorage: open });
    const client = await clientOf(server);
    let closed: Promise<void> | undefined;
    const failure = await client
      .gather(everything.versions({ at: 5n }).build(), {
        maxAttempts: 1,
        retryMinDelay: 1,
        onAnswer: () => {
          closed ??= server.close();
        },
      })
      .catch((error: unknown) => error as BackupError);
    expect(failure).toMatchObject({ code: 'SNAPSHOT_INCOMPLETE' });
    await closed;
    expect(server.running).toBe(0);
    await expect(ask(server, everything.versions({ at: 5n }).build().toMessage())).rejects.toMatchObject({
      code: grpc.status.UNAVAILABLE,
    });
  });

  it('tells those to come again, too, who come while it closes', async () => {
    let letGo = (): void => undefined;
    const held = new Promise<void>((resolve) => (letGo = resolve));
    const endpoint = scripted(async function* ({ signal }) {
      await new Promise((resolve) => signal?.addEventListener('abort', resolve));
      await held;
      signal?.throwIfAborted();
      yield* [];
    });
    const server = await serve(endpoint, { openStorage: open });
    const request = everything.versions({ at: 5n }).build().toMessage();
    const first = expect(ask(server, request)).rejects.toMatchObject({ code: grpc.status.UNAVAILABLE });
    await expect.poll(() => endpoint.requests.length).toBe(1);
    const closed = server.close();
    await expect(ask(server, request)).rejects.toMatchObject({ code: grpc.status.UNAVAILABLE });
    letGo();
    await closed;
    await first;
  });

  it('has only so many requests at a time', async () => {
    const endpoint = scripted(async function* ({ signal }) {
      await new Promise((_resolve, reject) => signal?.addEventListener('abort', () => reject(signal.reason as Error)));
      yield* [];
    });
    const server = await serve(endpoint, { openStorage: open, maxRequests: 2 });
    const request = everything.versions({ at: 5n }).build().toMessage();
    const two = [ask(server, request), ask(server, request)].map((work) =>
      expect(work).rejects.toMatchObject({ code: grpc.status.UNAVAILABLE }),
    );
    await expect.poll(() => endpoint.requests.length).toBe(2);
    await expect(ask(server, request)).rejects.toMatchObject({ code: grpc.status.RESOURCE_EXHAUSTED });
    await server.close();
    await Promise.all(two);
  });

  it('adds its service to a server of the host, and takes it away again', async () => {
    const own = new grpc.Server();
    const port = await new Promise<number>((resolve, reject) =>
      own.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, bound) =>
        error === null ? resolve(bound) : reject(error),
      ),
    );
    closing.push(() => own.forceShutdown());
    const served = await serveBackup(scripted(answerAll), { clusterId: 7n, openStorage: open, server: own });
    expect(served.address).toBeUndefined();
    const at = { address: `127.0.0.1:${port}` };
    const request = everything.versions({ at: 5n }).build().toMessage();
    expect(await ask(at, request)).toHaveLength(1);
    await served.close();
    await expect(ask(at, request)).rejects.toMatchObject({ code: grpc.status.UNIMPLEMENTED });
  });

  it.each([
    [{ clusterId: 7 }, /clusterId/],
    [{ maxRequests: 0 }, /maxRequests/],
    [{ localFolders: ['backups'] }, /absolute/],
    [{ localFolders: [], openStorage: open }, /exclude/],
    [{ server: new grpc.Server(), address: 'x:1' }, /exclude/],
  ])('refuses to serve with %o', async (options, message) => {
    await expect(serveBackup(scripted(answerAll), { clusterId: 7n, ...(options as object) })).rejects.toMatchObject({
      code: 'INVALID_OPTION',
      message: expect.stringMatching(message) as string,
    });
  });

  it('is one of several stores for a client', async () => {
    const source = new MemoryTxnSource();
    const at = source.commit([{ key: utf8('a'), value: utf8('1') }]);
    // Each host has its own part of the keys, as two stores that lead a region each.
    const endpoints = [utf8('m'), utf8('\x7f')].map((end, i) => ({
      request: (request: BrRangesRequest) =>
        half(new BrEndpoint({ txn: source, storeId: BigInt(i) }), request, i === 0 ? utf8('') : utf8('m'), end),
    }));
    const container = new MemoryContainer();
    const servers = await Promise.all(endpoints.map((endpoint) => serve(endpoint, { openStorage: () => container })));
    const client = await TikvBackupClient.open({ addresses: servers.map(({ address }) => address ?? '') });
    closing.push(() => client.close());
    const { ranges } = await client.gather(builder.range(utf8('a'), utf8('z')).versions({ at }).build());
    expect(ranges.map(({ startKey, endKey }) => text(startKey) + text(endKey))).toEqual(['am', 'mz']);
    expect(new FakeTikv([]).storeCount).toBe(1);
  });
});

async function* half(
  endpoint: BrEndpoint,
  request: BrRangesRequest,
  from: Uint8Array,
  to: Uint8Array,
): AsyncGenerator<BrRangeResponse> {
  const later = (a: Uint8Array, b: Uint8Array) => (Buffer.compare(a, b) >= 0 ? a : b);
  const sooner = (a: Uint8Array, b: Uint8Array) => (Buffer.compare(a, b) <= 0 ? a : b);
  const ranges = request.ranges.map(({ begin, end }) => ({ begin: later(begin, from), end: sooner(end, to) }));
  yield* endpoint.request({ ...request, ranges: ranges.filter(({ begin, end }) => Buffer.compare(begin, end) < 0) });
}

/** The number once it has not changed for a while. */
async function untilStill(read: () => number): Promise<number> {
  for (let before = -1; ;) {
    await new Promise((resolve) => setTimeout(resolve, 300));
    const now = read();
    if (now === before) return now;
    before = now;
  }
}
