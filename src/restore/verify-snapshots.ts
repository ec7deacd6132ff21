// Snapshots: manifest against sidecar, both against the files that are there; deep, every file against both.

import type { KeyRange } from '../core/key-range.js';
import { equalBytes } from '../core/bytes.js';
import { formatRange } from '../core/key-range.js';
import type { Version } from '../core/version.js';
import type { SnapshotFileDescriptor } from '../format/fdb/names.js';
import { parseRangeFileName } from '../format/fdb/names.js';
import type { SnapshotManifest } from '../format/fdb/snapshot-manifest.js';
import { MAX_MANIFEST_BYTES, parseSnapshotManifest } from '../format/fdb/snapshot-manifest.js';
import type { RangeFileSums } from '../format/fdb/snapshot-sums.js';
import {
  MAX_SNAPSHOT_SUMS_BYTES,
  parseSnapshotSums,
  parseSnapshotSumsName,
  snapshotSumsName,
} from '../format/fdb/snapshot-sums.js';
import type { SnapshotFile } from './catalog.js';
import { readSmallFile } from './catalog.js';
import { SumsReader } from './log-sums.js';
import { inKeyOrder } from './snapshot-files.js';
import type { VerifyContext } from './verify-context.js';
import { RangeRunDecoder, scanFile } from './verify-data-file.js';
import { inParallel } from './verify-in-parallel.js';
import { keyOfSnapshot } from './verify-inventory.js';
import { lostManifest } from './verify-lost-manifests.js';
import { isDamage, isThere } from './verify-read.js';

/** Returns the range files that some snapshot has. */
export async function verifySnapshots(context: VerifyContext, unreliableEnd: Version): Promise<Set<string>> {
  const used = new Set<string>();
  const { manifests, sidecars } = context.inventory;
  const withManifest = new Set<string>();
  for (const manifest of manifests) {
    withManifest.add(keyOfSnapshot(manifest));
    if (manifest.beginVersion < unreliableEnd) context.leftovers.push(manifest.name);
    else await verifySnapshot(context, manifest, used);
  }
  for (const [key, { name }] of sidecars)
    if (!withManifest.has(key)) await verifySidecar(context, name, unreliableEnd, used);
  return used;
}

/** A sidecar without its manifest: what a snapshot has left that was cut off at its very end, or a snapshot that has lost its manifest. */
async function verifySidecar(
  context: VerifyContext,
  name: string,
  unreliableEnd: Version,
  used: Set<string>,
): Promise<void> {
  const descriptor = parseSnapshotSumsName(name) as SnapshotFileDescriptor;
  const sidecar = descriptor.beginVersion < unreliableEnd ? undefined : await readSidecar(context, descriptor);
  const lost = sidecar && (await lostManifest(context, descriptor, sidecar, used));
  if (sidecar === undefined || lost === undefined) {
    context.leftovers.push(name);
    return;
  }
  context.missing(lost, `${lost} is not there; its range files are, and the sidecar ${name} names them`);
  for (const file of sidecar.keys()) used.add(file);
  const { concurrency, signal } = context.options;
  const files = [...sidecar].filter(([file]) => context.inventory.rangeFiles.has(file));
  await inParallel(files, concurrency, signal, async ([file, entry]) => {
    await verifyRangeFile(context, file, entry, entry.range);
  });
}

async function verifySnapshot(context: VerifyContext, file: SnapshotFile, used: Set<string>): Promise<void> {
  context.counts.snapshots++;
  if (file.kind === 'bulk') return; // A bulk dump has no range files.
  const manifest = await readManifest(context, file);
  const sidecar = await readSidecar(context, file);
  const before = new Set(used);
  for (const name of [...(manifest?.files ?? []), ...(sidecar?.keys() ?? [])]) used.add(name);
  const present = manifest === undefined ? [] : await presentFiles(context, file.name, manifest.files);
  if (manifest !== undefined) {
    compareWithFiles(context, file, manifest, present);
    if (sidecar !== undefined) compareWithSidecar(context, file, manifest, sidecar);
  }
  const named = manifest === undefined ? [...(sidecar?.keys() ?? [])] : present;
  // A file that two snapshots name is read once.
  const files = named.filter((name) => !before.has(name) && context.inventory.rangeFiles.has(name));
  const { concurrency, signal } = context.options;
  const gone: string[] = [];
  await inParallel(files, concurrency, signal, async (name) => {
    const there = await verifyRangeFile(context, name, sidecar?.get(name), manifest?.keyRanges.get(name));
    if (!there) gone.push(name);
  });
  if (gone.length > 0 && (await isThere(context.options.container, file.name)))
    for (const name of gone) context.missing(name, `${file.name} names ${name}, which is not there any more`);
}

