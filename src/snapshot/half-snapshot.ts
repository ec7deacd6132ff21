// A snapshot that is not complete: its entries in the container tell what it is one of, and which of its files are whole. It has no manifest, so nothing lists it as a snapshot.

import { abortable } from '../core/abort.js';
import { BackupError } from '../core/errors.js';
import type { KeyRange } from '../core/key-range.js';
import { equalRanges } from '../core/key-range.js';
import type { Version } from '../core/version.js';
import { MAX_PROPERTY_BYTES, PROPERTY, parseNumberProperty } from '../format/fdb/properties.js';
import {
  SNAPSHOT_PART_PREFIX,
  encodeSnapshotBegin,
  parseSnapshotBegin,
  parseSnapshotPartName,
  snapshotPartName,
} from '../format/fdb/snapshot-part.js';
import type { RangeFileSums } from '../format/fdb/snapshot-sums.js';
import { MAX_SNAPSHOT_SUMS_BYTES, encodeSnapshotSums, parseSnapshotSums } from '../format/fdb/snapshot-sums.js';
import type { BackupContainer } from '../ports/backup-container.js';
import { readToEnd } from '../ports/read-to-end.js';
import { retrying } from './backoff.js';
import { disjointWithin } from './coverage.js';
import type { ResolvedSnapshot } from './snapshot-options.js';
import { type Access, deleteAll, listAll, readWhole, writeNew } from './small-files.js';

/** A snapshot that was begun and has not been completed. */
export interface HalfSnapshot {
  /** 32 hex digits; the same over all its resumptions. */
  readonly id: string;
  /** The version at which it was begun; no file of it has a lower one. */
  readonly snapshotBegin: Version;
  /** ms since 1970; undefined when its first entry is gone, which goes first when a snapshot is completed or given up. */
  readonly startedAt: number | undefined;
  /** Sorted and disjoint; undefined when its first entry is missing or damaged: it cannot be resumed then. */
  readonly ranges: readonly KeyRange[] | undefined;
  /** Names of its entries under properties/, the first one first. */
  readonly entries: readonly string[];
}

/** Oldest first. */
export async function readHalfSnapshots(container: BackupContainer, access: Access): Promise<HalfSnapshot[]> {
  const found = new Map<string, { begin: Version; startedAt?: number; ranges?: KeyRange[]; entries: string[] }>();
  for (const { name } of await listAll(container, SNAPSHOT_PART_PREFIX, access)) {
    const part = parseSnapshotPartName(name);
    if (part === undefined) continue;
    const half = found.get(part.id) ?? { begin: part.snapshotBegin, entries: [] };
    found.set(part.id, half);
    if (part.startedAt === undefined) half.entries.push(name);
    else {
      half.startedAt = part.startedAt;
      half.entries.unshift(name);
    }
  }
  const halves: HalfSnapshot[] = [];
  for (const [id, { begin, startedAt, entries }] of found) {
    const first = startedAt === undefined ? undefined : snapshotPartName({ snapshotBegin: begin, id, startedAt });
    const ranges = first === undefined ? undefined : await readRanges(container, first, access);
    halves.push({ id, snapshotBegin: begin, startedAt, ranges, entries });
  }
  return halves.sort((a, b) => (a.startedAt ?? 0) - (b.startedAt ?? 0));
}

async function readRanges(container: BackupContainer, name: string, access: Access): Promise<KeyRange[] | undefined> {
  try {
    const bytes = await readWhole(container, name, MAX_SNAPSHOT_SUMS_BYTES, access);
    return bytes === undefined ? undefined : parseSnapshotBegin(bytes, name);
  } catch (error) {
    // A damaged entry costs the work that it stands for, not the next snapshot.
    if (BackupError.is(error, 'CORRUPT_FILE')) return undefined;
    throw error;
  }
}

/** Its first entry is there before any file is: so that whoever looks for files without a snapshot can tell that these have one. */
export async function beginHalfSnapshot(
  { container, ranges, clock, random }: ResolvedSnapshot,
  snapshotBegin: Version,
  access: Access,
): Promise<HalfSnapshot> {
  const id = random.uid();
  const startedAt = Math.max(0, Math.floor(clock.wallTime()));
  const name = snapshotPartName({ snapshotBegin, id, startedAt });
  await writeNew(container, name, encodeSnapshotBegin(ranges), access);
  return { id, snapshotBegin, startedAt, ranges, entries: [name] };
}

/** The newest one that the same snapshot can go on from; undefined: none. */
export async function findResumable(
  halves: readonly HalfSnapshot[],
  { container, ranges, atLeast, version, clock, resumeWithin }: ResolvedSnapshot,
  access: Access,
): Promise<HalfSnapshot | undefined> {
  const oldest = clock.wallTime() - resumeWithin;
  const suitable = halves.filter(
    (half) =>
      half.snapshotBegin >= atLeast &&
      // What is read at the wanted version would lie below everything of it.
      (version === undefined || half.snapshotBegin <= version) &&
      (half.startedAt ?? -Infinity) >= oldest &&
      half.ranges?.length === ranges.length &&
      half.ranges.every((range, index) => equalRanges(range, ranges[index] as KeyRange)),
  );
  if (suitable.length === 0) return undefined;
  const expired = await expiredVersion(container, access);
  return suitable.filter(({ snapshotBegin }) => snapshotBegin >= expired).at(-1);
}

