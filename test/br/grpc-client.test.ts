import { inspect } from 'node:util';
import * as grpc from '@grpc/grpc-js';
import { afterEach, describe, expect, it } from 'vitest';
import { utf8 } from '../../src/core/bytes.js';
import { BackupError } from '../../src/core/errors.js';
import { MemoryContainer } from '../../src/container/memory-container.js';
import { readBackupMeta } from '../../src/br/meta/backup-meta.js';
import { BackupRequestBuilder } from '../../src/br/request/backup-request-builder.js';
import type { ClusterBackupMeta } from '../../src/br/request/cluster-backup.js';
import type { GatherOptions } from '../../src/br/request/gather-backup.js';
import { TikvBackupClient } from '../../src/br/grpc/tikv-backup-client.js';
import type { BrError } from '../../src/format/br/error-messages.js';
import type { BrInit, BrKeyRange } from '../../src/format/br/messages.js';
import { loadBrMessages } from '../../src/format/br/proto/load.js';
import { FakeTikv, HastyClock, rangesOf } from './fake-tikv.js';
import type { RunningStore } from './grpc-stores.js';
import { startServer, startStores } from './grpc-stores.js';

const builder = new BackupRequestBuilder().clusterId(7n).storage('local:///backup').versions({ at: 100n });
const whole = builder.range(utf8(''), utf8('')).build();
const text = ({ startKey, endKey }: BrKeyRange) =>
  `${Buffer.from(startKey).toString()}-${Buffer.from(endKey).toString()}`;
const region = (member: object): BrInit<BrError> => ({ detail: { kind: 'region', message: 'moved', ...member } });

const running: RunningStore[] = [];
const clients: TikvBackupClient[] = [];

afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.close()));
  for (const store of running.splice(0)) store.stop();
});

async function clusterOf(tikv: FakeTikv): Promise<TikvBackupClient> {
  const stores = await startStores(tikv);
  running.push(...stores);
  return await clientOf(stores);
}

async function clientOf(stores: readonly RunningStore[]): Promise<TikvBackupClient> {
  const client = await TikvBackupClient.open({ addresses: stores.map(({ address }) => address) });
  clients.push(client);
  return client;
}

const hasty = (): GatherOptions => ({ clock: new HastyClock(), random: { next: () => 0, uid: () => 'x' } });

