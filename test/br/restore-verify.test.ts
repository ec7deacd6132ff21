// verifyBrBackup: what it finds, and that it finds everything.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { restoreBrBackup } from '../../src/br/restore/restore-br.js';
import { verifyBrBackup } from '../../src/br/restore/verify.js';
import type { BrVerifyReport } from '../../src/br/restore/verify-report.js';
import { Crc64Xor } from '../../src/core/crc64.js';
import type { BrCipher, BrFile } from '../../src/format/br/messages.js';
import type { BackupContainer } from '../../src/ports/backup-container.js';
import { MemoryRestoreTarget } from '../../src/testing/memory-restore-target.js';
import type { TxnRow } from './restore-backups.js';
import {
  bytes,
  newContainer,
  putFile,
  putRawBackup,
  putTxnBackup,
  schema,
  tableKey,
  wholeFile,
} from './restore-backups.js';
import { FULL, LONG, SECOND, errorOf, txnBackup } from './restore-tools.js';

const SPLIT = { ...FULL, splits: [bytes('b'), bytes('c')] };

/** Each problem as `kind code file`. */
function brief({ problems }: BrVerifyReport): string[] {
  return problems.map(({ kind, code, file }) => `${kind} ${code} ${file ?? ''}`.trim());
}

describe('verifyBrBackup', () => {
  it('finds nothing wrong with what is right', async () => {
    const cipher: BrCipher = { method: 'aes256-ctr', key: new Uint8Array(32).fill(5) };
    const raw = await newContainer();
    await putRawBackup({ container: raw, apiVersion: 'v2', rows: [{ key: bytes('r000a'), value: bytes('1') }] });
    const cases: [BackupContainer, BrCipher | undefined, number][] = [
      [await txnBackup({ ...SPLIT, indexed: true }), undefined, 3],
      [await txnBackup(SECOND), undefined, 3],
      [await txnBackup({ ...SPLIT, cipher, compression: 'zstd' }), cipher, 3],
      [raw, undefined, 1],
      [await txnBackup({ endTs: 3n, rows: [] }), undefined, 0],
    ];
    for (const [container, with_, keys] of cases) {
      const seen: number[] = [];
      const report = await verifyBrBackup({
        container,
        cipher: with_,
        onProgress: ({ bytesRead, bytesTotal }) => seen.push(bytesRead / Math.max(1, bytesTotal)),
      });
      expect(report).toMatchObject({ ok: true, problems: [], problemsOmitted: 0, unchecked: [], leftovers: [] });
      expect(report.checked.keys).toBe(keys);
      expect(Math.max(0, ...seen)).toBeLessThanOrEqual(1);
    }
  });

  it('names every file that is missing, cut or damaged, and goes on with the others', async () => {
    const container = await newContainer();
    await putTxnBackup({
      container,
      ...SPLIT,
      rows: [...FULL.rows, { key: bytes('d'), value: bytes('4'), commitTs: 5n }],
    });
    await container.deleteFile('1/0_1_write.sst');
    const cut = await wholeFile(container, '1/1_1_default.sst');
    await putFile(container, '1/1_1_default.sst', cut.subarray(0, 100));
    const bad = await wholeFile(container, '1/2_1_write.sst');
    bad[5] = (bad[5] as number) ^ 1;
    await putFile(container, '1/2_1_write.sst', bad);
    const report = await verifyBrBackup({ container });
    expect(report.ok).toBe(false);
    expect(brief(report)).toEqual([
      'missing-file FILE_NOT_FOUND 1/0_1_write.sst',
      'wrong-size CORRUPT_FILE 1/1_1_default.sst',
      'checksum CHECKSUM_MISMATCH 1/2_1_write.sst',
    ]);
  });

  it('finds what the sums over the whole file cannot tell: a writer that was wrong', async () => {
    const put = (change: (file: BrFile) => Partial<BrFile>, rows: readonly TxnRow[] = FULL.rows) =>
      txnBackup({ ...SPLIT, rows, changeFile: (file) => ({ ...file, ...change(file) }) });
    const first = '1/0_1_write.sst';
    const onFirst = (change: Partial<BrFile>) => (file: BrFile) => (file.name === first ? change : {});
    const findings: [BackupContainer, string[]][] = [
      [await put(onFirst({ totalKvs: 5n })), [`content CHECKSUM_MISMATCH ${first}`]],
      [await put(onFirst({ crc64xor: 5n })), [`content CHECKSUM_MISMATCH ${first}`]],
      [await put(onFirst({ startKey: bytes('aa') })), [`corrupt CORRUPT_FILE ${first}`]],
      [await put(onFirst({ endVersion: 99n })), [`manifest CORRUPT_FILE ${first}`]],
      [await put(onFirst({ sha256: bytes('x') })), [`manifest CORRUPT_FILE ${first}`]],
    ];
    const without = (part: 'write' | 'default') =>
      put(() => ({}), [{ key: bytes('a'), value: bytes(LONG), commitTs: 9n, without: part }, ...FULL.rows.slice(1)]);
    findings.push([await without('default'), [`content CORRUPT_FILE ${first}`]]);
    findings.push([await without('write'), ['content CORRUPT_FILE 1/0_1_default.sst']]);
    for (const [container, expected] of findings) expect(brief(await verifyBrBackup({ container }))).toEqual(expected);
  });

  it('compares the sums that the schemas state of tables', async () => {
    const rows = [1n, 2n].map((id) => ({ key: tableKey(id, '_r1'), value: bytes('v'), commitTs: 5n }));
    const crc = new Crc64Xor();
    for (const { key, value } of rows) crc.add(key, value);
    const sums = { crc64xor: BigInt(`0x${crc.digest()}`), totalKvs: 2n, totalBytes: 26n };
    const splits = [tableKey(2n, ''), tableKey(3n, '')];
    const put = (change: Partial<typeof sums>) =>
      txnBackup({ endTs: 9n, rows, splits, schemas: [{ ...schema('a', 'b', 1n, [1n, 2n]), ...sums, ...change }] });
    // The first file begins before the table: whose rows its sums are of is not known.
    expect((await verifyBrBackup({ container: await put({}) })).problems).toEqual([]);
    const tight = (change: Partial<typeof sums>) =>
      txnBackup({
        endTs: 9n,
        rows,
        splits: [tableKey(1n, ''), ...splits],
        schemas: [{ ...schema('a', 'b', 1n, [1n, 2n]), ...sums, ...change }],
      });
    expect((await verifyBrBackup({ container: await tight({}) })).problems).toEqual([]);
    for (const change of [{ crc64xor: 1n }, { totalKvs: 3n }, { totalBytes: 25n }]) {
      const report = await verifyBrBackup({ container: await tight(change) });
      expect(brief(report)).toEqual(['disagreement CHECKSUM_MISMATCH']);
      expect(report.problems[0]?.message).toMatch(/^table a\.b \(1\) has /);
    }
  });

  it('lists what has no checksum of rows, and what nobody needs', async () => {
    const container = await txnBackup({ ...SPLIT, changeFile: (file) => ({ ...file, crc64xor: 0n, totalBytes: 0n }) });
    const leftover = `1/5_6_${'ab'.repeat(32)}_1700000000000_write.sst`;
    await putFile(container, leftover, bytes('x'));
    await putFile(container, 'notes.txt', bytes('x'));
    const report = await verifyBrBackup({ container });
    expect(report.ok).toBe(true);
    expect(report.leftovers).toEqual([leftover]);
    expect(report.unchecked).toEqual(['1/0_1_write.sst', '1/1_1_default.sst', '1/2_1_write.sst']);
  });

  it('reports damage of the meta data, and throws where there is no backup or no key', async () => {
    const empty = await newContainer();
    expect(await errorOf(verifyBrBackup({ container: empty }))).toMatchObject({ code: 'FILE_NOT_FOUND' });
    const container = await newContainer();
    await putTxnBackup({ container, ...FULL, indexed: true });
    const leaf = 'backupmeta.datafile.000000001';
    const good = await wholeFile(container, leaf);
    const bad = good.slice();
    bad[3] = (bad[3] as number) ^ 1;
    await putFile(container, leaf, bad);
    expect(brief(await verifyBrBackup({ container }))).toEqual([`manifest CHECKSUM_MISMATCH ${leaf}`]);
    await container.deleteFile(leaf);
    expect(brief(await verifyBrBackup({ container }))).toEqual([`manifest FILE_NOT_FOUND ${leaf}`]);
    await putFile(container, 'backupmeta', bytes('what?'));
    expect(brief(await verifyBrBackup({ container }))).toEqual(['manifest CORRUPT_FILE backupmeta']);
    const cipher: BrCipher = { method: 'aes128-ctr', key: new Uint8Array(16) };
    const wrong = { ...cipher, key: new Uint8Array(16).fill(1) };
    const encrypted = await txnBackup({ ...FULL, cipher });
    expect(await errorOf(verifyBrBackup({ container: encrypted, cipher: wrong }))).toMatchObject({
      code: 'ENCRYPTION_KEY_WRONG',
    });
  });

  it('finds a file that is named twice, and files that contradict each other', async () => {
    const container = await newContainer();
    const [file] = await putTxnBackup({
      container,
      endTs: 9n,
      rows: [{ key: bytes('a'), value: bytes('1'), commitTs: 5n }],
    });
    const other = await newContainer();
    const rows = [{ key: bytes('a'), value: bytes('2'), commitTs: 5n }];
    const [second] = await putTxnBackup({ container: other, endTs: 9n, rows });
    await putFile(container, 'twin.sst', await wholeFile(other, second?.name ?? ''));
    const files = [file ?? {}, file ?? {}, { ...second, name: 'twin.sst' }];
    await putTxnBackup({ container: other, endTs: 9n, rows: [], meta: { files } });
    await putFile(container, 'backupmeta', await wholeFile(other, 'backupmeta'));
    const found = brief(await verifyBrBackup({ container }));
    expect(found).toHaveLength(2);
    expect(found).toContain('duplicate CORRUPT_FILE 1/0_1_write.sst');
    expect(found.join()).toMatch(/content CORRUPT_FILE/);
  });

  it('says ok only of backups that a restore takes, whatever byte is changed', async () => {
    const container = await newContainer();
    await putTxnBackup({ container, ...SPLIT });
    const names: string[] = [];
    for await (const { name } of container.listFiles('')) names.push(name);
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...names),
        fc.nat(100_000),
        fc.integer({ min: 1, max: 255 }),
        async (name, at, flip) => {
          const good = await wholeFile(container, name);
          const bad = good.slice();
          bad[at % bad.length] = (bad[at % bad.length] as number) ^ flip;
          await putFile(container, name, bad);
          try {
            const target = new MemoryRestoreTarget();
            const restores = await restoreBrBackup({ chain: [{ container }], target }).then(
              () => true,
              () => false,
            );
            const isOk = await verifyBrBackup({ container }).then(
              ({ ok }) => ok,
              () => false,
            );
            expect(isOk).toBe(restores);
            if (name !== 'backupmeta') expect(isOk).toBe(false);
          } finally {
            await putFile(container, name, good);
          }
        },
      ),
      { numRuns: 60 },
    );
  });
});