/**
 * Says that this process goes on with it, and only then looks at it: undefined when it has been completed or given up. Whoever completes it removes its first entry and only then looks who goes on with it: so of
 * two processes one knows of the other.
 */
export async function joinHalfSnapshot(
  { container, random }: Pick<ResolvedSnapshot, 'container' | 'random'>,
  found: HalfSnapshot,
  access: Access,
): Promise<HalfSnapshot | undefined> {
  const { id, snapshotBegin, startedAt } = found;
  const own = snapshotPartName({ snapshotBegin, id, uid: random.uid() });
  await writeNew(container, own, encodeSnapshotSums({ files: [] }), access);
  const joined = (await readHalfSnapshots(container, access)).find((half) => half.id === id) ?? found;
  // A listing may lag, and show an entry that is gone, or not show one that is there. What is read is exact.
  const first = startedAt === undefined ? undefined : snapshotPartName({ snapshotBegin, id, startedAt });
  if (first !== undefined && (await readWhole(container, first, MAX_SNAPSHOT_SUMS_BYTES, access)) !== undefined)
    return { ...found, entries: [...new Set([first, ...found.entries, ...joined.entries, own])] };
  await deleteAll(container, [own], access);
  return undefined;
}

/** Whether other processes have entries in it than those with these names, as far as a listing shows them. */
export async function isShared(
  container: BackupContainer,
  entries: readonly string[],
  access: Access,
): Promise<boolean> {
  const id = parseSnapshotPartName(entries[0] ?? '')?.id;
  const own = new Set(entries);
  const there = await listAll(container, SNAPSHOT_PART_PREFIX, access);
  return there.some(({ name }) => parseSnapshotPartName(name)?.id === id && !own.has(name));
}

/** Exclusive: below it an expiry has deleted, or is deleting. A snapshot that begins there could never be restored from, and its files may go at any moment. */
export async function expiredVersion(container: BackupContainer, access: Access): Promise<Version> {
  let version = 0n;
  for (const name of [PROPERTY.unreliableEndVersion, PROPERTY.expiredEndVersion]) {
    const bytes = await readWhole(container, name, MAX_PROPERTY_BYTES, access, readToEnd);
    const end = bytes === undefined ? 0n : parseNumberProperty(bytes, name);
    if (end > version) version = end;
  }
  return version;
}

/** Its files that are recorded and still there, whole, in key order; none above `version`, if that is what is asked for. */
export async function readStoredFiles(
  { container, version: wanted }: Pick<ResolvedSnapshot, 'container' | 'version'>,
  half: HalfSnapshot,
  access: Access,
): Promise<RangeFileSums[]> {
  const recorded: RangeFileSums[] = [];
  for (const name of half.entries) {
    if (parseSnapshotPartName(name)?.uid !== undefined) recorded.push(...(await readPart(container, name, access)));
  }
  const suitable = recorded.filter(({ version }) => wanted === undefined || version <= wanted);
  const gone = new Set(await findGone(container, suitable, access));
  return disjointWithin(
    suitable.filter((file) => !gone.has(file)),
    half.ranges ?? [],
  );
}

async function readPart(container: BackupContainer, name: string, access: Access): Promise<readonly RangeFileSums[]> {
  try {
    const bytes = await readWhole(container, name, MAX_SNAPSHOT_SUMS_BYTES, access);
    return bytes === undefined ? [] : parseSnapshotSums(bytes, name).files;
  } catch (error) {
    // As above: its files are scanned again.
    if (BackupError.is(error, 'CORRUPT_FILE')) return [];
    throw error;
  }
}

/** Files that are asked for at a time. */
const READS_AT_A_TIME = 16;

/**
 * Those that are not there in their size. Asks for the end of each file: a listing may show what is gone, and not show what is there.
 */
export async function findGone<T extends { readonly name: string; readonly size: number }>(
  container: BackupContainer,
  files: readonly T[],
  access: Access,
): Promise<T[]> {
  const gone: T[] = [];
  for (let i = 0; i < files.length; i += READS_AT_A_TIME) {
    const some = files.slice(i, i + READS_AT_A_TIME);
    const there = await Promise.all(some.map((file) => isWhole(container, file, access)));
    gone.push(...some.filter((_, index) => there[index] !== true));
  }
  return gone;
}

async function isWhole(
  container: BackupContainer,
  { name, size }: { readonly name: string; readonly size: number },
  { policy, signal }: Access,
): Promise<boolean> {
  const last = Math.max(0, size - 1);
  try {
    const bytes = await retrying(policy, signal, () => abortable(container.readFile(name, last, 2), signal));
    return bytes.length === size - last;
  } catch (error) {
    if (BackupError.is(error, 'FILE_NOT_FOUND')) return false;
    throw error;
  }
}
