// Whole backups for the tests of care: log files of a random history (as in test/restore) with snapshots in between, and a naive restore that shares no code with the library's.

import { MemoryContainer } from '../../src/container/memory-container.js';
import { fromHex, toHex } from '../../src/core/bytes.js';
import type { Mutation } from '../../src/core/mutation.js';
import { decodeLogFile } from '../../src/format/fdb/log-file-decoder.js';
import { parseLogFileName, rangeFileName, snapshotFileName } from '../../src/format/fdb/names.js';
import { encodeSnapshotManifest, parseSnapshotManifest } from '../../src/format/fdb/snapshot-manifest.js';
import type { BackupContainer } from '../../src/ports/backup-container.js';
import { put } from '../restore/container-builder.js';
import type { Epoch, ModelRecord, Rows, SeededRandom } from '../restore/log-model.js';
import { applyToRows, randomHistory, rowsAt, writeHistory } from '../restore/log-model.js';
import { contentOf } from './crashing-container.js';

let uids = 0;
export const nextUid = (): string => (++uids).toString(16).padStart(32, 'a');

/** One block: begin key, rows, end key. */
export function encodeRangeFile(
  begin: Uint8Array,
  end: Uint8Array,
  rows: readonly (readonly [string, string])[],
): Buffer {
  const items = [begin, ...rows.flatMap(([key, value]) => [fromHex(key), fromHex(value)]), end];
  const lengthOf = (item: Uint8Array) => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(item.length);
    return length;
  };
  const head = Buffer.alloc(4);
  head.writeUInt32LE(1001);
  return Buffer.concat([head, ...items.flatMap((item) => [lengthOf(item), item])]);
}

export interface SampleSnapshot {
  readonly name: string;
  readonly beginVersion: bigint;
  readonly endVersion: bigint;
  readonly files: readonly string[];
}

const KEYS = [Buffer.from([]), Buffer.from([2]), Buffer.from([0xff])];

/** Two range files, each with the version that `versions` gives. */
export async function putSample(
  container: MemoryContainer,
  records: readonly ModelRecord[],
  versions: readonly [bigint, bigint],
): Promise<SampleSnapshot> {
  const [beginVersion, endVersion] = versions[0] < versions[1] ? versions : [versions[1], versions[0]];
  const files: string[] = [];
  const keyRanges = new Map<string, { begin: Uint8Array; end: Uint8Array }>();
  let totalBytes = 0;
  for (const [i, version] of versions.entries()) {
    const [begin, end] = [KEYS[i]!, KEYS[i + 1]!];
    const rows = [
      ...rowsAt(records, version, (key) => Buffer.compare(key, begin) >= 0 && Buffer.compare(key, end) < 0),
    ];
    const name = rangeFileName({
      snapshotBegin: beginVersion,
      folder: 0,
      version,
      uid: nextUid(),
      blockSize: 1_048_576,
    });
    const bytes = encodeRangeFile(begin, end, rows);
    await put(container, name, bytes);
    files.push(name);
    keyRanges.set(name, { begin, end });
    totalBytes += bytes.length;
  }
  const name = snapshotFileName({ beginVersion, endVersion, totalBytes });
  await put(container, name, encodeSnapshotManifest({ beginVersion, endVersion, files, keyRanges, totalBytes }));
  return { name, beginVersion, endVersion, files };
}

export interface SampleBackup {
  readonly container: MemoryContainer;
  readonly records: readonly ModelRecord[];
  readonly epochs: readonly Epoch[];
  readonly snapshots: readonly SampleSnapshot[];
}

export const LAST = 160;

