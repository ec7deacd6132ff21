// What the snapshot tests share: rows, and the check that what is in a container is what the database held.

import { createHash } from 'node:crypto';
import { expect } from 'vitest';
import { compareBytes, equalBytes, toHex, utf8 } from '../../src/core/bytes.js';
import { Crc64Xor } from '../../src/core/crc64.js';
import type { KeyRange } from '../../src/core/key-range.js';
import { NORMAL_KEYS, coalesceRanges } from '../../src/core/key-range.js';
import { MutationType, type Mutation } from '../../src/core/mutation.js';
import { checkBlocks } from '../../src/format/fdb/file-sums.js';
import { parseRangeFileName, parseSnapshotFileName } from '../../src/format/fdb/names.js';
import { decodeRangeFile } from '../../src/format/fdb/range-file-decoder.js';
import { parseSnapshotManifest } from '../../src/format/fdb/snapshot-manifest.js';
import { parseSnapshotSums, snapshotSumsName } from '../../src/format/fdb/snapshot-sums.js';
import { SNAPSHOT_PART_PREFIX } from '../../src/format/fdb/snapshot-part.js';
import type { BackupContainer } from '../../src/ports/backup-container.js';
import type { SnapshotResult } from '../../src/snapshot/take-snapshot.js';
import type { MemoryRangeSource } from '../../src/testing/memory-range-source.js';

export const key = utf8;

export function set(name: string, value: string | Uint8Array): { tag: number; mutation: Mutation } {
  const param2 = typeof value === 'string' ? utf8(value) : value;
  return { tag: 0, mutation: { type: MutationType.SetValue, param1: utf8(name), param2 } };
}

export function clear(begin: string, end: string): { tag: number; mutation: Mutation } {
  return { tag: 0, mutation: { type: MutationType.ClearRange, param1: utf8(begin), param2: utf8(end) } };
}

/** `prefix000`, `prefix001` … */
export function manyRows(count: number, valueBytes: number, prefix = 'k'): { tag: number; mutation: Mutation }[] {
  return Array.from({ length: count }, (_, i) => set(`${prefix}${String(i).padStart(6, '0')}`, 'v'.repeat(valueBytes)));
}

export async function fileNames(container: BackupContainer, prefix = ''): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of container.listFiles(prefix)) names.push(name);
  return names;
}

export async function readAll(container: BackupContainer, name: string): Promise<Uint8Array> {
  return container.readFile(name, 0, 1 << 30);
}

export function hexRows(rows: Iterable<readonly [Uint8Array, Uint8Array]>): string[] {
  return Array.from(rows, ([rowKey, value]) => `${toHex(rowKey)}=${toHex(value)}`);
}

/** The manifest's files, each against the database at the file's version; the checksums; the coverage; nothing else left. */
export async function checkSnapshot(
  container: BackupContainer,
  source: MemoryRangeSource,
  result: SnapshotResult,
  ranges: readonly KeyRange[] = [NORMAL_KEYS],
): Promise<void> {
  const manifest = parseSnapshotManifest(await readAll(container, result.name), result.name);
  const descriptor = parseSnapshotFileName(result.name);
  expect(descriptor).toMatchObject({ beginVersion: manifest.beginVersion, endVersion: manifest.endVersion });
  const sumsName = snapshotSumsName(descriptor!);
  const sums = parseSnapshotSums(await readAll(container, sumsName), sumsName);
  expect(sums.files.map(({ name }) => name)).toEqual(manifest.files);
  let totalBytes = 0;
  const versions: bigint[] = [];
  for (const file of sums.files) {
    const { version, blockSize } = parseRangeFileName(file.name)!;
    versions.push(version);
    const bytes = await readAll(container, file.name);
    totalBytes += bytes.length;
    const range = manifest.keyRanges.get(file.name)!;
    const decoded = decodeRangeFile(bytes, { name: file.name, blockSize, range });
    expect(hexRows(decoded.rows)).toEqual(hexRows(source.rowsAt(version, range)));
    expect(file).toMatchObject({ range, version, size: bytes.length, rows: decoded.rows.length });
    expect(file.sha256).toBe(createHash('sha256').update(bytes).digest('hex'));
    checkBlocks(file, file.name, 0, bytes);
    const crc = new Crc64Xor();
    for (const [rowKey, value] of decoded.rows) crc.add(rowKey, value);
    expect(file.crc64xor).toBe(crc.digest());
    expect(file.rowBytes).toBe(decoded.rows.reduce((sum, [rowKey, value]) => sum + rowKey.length + value.length, 0));
  }
  expect(totalBytes).toBe(manifest.totalBytes);
  expect(versions.reduce((a, b) => (a < b ? a : b))).toBe(manifest.beginVersion);
  expect(versions.reduce((a, b) => (a > b ? a : b))).toBe(manifest.endVersion);
  expectCover([...manifest.keyRanges.values()], ranges);
  expect(await fileNames(container, SNAPSHOT_PART_PREFIX)).toEqual([]);
}

/** Without overlap and without a hole. */
export function expectCover(pieces: readonly KeyRange[], ranges: readonly KeyRange[]): void {
  const sorted = [...pieces].sort((a, b) => compareBytes(a.begin, b.begin));
  for (const [index, piece] of sorted.entries()) {
    const next = sorted[index + 1];
    expect(compareBytes(piece.begin, piece.end)).toBeLessThan(0);
    if (next !== undefined) expect(compareBytes(piece.end, next.begin)).toBeLessThanOrEqual(0);
  }
  const joined = coalesceRanges(sorted);
  const wanted = coalesceRanges(ranges);
  expect(joined.length).toBe(wanted.length);
  joined.forEach((range, index) => {
    expect(equalBytes(range.begin, wanted[index]!.begin) && equalBytes(range.end, wanted[index]!.end)).toBe(true);
  });
}
