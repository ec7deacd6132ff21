// restoreBrBackup over backups that were made by hand: what it restores, and what it refuses.

import { describe, expect, it } from 'vitest';
import { restoreBrBackup } from '../../src/br/restore/restore-br.js';
import type { RestoreBrOptions, RestoreBrProgress } from '../../src/br/restore/options.js';
import type { BrCipher } from '../../src/format/br/messages.js';
import { MemoryRestoreTarget } from '../../src/testing/memory-restore-target.js';
import type { TxnBackup } from './restore-backups.js';
import { bytes, newContainer, putFile, putRawBackup, putTxnBackup, uint64, wholeFile } from './restore-backups.js';
import { FULL, LONG, SECOND, errorOf, rowsOf, txnBackup } from './restore-tools.js';

async function fullAndSecond(): Promise<RestoreBrOptions['chain']> {
  return [{ container: await txnBackup(FULL) }, { container: await txnBackup(SECOND) }];
}

describe('restoreBrBackup', () => {
  it('gives the newest state of each key, at the end of each backup', async () => {
    const chain = await fullAndSecond();
    const target = new MemoryRestoreTarget();
    const result = await restoreBrBackup({ chain, target });
    expect(rowsOf(target)).toEqual({ b: LONG, c: `${LONG}y`, d: '4' });
    expect(result).toMatchObject({
      version: 200n,
      rows: 3,
      deletes: 1,
      superseded: 2,
      links: 2,
      resumed: false,
      files: 4,
    });
    const earlier = new MemoryRestoreTarget();
    expect(await restoreBrBackup({ chain, target: earlier, version: 100n })).toMatchObject({ links: 1, files: 2 });
    expect(rowsOf(earlier)).toEqual({ a: '1', b: LONG, c: '3' });
  });

  it('restores a backup without any row', async () => {
    const target = new MemoryRestoreTarget();
    const container = await txnBackup({ endTs: 5n, rows: [] });
    expect(await restoreBrBackup({ chain: [{ container }], target })).toMatchObject({ rows: 0, ranges: [] });
    expect((await target.checkpoint())?.phase).toBe('done');
  });

  it('reads meta data in an index of files of its own, and every compression', async () => {
    for (const compression of ['none', 'snappy', 'zlib', 'lz4', 'zstd'] as const) {
      const container = await txnBackup({ ...FULL, compression, indexed: true });
      const target = new MemoryRestoreTarget();
      await restoreBrBackup({ chain: [{ container }], target });
      expect(rowsOf(target)).toEqual({ a: '1', b: LONG, c: '3' });
    }
  });

  it('passes over locks and rollbacks, and marks that are of no effect', async () => {
    const fence = (ts: bigint) => Buffer.concat([Buffer.from('RF'), uint64(ts)]);
    const container = await txnBackup({
      endTs: 100n,
      rows: [
        { key: bytes('a'), value: bytes('1'), commitTs: 10n },
        { key: bytes('a'), commitTs: 50n, type: 'L' },
        { key: bytes('a'), commitTs: 60n, type: 'R' },
        { key: bytes('b'), commitTs: 50n, type: 'R' },
        { key: bytes('c'), value: bytes('3'), commitTs: 20n, suffix: fence(0n) },
        { key: bytes('d'), value: bytes('4'), commitTs: 20n, suffix: fence(101n) },
        { key: bytes('e'), value: bytes('5'), commitTs: 20n, suffix: fence(100n) },
        { key: bytes('f'), value: bytes('6'), commitTs: 20n, suffix: bytes('?unknown') },
      ],
    });
    const target = new MemoryRestoreTarget();
    await restoreBrBackup({ chain: [{ container }], target });
    expect(rowsOf(target)).toEqual({ a: '1', c: '3', d: '4', f: '6' });
  });

  it('takes the newest of several versions in one backup', async () => {
    const container = await txnBackup({
      endTs: 100n,
      rows: [
        { key: bytes('a'), value: bytes(`${LONG}new`), commitTs: 90n, startTs: 5n },
        { key: bytes('a'), value: bytes(`${LONG}old`), commitTs: 80n, startTs: 70n },
        { key: bytes('b'), value: bytes(LONG), commitTs: 10n },
        { key: bytes('b'), commitTs: 11n },
      ],
    });
    const target = new MemoryRestoreTarget();
    expect(await restoreBrBackup({ chain: [{ container }], target })).toMatchObject({ superseded: 2, deletes: 1 });
    expect(rowsOf(target)).toEqual({ a: `${LONG}new` });
  });

  it('restores keys that begin with 0xFF, and clears up to behind them', async () => {
    const key = Uint8Array.of(0xff, 0xff, 1);
    const container = await txnBackup({ endTs: 9n, rows: [{ key, value: bytes('1'), commitTs: 3n }] });
    const target = new MemoryRestoreTarget();
    const { ranges } = await restoreBrBackup({ chain: [{ container }], target });
    expect(target.get(key)).toEqual(bytes('1'));
    expect(ranges).toEqual([{ begin: bytes(''), end: Uint8Array.of(0xff, 0xff, 1, 0) }]);
  });

  it('reads files whose ranges overlap', async () => {
    const container = await newContainer();
    const rows = ['a', 'b', 'c', 'd'].map((key, i) => ({
      key: bytes(key),
      value: bytes(LONG),
      commitTs: BigInt(i + 5),
    }));
    const everything = { startKey: bytes(''), endKey: bytes('') };
    await putTxnBackup({
      container,
      endTs: 50n,
      rows,
      splits: [bytes('b'), bytes('d')],
      changeFile: (file) => ({ ...file, ...everything }),
    });
    const target = new MemoryRestoreTarget();
    await restoreBrBackup({ chain: [{ container }], target });
    expect(Object.keys(rowsOf(target))).toEqual(['a', 'b', 'c', 'd']);
  });

  it('reports how far it has come', async () => {
    const seen: RestoreBrProgress[] = [];
    const chain = await fullAndSecond();
    const target = new MemoryRestoreTarget();
    const { bytesRead } = await restoreBrBackup({
      chain,
      target,
      applyBytes: 1,
      onProgress: (each) => seen.push(each),
    });
    expect(seen.map(({ phase }) => phase)).toEqual([
      ...Array.from({ length: 4 }, () => 'checking'),
      ...Array.from({ length: 3 }, () => 'rows'),
      'done',
    ]);
    expect(seen.at(-1)).toMatchObject({ rows: 3, estimatedMsLeft: 0 });
    for (const each of seen) expect(each.bytesRead).toBeLessThanOrEqual(each.bytesTotal);
    expect(bytesRead).toBeGreaterThan(0);
  });
});

