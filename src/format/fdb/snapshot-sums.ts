// What a snapshot of ours consists of, file by file with checksums: a file under properties/ that other tools ignore. It is written before the snapshot's manifest,
// so that a listed manifest of ours always has it.

import { fromHex, toHex } from '../../core/bytes.js';
import { BackupError, assert } from '../../core/errors.js';
import type { KeyRange } from '../../core/key-range.js';
import type { Version } from '../../core/version.js';
import { AsciiBuilder } from './ascii-builder.js';
import type { Refuse } from './checked-json.js';
import {
  closeCheckedJson,
  crcsFromHex,
  crcsToHex,
  isCount,
  isObject,
  parseCheckedJson,
  refuseFile,
} from './checked-json.js';
import type { FileSums } from './file-sums.js';
import type { SnapshotFileDescriptor } from './names.js';
import { PROPERTY_FOLDER, SNAPSHOT_FOLDER, parseRangeFileName, parseSnapshotFileName } from './names.js';
import { MAX_MANIFEST_BYTES } from './snapshot-manifest.js';

/** One range file of a snapshot. Its block checksums are those of FileSums. */
export interface RangeFileSums extends FileSums {
  readonly name: string;
  /** The keys that the file covers. */
  readonly range: KeyRange;
  /** The version of its rows, as in its name. */
  readonly version: Version;
  /** Of the file's bytes: 64 hex digits. */
  readonly sha256: string;
  /** Xor over the rows of the CRC-64 of key and value: 16 hex digits. Two files with the same rows have the same, whatever their blocks. */
  readonly crc64xor: string;
  readonly rows: number;
  /** Sum of the lengths of keys and values. */
  readonly rowBytes: number;
}

export interface SnapshotSums {
  /** In the manifest's order. */
  readonly files: readonly RangeFileSums[];
}

export const SNAPSHOT_SUMS_PREFIX = `${PROPERTY_FOLDER}tidemark_snapshot,`;
export const MAX_SNAPSHOT_SUMS_BYTES = MAX_MANIFEST_BYTES;

/** `properties/tidemark_snapshot,<begin>,<end>,<totalBytes>`: the numbers of the manifest's name. */
export function snapshotSumsName(descriptor: SnapshotFileDescriptor): string {
  const { beginVersion, endVersion, totalBytes } = descriptor;
  return `${SNAPSHOT_SUMS_PREFIX}${beginVersion},${endVersion},${totalBytes}`;
}

/** undefined for a name of another form. */
export function parseSnapshotSumsName(path: string): SnapshotFileDescriptor | undefined {
  if (!path.startsWith(SNAPSHOT_SUMS_PREFIX)) return undefined;
  const descriptor = parseSnapshotFileName(`${SNAPSHOT_FOLDER}snapshot,${path.slice(SNAPSHOT_SUMS_PREFIX.length)}`);
  return descriptor?.kind === undefined ? descriptor : undefined;
}

/** INVALID_OPTION when it would be larger than any reader takes. */
export function encodeSnapshotSums(sums: SnapshotSums): Uint8Array {
  const text = new AsciiBuilder();
  text.add('{"files":[');
  sums.files.forEach((file, index) => text.add((index === 0 ? '' : ',') + encodeFile(file)));
  text.add(']');
  if (text.length > MAX_SNAPSHOT_SUMS_BYTES - 64) {
    throw new BackupError(
      'INVALID_OPTION',
      `the checksums of ${sums.files.length} files would have ${text.length} bytes: make the files or their blocks larger`,
    );
  }
  return closeCheckedJson(text);
}

function encodeFile(file: RangeFileSums): string {
  assert(file.crc32.length === Math.ceil(file.size / file.blockSize), 'there is one checksum for every block');
  return JSON.stringify({
    name: file.name,
    range: [toHex(file.range.begin), toHex(file.range.end)],
    version: file.version.toString(),
    size: file.size,
    sha256: file.sha256,
    crc64xor: file.crc64xor,
    rows: file.rows,
    rowBytes: file.rowBytes,
    blockSize: file.blockSize,
    crc32: crcsToHex(file.crc32),
  });
}

/** CORRUPT_FILE for anything but what encodeSnapshotSums makes; unknown fields are ignored. */
export function parseSnapshotSums(bytes: Uint8Array, file: string): SnapshotSums {
  const refuse = refuseFile(file);
  const { files } = parseCheckedJson(bytes, refuse);
  if (!Array.isArray(files)) return refuse('has no list of files');
  return { files: files.map((entry: unknown, index) => parseFile(entry, index, refuse)) };
}

function parseFile(entry: unknown, index: number, refuse: Refuse): RangeFileSums {
  const invalid = (field: string): never => refuse(`has no valid ${field} for its file ${index}`);
  if (!isObject(entry)) return invalid('entry');
  const { name, size, sha256, crc64xor, rows, rowBytes, blockSize } = entry;
  const descriptor = typeof name === 'string' ? parseRangeFileName(name) : undefined;
  if (typeof name !== 'string' || descriptor === undefined) return invalid('name');
  const { version } = descriptor;
  if (entry['version'] !== version.toString()) return invalid('version');
  if (!isCount(size)) return invalid('size');
  if (!isHex(sha256, 64)) return invalid('sha256');
  if (!isHex(crc64xor, 16)) return invalid('crc64xor');
  if (!isCount(rows)) return invalid('rows');
  if (!isCount(rowBytes)) return invalid('rowBytes');
  if (!isCount(blockSize, 1)) return invalid('blockSize');
  const crc32 = crcsFromHex(entry['crc32'], Math.ceil(size / blockSize));
  if (crc32 === undefined) return invalid('crc32');
  const range = parseRange(entry['range']) ?? invalid('range');
  return { name, range, version, size, sha256, crc64xor, rows, rowBytes, blockSize, crc32 };
}

function parseRange(value: unknown): KeyRange | undefined {
  if (!Array.isArray(value) || value.length !== 2) return undefined;
  const [begin, end] = value as unknown[];
  return isHex(begin) && isHex(end) ? { begin: fromHex(begin), end: fromHex(end) } : undefined;
}

function isHex(value: unknown, digits?: number): value is string {
  if (typeof value !== 'string' || value.length !== (digits ?? value.length)) return false;
  return value.length % 2 === 0 && /^[0-9a-f]*$/.test(value);
}
