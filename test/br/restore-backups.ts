// Backups of BR made by hand, independent of the library's own writer: keys, records and meta data are put together here.

import { createCipheriv, createHash } from 'node:crypto';
import { MemoryContainer } from '../../src/container/memory-container.js';
import { compareBytes } from '../../src/core/bytes.js';
import { Crc64Xor } from '../../src/core/crc64.js';
import type { BrApiVersion, BrCipher, BrFile, BrInit, BrSchema } from '../../src/format/br/messages.js';
import type { BrBackupMeta } from '../../src/format/br/messages.js';
import { loadBrMessages } from '../../src/format/br/proto/load.js';
import type { SstCompression } from '../../src/format/sst/codec.js';
import type { BackupContainer } from '../../src/ports/backup-container.js';
import { pressFor, writeSst } from '../format/sst/write-rows.js';

export async function newContainer(): Promise<MemoryContainer> {
  const container = new MemoryContainer();
  await container.create();
  return container;
}

export async function putFile(container: BackupContainer, name: string, bytes: Uint8Array): Promise<void> {
  const file = await container.writeFile(name);
  await file.append([bytes]);
  await file.finish();
}

export async function wholeFile(container: BackupContainer, name: string): Promise<Uint8Array> {
  return container.readFile(name, 0, 1 << 28);
}

export function bytes(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'latin1'));
}

/** Groups of 8 bytes, each followed by 0xFF less the padding. */
export function memcomparable(key: Uint8Array): Buffer {
  const groups: Buffer[] = [];
  for (let at = 0; at <= key.length; at += 8) {
    const part = key.subarray(at, at + 8);
    groups.push(Buffer.concat([part, Buffer.alloc(8 - part.length), Buffer.of(0xff - (8 - part.length))]));
  }
  return Buffer.concat(groups);
}

export function uint64(value: bigint): Buffer {
  const buffer = Buffer.alloc(8);
  buffer.writeBigUInt64BE(BigInt.asUintN(64, value));
  return buffer;
}

export function dataKey(userKey: Uint8Array, ts: bigint): Buffer {
  return Buffer.concat([Buffer.from('z'), memcomparable(userKey), uint64(~ts)]);
}