describe('a chain that does not fit', () => {
  const refused = async (chain: RestoreBrOptions['chain'], options: Partial<RestoreBrOptions> = {}) => {
    const target = new MemoryRestoreTarget();
    const error = await errorOf(restoreBrBackup({ chain, target, ...options }));
    expect(target.applies).toBe(0);
    return `${error.code}: ${error.message.replaceAll(/\(memory:[^)]*\) /g, '')}`;
  };
  const backups = async (...all: (Partial<TxnBackup> & { endTs: bigint })[]) =>
    Promise.all(all.map(async (one) => ({ container: await txnBackup({ rows: [], ...one }) })));

  it('is refused, and the message says which backup and why', async () => {
    expect(await refused(await backups({ startTs: 5n, endTs: 10n }))).toMatch(
      /^NOT_RESTORABLE: chain\[0\] is an incremental backup of \(5, 10\]; the first one must be a full backup/,
    );
    expect(await refused(await backups({ endTs: 10n }, { endTs: 20n }))).toMatch(
      /^NOT_RESTORABLE: chain\[1\] is a full backup/,
    );
    expect(await refused(await backups({ endTs: 10n }, { startTs: 15n, endTs: 20n }))).toMatch(
      /^NOT_RESTORABLE: chain\[1\] begins at 15, and chain\[0\] ends at 10: what was committed in between is in none/,
    );
    const wrongOrder = await backups({ endTs: 10n }, { startTs: 20n, endTs: 30n }, { startTs: 10n, endTs: 20n });
    expect(await refused(wrongOrder)).toMatch(/^NOT_RESTORABLE: chain\[1\] begins at 20, and chain\[0\] ends at 10/);
    expect(await refused(await backups({ endTs: 10n }, { startTs: 8n, endTs: 20n }))).toMatch(
      /not the one that was taken/,
    );
    const otherCluster = await backups({ endTs: 10n }, { startTs: 10n, endTs: 20n, meta: { clusterId: 8n } });
    expect(await refused(otherCluster)).toMatch(
      /^NOT_RESTORABLE: chain\[1\] is of cluster 8, and chain\[0\] is of cluster 7/,
    );
    const otherApi = await backups({ endTs: 10n }, { startTs: 10n, endTs: 20n, meta: { apiVersion: 'v2' } });
    expect(await refused(otherApi)).toMatch(
      /^NOT_RESTORABLE: chain\[1\] is of API version v2, and chain\[0\] is of v1/,
    );
    const raw = await newContainer();
    await putRawBackup({ container: raw, rows: [] });
    expect(await refused([...(await backups({ endTs: 10n })), { container: raw }])).toMatch(
      /^NOT_RESTORABLE: chain\[1\] is raw, and chain\[0\] is transactional/,
    );
    expect(await refused([{ container: raw }, { container: raw }])).toMatch(
      /^NOT_RESTORABLE: chain\[1\] is a second raw backup/,
    );
    expect(await refused(await backups({ endTs: 10n, meta: { mode: 'file' } }))).toMatch(
      /^UNSUPPORTED_FORMAT: .*mode "file"/,
    );
    expect(await refused(await backups({ endTs: 10n, meta: { apiVersion: 'v3' } }))).toMatch(
      /^UNSUPPORTED_FORMAT: .*v3/,
    );
  });

  it('answers at the ends of its backups alone, and says so', async () => {
    const chain = await fullAndSecond();
    for (const version of [0n, 99n, 101n, 150n]) {
      expect(await refused(chain, { version })).toMatch(
        /^NOT_RESTORABLE: the chain cannot be restored to \d+: it answers at 100, 200 alone, since a backup holds of each key only the newest/,
      );
    }
    expect(await refused(chain, { version: 201n })).toMatch(/after the last of them is in no backup/);
  });

  it('is refused for keys that one of its backups does not cover', async () => {
    const range = (begin: string, end: string) => ({ startKey: bytes(begin), endKey: bytes(end) });
    const covering = async (backup: Omit<TxnBackup, 'container'>, ...rawRanges: ReturnType<typeof range>[]) => ({
      container: await txnBackup({ ...backup, splits: [bytes('a'), bytes('e')], meta: { rawRanges } }),
    });
    const full = await covering(FULL, range('a', 'z'));
    const partly = [full, await covering(SECOND, range('a', 'm'))];
    expect(await refused(partly)).toMatch(
      /^NOT_RESTORABLE: chain\[1\] does not cover the keys \["m", "z"\), and another backup of the chain does/,
    );
    expect(await refused([await covering(FULL, range('a', 'm')), await covering(SECOND, range('a', 'z'))])).toMatch(
      /^NOT_RESTORABLE: chain\[0\] does not cover the keys \["m", "z"\)/,
    );
    expect(await refused([full, { container: await txnBackup(SECOND) }])).toMatch(/^NOT_RESTORABLE: chain\[0\]/);
    const target = new MemoryRestoreTarget();
    target.put(bytes('A'), bytes('before'));
    const ranges = [{ begin: bytes('A'), end: bytes('m') }];
    const result = await restoreBrBackup({ chain: partly, target, ranges });
    expect(result.ranges).toEqual([{ begin: bytes('a'), end: bytes('m') }]);
    expect(rowsOf(target)).toEqual({ A: 'before', b: LONG, c: `${LONG}y`, d: '4' });
    const whole = [full, await covering(SECOND, range('a', 'm'), range('m', 'z'))];
    const all = await restoreBrBackup({ chain: whole, target: new MemoryRestoreTarget() });
    expect(all.ranges).toEqual([{ begin: bytes('a'), end: bytes('z') }]);
  });

  it('is refused where a file has not all changes of its backup', async () => {
    for (const versions of [{ startVersion: 101n }, { endVersion: 199n }, { endVersion: 201n }]) {
      const container = await txnBackup({ ...SECOND, changeFile: (file) => ({ ...file, ...versions }) });
      expect(await refused([{ container: await txnBackup(FULL) }, { container }])).toMatch(
        /^CORRUPT_FILE: .*holds changes of/,
      );
    }
  });

  it('is refused for options that cannot be meant', async () => {
    const chain = await backups({ endTs: 10n });
    const invalid: [Partial<Record<keyof RestoreBrOptions, unknown>>, RegExp][] = [
      [{ chain: [] }, /chain must be a list/],
      [{ chain: [{}] }, /chain\[0\]\.container must be a BackupContainer/],
      [{ target: {} }, /target must be a RestoreTarget/],
      [{ version: 5 }, /version must be a timestamp/],
      [{ version: -1n }, /version must be a timestamp/],
      [{ ranges: [] }, /ranges must be a list/],
      [{ ranges: [{ begin: bytes('b'), end: bytes('a') }] }, /ranges\[0\] must have begin < end/],
      [{ tables: [] }, /tables must be a list/],
      [{ tables: ['nodot'] }, /tables must hold names/],
      [{ tables: [5] }, /tables must hold names/],
      [{ rewrite: [{ from: 1, to: 2n }] }, /rewrite: from must be a table id/],
      [
        {
          rewrite: [
            { from: 1n, to: 2n },
            { from: 1n, to: 3n },
          ],
        },
        /cannot become two/,
      ],
      [
        {
          rewrite: [
            { from: 1n, to: 3n },
            { from: 2n, to: 3n },
          ],
        },
        /cannot both become 3/,
      ],
      [{ clearTarget: 'yes' }, /clearTarget must be true or false/],
      [{ applyBytes: 0 }, /applyBytes must be a whole number/],
      [{ readBytes: 0.5 }, /readBytes must be a whole number/],
      [{ concurrency: 257 }, /concurrency must be a whole number/],
    ];
    for (const [options, message] of invalid) {
      const all = { chain, target: new MemoryRestoreTarget(), ...options } as RestoreBrOptions;
      const error = await errorOf(restoreBrBackup(all));
      expect(error.code).toBe('INVALID_OPTION');
      expect(error.message).toMatch(message);
    }
  });

  it('does not begin without its last backup, or one that was not finished', async () => {
    const container = await newContainer();
    const target = new MemoryRestoreTarget();
    const error = await errorOf(
      restoreBrBackup({ chain: [{ container: await txnBackup(FULL) }, { container }], target }),
    );
    expect(error).toMatchObject({ code: 'FILE_NOT_FOUND', file: 'backupmeta' });
    expect(target.applies).toBe(0);
  });
});

