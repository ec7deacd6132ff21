// Reads a BR backup as anybody could: the meta data, then each file, decrypted and block by block, back to the rows that a database would have. By the SST reader, not by the restore.

import { createHash } from 'node:crypto';
import { expect } from 'vitest';
import { compareBytes, equalBytes, toHex } from '../../src/core/bytes.js';
import { readBackupMeta } from '../../src/br/meta/backup-meta.js';
import { BrCipherStream, isEncrypting } from '../../src/format/br/cipher.js';
import { checkTxnDataKey, engineKeyOf, tsOf, userKeyOf } from '../../src/format/br/engine-key.js';
import type { BrCipher, BrFile } from '../../src/format/br/messages.js';
import { parseWriteRecord } from '../../src/format/br/write-record.js';
import { SstReader } from '../../src/format/sst/sst-reader.js';
import type { BackupContainer } from '../../src/ports/backup-container.js';
import type { TxnRow } from '../../src/testing/memory-txn-source.js';
import { readAll } from '../snapshot/world.js';

export async function metaFiles(container: BackupContainer, cipher?: BrCipher): Promise<BrFile[]> {
  const files: BrFile[] = [];
  for await (const file of (await readBackupMeta(container, { cipher })).files()) files.push(file);
  return files;
}

/** The entries of a file: stored as its meta data says, within its range. */
export async function fileEntries(
  container: BackupContainer,
  file: BrFile,
  cipher?: BrCipher,
): Promise<[key: Uint8Array, value: Uint8Array][]> {
  const stored = await readAll(container, file.name);
  expect(BigInt(stored.length)).toBe(file.size);
  expect(createHash('sha256').update(stored).digest('hex')).toBe(toHex(file.sha256));
  expect(file.cipherIv.length).toBe(isEncrypting(cipher) ? 16 : 0);
  const bytes = isEncrypting(cipher) ? new BrCipherStream(cipher, file.cipherIv).update(stored) : stored;
  const reader = await SstReader.open({
    name: file.name,
    size: bytes.length,
    read: async (offset, length) => bytes.slice(offset, offset + length),
  });
  const entries: [Uint8Array, Uint8Array][] = [];
  for await (const batch of reader.rows())
    for (let i = 0; i < batch.count; i++) entries.push([batch.key(i), batch.value(i)]);
  return entries;
}

/** All rows of a transactional backup, in key order. Each write record, and each long value, is in exactly one file. */
export async function txnRowsOf(container: BackupContainer, cipher?: BrCipher): Promise<TxnRow[]> {
  const rows: TxnRow[] = [];
  const long = new Map<string, Uint8Array>();
  const writes: [Uint8Array, Uint8Array, BrFile][] = [];
  for (const file of await metaFiles(container, cipher)) {
    for (const [dataKey, value] of await fileEntries(container, file, cipher)) {
      checkTxnDataKey(dataKey, file.name);
      expectWithin(file, userKeyOf(dataKey));
      if (file.cf === 'write') writes.push([dataKey, value, file]);
      else {
        expect(long.has(toHex(dataKey))).toBe(false);
        long.set(toHex(dataKey), value);
      }
    }
  }
  for (const [dataKey, bytes, file] of writes) {
    const key = userKeyOf(dataKey);
    const { type, startTs, shortValue } = parseWriteRecord(bytes, file.name);
    const value = type === 'delete' ? undefined : (shortValue ?? takeLong(long, dataKey, startTs));
    rows.push({ key, value, startTs, commitTs: tsOf(dataKey) });
  }
  expect(long.size).toBe(0);
  return rows.sort((a, b) => compareBytes(a.key, b.key));
}

/** All rows of a raw backup, in key order. */
export async function rawRowsOf(container: BackupContainer): Promise<[Uint8Array, Uint8Array][]> {
  const rows: [Uint8Array, Uint8Array][] = [];
  for (const file of await metaFiles(container)) {
    for (const [dataKey, value] of await fileEntries(container, file)) {
      expectWithin(file, engineKeyOf(dataKey));
      rows.push([engineKeyOf(dataKey), value]);
    }
  }
  return rows.sort(([a], [b]) => compareBytes(a, b));
}

function expectWithin(file: BrFile, key: Uint8Array): void {
  expect(compareBytes(file.startKey, key)).toBeLessThanOrEqual(0);
  expect(compareBytes(key, file.endKey)).toBeLessThan(0);
}

function takeLong(long: Map<string, Uint8Array>, writeKey: Uint8Array, startTs: bigint): Uint8Array {
  for (const [hex, value] of long) {
    const dataKey = Buffer.from(hex, 'hex');
    if (tsOf(dataKey) !== startTs || !equalBytes(userKeyOf(dataKey), userKeyOf(writeKey))) continue;
    long.delete(hex);
    return value;
  }
  throw new Error('a long value is missing');
}
