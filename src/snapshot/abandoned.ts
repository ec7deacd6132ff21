// What snapshots that were never completed leave in a container: entries of half snapshots, and range files that no manifest names.

import { AbortScope } from '../core/abort.js';
import type { Clock, Random } from '../core/clock.js';
import { systemClock, systemRandom } from '../core/clock.js';
import type { Version } from '../core/version.js';
import { RANGE_FOLDER, SNAPSHOT_FOLDER, parseRangeFileName, parseSnapshotFileName } from '../format/fdb/names.js';
import { MAX_MANIFEST_BYTES, parseSnapshotManifest } from '../format/fdb/snapshot-manifest.js';
import type { BackupContainer } from '../ports/backup-container.js';
import { type HalfSnapshot, readHalfSnapshots } from './half-snapshot.js';
import { type Access, deleteAll, listAll, readWhole } from './small-files.js';

export interface AbandonedOptions {
  readonly signal?: AbortSignal | undefined;
  readonly clock?: Clock | undefined;
  readonly random?: Random | undefined;
}

export interface OrphanOptions extends AbandonedOptions {
  /** Half snapshots that were begun at or after this moment keep their files, ms since 1970; older ones are given up. Default: all keep them. */
  readonly keepSince?: number | undefined;
}

/** A range file that belongs to no snapshot, nor to one that may yet be resumed. */
export interface OrphanRangeFile {
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  readonly snapshotBegin: Version;
  readonly version: Version;
}

const POLICY = { retryMinDelay: 100, retryMaxDelay: 10_000, maxAttempts: 8 };

async function withAccess<T>(options: AbandonedOptions, body: (access: Access) => Promise<T>): Promise<T> {
  using scope = new AbortScope(options.signal);
  const { clock = systemClock, random = systemRandom } = options;
  return await body({ policy: { ...POLICY, clock, random }, signal: scope.signal });
}

/** Snapshots that were begun and not completed, oldest first. One that is being taken right now is among them. None in a container that is not there. */
export function listHalfSnapshots(container: BackupContainer, options: AbandonedOptions = {}): Promise<HalfSnapshot[]> {
  return withAccess(options, (access) => readHalfSnapshots(container, access));
}

/**
 * It will not be resumed any more: removes its entries, then those of its files that nothing else needs. Not while it is being taken. CORRUPT_FILE for a manifest that cannot be read, as for listOrphanRangeFiles: the entries
 * are gone then, the files still there.
 */
export function forgetHalfSnapshot(
  container: BackupContainer,
  half: HalfSnapshot,
  options: AbandonedOptions = {},
): Promise<void> {
  return withAccess(options, async (access) => {
    await deleteAll(container, half.entries, access);
    const orphans = await findOrphans(container, access, -Infinity);
    const own = orphans.filter(({ snapshotBegin }) => snapshotBegin === half.snapshotBegin);
    await deleteAll(
      container,
      own.map(({ name }) => name),
      access,
    );
  });
}

/**
 * Range files that can be deleted: no manifest names them, and no half snapshot will. Safe beside a snapshot that is being taken: its first entry is there before its files, and its entries go
 * after the manifest has come. CORRUPT_FILE for a manifest that cannot be read: then nobody knows which files it names.
 */
export function listOrphanRangeFiles(
  container: BackupContainer,
  options: OrphanOptions = {},
): Promise<OrphanRangeFile[]> {
  return withAccess(options, (access) => findOrphans(container, access, options.keepSince ?? -Infinity));
}

/** As `listOrphanRangeFiles`. */
export async function findOrphans(
  container: BackupContainer,
  access: Access,
  keepSince: number,
): Promise<OrphanRangeFile[]> {
  // In this order: a file that is listed here had its half snapshot before it, and will have its manifest before the half snapshot goes.
  const files = await listAll(container, RANGE_FOLDER, access);
  const halves = await readHalfSnapshots(container, access);
  // One without a first entry was completed or given up.
  const alive = halves.filter(({ startedAt }) => startedAt !== undefined && startedAt >= keepSince);
  const kept = new Set(alive.map(({ snapshotBegin }) => snapshotBegin));
  const candidates = new Map<string, OrphanRangeFile>();
  for (const { name, size } of files) {
    const descriptor = parseRangeFileName(name);
    if (descriptor === undefined || kept.has(descriptor.snapshotBegin)) continue;
    const { snapshotBegin, version } = descriptor;
    candidates.set(name, { name, size, snapshotBegin, version });
  }
  for (const { name } of await listAll(container, SNAPSHOT_FOLDER, access)) {
    if (candidates.size === 0 || parseSnapshotFileName(name) === undefined) continue;
    const bytes = await readWhole(container, name, MAX_MANIFEST_BYTES, access);
    // Deleted meanwhile: its files are being deleted too.
    if (bytes === undefined) continue;
    for (const file of parseSnapshotManifest(bytes, name).files) candidates.delete(file);
  }
  return [...candidates.values()];
}
