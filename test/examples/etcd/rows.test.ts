// What the demo compares with must itself be right, and able to say no.

import { Etcd3 } from 'etcd3';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compareRows, mustBeCompacted } from '../../../examples/etcd/compare-rows.js';
import {
  ALL_KEYS,
  currentRevision,
  keysWith,
  readRows,
  rowsOutside,
  rowsWithin,
} from '../../../examples/etcd/etcd-rows.js';
import { SESSIONS, Workload } from '../../../examples/etcd/workload.js';
import { etcdMissing, startEtcd, type EtcdCluster } from '../../servers/etcd.js';

const hex = (text: string) => Buffer.from(text).toString('hex');
const rowsOf = (rows: Record<string, string>) =>
  new Map(Object.entries(rows).map(([key, value]) => [hex(key), hex(value)]));

describe('comparing rows', () => {
  const expected = rowsOf({ a: '1', b: '2' });

  it.each([
    ['a row is missing', { a: '1' }, 'key 62 should be there'],
    ['a row is too many', { a: '1', b: '2', c: '3' }, 'key 63 should not be there'],
    ['a value differs', { a: '1', b: '3' }, 'key 62 should be 32, is 33'],
  ])('fails when %s', (_, rows, message) => {
    expect(() => compareRows('Here', rowsOf(rows), expected)).toThrow(message);
  });

  it('passes when all are the same', () => {
    expect(() => compareRows('Here', rowsOf({ b: '2', a: '1' }), expected)).not.toThrow();
  });

  it('tells the keys with a prefix from all others', () => {
    const rows = rowsOf({ 'a/': '1', 'a/b': '2', a0: '3', a: '4' });
    expect(rowsWithin(rows, keysWith('a/'))).toEqual(rowsOf({ 'a/': '1', 'a/b': '2' }));
    expect(rowsOutside(rows, keysWith('a/'))).toEqual(rowsOf({ a0: '3', a: '4' }));
  });
});

const missing = etcdMissing();

describe.skipIf(missing !== undefined)(`a real etcd${missing === undefined ? '' : `: ${missing}`}`, () => {
  let etcd: EtcdCluster;
  let client: Etcd3;
  beforeAll(async () => {
    etcd = await startEtcd();
    client = new Etcd3({ hosts: [...etcd.urls] });
  }, 60_000);
  afterAll(async () => {
    client.close();
    await etcd.stop();
  });

  it('has, at every revision, what the model of the workload says', async () => {
    const signal = new AbortController().signal;
    const workload = new Workload(client, { seed: 3, rate: Infinity });
    await workload.fill(signal);
    const filled = await currentRevision(client);
    const stop = new AbortController();
    const working = workload.run(stop.signal);
    await expect.poll(() => workload.committed, { timeout: 20_000 }).toBeGreaterThan(500);
    stop.abort();
    await working;
    const { revision: last } = await readRows(client, ALL_KEYS);
    for (const revision of [filled, filled + 1n, (filled + last) / 2n, last]) {
      const { rows } = await readRows(client, ALL_KEYS, revision);
      // More than one page of them.
      expect(rows.size).toBeGreaterThan(2_000);
      compareRows(`revision ${revision}`, rowsOutside(rows, keysWith(SESSIONS)), workload.history.rowsAt(revision));
    }
    await client.kv.compact({ revision: String(last), physical: true });
    expect(await mustBeCompacted(client, filled)).toContain('compacted');
    await expect(mustBeCompacted(client, last)).rejects.toThrow(`still reads revision ${last}`);
  }, 60_000);
});