describe('a client of the backup service', () => {
  it('joins what several stores answer', async () => {
    const tikv = new FakeTikv(['b', 'd', 'f', 'h'], 3);
    const client = await clusterOf(tikv);
    const { ranges, files } = await client.gather(whole);
    expect(ranges.map(text)).toEqual(['-b', 'b-d', 'd-f', 'f-h', 'h-']);
    expect(files.map(({ name }) => name.slice(0, 2))).toEqual(['0/', '1/', '2/', '0/', '1/']);
  });

  it.each([
    ['epoch not match', region({ epochNotMatch: { currentRegions: [] } })],
    ['not leader', region({ notLeader: { regionId: 2n, leader: { id: 5n, storeId: 2n } } })],
    ['server is busy', region({ serverIsBusy: { reason: 'compaction', backoffMs: 40n } })],
    ['a locked key', { detail: { kind: 'key', locked: { key: utf8('c'), lockVersion: 3n } } }],
  ] as [string, BrInit<BrError>][])('asks again for a region that failed: %s', async (_name, error) => {
    const tikv = new FakeTikv(['b', 'd', 'f'], 2);
    tikv.fault = ({ region: { id }, times }) => (id === 2 && times <= 2 ? { error } : undefined);
    const client = await clusterOf(tikv);
    const { ranges, rounds } = await client.gather(whole, hasty());
    expect(ranges.map(text)).toEqual(['-b', 'b-d', 'd-f', 'f-']);
    expect(rounds).toBe(3);
    expect(tikv.requests.slice(2).map(({ message }) => rangesOf(message).map(text))).toEqual(Array(4).fill(['b-d']));
  });

  it('ends everywhere when one store is of another cluster', async () => {
    const tikv = new FakeTikv(['b', 'd', 'f'], 3);
    tikv.fault = ({ store }) =>
      store === 1 ? { error: { detail: { kind: 'cluster-id', current: 9n, request: 7n } } } : 'silence';
    const stores = await startStores(tikv);
    running.push(...stores);
    const client = await clientOf(stores);
    await expect(client.gather(whole, hasty())).rejects.toMatchObject({
      code: 'INVALID_OPTION',
      message: expect.stringMatching(/cluster 9/) as string,
    });
    await expect.poll(() => stores.map((store) => store.running)).toEqual([0, 0, 0]);
  });

  it('goes on where a stream was cut in the middle', async () => {
    const tikv = new FakeTikv(['b', 'd', 'f']);
    const unavailable = Object.assign(new Error('going down'), { code: grpc.status.UNAVAILABLE });
    tikv.fault = ({ region: { id }, times }) => (id === 3 && times === 1 ? { cut: unavailable } : undefined);
    const client = await clusterOf(tikv);
    const errors: (string | undefined)[] = [];
    const { ranges } = await client.gather(whole, { ...hasty(), onAnswer: ({ error }) => errors.push(error?.message) });
    expect(ranges.map(text)).toEqual(['-b', 'b-d', 'd-f', 'f-']);
    expect(tikv.requests.map(({ message }) => rangesOf(message).map(text))).toEqual([['-'], ['d-']]);
    expect(errors.filter((error) => error !== undefined)).toEqual([
      expect.stringMatching(/going down \(gRPC status 14\)/),
    ]);
  });

  it('goes on when a store dies, at another one that leads its regions by then', async () => {
    const tikv = new FakeTikv(['b', 'd', 'f'], 2);
    const stores = await startStores(tikv);
    running.push(...stores);
    tikv.fault = ({ store, region: { id } }) => {
      if (store !== 1 || id !== 4) return undefined;
      for (const one of tikv.regions) one.leader = 0;
      stores[1]?.stop();
      return 'silence';
    };
    const client = await clientOf(stores);
    const { ranges } = await client.gather(whole, hasty());
    expect(ranges.map(text)).toEqual(['-b', 'b-d', 'd-f', 'f-']);
  });

  it('gives up a store that is silent, and the call there ends', async () => {
    const tikv = new FakeTikv(['b', 'd']);
    tikv.fault = ({ region: { id }, times }) => (id === 2 && times === 1 ? 'silence' : undefined);
    const stores = await startStores(tikv);
    running.push(...stores);
    const client = await clientOf(stores);
    const { ranges } = await client.gather(whole, { silenceTimeout: 100, retryMinDelay: 1 });
    expect(ranges.map(text)).toEqual(['-b', 'b-d', 'd-']);
    await expect.poll(() => stores[0]?.running).toBe(0);
  });

  it.each([
    [grpc.status.UNIMPLEMENTED, 'TIKV_FAILED', false],
    [grpc.status.INVALID_ARGUMENT, 'TIKV_FAILED', false],
    [grpc.status.UNAUTHENTICATED, 'TIKV_DENIED', false],
    [grpc.status.PERMISSION_DENIED, 'TIKV_DENIED', false],
    [grpc.status.UNAVAILABLE, 'SNAPSHOT_INCOMPLETE', true],
    [grpc.status.UNKNOWN, 'SNAPSHOT_INCOMPLETE', true],
    [grpc.status.RESOURCE_EXHAUSTED, 'SNAPSHOT_INCOMPLETE', true],
  ])('takes gRPC status %s for what it is', async (code, expected, isAskedAgain) => {
    const tikv = new FakeTikv([]);
    tikv.fault = () => ({ cut: Object.assign(new Error('no'), { code, details: 'so it is' }) });
    const client = await clusterOf(tikv);
    const failure = await client.gather(whole, { ...hasty(), maxAttempts: 3 }).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: expected, message: expect.stringMatching(/so it is/) as string });
    expect(tikv.requests).toHaveLength(isAskedAgain ? 3 : 1);
  });

  it('ends with its signal, at the stores, too', async () => {
    const tikv = new FakeTikv(['b'], 2);
    const controller = new AbortController();
    tikv.fault = ({ store }) => {
      if (store === 1) setImmediate(() => controller.abort(new Error('enough')));
      return 'silence';
    };
    const stores = await startStores(tikv);
    running.push(...stores);
    const client = await clientOf(stores);
    await expect(client.gather(whole, { signal: controller.signal })).rejects.toThrow('enough');
    await expect.poll(() => stores.map((store) => store.running)).toEqual([0, 0]);
    await expect(client.gather(whole, { signal: AbortSignal.abort(new Error('before')) })).rejects.toThrow('before');
  });

  it('ends what runs when it is closed, takes nothing after, and leaves no handle', async () => {
    const tikv = new FakeTikv(['b'], 2);
    tikv.fault = () => 'silence';
    const stores = await startStores(tikv);
    running.push(...stores);
    const sockets = () =>
      process.getActiveResourcesInfo().filter((name) => /^(?:TCPSocketWrap|Timeout)$/.test(name)).length;
    await expect.poll(sockets, { timeout: 5000 }).toBe(0);
    const client = await TikvBackupClient.open({ addresses: stores.map(({ address }) => address) });
    const work = client.gather(whole);
    const ended = expect(work).rejects.toMatchObject({ code: 'INVALID_STATE' });
    await expect.poll(() => tikv.requests.length).toBe(2);
    await client.close();
    await ended;
    await client.close();
    await expect(client.gather(whole)).rejects.toMatchObject({ code: 'INVALID_STATE' });
    await expect.poll(() => stores.map((store) => store.running)).toEqual([0, 0]);
    for (const store of running.splice(0)) store.stop();
    await expect.poll(sockets, { timeout: 5000 }).toBe(0);
  });

  it('uses clients that it is given, and leaves them open', async () => {
    const tikv = new FakeTikv(['b']);
    const [store] = await startStores(tikv);
    if (store === undefined) throw new Error('one store');
    running.push(store);
    const own = new grpc.Client(store.address, grpc.credentials.createInsecure());
    const client = await TikvBackupClient.open({ clients: { mine: own } });
    expect((await client.gather(whole)).files).toHaveLength(2);
    await client.close();
    const again = await TikvBackupClient.open({ clients: { mine: own } });
    expect((await again.gather(whole)).files).toHaveLength(2);
    await again.close();
    own.close();
  });

  it('waits with reading while who takes the answers is behind', async () => {
    const messages = await loadBrMessages();
    let sent = 0;
    const filler = 'x'.repeat(16_384);
    const store = await startServer(async (_request, signal, send) => {
      for (let i = 0; i < 2000 && !signal.aborted; i++) {
        await send(messages.encode('BackupResponse', { error: { detail: { kind: 'region', message: filler } } }));
        sent++;
      }
    });
    running.push(store);
    const client = await clientOf([store]);
    const controller = new AbortController();
    let seen = 0;
    const failed = expect(
      client.gather(whole, {
        signal: controller.signal,
        onAnswer: () => {
          seen++;
          // As if it were work: the loop is held, nothing is read meanwhile.
          const until = performance.now() + 2;
          while (performance.now() < until);
          if (seen === 100) controller.abort(new Error('seen enough'));
        },
      }),
    ).rejects.toThrow('seen enough');
    await failed;
    expect(seen).toBe(100);
    expect(sent).toBeLessThan(2000);
  });

  it('believes no bytes that are no answer', async () => {
    const store = await startServer(async (_request, _signal, send) => {
      await send(Uint8Array.of(0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f));
    });
    running.push(store);
    const client = await clientOf([store]);
    await expect(client.gather(whole)).rejects.toMatchObject({
      code: 'CORRUPT_FILE',
      file: `answer of ${store.address}`,
    });
  });

  it.each([
    [{}, /addresses must name/],
    [{ addresses: [] }, /addresses must name/],
    [{ addresses: ['a:1', 'a:1'] }, /a:1 twice/],
    [{ addresses: [''] }, /host:port/],
  ])('refuses to be opened with %j', async (options, message) => {
    await expect(TikvBackupClient.open(options)).rejects.toMatchObject({
      code: 'INVALID_OPTION',
      message: expect.stringMatching(message) as string,
    });
  });
});

