// What the tests of BrSnapshotWriter hold it to: the rows of a backup encoded anew from the format's definition, and RocksDB's own tool to read what was stored.

import { createDecipheriv, createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'vitest';
import { BrFileNames } from '../../src/br/backup/br-file-names.js';
import type { BrPieceAnswer, BrSnapshotWriterOptions } from '../../src/br/backup/br-snapshot-writer.js';
import { BrSnapshotWriter } from '../../src/br/backup/br-snapshot-writer.js';
import { MemoryContainer } from '../../src/container/memory-container.js';
import { compareBytes, toHex, utf8 } from '../../src/core/bytes.js';
import type { Clock, Random } from '../../src/core/clock.js';
import type { BrCipher, BrFile } from '../../src/format/br/messages.js';
import { loadCodec } from '../../src/format/sst/codecs/load-codec.js';
import type { SstCompression } from '../../src/format/sst/codec.js';
import { inlinePress } from '../../src/format/sst/inline-press.js';
import type { BackupContainer } from '../../src/ports/backup-container.js';
import type { TxnBatch } from '../../src/ports/txn-range-source.js';
import { RateLimiter } from '../../src/snapshot/rate-limiter.js';
import { ManualClock } from '../../src/testing/manual-clock.js';
import { run } from '../servers/judges.js';

export interface TxnRow {
  readonly key: Uint8Array;
  /** undefined: deleted. */
  readonly value: Uint8Array | undefined;
  readonly startTs: bigint;
  readonly commitTs: bigint;
}

export function row(key: string, value: string | Uint8Array | undefined, startTs: bigint, commitTs: bigint): TxnRow {
  return { key: utf8(key), value: typeof value === 'string' ? utf8(value) : value, startTs, commitTs };
}

export function batchOf(rows: readonly TxnRow[]): TxnBatch {
  return {
    keys: rows.map(({ key }) => key),
    values: rows.map(({ value }) => value),
    startTs: BigUint64Array.from(rows, ({ startTs }) => startTs),
    commitTs: BigUint64Array.from(rows, ({ commitTs }) => commitTs),
  };
}

/** Batches of so many rows. */
export function* batchesOf(rows: readonly TxnRow[], size: number): Generator<TxnBatch> {
  for (let at = 0; at < rows.length; at += size) yield batchOf(rows.slice(at, at + size));
}

/** Hosts' turns are not waited for, time stands still. */
export class TurningClock extends ManualClock {
  override yieldToHost(): Promise<void> {
    return Promise.resolve();
  }
}

/** Uids that repeat from one test to the next, and not within one. */
export function countingRandom(): Random {
  let n = 0;
  return { next: () => 0.5, uid: () => createHash('md5').update(String(n++)).digest('hex') };
}

export type WriterOptions = Partial<BrSnapshotWriterOptions> & {
  readonly compression?: SstCompression;
};

export const ALL_KEYS = { startKey: new Uint8Array(0), endKey: new Uint8Array(0) };

export async function newWriter(options: WriterOptions = {}): Promise<BrSnapshotWriter> {
  const { compression = 'none', clock = new TurningClock(), ...rest } = options;
  return new BrSnapshotWriter({
    container: new MemoryContainer(),
    press: inlinePress(await loadCodec(compression)),
    limiter: new RateLimiter(undefined, clock),
    clock,
    random: countingRandom(),
    rows: { kind: 'txn', startTs: 0n, endTs: 1000n },
    region: { id: 2n, epochVersion: 3n },
    range: ALL_KEYS,
    names: namesOf(clock),
    signal: new AbortController().signal,
    ...rest,
  });
}

export function namesOf(clock: Clock): BrFileNames {
  return new BrFileNames({ storage: 'local', storeId: 1n, clock });
}

export async function namesIn(container: BackupContainer): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of container.listFiles('')) names.push(name);
  return names;
}

export async function storedBytes(container: BackupContainer, file: BrFile): Promise<Uint8Array> {
  return container.readFile(file.name, 0, Number(file.size) + 1);
}

/** As OpenSSL does it, whatever our own cipher says. */
export function decrypted(bytes: Uint8Array, { method, key }: BrCipher, iv: Uint8Array): Uint8Array {
  const decipher = createDecipheriv(method.replace('aes', 'aes-'), key, iv);
  return Buffer.concat([decipher.update(bytes), decipher.final()]);
}

/** A row of a file in upper-case hex, as sst_dump prints it. */
export interface DumpedRow {
  readonly key: string;
  readonly value: string;
}

