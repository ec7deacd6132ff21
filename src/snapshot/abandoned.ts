// What snapshots that were never completed leave in a container: entries of half snapshots, and range files that no manifest names.

import { AbortScope } from '../core/abort.js';
import type { Clock, Random } from '../core/clock.js';
import { systemClock, systemRandom } from '../core/clock.js';
import type { Version } from '../core/version.js';
import { RANGE_FOLDER, SNAPSHOT_FOLDER, parseRangeFileName, parseSnapshotFileName } from '../format/fdb/names.js';
import { MAX_MANIFEST_BYTES, parseSnapshotManifest } from '../format/fdb/snapshot-manifest.js';
import type { BackupContainer } from '../ports/backup-container.js';
import { listingLagOf } from '../ports/listing-lag.js';
import { type HalfSnapshot, readHalfSnapshots } from './half-snapshot.js';
import { type Access, deleteAll, listAll, readWhole } from './small-files.js';

export interface AbandonedOptions {
  readonly signal?: AbortSignal | undefined;
  readonly clock?: Clock | undefined;
  readonly random?: Random | undefined;
  /** How long after a file was finished or deleted the container's listings may still be wrong about it, ms. Waited, twice, before anything counts as an orphan. Default: what the container says, else 10,000. */
  readonly listingLag?: number | undefined;
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

async function withAccess<T>(
  container: BackupContainer,
  options: AbandonedOptions,
  body: (access: Access, listingLag: number) => Promise<T>,
): Promise<T> {
  using scope = new AbortScope(options.signal);
  const { clock = systemClock, random = systemRandom } = options;
  const listingLag = listingLagOf(container, options.listingLag);
  return await body({ policy: { ...POLICY, clock, random }, signal: scope.signal }, listingLag);
}

/** Snapshots that were begun and not completed, oldest first. One that is being taken right now is among them. None in a container that is not there. */
export function listHalfSnapshots(container: BackupContainer, options: AbandonedOptions = {}): Promise<HalfSnapshot[]> {
  return withAccess(container, options, (access) => readHalfSnapshots(container, access));
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
  return withAccess(container, options, async (access, listingLag) => {
    await deleteAll(container, half.entries, access);
    const orphans = await findOrphans(container, access, { keepSince: -Infinity, listingLag });
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
  return withAccess(container, options, (access, listingLag) =>
    findOrphans(container, access, { keepSince: options.keepSince ?? -Infinity, listingLag }),
  );
}

/** As `listOrphanRangeFiles`. */
export async function findOrphans(
  container: BackupContainer,
  access: Access,
  { keepSince, listingLag }: { readonly keepSince: number; readonly listingLag: number },
): Promise<OrphanRangeFile[]> {
  // In this order: a file that is listed here had its half snapshot before it, and will have its manifest before the half snapshot goes.
  const candidates = new Map<string, OrphanRangeFile>();
  for (const { name, size } of await listAll(container, RANGE_FOLDER, access)) {
    const descriptor = parseRangeFileName(name);
    if (descriptor === undefined) continue;
    const { snapshotBegin, version } = descriptor;
    candidates.set(name, { name, size, snapshotBegin, version });
  }
  await dropNeeded(candidates, container, access, keepSince);
  await dropNamed(candidates, container, access);
  if (candidates.size === 0) return [];
  // What speaks for a file may only not be listed yet: an entry that was there before the file, or a manifest that was there before the entry went.
  const { clock } = access.policy;
  await clock.sleep(listingLag, access.signal);
  await dropNeeded(candidates, container, access, keepSince);
  await clock.sleep(listingLag, access.signal);
  await dropNamed(candidates, container, access);
  return [...candidates.values()];
}

/** Without those that a half snapshot has. */
async function dropNeeded(
  candidates: Map<string, OrphanRangeFile>,
  container: BackupContainer,
  access: Access,
  keepSince: number,
): Promise<void> {
  const halves = await readHalfSnapshots(container, access);
  // One without a first entry was completed or given up.
  const alive = halves.filter(({ startedAt }) => startedAt !== undefined && startedAt >= keepSince);
  const kept = new Set(alive.map(({ snapshotBegin }) => snapshotBegin));
  for (const [name, { snapshotBegin }] of candidates) if (kept.has(snapshotBegin)) candidates.delete(name);
}

/** Without those that a manifest names. */
async function dropNamed(
  candidates: Map<string, OrphanRangeFile>,
  container: BackupContainer,
  access: Access,
): Promise<void> {
  if (candidates.size === 0) return;
  for (const { name } of await listAll(container, SNAPSHOT_FOLDER, access)) {
    if (parseSnapshotFileName(name) === undefined) continue;
    const bytes = await readWhole(container, name, MAX_MANIFEST_BYTES, access);
    // Deleted meanwhile: its files are being deleted too.
    if (bytes === undefined) continue;
    for (const file of parseSnapshotManifest(bytes, name).files) candidates.delete(file);
    if (candidates.size === 0) return;
  }
}
