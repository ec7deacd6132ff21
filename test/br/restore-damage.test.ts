// Damaged backups: found before anything is written where a checksum of the whole file can tell, and loudly in any case.

import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { restoreBrBackup } from '../../src/br/restore/restore-br.js';
import type { BrFile, BrInit } from '../../src/format/br/messages.js';
import type { BackupContainer } from '../../src/ports/backup-container.js';
import { MemoryRestoreTarget } from '../../src/testing/memory-restore-target.js';
import type { TxnBackup, TxnRow } from './restore-backups.js';
import { bytes, newContainer, putFile, putTxnBackup, wholeFile } from './restore-backups.js';
import { FULL, LONG, SECOND, errorOf, rowsOf, txnBackup } from './restore-tools.js';

async function restored(container: BackupContainer): Promise<MemoryRestoreTarget> {
  const target = new MemoryRestoreTarget();
  await restoreBrBackup({ chain: [{ container }], target });
  return target;
}

async function refused(container: BackupContainer) {
  const target = new MemoryRestoreTarget();
  const error = await errorOf(restoreBrBackup({ chain: [{ container }], target }));
  expect((await target.checkpoint())?.phase).not.toBe('done');
  return { error, applies: target.applies };
}

const withFile = (
  change: (file: BrFile) => BrInit<BrFile>,
  rows: readonly TxnRow[] = FULL.rows,
): Promise<BackupContainer> => txnBackup({ endTs: 100n, rows, changeFile: change });