/** Of each file its rows, as RocksDB's tool finds them, with all checksums verified. */
export async function dumped(files: readonly Uint8Array[]): Promise<DumpedRow[][]> {
  if (files.length === 0) return [];
  const folder = await mkdtemp(path.join(tmpdir(), 'tidemark-br-'));
  try {
    const digits = String(files.length).length;
    for (const [i, bytes] of files.entries()) {
      await writeFile(path.join(folder, `${String(i).padStart(digits, '0')}.sst`), bytes);
    }
    const dump = async (command: string) =>
      (
        await run('sst_dump', [`--file=${folder}`, `--command=${command}`, '--output_hex', '--verify_checksum'])
      ).toString();
    expect((await dump('verify')).match(/^The file is ok$/gm) ?? []).toHaveLength(files.length);
    const parts = (await dump('scan')).split(/^Process (.*)$/m).slice(1);
    const found: DumpedRow[][] = files.map(() => []);
    for (let i = 0; i < parts.length; i += 2) {
      const index = Number(path.basename(parts[i] as string, '.sst'));
      found[index] = [...(parts[i + 1] as string).matchAll(/^'([0-9A-F]*)' seq:0, type:1 => ([0-9A-F]*)$/gm)].map(
        ([, key, value]) => ({ key: key as string, value: value as string }),
      );
    }
    return found;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const hex = (bytes: Uint8Array) => toHex(bytes).toUpperCase();

/** `z`, groups of 8 bytes with their markers, and the timestamp with all bits inverted. */
export function txnKey({ key }: Pick<TxnRow, 'key'>, ts: bigint): string {
  let encoded = '7A';
  for (let at = 0; at <= key.length; at += 8) {
    const group = key.subarray(at, at + 8);
    encoded += hex(group).padEnd(16, '0') + (0xff - (8 - group.length)).toString(16).toUpperCase();
  }
  return encoded + (ts ^ ((1n << 64n) - 1n)).toString(16).toUpperCase().padStart(16, '0');
}

function varint(value: bigint): string {
  const byte = Number(value & 0x7fn) | (value > 0x7fn ? 0x80 : 0);
  return byte.toString(16).toUpperCase().padStart(2, '0') + (value > 0x7fn ? varint(value >> 7n) : '');
}

/** What the write column family must hold. */
export function writeRows(rows: readonly TxnRow[]): DumpedRow[] {
  return rows.map((each) => {
    const { value, startTs, commitTs } = each;
    const short =
      value === undefined || value.length > 255
        ? ''
        : `76${value.length.toString(16).toUpperCase().padStart(2, '0')}${hex(value)}`;
    return { key: txnKey(each, commitTs), value: (value === undefined ? '44' : '50') + varint(startTs) + short };
  });
}

/** What the default column family must hold. */
export function defaultRows(rows: readonly TxnRow[]): DumpedRow[] {
  return rows.filter(isLong).map((each) => ({ key: txnKey(each, each.startTs), value: hex(each.value as Uint8Array) }));
}

export function isLong({ value }: TxnRow): boolean {
  return value !== undefined && value.length > 255;
}

const MASK = (1n << 64n) - 1n;
const POLYNOMIAL = 0xc96c5795d7870f42n;

/** CRC-64 of XZ, bit by bit. */
function crc64(bytes: Uint8Array): bigint {
  let crc = MASK;
  for (const byte of bytes) {
    crc ^= BigInt(byte);
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1n) === 1n ? (crc >> 1n) ^ POLYNOMIAL : crc >> 1n;
  }
  return crc ^ MASK;
}

/** What a file says of its rows: those that count in it. */
export function totalsOf(rows: readonly { readonly key: Uint8Array; readonly value: Uint8Array | undefined }[]) {
  let crc64xor = 0n;
  let totalBytes = 0n;
  for (const { key, value = new Uint8Array(0) } of rows) {
    crc64xor ^= crc64(Uint8Array.of(...key, ...value));
    totalBytes += BigInt(key.length + value.length);
  }
  return { crc64xor, totalKvs: BigInt(rows.length), totalBytes };
}

export function rowsIn<R extends { readonly key: Uint8Array }>(rows: readonly R[], answer: BrPieceAnswer): R[] {
  const { startKey, endKey } = answer;
  return rows.filter(
    ({ key }) => compareBytes(startKey, key) <= 0 && (endKey.length === 0 || compareBytes(key, endKey) < 0),
  );
}

/** The files of all answers hold exactly these rows, and say of themselves what is so. */
export async function checkTxnFiles(
  container: BackupContainer,
  rows: readonly TxnRow[],
  answers: readonly BrPieceAnswer[],
  cipher?: BrCipher,
): Promise<void> {
  const files = answers.flatMap((answer) => answer.files.map((file) => ({ file, answer })));
  const plain: Uint8Array[] = [];
  for (const { file } of files) {
    const bytes = await storedBytes(container, file);
    expect(BigInt(bytes.length)).toBe(file.size);
    expect(toHex(file.sha256)).toBe(createHash('sha256').update(bytes).digest('hex'));
    expect(file.cipherIv.length).toBe(cipher === undefined ? 0 : 16);
    plain.push(cipher === undefined ? bytes : decrypted(bytes, cipher, file.cipherIv));
  }
  const found = await dumped(plain);
  for (const [i, { file, answer }] of files.entries()) {
    const mine = rowsIn(rows, answer);
    const isDefault = file.cf === 'default';
    expect(found[i]).toEqual(isDefault ? defaultRows(mine) : writeRows(mine));
    expect(file).toMatchObject(totalsOf(mine.filter((each) => isLong(each) === isDefault)));
    expect(file).toMatchObject({ startKey: answer.startKey, endKey: answer.endKey, tableMetas: [] });
  }
  for (const answer of answers) {
    const mine = rowsIn(rows, answer);
    const cfs = answer.files.map(({ cf }) => cf);
    expect(cfs).toEqual([...(mine.some(isLong) ? ['default'] : []), ...(mine.length > 0 ? ['write'] : [])]);
  }
  expect(await namesIn(container)).toEqual(files.map(({ file }) => file.name).sort());
}

/** The answers cover [startKey, endKey) without a hole and without overlap. */
export function checkCover(answers: readonly BrPieceAnswer[], startKey: Uint8Array, endKey: Uint8Array): void {
  let at = toHex(startKey);
  for (const answer of answers) {
    expect(toHex(answer.startKey)).toBe(at);
    at = toHex(answer.endKey);
  }
  expect(at).toBe(toHex(endKey));
}
