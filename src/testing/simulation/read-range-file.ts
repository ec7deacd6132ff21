// The oracle's own reader of manifests and range files. It shares no code with the library's, so that a mistake would have to be made twice to stay hidden.

import type { KeyRange } from '../../core/key-range.js';
import type { Version } from '../../core/version.js';

export interface NamedSnapshot {
  /** Both inclusive. */
  readonly begin: Version;
  readonly end: Version;
  readonly totalBytes: number;
}

export interface ManifestEntry {
  readonly name: string;
  readonly version: Version;
  readonly blockSize: number;
  readonly range: KeyRange;
}

export interface RangeFileContent {
  readonly range: KeyRange;
  /** Hex key and hex value, in the file's order. */
  readonly rows: readonly (readonly [string, string])[];
}

const SNAPSHOT_NAME = /^snapshots\/snapshot,(\d+),(\d+),(\d+)$/;
const RANGE_NAME = /^kvranges\/snapshot\.(\d{18})\/\d+\/range,(\d+),[0-9a-f]{32},(\d+)$/;
const BLOCK_HEADER = 1001;
const PADDING = 0xff;

/** Undefined for anything but a manifest's name. */
export function parseSnapshotName(name: string): NamedSnapshot | undefined {
  const match = SNAPSHOT_NAME.exec(name);
  if (match === null) return undefined;
  return { begin: BigInt(String(match[1])), end: BigInt(String(match[2])), totalBytes: Number(match[3]) };
}

/** Undefined for anything but a range file's name. */
export function parseRangeName(name: string): { readonly version: Version; readonly blockSize: number } | undefined {
  const match = RANGE_NAME.exec(name);
  return match === null ? undefined : { version: BigInt(String(match[2])), blockSize: Number(match[3]) };
}

/** In key order. Throws a TypeError for what is no manifest. */
export function readManifest(bytes: Uint8Array): ManifestEntry[] {
  const json = JSON.parse(Buffer.from(bytes).toString('latin1')) as {
    files: string[];
    keyRanges: Record<string, { beginKey: string; endKey: string }>;
  };
  const entries = json.files.map((name) => {
    const named = parseRangeName(name);
    const keys = json.keyRanges[name];
    if (named === undefined || keys === undefined) throw new TypeError(`${name} is no range file with keys`);
    const range = { begin: Buffer.from(keys.beginKey, 'latin1'), end: Buffer.from(keys.endKey, 'latin1') };
    return { name, ...named, range };
  });
  return entries.sort((a, b) => Buffer.compare(a.range.begin, b.range.begin));
}

/** Throws a RangeError or a TypeError for what is no range file. */
export function readRangeFile(bytes: Uint8Array, blockSize: number): RangeFileContent {
  const rows: (readonly [string, string])[] = [];
  let begin: Uint8Array | undefined;
  for (let start = 0; start < bytes.length; start += blockSize) {
    const isLast = start + blockSize >= bytes.length;
    const items = readItems(bytes.subarray(start, start + blockSize));
    begin ??= items[0];
    if (items.length % 2 !== (isLast ? 0 : 1)) throw new TypeError(`${items.length} items in the block at ${start}`);
    // The last row of a block stands again as the first one of the next.
    const pairs = isLast ? items.slice(1, -1) : items.slice(1, -2);
    for (let i = 0; i < pairs.length; i += 2) rows.push([hex(pairs[i]), hex(pairs[i + 1])]);
    if (isLast) return { range: { begin: begin as Uint8Array, end: items.at(-1) as Uint8Array }, rows };
  }
  throw new TypeError('an empty range file');
}

function readItems(block: Uint8Array): Uint8Array[] {
  const view = new DataView(block.buffer, block.byteOffset, block.byteLength);
  if (view.getUint32(0, true) !== BLOCK_HEADER) throw new TypeError(`block begins with ${view.getUint32(0, true)}`);
  const items: Uint8Array[] = [];
  let at = 4;
  while (at < block.length && block[at] !== PADDING) {
    const length = view.getUint32(at);
    at += 4;
    if (at + length > block.length) throw new RangeError(`item of ${length} bytes at ${at} leaves its block`);
    items.push(block.subarray(at, at + length));
    at += length;
  }
  return items;
}

function hex(bytes: Uint8Array | undefined): string {
  return Buffer.from(bytes as Uint8Array).toString('hex');
}