async function readManifest(context: VerifyContext, file: SnapshotFile): Promise<SnapshotManifest | undefined> {
  const { name } = file;
  try {
    const bytes = await readSmallFile(context.options.container, name, MAX_MANIFEST_BYTES);
    if (bytes === undefined) {
      context.vanished.add(name);
      return undefined;
    }
    const manifest = parseSnapshotManifest(bytes, name);
    if (manifest.beginVersion !== file.beginVersion || manifest.endVersion !== file.endVersion)
      contradiction(context, name, 'names other versions than its name');
    if (manifest.totalBytes !== file.totalBytes) contradiction(context, name, 'gives another total size than its name');
    const unkeyed = manifest.files.find((file) => !manifest.keyRanges.has(file));
    // Old manifests give no keys at all; one that gives some gives all.
    if (unkeyed !== undefined && latin1Includes(bytes, '"beginKey"'))
      contradiction(context, name, `does not say which keys ${unkeyed} has, although it does of others`);
    return manifest;
  } catch (error) {
    if (!isDamage(error)) throw error;
    context.problems.add({
      kind: 'manifest',
      code: error.code,
      message: error.message,
      file: name,
      offset: error.offset ?? 0,
    });
    return undefined;
  }
}

async function readSidecar(
  context: VerifyContext,
  file: SnapshotFileDescriptor,
): Promise<ReadonlyMap<string, RangeFileSums> | undefined> {
  // Asked for by its name: a listing that lags may not show it yet.
  const name = context.inventory.sidecars.get(keyOfSnapshot(file))?.name ?? snapshotSumsName(file);
  try {
    const bytes = await readSmallFile(context.options.container, name, MAX_SNAPSHOT_SUMS_BYTES);
    if (bytes === undefined) return undefined;
    context.counts.sums++;
    return new Map(parseSnapshotSums(bytes, name).files.map((entry) => [entry.name, entry]));
  } catch (error) {
    if (!isDamage(error)) throw error;
    context.damagedSums(error, name);
    return undefined;
  }
}

function latin1Includes(bytes: Uint8Array, text: string): boolean {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).includes(text, 0, 'latin1');
}

function contradiction(context: VerifyContext, file: string, what: string): void {
  context.problems.add({ kind: 'manifest', code: 'CORRUPT_FILE', message: `${file} ${what}`, file, offset: 0 });
}

/** Those that are there. The others are missing, unless the manifest is gone as well: then an expiry was at work. */
async function presentFiles(context: VerifyContext, manifest: string, files: readonly string[]): Promise<string[]> {
  const { rangeFiles } = context.inventory;
  const missing = files.filter((name) => !rangeFiles.has(name));
  if (missing.length > 0 && (await isThere(context.options.container, manifest))) {
    for (const name of missing) {
      if (parseRangeFileName(name) === undefined)
        contradiction(context, manifest, `names ${name}, which is no range file`);
      else if (!(await isThere(context.options.container, name)))
        context.missing(name, `${manifest} names ${name}, which is not there`);
    }
  }
  return files.filter((name) => rangeFiles.has(name));
}

function compareWithFiles(
  context: VerifyContext,
  { name, beginVersion, endVersion }: SnapshotFile,
  manifest: SnapshotManifest,
  present: readonly string[],
): void {
  let begin: Version | undefined;
  let end: Version | undefined;
  for (const file of manifest.files) {
    const version = parseRangeFileName(file)?.version;
    if (version === undefined) continue;
    begin = begin === undefined || version < begin ? version : begin;
    end = end === undefined || version > end ? version : end;
  }
  if (begin !== undefined && (begin < beginVersion || (end as Version) > endVersion))
    contradiction(context, name, `names files of versions ${begin} to ${end}, outside of its own`);
  checkKeys(context, name, manifest);
  if (
    present.length < manifest.files.length ||
    context.inventory.sidecars.has(keyOfSnapshot({ beginVersion, endVersion, totalBytes: manifest.totalBytes }))
  )
    return;
  // Without a sidecar the sum of the sizes is all that is known of them.
  const bytes = present.reduce((sum, file) => sum + (context.inventory.rangeFiles.get(file) as number), 0);
  if (bytes !== manifest.totalBytes) {
    const [file] = present;
    const what = `its ${present.length} range files have ${bytes} bytes together, the manifest says ${manifest.totalBytes}`;
    if (present.length === 1 && file !== undefined) context.wrongSize(file, manifest.totalBytes, bytes);
    else contradiction(context, name, what);
  }
}

/** No key may be in two files: a restore refuses such a manifest, since it would not know which of them counts. */
function checkKeys(context: VerifyContext, name: string, { files, keyRanges }: SnapshotManifest): void {
  if (new Set(files).size < files.length) return contradiction(context, name, 'names a file twice');
  const known = files.flatMap((file) => {
    const range = keyRanges.get(file);
    return range === undefined ? [] : [{ name: file, range }];
  });
  try {
    inKeyOrder(name, known);
  } catch (error) {
    if (!isDamage(error)) throw error;
    contradiction(context, name, `cannot be restored: ${error.message}`);
  }
}