describe('raw backups', () => {
  const rows = [
    { key: bytes('r\0\0\0a'), value: bytes('1') },
    { key: bytes('r\0\0\0b'), value: bytes(LONG), expiresAt: 1_900_000_000n },
    { key: bytes('r\0\0\0c'), value: bytes('') },
  ];

  it('are decoded as their API version asks for', async () => {
    for (const apiVersion of ['v1', 'v1ttl', 'v2'] as const) {
      const container = await newContainer();
      await putRawBackup({ container, apiVersion, rows, splits: [bytes('r\0\0\0b')] });
      const target = new MemoryRestoreTarget();
      const result = await restoreBrBackup({ chain: [{ container }], target });
      expect(rowsOf(target)).toEqual({ 'r\0\0\0a': '1', 'r\0\0\0b': LONG, 'r\0\0\0c': '' });
      expect(result).toMatchObject({ version: 0n, rows: 3, expiring: apiVersion === 'v1' ? 0 : 1, files: 2 });
    }
  });

  it('of API v2 have the newest row of a key, deletes too', async () => {
    const container = await newContainer();
    await putRawBackup({
      container,
      apiVersion: 'v2',
      rows: [
        { key: bytes('r\0\0\0a'), value: bytes('old'), ts: 5n },
        { key: bytes('r\0\0\0a'), value: bytes('new'), ts: 6n },
        { key: bytes('r\0\0\0b'), value: bytes('old'), ts: 5n },
        { key: bytes('r\0\0\0b'), value: bytes(''), ts: 6n, isDelete: true },
      ],
    });
    const target = new MemoryRestoreTarget();
    await restoreBrBackup({ chain: [{ container }], target });
    expect(rowsOf(target)).toEqual({ 'r\0\0\0a': 'new' });
  });

  it('leave alone what they do not cover', async () => {
    const container = await newContainer();
    const rawRanges = [{ startKey: bytes('b'), endKey: bytes('d') }];
    await putRawBackup({
      container,
      rows: [{ key: bytes('c'), value: bytes('1') }],
      rawRanges,
      splits: [bytes('b'), bytes('d')],
    });
    const target = new MemoryRestoreTarget();
    for (const key of ['a', 'bb', 'd']) target.put(bytes(key), bytes('before'));
    const ranges = [{ begin: bytes('a'), end: bytes('z') }];
    const result = await restoreBrBackup({ chain: [{ container }], target, ranges, clearTarget: true });
    expect(rowsOf(target)).toEqual({ a: 'before', c: '1', d: 'before' });
    expect(result.ranges).toEqual([{ begin: bytes('b'), end: bytes('d') }]);
  });

  it('are refused where two files contradict each other, and for tables', async () => {
    const container = await newContainer();
    const [first] = await putRawBackup({ container, rows: [{ key: bytes('a'), value: bytes('1') }] });
    const other = await newContainer();
    const [second] = await putRawBackup({ container: other, rows: [{ key: bytes('a'), value: bytes('2') }] });
    await putFile(container, 'other.sst', await wholeFile(other, second?.name ?? ''));
    await putRawBackup({
      container,
      rows: [{ key: bytes('a'), value: bytes('1') }],
      meta: { files: [first ?? {}, { ...second, name: 'other.sst' }] },
    });
    const chain = [{ container }];
    const error = await errorOf(restoreBrBackup({ chain, target: new MemoryRestoreTarget() }));
    expect(error.code).toBe('CORRUPT_FILE');
    expect(error.message).toMatch(/different values of "a"/);
    const forTables = await errorOf(restoreBrBackup({ chain, target: new MemoryRestoreTarget(), tables: ['a.b'] }));
    expect(forTables).toMatchObject({ code: 'INVALID_OPTION' });
    const forVersion = await errorOf(restoreBrBackup({ chain, target: new MemoryRestoreTarget(), version: 5n }));
    expect(forVersion).toMatchObject({ code: 'INVALID_OPTION' });
  });
});

