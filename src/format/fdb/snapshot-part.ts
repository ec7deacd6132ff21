// What a snapshot that is being taken leaves behind, so that it can be resumed: small files under properties/ that other tools ignore, removed once the manifest is there.
//
// begin  properties/tidemark_snapshot_part,<begin version>,<id>,<ms since 1970>   what it is a snapshot of; written before its first range file
// part   properties/tidemark_snapshot_part,<begin version>,<id>,<uid>             range files that are whole, with their checksums (as in snapshot-sums.ts)

import { fromHex, toHex } from '../../core/bytes.js';
import { BackupError } from '../../core/errors.js';
import type { KeyRange } from '../../core/key-range.js';
import { checkRange } from '../../core/key-range.js';
import type { Version } from '../../core/version.js';
import { MAX_VERSION } from '../../core/version.js';
import { AsciiBuilder } from './ascii-builder.js';
import { closeCheckedJson, parseCheckedJson, refuseFile } from './checked-json.js';
import { PROPERTY_FOLDER } from './names.js';

export const SNAPSHOT_PART_PREFIX = `${PROPERTY_FOLDER}tidemark_snapshot_part,`;

/** What the name of such a file says. */
export interface SnapshotPartDescriptor {
  /** The version at which the snapshot was begun: it names the folder of its range files, `kvranges/snapshot.<begin>/`. */
  readonly snapshotBegin: Version;
  /** 32 hex digits: this attempt at a snapshot, across resumptions. */
  readonly id: string;
  /** Of a begin file: when the snapshot was begun, ms since 1970. */
  readonly startedAt?: number;
  /** Of a part: 32 hex digits, random. */
  readonly uid?: string;
}

const NAME = /^(\d{1,19}),([0-9a-f]{32}),(?:([0-9a-f]{32})|(\d{1,15}))$/;

/** INVALID_NAME for what does not fit. Exactly one of `startedAt` and `uid` is given. */
export function snapshotPartName({ snapshotBegin, id, startedAt, uid }: SnapshotPartDescriptor): string {
  const name = `${snapshotBegin},${id},${uid ?? String(startedAt)}`;
  if (!NAME.test(name) || snapshotBegin > MAX_VERSION || (uid === undefined) === (startedAt === undefined)) {
    throw new BackupError('INVALID_NAME', `${name} cannot be the name of a part of a snapshot`);
  }
  return SNAPSHOT_PART_PREFIX + name;
}

/** undefined for a name of another form. */
export function parseSnapshotPartName(path: string): SnapshotPartDescriptor | undefined {
  if (!path.startsWith(SNAPSHOT_PART_PREFIX)) return undefined;
  const [, begin, id, uid, startedAt] = NAME.exec(path.slice(SNAPSHOT_PART_PREFIX.length)) ?? [];
  if (begin === undefined || id === undefined) return undefined;
  const snapshotBegin = BigInt(begin);
  if (snapshotBegin > MAX_VERSION) return undefined;
  return uid === undefined ? { snapshotBegin, id, startedAt: Number(startedAt) } : { snapshotBegin, id, uid };
}

/** `ranges` sorted, disjoint, half-open. */
export function encodeSnapshotBegin(ranges: readonly KeyRange[]): Uint8Array {
  const text = new AsciiBuilder();
  const pairs = ranges.map(({ begin, end }) => [toHex(begin), toHex(end)]);
  text.add(`{"ranges":${JSON.stringify(pairs)}`);
  return closeCheckedJson(text);
}

/** CORRUPT_FILE for anything but what encodeSnapshotBegin makes. */
export function parseSnapshotBegin(bytes: Uint8Array, file: string): KeyRange[] {
  const refuse = refuseFile(file);
  const { ranges } = parseCheckedJson(bytes, refuse);
  if (!Array.isArray(ranges)) return refuse('has no list of ranges');
  return ranges.map((pair: unknown) => {
    const [begin, end] = Array.isArray(pair) && pair.length === 2 ? (pair as unknown[]) : [];
    if (!isHex(begin) || !isHex(end)) return refuse('has a range that is no pair of hex strings');
    const range = { begin: fromHex(begin), end: fromHex(end) };
    try {
      checkRange(range, 'a range of the snapshot');
    } catch (cause) {
      return refuse('has a range that is empty or backwards', cause);
    }
    return range;
  });
}

function isHex(value: unknown): value is string {
  return typeof value === 'string' && value.length % 2 === 0 && /^[0-9a-f]*$/.test(value);
}
