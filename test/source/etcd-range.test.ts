// The RangeSource of etcd on a real server.

import { Etcd3 } from 'etcd3';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MemoryContainer } from '../../src/container/memory-container.js';
import { compareBytes, keyAfter } from '../../src/core/bytes.js';
import type { KeyRange } from '../../src/core/key-range.js';
import { rangeContains } from '../../src/core/key-range.js';
import { MutationType } from '../../src/core/mutation.js';
import type { RestoreOperation } from '../../src/ports/restore-target.js';
import { takeSnapshot } from '../../src/snapshot/take-snapshot.js';
import { prefixRange } from '../../src/source/etcd/options.js';
import type { EtcdRangeOptions } from '../../src/source/etcd/range-source.js';
import { EtcdRangeSource } from '../../src/source/etcd/range-source.js';
import { MemoryRangeSource } from '../../src/testing/memory-range-source.js';
import type { RangeSourceUnderTest } from '../../src/testing/range-suite.js';
import { rangeSourceSuite } from '../../src/testing/range-suite.js';
import { SeededRandom } from '../restore/log-model.js';
import { checkSnapshot } from '../snapshot/world.js';
import type { EtcdCluster } from '../servers/etcd.js';
import { etcdMissing, startEtcd } from '../servers/etcd.js';
import { clientOf, commit, compact, rowsOf } from './etcd-tools.js';

const missing = etcdMissing();
const signal = new AbortController().signal;