export function varint(value: bigint): Buffer {
  const out: number[] = [];
  let rest = value;
  while (rest > 0x7fn) {
    out.push(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  }
  out.push(Number(rest));
  return Buffer.from(out);
}

export function tableKey(id: bigint, rest: string | Uint8Array): Uint8Array {
  const tail = typeof rest === 'string' ? bytes(rest) : rest;
  return new Uint8Array(Buffer.concat([Buffer.from('t'), uint64(id ^ (1n << 63n)), tail]));
}

export interface TxnRow {
  readonly key: Uint8Array;
  /** undefined: deleted. */
  readonly value?: Uint8Array | undefined;
  readonly commitTs: bigint;
  /** Default: one below the commit ts. */
  readonly startTs?: bigint;
  /** Other types of records than P and D. */
  readonly type?: 'L' | 'R';
  /** Behind the record. */
  readonly suffix?: Uint8Array;
  /** Leaves out one of the two rows of a long value. */
  readonly without?: 'default' | 'write';
}

export interface RawRow {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly expiresAt?: bigint;
  readonly isDelete?: boolean;
  /** API v2. */
  readonly ts?: bigint;
}

interface SstRow {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  /** What counts in the totals. */
  readonly counted: readonly [Uint8Array, Uint8Array] | undefined;
}

interface BackupFacts {
  readonly container: BackupContainer;
  readonly cipher?: BrCipher | undefined;
  readonly compression?: SstCompression | undefined;
  /** Raw bytes of a data block. */
  readonly blockSize?: number | undefined;
  /** User keys at which files end. */
  readonly splits?: readonly Uint8Array[] | undefined;
  /** Over what the meta data would say. */
  readonly meta?: BrInit<BrBackupMeta> | undefined;
  readonly changeFile?: ((file: BrFile) => BrInit<BrFile>) | undefined;
  readonly schemas?: readonly BrInit<BrSchema>[] | undefined;
  /** Puts the files into an index of their own. */
  readonly indexed?: boolean | undefined;
}

export interface TxnBackup extends BackupFacts {
  readonly startTs?: bigint | undefined;
  readonly endTs: bigint;
  readonly rows: readonly TxnRow[];
}

export interface RawBackup extends BackupFacts {
  readonly apiVersion?: BrApiVersion | undefined;
  readonly rows: readonly RawRow[];
  /** Default: everything. */
  readonly rawRanges?: readonly { startKey: Uint8Array; endKey: Uint8Array }[] | undefined;
}

const NOTHING = new Uint8Array(0);

export async function putTxnBackup(backup: TxnBackup): Promise<readonly BrFile[]> {
  const { startTs = 0n, endTs } = backup;
  const files: BrFile[] = [];
  for (const part of parts(backup.rows, backup.splits ?? [])) {
    const columns: Record<'default' | 'write', SstRow[]> = { default: [], write: [] };
    for (const row of part.rows) addTxnRow(columns, row);
    for (const cf of ['default', 'write'] as const) {
      const sst = await putSst(backup, `1/${part.index}_1_${cf}.sst`, columns[cf]);
      if (sst === undefined) continue;
      files.push({ ...sst, ...part.range, cf, startVersion: startTs, endVersion: endTs });
    }
  }
  await putMeta(backup, files, { startVersion: startTs, endVersion: endTs, isTxnKv: true });
  return files;
}

function addTxnRow(columns: Record<'default' | 'write', SstRow[]>, row: TxnRow): void {
  const { key, value, commitTs, startTs = commitTs - 1n, type, suffix = NOTHING, without } = row;
  const letter = type ?? (value === undefined ? 'D' : 'P');
  const short =
    value !== undefined && value.length <= 255
      ? Buffer.concat([Buffer.from('v'), Buffer.of(value.length), value])
      : NOTHING;
  const isLong = value !== undefined && value.length > 255;
  if (isLong && without !== 'default')
    columns.default.push({ key: dataKey(key, startTs), value, counted: [key, value] });
  if (without === 'write') return;
  const record = Buffer.concat([Buffer.from(letter), varint(startTs), short, suffix]);
  columns.write.push({
    key: dataKey(key, commitTs),
    value: record,
    counted: isLong ? undefined : [key, value ?? NOTHING],
  });
}

export async function putRawBackup(backup: RawBackup): Promise<readonly BrFile[]> {
  const { apiVersion = 'v1' } = backup;
  const files: BrFile[] = [];
  for (const part of parts(backup.rows, backup.splits ?? [])) {
    const rows = part.rows.map((row) => rawSstRow(row, apiVersion));
    const sst = await putSst(backup, `1/${part.index}_1_default.sst`, rows);
    if (sst !== undefined) files.push({ ...sst, ...part.range, cf: 'default', startVersion: 0n, endVersion: 0n });
  }
  const rawRanges = backup.rawRanges ?? [{ startKey: NOTHING, endKey: NOTHING }];
  await putMeta(backup, files, {
    isRawKv: true,
    apiVersion,
    rawRanges: rawRanges.map((range) => ({ ...range, cf: 'default' })),
  });
  return files;
}

function rawSstRow({ key, value, expiresAt, isDelete = false, ts = 1n }: RawRow, apiVersion: BrApiVersion): SstRow {
  const counted = [key, value] as const;
  if (apiVersion === 'v1') return { key: Buffer.concat([Buffer.from('z'), key]), value, counted };
  if (apiVersion === 'v1ttl') {
    const stored = Buffer.concat([value, uint64(expiresAt ?? 0n)]);
    return { key: Buffer.concat([Buffer.from('z'), key]), value: stored, counted };
  }
  const flags = (expiresAt === undefined ? 0 : 1) | (isDelete ? 2 : 0);
  const ttl = expiresAt === undefined ? NOTHING : uint64(expiresAt);
  return { key: dataKey(key, ts), value: Buffer.concat([value, ttl, Buffer.of(flags)]), counted };
}

function* parts<R extends { readonly key: Uint8Array }>(
  rows: readonly R[],
  splits: readonly Uint8Array[],
): Generator<{ index: number; rows: R[]; range: { startKey: Uint8Array; endKey: Uint8Array } }> {
  const edges = [NOTHING, ...splits, NOTHING];
  for (let index = 0; index + 1 < edges.length; index++) {
    const [startKey, endKey] = [edges[index] as Uint8Array, edges[index + 1] as Uint8Array];
    const inside = rows.filter(
      ({ key }) => compareBytes(key, startKey) >= 0 && (endKey.length === 0 || compareBytes(key, endKey) < 0),
    );
    yield { index, rows: inside, range: { startKey, endKey } };
  }
}

export type SstFacts = Omit<BrFile, 'startKey' | 'endKey' | 'cf' | 'startVersion' | 'endVersion'>;

async function putSst(
  { container, cipher, compression = 'none', blockSize = 256 }: BackupFacts,
  name: string,
  unsorted: readonly SstRow[],
): Promise<SstFacts | undefined> {
  if (unsorted.length === 0) return undefined;
  const rows = [...unsorted].sort((a, b) => compareBytes(a.key, b.key));
  const press = await pressFor(compression);
  const sst = await writeSst(
    rows.map(({ key, value }) => [key, value] as const),
    { press, blockSize },
  );
  const crc = new Crc64Xor();
  const counted = rows.flatMap((row) => (row.counted === undefined ? [] : [row.counted]));
  for (const [key, value] of counted) crc.add(key, value);
  // As TiKV, which makes an IV for a plain file too.
  const cipherIv = createHash('sha256').update(name).digest().subarray(0, 16);
  const stored = encrypt(sst.bytes, cipher, cipherIv);
  await putFile(container, name, stored);
  return {
    name,
    sha256: createHash('sha256').update(stored).digest(),
    crc64xor: counted.length === 0 ? 0n : BigInt(`0x${crc.digest()}`),
    totalKvs: BigInt(counted.length),
    totalBytes: BigInt(counted.reduce((sum, [key, value]) => sum + key.length + value.length, 0)),
    size: BigInt(stored.length),
    cipherIv,
    tableMetas: [],
  };
}

export function encrypt(plain: Uint8Array, cipher: BrCipher | undefined, iv: Uint8Array): Uint8Array {
  if (cipher === undefined || cipher.method === 'plaintext') return plain;
  const name = { 'aes128-ctr': 'aes-128-ctr', 'aes192-ctr': 'aes-192-ctr', 'aes256-ctr': 'aes-256-ctr' }[cipher.method];
  return createCipheriv(name, cipher.key, iv).update(plain);
}

async function putMeta(facts: BackupFacts, all: readonly BrFile[], meta: BrInit<BrBackupMeta>): Promise<void> {
  const { container, cipher, changeFile = (file: BrFile) => file, schemas = [], indexed = false } = facts;
  const messages = await loadBrMessages();
  const files = all.map(changeFile);
  const head = { clusterId: 7n, clusterVersion: 'v8.5.0', schemas, ...meta };
  const leafName = 'backupmeta.datafile.000000001';
  const leaf = messages.encode('MetaFile', { dataFiles: files });
  const leafIv = Buffer.alloc(16, 3);
  const stored = encrypt(leaf, cipher, leafIv);
  if (indexed) await putFile(container, leafName, stored);
  const reference = {
    name: leafName,
    sha256: createHash('sha256').update(leaf).digest(),
    size: BigInt(stored.length),
    cipherIv: cipher === undefined ? NOTHING : leafIv,
  };
  const content = messages.encode('BackupMeta', {
    ...head,
    ...(indexed ? { version: 1, fileIndex: { metaFiles: [reference] } } : { files }),
    ...facts.meta,
  });
  const iv = Buffer.alloc(16, 9);
  const isEncrypted = cipher !== undefined && cipher.method !== 'plaintext';
  await putFile(
    container,
    'backupmeta',
    isEncrypted ? Buffer.concat([iv, encrypt(content, cipher, iv)]) : new Uint8Array(content),
  );
}

export function schema(
  database: string,
  name: string,
  id: bigint,
  partitions: readonly bigint[] = [],
): BrInit<BrSchema> {
  const partition =
    partitions.length === 0
      ? {}
      : { partition: { enable: true, definitions: partitions.map((p) => ({ id: Number(p), name: { O: `p${p}` } })) } };
  const table = { id: Number(id), name: { O: name, L: name.toLowerCase() }, cols: [], index_info: [], ...partition };
  return {
    db: bytes(JSON.stringify({ id: 1, db_name: { O: database, L: database.toLowerCase() } })),
    table: bytes(JSON.stringify(table)),
  };
}