describe('encrypted backups', () => {
  const ciphers: BrCipher[] = [
    { method: 'aes128-ctr', key: new Uint8Array(16).fill(1) },
    { method: 'aes192-ctr', key: new Uint8Array(24).fill(2) },
    { method: 'aes256-ctr', key: new Uint8Array(32).fill(3) },
    { method: 'plaintext', key: new Uint8Array(0) },
  ];

  it('are read with their cipher', async () => {
    for (const cipher of ciphers) {
      for (const indexed of [false, true]) {
        const container = await txnBackup({ ...FULL, cipher, indexed: indexed && cipher.method !== 'plaintext' });
        const target = new MemoryRestoreTarget();
        await restoreBrBackup({ chain: [{ container, cipher }], target, readBytes: 100 });
        expect(rowsOf(target)).toEqual({ a: '1', b: LONG, c: '3' });
      }
    }
  });

  it('are refused without it, and no error shows a key', async () => {
    const cipher: BrCipher = { method: 'aes256-ctr', key: new Uint8Array(32).fill(0x6b) };
    const container = await txnBackup({ ...FULL, cipher });
    for (const wrong of [undefined, { ...cipher, key: new Uint8Array(32).fill(0x6c) }]) {
      const target = new MemoryRestoreTarget();
      const error = await errorOf(restoreBrBackup({ chain: [{ container, cipher: wrong }], target }));
      expect(['CORRUPT_FILE', 'ENCRYPTION_KEY_WRONG', 'UNSUPPORTED_FORMAT']).toContain(error.code);
      expect(target.applies).toBe(0);
      expect(JSON.stringify(error) + error.message).not.toMatch(/kkkk|llll|6b6b6b|6c6c6c|107,107|108,108/);
    }
  });
});