describe('a damaged backup', () => {
  it('is refused before anything is written, whichever bit of a file is wrong', async () => {
    const container = await newContainer();
    const files = await putTxnBackup({ container, ...FULL });
    for (const { name } of files) {
      const good = await wholeFile(container, name);
      for (let at = 0; at < good.length; at += 13) {
        const bad = good.slice();
        bad[at] = (bad[at] as number) ^ (1 << (at % 8));
        await putFile(container, name, bad);
        const { error, applies } = await refused(container);
        expect(error).toMatchObject({ code: 'CHECKSUM_MISMATCH', file: name });
        expect(applies).toBe(0);
      }
      await putFile(container, name, good);
    }
    expect(rowsOf(await restored(container))).toEqual({ a: '1', b: LONG, c: '3' });
  });

  it('is refused before anything is written, where a file is missing, cut or longer', async () => {
    const container = await newContainer();
    const files = await putTxnBackup({ container, ...FULL });
    for (const { name } of files) {
      const good = await wholeFile(container, name);
      await container.deleteFile(name);
      expect(await refused(container)).toMatchObject({ error: { code: 'FILE_NOT_FOUND', file: name }, applies: 0 });
      for (const size of [0, good.length - 1, good.length + 1]) {
        const bad = new Uint8Array(size);
        bad.set(good.subarray(0, size));
        await putFile(container, name, bad);
        expect(await refused(container)).toMatchObject({ error: { code: 'CORRUPT_FILE', file: name }, applies: 0 });
      }
      await putFile(container, name, good);
    }
  });

  it('is refused where its meta data cannot be right', async () => {
    const cases: [(file: BrFile) => BrInit<BrFile>, string][] = [
      [(file) => ({ ...file, sha256: bytes('short') }), 'CORRUPT_FILE'],
      [(file) => ({ ...file, name: '../secret' }), 'CORRUPT_FILE'],
      [(file) => ({ ...file, size: 1n << 60n }), 'CORRUPT_FILE'],
      [(file) => ({ ...file, startKey: bytes('b'), endKey: bytes('a') }), 'CORRUPT_FILE'],
      [(file) => ({ ...file, cf: 'lock' }), 'UNSUPPORTED_FORMAT'],
    ];
    for (const [change, code] of cases) {
      const container = await withFile(change);
      expect(await refused(container)).toMatchObject({ error: { code }, applies: 0 });
    }
  });

  it('is not taken for whole where rows, bytes or checksums differ from the meta data', async () => {
    for (const cf of ['write', 'default']) {
      const changes: ((file: BrFile) => BrInit<BrFile>)[] = [
        (file) => ({ ...file, totalKvs: file.totalKvs + 1n }),
        (file) => ({ ...file, totalBytes: file.totalBytes + 1n }),
        (file) => ({ ...file, crc64xor: file.crc64xor ^ (1n << 40n) }),
      ];
      for (const change of changes) {
        const { error } = await refused(await withFile((file) => (file.cf === cf ? change(file) : file)));
        expect(error.code).toBe('CHECKSUM_MISMATCH');
        expect(error.file).toMatch(cf);
      }
    }
  });

  it('is read where sizes and checksums of rows were never recorded', async () => {
    for (const unrecorded of [{ size: 0n, crc64xor: 0n, totalBytes: 0n }, { crc64xor: 0n }]) {
      const container = await withFile((file) => ({ ...file, ...unrecorded }));
      expect(rowsOf(await restored(container))).toEqual({ a: '1', b: LONG, c: '3' });
    }
  });

  it('is refused where a long value or its record is missing, and the error names it', async () => {
    const rows = (without: 'default' | 'write'): TxnRow[] => [
      { key: bytes('a'), value: bytes(LONG), commitTs: 10n },
      { key: bytes('b'), value: bytes(LONG), commitTs: 20n, without },
    ];
    const value = await refused(await txnBackup({ endTs: 100n, rows: rows('default') }));
    expect(value.error).toMatchObject({ code: 'CORRUPT_FILE', file: '1/0_1_write.sst' });
    expect(value.error.message).toMatch(/"b" whose value, begun at 19, is in no default file of chain\[0\]/);
    const record = await refused(await txnBackup({ endTs: 100n, rows: rows('write') }));
    expect(record.error).toMatchObject({ code: 'CORRUPT_FILE', file: '1/0_1_default.sst' });
    expect(record.error.message).toMatch(/value of "b", begun at 19, whose write record is in no file of chain\[0\]/);
  });

  it('is refused where the long value is in another backup of the chain', async () => {
    const long = { key: bytes('a'), value: bytes(LONG), startTs: 5n };
    const full = await txnBackup({ endTs: 100n, rows: [{ ...long, commitTs: 10n }] });
    const second = await txnBackup({ ...SECOND, rows: [{ ...long, commitTs: 110n, without: 'default' }] });
    const target = new MemoryRestoreTarget();
    const error = await errorOf(restoreBrBackup({ chain: [{ container: full }, { container: second }], target }));
    expect(error.message).toMatch(/in no default file of chain\[1\]/);
  });

  it('is refused where rows lie outside of the keys or timestamps of their file', async () => {
    const cases: [(file: BrFile) => BrInit<BrFile>, RegExp][] = [
      [(file) => ({ ...file, startKey: bytes('b') }), /"a" of .* lies before the file's range/],
      [(file) => ({ ...file, endKey: bytes('b') }), /"b" of .* lies behind the file's range/],
    ];
    for (const [change, message] of cases) {
      const { error } = await refused(await withFile(change, FULL.rows.slice(0, 3)));
      expect(error.code).toBe('CORRUPT_FILE');
      expect(error.message).toMatch(message);
    }
    const late = await refused(await txnBackup({ endTs: 25n, rows: FULL.rows }));
    expect(late.error.message).toMatch(/"c" of .* was committed outside of the file's timestamps, \(0, 25\]/);
    const early = await txnBackup({ ...SECOND, rows: [{ key: bytes('a'), commitTs: 100n }] });
    const chain = [{ container: await txnBackup(FULL) }, { container: early }];
    const error = await errorOf(restoreBrBackup({ chain, target: new MemoryRestoreTarget() }));
    expect(error.message).toMatch(/outside of the file's timestamps, \(100, 200\]/);
  });

  it('is refused where it holds what is no row', async () => {
    const cases: TxnRow[] = [
      { key: bytes('a'), value: bytes('1'), commitTs: 9n, suffix: bytes('v\xff') },
      { key: bytes('a'), value: bytes('1'), commitTs: 9n, suffix: bytes('F') },
    ];
    for (const row of cases) {
      const { error, applies } = await refused(await txnBackup({ endTs: 100n, rows: [row] }));
      expect(error).toMatchObject({ code: 'CORRUPT_FILE', file: '1/0_1_write.sst' });
      expect(applies).toBe(0);
    }
  });

  it('is refused where two files have different records of one commit', async () => {
    const rows = (value: string): TxnBackup['rows'] => [{ key: bytes('a'), value: bytes(value), commitTs: 10n }];
    const container = await newContainer();
    const [first] = await putTxnBackup({ container, endTs: 100n, rows: rows('1') });
    const [second] = await putTxnBackup({ container: await newContainer(), endTs: 100n, rows: rows('1') });
    const other = await newContainer();
    const [third] = await putTxnBackup({ container: other, endTs: 100n, rows: rows('2') });
    const putBoth = async (file: BrFile | undefined, from: BackupContainer): Promise<void> => {
      await putFile(container, 'twin.sst', await wholeFile(from, file?.name ?? ''));
      const files = [first ?? {}, { ...file, name: 'twin.sst' }];
      await putTxnBackup({ container, endTs: 100n, rows: rows('1'), meta: { files } });
    };
    await putBoth(second, container);
    expect(rowsOf(await restored(container))).toEqual({ a: '1' });
    await putBoth(third, other);
    expect((await refused(container)).error.message).toMatch(/different records of "a" committed at 10/);
  });

  it('never makes anything but a BackupError of bytes that someone made up, and never a wrong row', async () => {
    const container = await newContainer();
    const files = await putTxnBackup({ container, ...FULL });
    for (const file of files) {
      const good = await wholeFile(container, file.name);
      for (let at = 0; at < good.length; at += 11) {
        const bad = good.slice();
        bad[at] = (bad[at] as number) ^ 0x55;
        await putFile(container, file.name, bad);
        // Whoever makes it up makes up the sha256 too.
        const sha256 = createHash('sha256').update(bad).digest();
        const changed = files.map((each) => (each === file ? { ...each, sha256 } : each));
        const meta = await newContainer();
        await putTxnBackup({ container: meta, ...FULL, meta: { files: changed } });
        await putFile(container, 'backupmeta', await wholeFile(meta, 'backupmeta'));
        const target = new MemoryRestoreTarget();
        try {
          await restoreBrBackup({ chain: [{ container }], target });
          expect(rowsOf(target)).toEqual({ a: '1', b: LONG, c: '3' });
        } catch (error) {
          expect(error).toMatchObject({ name: 'BackupError' });
        }
      }
      await putFile(container, file.name, good);
    }
  });
});