/** Two epochs of different numbers of tags, a few snapshots, now and then a log file that is missing. */
export async function sampleBackup(
  random: SeededRandom,
  options: { readonly gaps?: boolean } = {},
): Promise<SampleBackup> {
  const middle = 40n + BigInt(random.below(80));
  const epochs = [
    { begin: 1n, end: middle, totalTags: 1 + random.below(3) },
    { begin: middle, end: BigInt(LAST), totalTags: 1 + random.below(3) },
  ];
  const container = new MemoryContainer();
  await container.create();
  const records = randomHistory(random, epochs, 20);
  await writeHistory(container, random, epochs, records);
  if (options.gaps === true && random.below(2) === 0) {
    const logs = [...(await contentOf(container)).keys()].filter((name) => name.startsWith('plogs/'));
    await container.deleteFile(random.pick(logs));
  }
  const snapshots: SampleSnapshot[] = [];
  const taken = new Set<bigint>();
  for (let i = 0; i < 1 + random.below(4); i++) {
    const first = 1n + BigInt(random.below(LAST - 10));
    if (taken.has(first)) continue;
    taken.add(first);
    const second = random.below(2) === 0 ? first : first + BigInt(random.below(8));
    snapshots.push(await putSample(container, records, random.below(2) === 0 ? [first, second] : [second, first]));
  }
  await put(container, 'properties/mutation_log_type', '1');
  return { container, records, epochs, snapshots };
}

/** The rows at `version`, from nothing but the log. */
export async function naiveReplay(container: BackupContainer, version: bigint): Promise<Rows> {
  const rows: Rows = new Map();
  for (const record of allRecords(await contentOf(container))) {
    if (record.version <= version) applyToRows(rows, record.mutation);
  }
  return new Map([...rows].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** The rows at `version`, from one snapshot and everything in the log files. Knows nothing of gaps: whoever calls it knows that there are none. */
export async function naiveRestore(container: BackupContainer, snapshotName: string, version: bigint): Promise<Rows> {
  const content = await contentOf(container);
  const manifest = parseSnapshotManifest(content.get(snapshotName)!, snapshotName);
  const rows: Rows = new Map();
  const covers = manifest.files.map((name) => ({
    ...manifest.keyRanges.get(name)!,
    version: BigInt(/range,(\d+),/.exec(name)![1]!),
  }));
  for (const name of manifest.files) for (const [key, value] of rangeRows(content.get(name)!)) rows.set(key, value);
  const versionOf = (key: Uint8Array): bigint =>
    covers.find(({ begin, end }) => Buffer.compare(key, begin) >= 0 && Buffer.compare(key, end) < 0)?.version ??
    1n << 62n;
  for (const record of allRecords(content)) {
    if (record.version > version) break;
    for (const mutation of clip(record.mutation)) {
      if (record.version > versionOf(mutation.param1)) applyToRows(rows, mutation);
    }
  }
  return new Map([...rows].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Clears at the border of the two files: each file has its own version. */
function clip(mutation: Mutation): readonly Mutation[] {
  if (mutation.type !== 1) return [mutation];
  const { param1, param2 } = mutation;
  const border = KEYS[1]!;
  if (Buffer.compare(param1, border) >= 0 || Buffer.compare(param2, border) <= 0) return [mutation];
  return [
    { ...mutation, param2: border },
    { ...mutation, param1: border },
  ];
}

function rangeRows(bytes: Uint8Array): [string, string][] {
  const buffer = Buffer.from(bytes);
  const items: string[] = [];
  for (let at = 4; at < buffer.length;) {
    const length = buffer.readUInt32BE(at);
    items.push(toHex(buffer.subarray(at + 4, at + 4 + length)));
    at += 4 + length;
  }
  const rows: [string, string][] = [];
  for (let i = 1; i + 1 < items.length; i += 2) rows.push([items[i]!, items[i + 1]!]);
  return rows;
}

interface PlainRecord {
  readonly version: bigint;
  readonly subsequence: number;
  readonly mutation: Mutation;
}

/** Of each tag each version from one file only; all in order. */
function allRecords(content: ReadonlyMap<string, Uint8Array>): PlainRecord[] {
  const taken = new Map<string, string>();
  const records: PlainRecord[] = [];
  for (const [name, bytes] of content) {
    const file = parseLogFileName(name);
    if (file === undefined || bytes.length === 0) continue;
    for (const { version, subsequence, mutation } of decodeLogFile(bytes, { ...file, name })) {
      const place = `${file.tag}/${file.totalTags}/${version}`;
      if ((taken.get(place) ?? name) !== name) continue;
      taken.set(place, name);
      records.push({ version, subsequence, mutation });
    }
  }
  return records.sort((a, b) =>
    a.version === b.version ? a.subsequence - b.subsequence : a.version < b.version ? -1 : 1,
  );
}