function compareWithSidecar(
  context: VerifyContext,
  { name }: SnapshotFile,
  manifest: SnapshotManifest,
  sidecar: ReadonlyMap<string, RangeFileSums>,
): void {
  const files = new Set(manifest.files);
  const unknown = manifest.files.find((file) => !sidecar.has(file));
  if (unknown !== undefined) contradiction(context, name, `names ${unknown}, which was not part of the snapshot`);
  for (const [file, { range }] of sidecar) {
    if (!files.has(file)) contradiction(context, name, `does not name ${file}, which was part of the snapshot`);
    const keys = manifest.keyRanges.get(file);
    if (keys !== undefined && !sameRange(keys, range))
      contradiction(
        context,
        name,
        `says that ${file} has the keys ${formatRange(keys)}; they were ${formatRange(range)}`,
      );
  }
}

function sameRange(a: KeyRange, b: KeyRange): boolean {
  return equalBytes(a.begin, b.begin) && equalBytes(a.end, b.end);
}

/** Range files that no snapshot has: what was abandoned, or is being made. They are only read to know whether they repeat another one. */
export async function verifyUnusedRangeFiles(context: VerifyContext, used: ReadonlySet<string>): Promise<void> {
  const unused = [...context.inventory.rangeFiles.keys()].filter((name) => !used.has(name));
  for (const name of unused) context.leftovers.push(name);
  const { container, concurrency, signal, deep } = context.options;
  await inParallel(unused, concurrency, signal, async (name) => {
    context.counts.rangeFiles++;
    if (deep) {
      const file = { name, size: context.inventory.rangeFiles.get(name) as number, blockSize: 1 << 20 };
      try {
        const { sums, crc } = await scanFile({
          container,
          file,
          decoder: undefined,
          recorded: undefined,
          signal,
          onBytes: context.readBytes,
        });
        context.contents.see(name, sums.size, crc);
      } catch (error) {
        if (!context.hasVanished(name, error)) throw error;
      }
    }
    context.fileDone();
  });
}

/** False: the file has been deleted since it was listed. */
async function verifyRangeFile(
  context: VerifyContext,
  name: string,
  entry: RangeFileSums | undefined,
  keys: KeyRange | undefined,
): Promise<boolean> {
  context.counts.rangeFiles++;
  const size = context.inventory.rangeFiles.get(name) as number;
  const recorded = entry ?? (await lookUp(context, name));
  if (recorded === undefined) context.unchecked.add(name);
  else {
    context.record(name, recorded);
    if (recorded.size !== size) context.wrongSize(name, recorded.size, size);
  }
  const facts = parseRangeFileName(name);
  if (context.options.deep && facts !== undefined) {
    try {
      await scanRangeFile(context, { name, size, blockSize: facts.blockSize }, entry, recorded, keys);
    } catch (error) {
      if (!context.hasVanished(name, error)) throw error;
    }
  }
  context.fileDone();
  return !context.vanished.has(name);
}

/** A range file may have checksums of its own, as a log file has. */
async function lookUp(context: VerifyContext, name: string) {
  if (!context.inventory.sums.has(name)) return undefined;
  context.counts.sums++;
  try {
    return await new SumsReader(context.options.container).forFile(name);
  } catch (error) {
    if (!isDamage(error)) throw error;
    context.damagedSums(error, context.inventory.sums.get(name) as string);
    return undefined;
  }
}

async function scanRangeFile(
  context: VerifyContext,
  file: { readonly name: string; readonly size: number; readonly blockSize: number },
  entry: RangeFileSums | undefined,
  recorded: Parameters<typeof scanFile>[0]['recorded'],
  keys: KeyRange | undefined,
): Promise<void> {
  const { container, signal, slices } = context.options;
  const { name } = file;
  if (file.size === 0) {
    const message = `${name} is empty: a range file says at least which keys it covers`;
    context.suspect(name, { kind: 'corrupt', code: 'CORRUPT_FILE', message, file: name, offset: 0 });
    return;
  }
  const decoder = new RangeRunDecoder(file, entry?.range ?? keys, slices);
  const scanned = await scanFile({
    container,
    file,
    decoder,
    recorded,
    signal,
    onBytes: context.readBytes,
    sha256: entry !== undefined,
  });
  context.counts.rows += decoder.rows;
  context.scanned(name, scanned);
  if (entry === undefined || scanned.problems.length > 0 || context.isSuspect(name)) return;
  const facts = decoder.facts();
  const wrong = (['rows', 'rowBytes', 'crc64xor'] as const).find((field) => facts?.[field] !== entry[field]);
  if (wrong === undefined && scanned.sha256 === entry.sha256) return;
  const message = `${name}: its ${wrong ?? 'sha256'} is not what the snapshot recorded, although its blocks are`;
  context.suspect(name, { kind: 'content', code: 'CHECKSUM_MISMATCH', message, file: name });
}
