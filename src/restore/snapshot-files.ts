// The range files of one snapshot, as its manifest names them: which keys each covers, at which version.

import { compareBytes } from '../core/bytes.js';
import { BackupError } from '../core/errors.js';
import type { KeyRange } from '../core/key-range.js';
import { coalesceRanges, formatRange } from '../core/key-range.js';
import type { Version } from '../core/version.js';
import { parseRangeFileName } from '../format/fdb/names.js';
import type { SnapshotManifest } from '../format/fdb/snapshot-manifest.js';
import { MAX_MANIFEST_BYTES, parseSnapshotManifest } from '../format/fdb/snapshot-manifest.js';
import { MAX_SNAPSHOT_SUMS_BYTES, parseSnapshotSums, snapshotSumsName } from '../format/fdb/snapshot-sums.js';
import type { BackupContainer } from '../ports/backup-container.js';
import type { SnapshotFile } from './catalog.js';
import { readSmallFile } from './catalog.js';

/** A file with rows of a key range, all read at one version. */
export interface RangeFile {
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  readonly version: Version;
  readonly blockSize: number;
  /** The keys that it covers; undefined: the manifest is an old one, and only the file itself knows. */
  readonly range: KeyRange | undefined;
}

export interface SnapshotFiles {
  /** In the order of their keys; in the manifest's order where it does not give the keys. */
  readonly files: readonly RangeFile[];
  /** What they cover together, joined; undefined when the manifest does not say. */
  readonly ranges: readonly KeyRange[] | undefined;
}

/**
 * Reads a manifest and holds it against the files that are there (`sizes`: name -> bytes). Throws FILE_NOT_FOUND if the manifest or one of its files is gone, CORRUPT_FILE if it is
 * no manifest, contradicts its own name, or names files whose keys overlap.
 */
export async function readSnapshotFiles(
  container: BackupContainer,
  snapshot: Pick<SnapshotFile, 'name' | 'beginVersion' | 'endVersion'>,
  sizes: ReadonlyMap<string, number>,
): Promise<SnapshotFiles> {
  const { name } = snapshot;
  const bytes = await readSmallFile(container, name, MAX_MANIFEST_BYTES);
  if (bytes === undefined)
    throw new BackupError('FILE_NOT_FOUND', 'its manifest was deleted meanwhile', { file: name });
  const manifest = parseSnapshotManifest(bytes, name);
  if (manifest.beginVersion !== snapshot.beginVersion || manifest.endVersion !== snapshot.endVersion)
    refuse(name, 'its manifest names other versions than its name');
  const found = await findUnlisted(container, manifest, sizes);
  checkMissing(manifest.files, sizes, found);
  const files: RangeFile[] = [];
  const known: (RangeFile & { readonly range: KeyRange })[] = [];
  for (const file of manifest.files) {
    const facts = parseRangeFileName(file);
    if (facts === undefined) return refuse(name, `it names ${file}, which is no range file`);
    const { version, blockSize } = facts;
    if (version < snapshot.beginVersion || version > snapshot.endVersion)
      refuse(name, `it names ${file}, whose version lies outside of its own`);
    const range = manifest.keyRanges.get(file);
    const entry = { name: file, size: (sizes.get(file) ?? found.get(file)) as number, version, blockSize };
    files.push({ ...entry, range });
    if (range !== undefined) known.push({ ...entry, range });
  }
  if (known.length < files.length) return { files, ranges: undefined };
  return { files: inKeyOrder(name, known), ranges: coalesceRanges(known.map(({ range }) => range)) };
}

/**
 * A listing that lags may not show files yet: the sidecar says how large they are, and the end of each is asked for, up to the first that is gone. Name -> bytes of those that are there all the same.
 */
async function findUnlisted(
  container: BackupContainer,
  { files, ...descriptor }: SnapshotManifest,
  sizes: ReadonlyMap<string, number>,
): Promise<ReadonlyMap<string, number>> {
  const found = new Map<string, number>();
  const unlisted = files.filter((file) => !sizes.has(file));
  if (unlisted.length === 0) return found;
  const name = snapshotSumsName(descriptor);
  const sidecar = await readSmallFile(container, name, MAX_SNAPSHOT_SUMS_BYTES);
  if (sidecar === undefined) return found;
  const written = new Map(parseSnapshotSums(sidecar, name).files.map((file) => [file.name, file.size]));
  for (const file of unlisted) {
    const size = parseRangeFileName(file) === undefined ? undefined : written.get(file);
    if (size === undefined || !(await hasSize(container, file, size))) return found;
    found.set(file, size);
  }
  return found;
}

async function hasSize(container: BackupContainer, name: string, size: number): Promise<boolean> {
  const last = Math.max(0, size - 1);
  try {
    return (await container.readFile(name, last, 2)).length === size - last;
  } catch (error) {
    if (BackupError.is(error, 'FILE_NOT_FOUND')) return false;
    throw error;
  }
}

function checkMissing(
  files: readonly string[],
  sizes: ReadonlyMap<string, number>,
  found: ReadonlyMap<string, number>,
): void {
  const missing = files.filter((file) => !sizes.has(file) && !found.has(file));
  if (missing.length === 0) return;
  throw new BackupError(
    'FILE_NOT_FOUND',
    `${missing.length} of its ${files.length} range files are missing, the first is ${missing[0]}`,
    { file: missing[0] },
  );
}

/** Sorted by keys. CORRUPT_FILE, of the manifest, if two of them share a key: which one's version would count? */
export function inKeyOrder<T extends { readonly name: string; readonly range: KeyRange }>(
  manifest: string,
  files: readonly T[],
): T[] {
  const sorted = [...files].sort(
    (a, b) => compareBytes(a.range.begin, b.range.begin) || compareBytes(a.range.end, b.range.end),
  );
  sorted.forEach(({ name, range }, i) => {
    if (compareBytes(range.begin, range.end) > 0)
      refuse(manifest, `${name} has the keys ${formatRange(range)}, which end before they begin`);
    const next = sorted[i + 1];
    if (next !== undefined && compareBytes(next.range.begin, range.end) < 0)
      refuse(manifest, `${name} and ${next.name} overlap: both have keys of ${formatRange(next.range)}`);
  });
  return sorted;
}

function refuse(file: string, what: string): never {
  throw new BackupError('CORRUPT_FILE', what, { file, offset: 0 });
}
