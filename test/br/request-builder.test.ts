import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { fromHex, toHex, utf8 } from '../../src/core/bytes.js';
import { BackupRequestBuilder } from '../../src/br/request/backup-request-builder.js';
import { StorageBackend } from '../../src/br/request/storage-backend.js';
import type { BrKeyRange } from '../../src/format/br/messages.js';

const base = new BackupRequestBuilder().clusterId(7n).storage('local:///backup');
const txn = base.versions({ at: 100n });
const range = (startKey: string, endKey: string): BrKeyRange => ({ startKey: utf8(startKey), endKey: utf8(endKey) });
const invalid = (message: RegExp) =>
  expect.objectContaining({ code: 'INVALID_OPTION', message: expect.stringMatching(message) as string }) as Error;

describe('a backup request', () => {
  it('for a table has the keys that BR has for it', () => {
    // Of mbr's README: table 63, and of its code: the handles from -2^63 to 2^63 - 1.
    const { startKey, endKey } = txn.table(63n).build().toMessage();
    expect(toHex(startKey ?? utf8(''))).toBe('74800000000000003f5f720000000000000000');
    expect(toHex(endKey ?? utf8(''))).toBe('74800000000000003f5f72ffffffffffffffff00');
    expect(txn.table(-1n).build().facts.ranges[0]?.startKey.subarray(0, 9)).toEqual(fromHex('747fffffffffffffff'));
    const rows = txn.table(63n, 'rows').build().facts.ranges;
    expect(rows.map(({ startKey: from, endKey: to }) => [toHex(from), toHex(to)])).toEqual([
      ['74800000000000003f5f72', '74800000000000003f5f73'],
    ]);
    const all = txn.table(63n, 'all').build().facts.ranges;
    expect(all.map(({ startKey: from, endKey: to }) => [toHex(from), toHex(to)])).toEqual([
      ['74800000000000003f', '748000000000000040'],
    ]);
  });

  it('for a database has all its tables, of a partitioned one the partitions', () => {
    const tables = [{ id: 9n }, { id: 3n, partitions: [{ id: 5n }, { id: 4n }] }, { id: 2n, partitions: [] }];
    const { ranges } = txn.database(tables).build().facts;
    expect(ranges).toEqual([2n, 4n, 5n, 9n].map((id) => txn.table(id).build().facts.ranges[0]));
    const message = txn.database(tables).build().toMessage();
    expect(message.subRanges).toEqual(ranges);
    expect(message.startKey).toEqual(ranges[0]?.startKey);
    expect(message.endKey).toEqual(ranges[3]?.endKey);
    expect(() => txn.database([])).toThrow(invalid(/must have a table/));
    expect(() => txn.database([{ id: 1n }, { id: 1n }]).build()).toThrow(invalid(/overlap/));
  });

  it('says a single range without sub-ranges, which old stores do not know', () => {
    expect(txn.range(utf8('a'), utf8('b')).build().toMessage()).toMatchObject({ ...range('a', 'b'), subRanges: [] });
    const narrowed = txn
      .range(utf8('a'), utf8('m'))
      .subRanges([range('b', 'c'), range('c', 'd')])
      .build();
    expect(narrowed.toMessage()).toMatchObject({ ...range('b', 'd'), subRanges: [range('b', 'c'), range('c', 'd')] });
  });

  it('is made step by step, without changing what was there', () => {
    const first = txn.range(utf8('a'), utf8('b'));
    const second = first
      .range(utf8('c'), utf8(''))
      .compression('zstd', -3)
      .rateLimit(5)
      .concurrency(2)
      .replicaRead()
      .apiVersion('v2');
    expect(first.build().facts).toMatchObject({
      ranges: [range('a', 'b')],
      compression: 'unknown',
      rateLimit: 0n,
      apiVersion: 'v1',
    });
    expect(second.build().facts).toMatchObject({
      ...{
        ranges: [range('a', 'b'), range('c', '')],
        compression: 'zstd',
        compressionLevel: -3,
        rateLimit: 5n,
        concurrency: 2,
      },
      ...{ replicaRead: true, apiVersion: 'v2', startVersion: 0n, endVersion: 100n, isRawKv: false, cf: '' },
    });
    expect(base.versions({ at: 9n, since: 8n }).range(utf8(''), utf8('')).build().isIncremental).toBe(true);
  });

  it('takes keys and cipher by value', () => {
    const key = utf8('a');
    const secret = new Uint8Array(16).fill(1);
    const request = txn.range(key, utf8('b')).cipher({ method: 'aes128-ctr', key: secret }).build();
    key.fill(0x7a);
    secret.fill(0);
    expect(request.facts.ranges).toEqual([range('a', 'b')]);
    expect(request.cipher?.key).toEqual(new Uint8Array(16).fill(1));
  });

  it.each([
    ['cluster id', () => base.clusterId(-1n), /clusterId.*2\^64/],
    ['cluster id as a number', () => base.clusterId(JSON.parse('7') as bigint), /clusterId/],
    ['versions', () => base.versions({ at: 5n, since: 5n }), /since.*must be below/],
    ['version', () => base.versions({ at: 1n << 64n }), /versions.at/],
    ['empty range', () => txn.range(utf8('b'), utf8('b')), /startKey < endKey/],
    ['backward range', () => txn.range(utf8('b'), utf8('a')), /startKey < endKey, got \["b", "a"\)/],
    ['key as a text', () => txn.range(JSON.parse('"a"') as Uint8Array, utf8('b')), /Uint8Array/],
    ['overlap', () => txn.range(utf8('a'), utf8('')).range(utf8('b'), utf8('c')).build(), /overlap/],
    ['sub-ranges out of order', () => txn.subRanges([range('c', 'd'), range('a', 'b')]), /key order/],
    ['sub-ranges that overlap', () => txn.subRanges([range('a', 'c'), range('b', 'd')]), /key order without overlap/],
    ['sub-ranges behind one without end', () => txn.subRanges([range('a', ''), range('b', 'd')]), /key order/],
    ['no sub-ranges', () => txn.subRanges([]), /must have a range/],
    [
      'sub-ranges outside',
      () =>
        txn
          .range(utf8('b'), utf8('c'))
          .subRanges([range('a', 'c')])
          .build(),
      /must lie in \["b", "c"\)/,
    ],
    [
      'sub-ranges beyond',
      () =>
        txn
          .range(utf8('b'), utf8('c'))
          .subRanges([range('b', '')])
          .build(),
      /must lie in/,
    ],
    [
      'sub-ranges of several',
      () =>
        txn
          .table(1n)
          .table(2n)
          .subRanges([range('b', '')])
          .build(),
      /one range, and there are 2/,
    ],
    ['table', () => txn.table(1n << 63n), /64 bits/],
    ['part', () => txn.table(1n, 'some' as 'all'), /records, rows, all/],
    ['cf', () => base.raw('data'), /default, write, lock/],
    ['concurrency', () => base.concurrency(0), /concurrency/],
    ['rate limit', () => base.rateLimit(0), /rateLimit/],
    ['rate limit', () => base.rateLimit(0n), /rateLimit/],
    ['rate limit', () => base.rateLimit(1.5), /rateLimit/],
    ['compression', () => base.compression('gzip' as 'zstd'), /lz4, snappy, zstd/],
    ['level', () => base.compression('zstd', 2 ** 31), /compression level/],
    ['cipher', () => base.cipher({ method: 'aes128' as 'aes128-ctr', key: new Uint8Array(16) }), /cipher.method/],
    ['cipher key', () => base.cipher({ method: 'aes256-ctr', key: new Uint8Array(16) }), /cipher.key/],
    ['api version', () => base.apiVersion('v3' as 'v2'), /apiVersion/],
    ['storage', () => base.storage('ftp://x'), /scheme ftp/],
    [
      'no cluster id',
      () => new BackupRequestBuilder().storage('noop://').raw().table(1n).build(),
      /clusterId.*missing/,
    ],
    ['no storage', () => new BackupRequestBuilder().clusterId(1n).raw().table(1n).build(), /storage.*missing/],
    ['no range', () => txn.build(), /ranges.*missing/],
    ['no versions', () => base.table(1n).build(), /versions.*missing/],
    ['versions of raw KV', () => txn.raw().table(1n).build(), /raw KV has none/],
  ])('is refused with a wrong %s', (_name, make, message) => {
    expect(make).toThrow(invalid(message));
  });

  it('shows its secrets to nobody', () => {
    const storage = StorageBackend.s3({ bucket: 'b', accessKey: 'AKEY', secretAccessKey: 'S3CRET' });
    const builder = txn
      .storage(storage)
      .table(1n)
      .cipher({ method: 'aes128-ctr', key: new Uint8Array(16).fill(0xab) });
    const request = builder.build();
    for (const shown of [
      inspect(request, { depth: 9, showHidden: true }),
      inspect(builder, { depth: 9, showHidden: true }),
      JSON.stringify(request),
      JSON.stringify(builder),
      String(request),
      inspect({ request }),
    ]) {
      expect(shown).not.toMatch(/S3CRET|AKEY|abab|171/i);
    }
    expect(JSON.parse(JSON.stringify(request))).toMatchObject({
      ...{ clusterId: '7', endVersion: '100', cipher: { method: 'aes128-ctr', key: '***' } },
      storage: { kind: 's3', bucket: 'b', accessKey: '***', secretAccessKey: '***' },
    });
    expect(String(request)).toMatch(/^backup of \["t.*\) at 100 to s3:\/\/b$/);
    expect(request.toMessage()).toMatchObject({
      cipherInfo: { cipherType: 'aes128-ctr', cipherKey: new Uint8Array(16).fill(0xab) },
    });
  });
});