describe.skipIf(missing !== undefined)(`EtcdRangeSource${missing === undefined ? '' : `: ${missing}`}`, () => {
  let etcd: EtcdCluster;
  let client: Etcd3;
  let count = 0;

  beforeAll(async () => {
    // The suite commits some hundred rows in one version.
    etcd = await startEtcd({ flags: ['--max-txn-ops=10000'] });
    client = clientOf(etcd.urls);
  }, 60_000);

  afterAll(async () => {
    client.close();
    await etcd.stop();
  });

  const newRange = () => prefixRange(`range-${count++}/`);
  const sourceOf = (options: Partial<EtcdRangeOptions> = {}) => new EtcdRangeSource({ client, ...options });
  const keyIn = ({ begin }: KeyRange, tail: string | Uint8Array) => Buffer.concat([begin, Buffer.from(tail)]);
  const set = (key: Uint8Array, value: string | Buffer): RestoreOperation => ({
    type: 'set',
    key,
    value: Buffer.from(value),
  });

  /** All rows of the range at a version, through its regions; each region's rows must be its own. */
  async function scanAll(source: EtcdRangeSource, range: KeyRange, version: bigint): Promise<string[]> {
    const rows: string[] = [];
    let last: Uint8Array = new Uint8Array(0);
    for await (const region of source.regions({ range, signal })) {
      for await (const batch of source.scan({ region, range: region.range, version, signal })) {
        for (const [key, value] of batch) {
          expect(rangeContains(region.range, key)).toBe(true);
          expect(compareBytes(last, key)).toBeLessThan(0);
          last = key;
          rows.push(`${Buffer.from(key).toString('latin1')}=${Buffer.from(value).toString('latin1')}`);
        }
      }
    }
    return rows;
  }

  describe('conformance', () => {
    /** Regions of seven keys: the suite then sees many borders. */
    const open = (): RangeSourceUnderTest => ({
      source: sourceOf({ keysPerRegion: 7 }),
      range: newRange(),
      commit: (changes) =>
        commit(
          client,
          changes.map((change) => ('key' in change ? { type: 'set', ...change } : { type: 'clear', ...change })),
        ),
      collectGarbage: (version) => compact(client, version + 1n),
    });
    // Its regions never change.
    for (const { name, run } of rangeSourceSuite(open, { regions: false })) it(name, run, 60_000);
  });

  it('scans what etcd itself has at any revision, whatever came later', async () => {
    const random = new SeededRandom(7);
    const range = newRange();
    const revisions: bigint[] = [];
    const someKey = () => keyIn(range, random.bytes(2));
    for (let i = 0; i < 150; i++) {
      const operations = Array.from({ length: 1 + random.below(12) }, (): RestoreOperation => {
        if (random.below(4) > 0) return set(someKey(), Buffer.from(random.bytes(random.below(40) === 0 ? 60_000 : 30)));
        const [a, b] = [someKey(), someKey()].sort(compareBytes) as [Buffer, Buffer];
        return { type: 'clear', begin: a, end: random.below(3) > 0 ? keyAfter(a) : b };
      });
      revisions.push(await commit(client, operations));
    }
    for (let i = 0; i < 25; i++) {
      const revision = random.pick(revisions);
      const [a, b] = [someKey(), someKey()].sort(compareBytes) as [Buffer, Buffer];
      const wanted = random.below(2) === 0 ? range : { begin: a, end: keyAfter(b) };
      const source = sourceOf({ keysPerRegion: 1 + random.below(40) });
      expect(await scanAll(source, wanted, revision)).toEqual(await rowsOf(client, wanted, revision));
    }
  }, 120_000);

  it('leaves out what is excluded, and what is not in its range', async () => {
    const range = newRange();
    const names = ['a', 'b', 'b1', 'b2', 'c', 'd', 'e'];
    const version = await commit(
      client,
      names.map((name) => set(keyIn(range, name), name)),
    );
    const exclude = [prefixRange(keyIn(range, 'b')), { begin: keyIn(range, 'd'), end: keyIn(range, 'd~') }];
    const source = sourceOf({
      range: { begin: range.begin, end: keyIn(range, 'e') },
      exclude,
      keysPerRegion: 1,
    });
    const rows = await scanAll(source, range, version);
    expect(rows.map((row) => row.at(-1))).toEqual(['a', 'c']);
    const regions = [];
    for await (const region of source.regions({ range, signal })) regions.push(region.range);
    expect(regions[0]?.begin).toEqual(range.begin);
    expect(regions.at(-1)?.end).toEqual(range.end);
  });

  it('has regions of as many keys as it is told', async () => {
    const range = newRange();
    const names = Array.from({ length: 3_000 }, (_, i) => String(i).padStart(5, '0'));
    await commit(
      client,
      names.map((name) => set(keyIn(range, name), '')),
    );
    const regions = [];
    for await (const region of sourceOf({ keysPerRegion: 700 }).regions({ range, signal })) regions.push(region);
    const counts = regions.map(
      (region) => names.filter((name) => rangeContains(region.range, keyIn(range, name))).length,
    );
    expect(counts).toEqual([700, 700, 700, 700, 200]);
    expect(new Set(regions.map(({ id }) => id)).size).toBe(regions.length);
  });

  it('asks again for less when a page is larger than the client takes, and nobody else notices', async () => {
    const range = newRange();
    const small = Array.from({ length: 1_200 }, (_, i) => set(keyIn(range, `a${String(i).padStart(5, '0')}`), 'v'));
    await commit(client, small);
    const large = Buffer.alloc(1_400_000, 'x');
    let version = 0n;
    for (let i = 0; i < 9; i++) version = await commit(client, [set(keyIn(range, `b${i}`), large)]);
    // As grpc-js does by default: no more than 4 MiB.
    const plain = new Etcd3({ hosts: [...etcd.urls] });
    try {
      const events: string[] = [];
      const watcher = await plain.watch().key(keyIn(range, 'seen')).create();
      watcher.on('put', ({ value }) => void events.push(value.toString()));
      watcher.on('disconnected', () => void events.push('disconnected'));
      const rows = await scanAll(sourceOf({ client: plain }), range, version);
      expect(rows.length).toBe(1_209);
      expect(rows.slice(-9).every((row) => row.length > 1_400_000)).toBe(true);
      await plain.put(keyIn(range, 'seen')).value('yes');
      await expect.poll(() => events, { timeout: 20_000 }).toEqual(['yes']);
      await watcher.cancel();
    } finally {
      plain.close();
    }
  }, 60_000);

  it('says so when the cluster has not come to the revision', async () => {
    const range = newRange();
    const source = sourceOf();
    const now = await source.readVersion({ atLeast: 0n, signal });
    await expect(scanAll(source, range, now + 1_000n)).rejects.toMatchObject({
      code: 'LOG_INCONSISTENT',
      retryable: false,
    });
  }, 30_000);

  it('serves snapshots while the cluster is written to and compacted', async () => {
    const range = newRange();
    const mirror = new MemoryRangeSource();
    const write = async (operations: readonly RestoreOperation[]) => {
      const version = await commit(client, operations);
      const messages = operations.map((operation) => ({
        mutation:
          operation.type === 'set'
            ? { type: MutationType.SetValue, param1: operation.key, param2: operation.value }
            : { type: MutationType.ClearRange, param1: operation.begin, param2: operation.end },
      }));
      mirror.commit(messages, { version });
      return version;
    };
    const name = (i: number) => keyIn(range, String(i).padStart(5, '0'));
    for (let from = 0; from < 4_000; from += 500)
      await write(Array.from({ length: 500 }, (_, i) => set(name(from + i), `first ${from + i}`)));
    let isDone = false;
    let compactions = 0;
    const random = new SeededRandom(3);
    const workload = async () => {
      while (!isDone) {
        const at = random.below(4_000);
        const version = await write([
          set(name(at), `later ${at}`),
          { type: 'clear', begin: name(at + 1), end: name(at + 1 + random.below(5)) },
        ]);
        if (random.below(10) > 0) continue;
        await compact(client, version);
        compactions++;
      }
    };
    const working = workload();
    const container = new MemoryContainer();
    await container.create();
    try {
      const source = sourceOf({ keysPerRegion: 300 });
      const result = await takeSnapshot({ source, container, ranges: [range], retryMinDelay: 1, maxAttempts: 1_000 });
      // Each file against what was there at its version.
      await checkSnapshot(container, mirror, result, [range]);
      expect(result.rows).toBeGreaterThan(3_000);
    } finally {
      isDone = true;
      await working;
    }
    expect(compactions).toBeGreaterThan(0);
  }, 120_000);
});
