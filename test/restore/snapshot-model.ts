// Snapshots of the model's database, as an endpoint would have written them: range files of neighbouring keys, each read at a version of its own.

import { createHash } from 'node:crypto';
import type { MemoryContainer } from '../../src/container/memory-container.js';
import { compareBytes, fromHex } from '../../src/core/bytes.js';
import { Crc64Xor } from '../../src/core/crc64.js';
import type { KeyRange } from '../../src/core/key-range.js';
import { NORMAL_KEYS, rangeContains } from '../../src/core/key-range.js';
import { FileSumsBuilder } from '../../src/format/fdb/file-sums.js';
import { rangeFileName, snapshotFileName } from '../../src/format/fdb/names.js';
import { encodeSnapshotManifest } from '../../src/format/fdb/snapshot-manifest.js';
import type { RangeFileSums } from '../../src/format/fdb/snapshot-sums.js';
import { encodeSnapshotSums, snapshotSumsName } from '../../src/format/fdb/snapshot-sums.js';
import type { Row } from '../format/encode-range-file.js';
import { encodeRangeFile } from '../format/encode-range-file.js';
import { put } from './container-builder.js';
import type { Rows, SeededRandom } from './log-model.js';

/** One range file of a snapshot. */
export interface RangePart {
  readonly range: KeyRange;
  readonly version: bigint;
  readonly rows: Iterable<Row>;
  readonly blockSize?: number;
}

let files = 0;

export interface WrittenSnapshot {
  readonly name: string;
  readonly files: readonly string[];
  readonly beginVersion: bigint;
  readonly endVersion: bigint;
}

/** `sums`: with the file of checksums that a snapshot of ours has. `keyRanges`: false for a manifest as old backups have it. */
export async function putSnapshotOf(
  container: MemoryContainer,
  parts: readonly RangePart[],
  { sums = true, keyRanges = true }: { readonly sums?: boolean; readonly keyRanges?: boolean } = {},
): Promise<WrittenSnapshot> {
  const versions = parts.map(({ version }) => version).sort(compareVersions);
  const beginVersion = versions[0]!;
  const endVersion = versions.at(-1)!;
  const recorded: RangeFileSums[] = [];
  for (const { range, version, rows, blockSize = 1 << 20 } of parts) {
    const uid = (++files).toString(16).padStart(32, '0');
    const name = rangeFileName({ snapshotBegin: beginVersion, folder: 0, version, uid, blockSize });
    const list = [...rows];
    const bytes = encodeRangeFile(range, list, blockSize);
    await put(container, name, bytes);
    recorded.push({ name, range, version, ...checksumsOf(bytes, list) });
  }
  const totalBytes = recorded.reduce((sum, { size }) => sum + size, 0);
  const facts = { beginVersion, endVersion, totalBytes };
  if (sums) await put(container, snapshotSumsName(facts), encodeSnapshotSums({ files: recorded }));
  const name = snapshotFileName(facts);
  const ranges = new Map(keyRanges ? recorded.map((file) => [file.name, file.range]) : []);
  const names = recorded.map((file) => file.name);
  await put(container, name, encodeSnapshotManifest({ ...facts, files: names, keyRanges: ranges }));
  return { name, files: names, beginVersion, endVersion };
}

function checksumsOf(bytes: Uint8Array, rows: readonly Row[]) {
  const builder = new FileSumsBuilder(512);
  builder.update(bytes);
  const crc64 = new Crc64Xor();
  for (const [key, value] of rows) crc64.add(key, value);
  return {
    ...builder.build(),
    sha256: createHash('sha256').update(bytes).digest('hex'),
    crc64xor: crc64.digest(),
    rows: rows.length,
    rowBytes: rows.reduce((sum, [key, value]) => sum + key.length + value.length, 0),
  };
}

function compareVersions(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** The rows of the model that lie in the range, as range files want them. */
export function rowsIn(rows: Rows, range: KeyRange): Row[] {
  return [...rows]
    .map(([key, value]) => [fromHex(key), fromHex(value)] as const)
    .filter(([key]) => rangeContains(range, key))
    .sort(([a], [b]) => compareBytes(a, b));
}

/** The ranges, cut at random keys, each part read at a random version from `from` to `to` (both inclusive). */
export function randomParts(
  random: SeededRandom,
  at: (version: bigint) => Rows,
  versions: { readonly from: bigint; readonly to: bigint },
  ranges: readonly KeyRange[] = [NORMAL_KEYS],
): RangePart[] {
  const parts: RangePart[] = [];
  const cuts = Array.from({ length: random.below(9) }, () => Uint8Array.of(random.below(4), random.below(8))).sort(
    compareBytes,
  );
  for (const { begin, end } of ranges) {
    let from = begin;
    for (const to of [...cuts.filter((cut) => rangeContains({ begin, end }, cut)), end]) {
      if (compareBytes(from, to) >= 0) continue;
      const version = versions.from + BigInt(random.below(Number(versions.to - versions.from) + 1));
      const range = { begin: from, end: to };
      parts.push({ range, version, rows: rowsIn(at(version), range), blockSize: random.pick([64, 256, 1 << 20]) });
      from = to;
    }
  }
  return parts;
}
