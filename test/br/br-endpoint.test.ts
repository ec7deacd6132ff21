// The BR endpoint alone: ranges in, answers and files out.

import { describe, expect, it } from 'vitest';
import { BrEndpoint } from '../../src/br/backup/br-endpoint.js';
import { MemoryContainer } from '../../src/container/memory-container.js';
import { MemoryRangeSource } from '../../src/testing/memory-range-source.js';
import { MemoryTxnSource } from '../../src/testing/memory-txn-source.js';
import { BackupError } from '../../src/core/errors.js';
import { NORMAL_KEYS } from '../../src/core/key-range.js';
import { fileNames, set } from '../snapshot/world.js';
import { HookedContainer, checkAnswers, collect, key, rowsOf, stored, txnRows } from './backup-world.js';

const full = { kind: 'txn', ranges: [NORMAL_KEYS], compression: 'none' } as const;

describe('a BR endpoint', () => {
  it('stores each region in files of its own, and answers for those without rows', async () => {
    const borders = ['k0050', 'k0051', 'k0120', 'm', 'n'].map(key);
    const source = new MemoryTxnSource({ borders, batchRows: 7 });
    source.commit(txnRows(200));
    const container = new MemoryContainer();
    const endpoint = new BrEndpoint({ txn: source });
    const answers = stored(await collect(endpoint.request({ ...full, container })));
    expect(answers).toHaveLength(6);
    expect(answers.filter(({ files }) => files.length === 0)).toHaveLength(2);
    await checkAnswers(container, answers, rowsOf(source, source.committed));
    expect(source.heldVersions).toEqual([]);
  });

  it('splits at sstMaxSize', async () => {
    const source = new MemoryTxnSource({ batchRows: 10 });
    source.commit(txnRows(300));
    const container = new MemoryContainer();
    const endpoint = new BrEndpoint({ txn: source, sstMaxSize: 2_000 });
    const answers = stored(await collect(endpoint.request({ ...full, container })));
    expect(answers.length).toBeGreaterThan(10);
    await checkAnswers(container, answers, rowsOf(source, source.committed));
  });

  it('stores the changes since a timestamp, deletes too', async () => {
    const source = new MemoryTxnSource({ borders: [key('k0100')] });
    source.commit(txnRows(200));
    const startTs = source.committed;
    source.commit([{ key: key('k0001') }, { key: key('k0150'), value: key('new') }, { key: key('never') }]);
    const container = new MemoryContainer();
    const endpoint = new BrEndpoint({ txn: source });
    const answers = stored(await collect(endpoint.request({ ...full, container, startTs })));
    await checkAnswers(container, answers, rowsOf(source, source.committed, startTs));
    expect(answers.flatMap(({ files }) => files.map((file) => file.totalKvs))).toEqual([1n, 2n]);
    expect(answers[0]?.files[0]).toMatchObject({ startVersion: startTs, endVersion: source.committed, cf: 'write' });
  });

  it('stores raw rows', async () => {
    const source = new MemoryRangeSource({ borders: [key('b')] });
    source.commit([set('a', '1'), set('b', '2'), set('c', '3')]);
    const container = new MemoryContainer();
    const endpoint = new BrEndpoint({ raw: source });
    const answers = stored(await collect(endpoint.request({ ...full, container, kind: 'raw' })));
    const asRows = (range = NORMAL_KEYS) =>
      source.rowsAt(1n, range).map(([k, value]) => ({ key: k, value, startTs: 0n, commitTs: 0n }));
    await checkAnswers(container, answers, asRows);
    expect(answers.flatMap(({ files }) => files.map(({ cf }) => cf))).toEqual(['default', 'default']);
    expect(source.heldVersions).toEqual([]);
  });

  it('keeps what a region gave before it changed, and answers with the error for the rest', async () => {
    const source: MemoryTxnSource = new MemoryTxnSource({
      borders: [key('k0100')],
      batchRows: 10,
      beforeBatch: ({ region }, index) => {
        if (region.id === '1' && index === 3) source.split(key('k0070'));
      },
    });
    source.commit(txnRows(200));
    const container = new MemoryContainer();
    const answers = await collect(new BrEndpoint({ txn: source }).request({ ...full, container }));
    const failed = answers.filter(({ error }) => error !== undefined);
    expect(failed).toMatchObject([
      { range: { begin: key('k0029\0'), end: key('k0100') }, error: { code: 'REGION_CHANGED' } },
    ]);
    const ranges = [
      { begin: key(''), end: key('k0029\0') },
      { begin: key('k0100'), end: key('\xff') },
    ];
    const rest = stored(answers.filter(({ error }) => error === undefined));
    await checkAnswers(container, rest, rowsOf(source, source.committed), [
      ranges[0]!,
      { begin: key('k0100'), end: NORMAL_KEYS.end },
    ]);
  });

  it('answers VERSION_TOO_OLD and does not go on at another timestamp', async () => {
    const source = new MemoryTxnSource({ borders: [key('k0100')] });
    source.commit(txnRows(200));
    const endTs = source.committed;
    source.commit(txnRows(10, 1));
    source.collectGarbage(endTs + 1n);
    const container = new MemoryContainer();
    const answers = await collect(new BrEndpoint({ txn: source }).request({ ...full, container, endTs }));
    expect(answers).toMatchObject([{ error: { code: 'VERSION_TOO_OLD' } }, { error: { code: 'VERSION_TOO_OLD' } }]);
    expect(await fileNames(container)).toEqual([]);
  });

  it('does not believe a region whose rows are out of order, and stores the others', async () => {
    const inner = new MemoryTxnSource({ borders: [key('k0100')], batchRows: 10 });
    inner.commit(txnRows(200));
    const source = Object.assign(Object.create(inner) as MemoryTxnSource, {
      readVersion: inner.readVersion.bind(inner),
      regions: inner.regions.bind(inner),
      scan: async function* (request: Parameters<MemoryTxnSource['scan']>[0]) {
        for await (const batch of inner.scan(request)) {
          if (request.region.id === '1') yield { ...batch, keys: [...batch.keys].reverse() };
          else yield batch;
        }
      },
    });
    const container = new MemoryContainer();
    const answers = await collect(new BrEndpoint({ txn: source }).request({ ...full, container }));
    const failed = answers.filter(({ error }) => error !== undefined);
    expect(failed).toMatchObject([{ error: { code: 'ADAPTER_CONTRACT' } }]);
    expect(await fileNames(container)).toHaveLength(2);
  });

  it('fails the region alone whose file the container does not take', async () => {
    const source = new MemoryTxnSource({ borders: [key('k0050'), key('k0100')], batchRows: 10 });
    source.commit(txnRows(200));
    const inner = new MemoryContainer();
    let appends = 0;
    const container = new HookedContainer(inner, {
      before: (call) => {
        if (call === 'append' && ++appends === 2)
          throw new BackupError('CONTAINER_UNAVAILABLE', 'a fault', { retryable: true });
      },
    });
    const endpoint = new BrEndpoint({ txn: source, retryMinDelay: 0, retryMaxDelay: 0, numThreads: 1 });
    const answers = await collect(endpoint.request({ ...full, container }));
    expect(answers.filter(({ error }) => error !== undefined)).toMatchObject([
      { error: { code: 'CONTAINER_UNAVAILABLE' } },
    ]);
    expect(answers).toHaveLength(3);
    const names = answers.flatMap(({ files = [] }) => files.map(({ name }) => name)).sort();
    expect(await fileNames(inner)).toEqual(names);
  });

  it('leaves nothing behind when the answers are not taken any more, or the signal aborts', async () => {
    const source = new MemoryTxnSource({ borders: [key('k0050'), key('k0100')], batchRows: 10 });
    source.commit(txnRows(200));
    const container = new HookedContainer(new MemoryContainer());
    const endpoint = new BrEndpoint({ txn: source, sstMaxSize: 1_000, batchSize: 1 });
    let answers = 0;
    for await (const { files } of endpoint.request({ ...full, container })) {
      expect(files).toBeDefined();
      if (++answers === 2) break;
    }
    expect(container.open.size).toBe(0);
    expect(source.heldVersions).toEqual([]);
    const stop = new AbortController();
    const taking = (async () => {
      for await (const _ of endpoint.request({ ...full, container, signal: stop.signal }))
        stop.abort(new Error('enough'));
    })();
    await expect(taking).rejects.toThrow('enough');
    expect(container.open.size).toBe(0);
    expect(source.heldVersions).toEqual([]);
  });

  it('serves requests of both kinds at once, one region at a time where it is asked to', async () => {
    const txn = new MemoryTxnSource({ borders: [key('k0100')], batchRows: 10 });
    txn.commit(txnRows(200));
    const raw = new MemoryRangeSource();
    raw.commit([set('a', '1')]);
    const endpoint = new BrEndpoint({ txn, raw, storeId: 7n });
    const containers = [new MemoryContainer(), new MemoryContainer()] as const;
    const [rows, plain] = await Promise.all([
      collect(endpoint.request({ ...full, container: containers[0], concurrency: 1, rateLimit: 1e9 })),
      collect(endpoint.request({ ...full, container: containers[1], kind: 'raw', cf: 'lock', storage: 's3' })),
    ]);
    await checkAnswers(containers[0], stored(rows), rowsOf(txn, txn.committed));
    expect(stored(plain).flatMap(({ files }) => files)).toMatchObject([{ cf: 'lock', name: '7/1_1_lock.sst' }]);
  });

  it('refuses what it has no source of, and ranges out of order', () => {
    const endpoint = new BrEndpoint({ txn: new MemoryTxnSource() });
    const container = new MemoryContainer();
    expect(() => endpoint.request({ ...full, container, kind: 'raw' })).toThrow('kind must be one that');
    const [a, b] = [
      { begin: key('a'), end: key('c') },
      { begin: key('b'), end: key('d') },
    ];
    expect(() => endpoint.request({ ...full, container, ranges: [a, b] })).toThrow('ranges must be in key order');
    expect(() => endpoint.request({ ...full, container, startTs: 5n, endTs: 5n })).toThrow('endTs must be above');
    expect(() => new BrEndpoint({})).toThrow('txn or raw');
  });
});