describe('a backup of a cluster', () => {
  async function backup(tikv: FakeTikv, change: Partial<ClusterBackupMeta> = {}, options: GatherOptions = hasty()) {
    const container = new MemoryContainer();
    await container.create();
    // What a real store would have done before it answers.
    const file = tikv.file.bind(tikv);
    tikv.file = (...facts) => {
      const made = file(...facts);
      stored.push(put(container, made.name, Number(made.size)));
      return made;
    };
    const stored: Promise<void>[] = [];
    const client = await clusterOf(tikv);
    const work = client.backup(whole, {
      ...options,
      random: { next: () => 0, uid: () => 'ab'.repeat(16) },
      meta: { container, clusterVersion: '8.5.0', ...change },
    });
    return { container, work };
  }

  it('is one when its backupmeta is there, with each file once', async () => {
    const tikv = new FakeTikv(['b', 'd'], 2);
    tikv.fault = ({ region: { id }, times }) =>
      id === 2 && times === 1 ? { error: region({ notLeader: {} }) } : undefined;
    const { container, work } = await backup(tikv);
    const { files, meta } = await work;
    const reader = await readBackupMeta(container);
    expect(reader.sha256).toBe(meta.sha256);
    expect(reader.meta).toMatchObject({
      clusterId: 7n,
      clusterVersion: '8.5.0',
      startVersion: 0n,
      endVersion: 100n,
      isRawKv: false,
      isTxnKv: true,
    });
    const listed: string[] = [];
    for await (const one of reader.files()) listed.push(one.name);
    expect(listed).toEqual(files.map(({ name }) => name));
    const ranges: string[] = [];
    for await (const range of reader.rawRanges()) ranges.push(text(range));
    expect(ranges).toEqual(['-']);
    await expect(container.readFile('backup.lock', 0, 1)).rejects.toMatchObject({ code: 'FILE_NOT_FOUND' });
  });

  it('is none when a file is not where the store said', async () => {
    const tikv = new FakeTikv(['b', 'd'], 2);
    const { work, container } = await backup(tikv, { container: new MemoryContainer() });
    await expect(work).rejects.toMatchObject({
      code: 'SNAPSHOT_INCOMPLETE',
      message: expect.stringMatching(/3 of 3 files.*all stores share/) as string,
    });
    await expect(readBackupMeta(container)).rejects.toMatchObject({ code: 'FILE_NOT_FOUND' });
  });

  it('is none when a range stays without an answer; its lock says that something is there', async () => {
    const tikv = new FakeTikv(['b', 'd'], 2);
    tikv.fault = ({ region: { id } }) => (id === 2 ? { error: region({ notLeader: {} }) } : undefined);
    const { work, container } = await backup(tikv, {}, { ...hasty(), maxAttempts: 2 });
    await expect(work).rejects.toMatchObject({ code: 'SNAPSHOT_INCOMPLETE' });
    await expect(readBackupMeta(container)).rejects.toMatchObject({ code: 'FILE_NOT_FOUND' });
    expect((await container.readFile('backup.lock', 0, 10)).length).toBe(10);
    await expect((await clusterOf(new FakeTikv([]))).backup(whole, { meta: { container } })).rejects.toMatchObject({
      code: 'CONTAINER_IN_USE',
    });
  });

  it('leaves nothing where nothing was stored, and replaces no backup', async () => {
    const tikv = new FakeTikv([]);
    tikv.fault = () => ({ cut: new BackupError('TIKV_FAILED', 'no') });
    const { work, container } = await backup(tikv, {}, { ...hasty(), maxAttempts: 1 });
    await expect(work).rejects.toMatchObject({ code: 'SNAPSHOT_INCOMPLETE' });
    await expect(container.readFile('backup.lock', 0, 1)).rejects.toMatchObject({ code: 'FILE_NOT_FOUND' });
    await put(container, 'backupmeta', 1);
    await expect((await clusterOf(new FakeTikv([]))).backup(whole, { meta: { container } })).rejects.toMatchObject({
      code: 'FILE_EXISTS',
    });
  });

  it('survives a container that fails in the end, once', async () => {
    class Shaky extends MemoryContainer {
      looks = 0;
      override async readFile(name: string, offset: number, length: number): Promise<Uint8Array> {
        if (name !== 'backupmeta' || ++this.looks !== 2) return await super.readFile(name, offset, length);
        throw new BackupError('CONTAINER_UNAVAILABLE', 'not now', { retryable: true });
      }
    }
    const container = new Shaky();
    const { work } = await backup(new FakeTikv([]), { container, checkFiles: false });
    await expect(work).resolves.toMatchObject({ rounds: 1 });
    expect(container.looks).toBe(3);
  });

  it.each<[string, object]>([
    ['a schema that is not JSON', { schemas: [{ db: utf8('{') }] }],
    ['a schema without a database', { schemas: [{}] }],
    ['a DDL job that is no bytes', { ddls: ['{}'] }],
    ['a version to come', { metaVersion: 2 }],
    ['a cluster version that is no text', { clusterVersion: 8 }],
  ])('is not begun with %s', async (_name, change) => {
    const tikv = new FakeTikv([]);
    const { work } = await backup(tikv, change);
    await expect(work).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    expect(tikv.requests).toEqual([]);
  });

  it('shows no secret of its storage, whatever status a store ends with', async () => {
    const secret = 'wJalrXUtnFEMI/K7MDENG';
    const metadata = new grpc.Metadata();
    metadata.set('url', secret);
    const failing = await startServer(() =>
      Promise.reject(Object.assign(new Error('x'), { code: 9, details: `cannot open s3 with ${secret}`, metadata })),
    );
    running.push(failing);
    const client = await clientOf([failing]);
    const request = builder
      .range(utf8(''), utf8(''))
      .storage(`s3://bucket/folder?access-key=AKIA&secret-access-key=${secret}`)
      .build();
    const error: unknown = await client.gather(request, hasty()).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'TIKV_FAILED', message: expect.stringContaining('cannot open s3') as string });
    expect(inspect(error, { depth: 10, showHidden: true })).not.toContain(secret);
  });
});

async function put(container: MemoryContainer, name: string, size: number): Promise<void> {
  const file = await container.writeFile(name);
  await file.append([new Uint8Array(size)]);
  await file.finish();
}
