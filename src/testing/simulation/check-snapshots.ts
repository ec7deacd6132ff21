// A snapshot is checked at the moment at which its manifest becomes visible: whole, of one job that wanted it, and row by row what the database had. From then on nothing may go that it names, nor log that
// somebody may still need.

import { equalBytes } from '../../core/bytes.js';
import type { KeyRange } from '../../core/key-range.js';
import { NORMAL_KEYS, coalesceRanges, formatRange } from '../../core/key-range.js';
import { SNAPSHOT_PREFIX } from '../../job/keys.js';
import { markOf } from './expiry-mark.js';
import type { StoreCheckParts } from './check-store.js';
import type { ManifestEntry, NamedSnapshot } from './read-range-file.js';
import { parseSnapshotName, readManifest, readRangeFile } from './read-range-file.js';
import { parseLogName } from './read-log-file.js';

export function checkSnapshots(parts: StoreCheckParts): void {
  const { containers, store, verdict } = parts;
  /** Files of the manifests that are there, by container and manifest. */
  const named = new Map<string, ReadonlySet<string>>();
  containers.onFile(({ url, name, bytes }) => {
    if (!name.startsWith('snapshots/')) return;
    const snapshot = parseSnapshotName(name);
    if (snapshot === undefined) {
      verdict.fail('file name', `${url} ${name} is no name of a manifest`);
      return;
    }
    const entries = readManifest(bytes);
    checkVersions(parts, url, name, snapshot);
    // A snapshot that an expiry has overtaken may lack files: nobody counts on it.
    if (snapshot.begin < markOf(containers.files(url))) return;
    checkWhole(parts, url, name, snapshot, entries);
    for (const entry of entries) checkRows(parts, url, entry);
    named.set(`${url} ${name}`, new Set(entries.map((entry) => entry.name)));
  });
  containers.onDelete(({ url, name }) => {
    named.delete(`${url} ${name}`);
    if (name.startsWith('kvranges/')) {
      const owner = [...named].find(([key, files]) => key.startsWith(`${url} `) && files.has(name));
      verdict.expect(owner === undefined, 'a snapshot keeps its files', () => `${url} ${name}, of ${owner?.[0]}`);
    } else if (name.startsWith('plogs/')) checkLogGoes(parts, url, name);
  });
  store.onCommit(({ writes, before, process }) => {
    for (const key of writes.keys()) {
      if (!key.startsWith(SNAPSHOT_PREFIX)) continue;
      if (process.name.startsWith('operator')) continue;
      const lease = before.get(`lease/${key}`);
      verdict.expect(
        lease !== undefined && Buffer.from(lease).includes(`"by":"${process.name}"`),
        'only who holds the lease records (S2)',
        () =>
          `${process.name} writes ${key}; the lease is ${lease === undefined ? 'gone' : Buffer.from(lease).toString()}`,
      );
    }
  });
}

function checkVersions(parts: StoreCheckParts, url: string, name: string, { begin, end }: NamedSnapshot): void {
  const { jobs, history, verdict } = parts;
  const job = jobs.byUrl(url);
  verdict.expect(
    job?.completeFrom !== undefined && begin >= job.completeFrom,
    'no snapshot below completeFrom (P3, S3)',
    () => `${url} ${name}: the job is complete from ${job?.completeFrom}`,
  );
  verdict.expect(
    begin <= end && end <= history.committed,
    'a snapshot is of committed versions',
    () => `${url} ${name}: committed is ${history.committed}`,
  );
}

/** Every file is there, with its bytes and checksums, and together they cover the job's keys, each once. */
function checkWhole(
  { containers, jobs, verdict }: StoreCheckParts,
  url: string,
  manifest: string,
  { begin, end, totalBytes }: NamedSnapshot,
  entries: readonly ManifestEntry[],
): void {
  const files = containers.files(url);
  const missing = entries.find(({ name }) => !files.has(name));
  verdict.expect(
    missing === undefined,
    'no half snapshot is listed',
    () => `${url} ${manifest} names ${missing?.name}`,
  );
  const bytes = entries.reduce((sum, { name }) => sum + (files.get(name)?.length ?? 0), 0);
  verdict.expect(bytes === totalBytes, 'a manifest is true', () => `${url} ${manifest}: its files have ${bytes} bytes`);
  const versions = entries.map(({ version }) => version);
  verdict.expect(
    versions.every((version) => begin <= version && version <= end) &&
      versions.includes(begin) &&
      versions.includes(end),
    'a manifest is true',
    () => `${url} ${manifest} has files of ${versions.join(', ')}`,
  );
  const sidecar = files.get(`properties/tidemark_snapshot,${begin},${end},${totalBytes}`);
  verdict.expect(
    sidecar !== undefined && entries.every(({ name }) => Buffer.from(sidecar).includes(name)),
    'checksums before the manifest',
    () => `${url} ${manifest} has ${sidecar === undefined ? 'no sidecar' : 'a sidecar of other files'}`,
  );
  const job = jobs.byUrl(url);
  const wanted = coalesceRanges(job?.ranges.length === 0 ? [NORMAL_KEYS] : (job?.ranges ?? []));
  const overlap = entries.find(
    ({ range }, i) => i > 0 && Buffer.compare((entries[i - 1] as ManifestEntry).range.end, range.begin) > 0,
  );
  verdict.expect(
    overlap === undefined && sameRanges(coalesceRanges(entries.map(({ range }) => range)), wanted),
    'a snapshot has every key once',
    () => `${url} ${manifest} has ${entries.map(({ range }) => formatRange(range)).join(' ')}`,
  );
}

function sameRanges(a: readonly KeyRange[], b: readonly KeyRange[]): boolean {
  return (
    a.length === b.length &&
    a.every(
      (range, i) =>
        equalBytes(range.begin, b[i]?.begin ?? range.end) && equalBytes(range.end, b[i]?.end ?? range.begin),
    )
  );
}

function checkRows({ containers, history, verdict }: StoreCheckParts, url: string, entry: ManifestEntry): void {
  const { name, version, blockSize, range } = entry;
  const bytes = containers.files(url).get(name);
  if (bytes === undefined) return;
  try {
    const content = readRangeFile(bytes, blockSize);
    verdict.expect(
      sameRanges([content.range], [range]),
      'a manifest is true',
      () => `${url} ${name} is ${formatRange(content.range)}, its manifest says ${formatRange(range)}`,
    );
    const rows = content.rows.map((row) => row.join(' ')).join('\n');
    const expected = [...history.rowsAt(version, [range])].map((row) => row.join(' ')).join('\n');
    verdict.expect(
      rows === expected,
      'rows of a snapshot',
      () => `${url} ${name} has\n${rows}\nthe database had\n${expected}`,
    );
  } catch (error) {
    verdict.fail('rows of a snapshot', `${url} ${name} cannot be read: ${String(error)}`);
  }
}

/** Below the mark, or another file has all of its versions. */
function checkLogGoes({ containers, verdict }: StoreCheckParts, url: string, name: string): void {
  const files = containers.files(url);
  const file = parseLogName(name);
  if (file === undefined || file.end <= markOf(files)) return;
  const holds = (other: string) => {
    const log = parseLogName(other);
    if (log?.tag !== file.tag || log.totalTags !== file.totalTags) return false;
    return log.begin <= file.begin && file.end <= log.end;
  };
  const isHeld = [...files.keys()].some((other) => other !== name && holds(other));
  verdict.expect(isHeld, 'no log goes that is needed', () => `${url} ${name}; the mark is ${markOf(files)}`);
}
