// describe: what a container holds and which versions can be rebuilt from it. It never writes to the container.
//
// The marks log_begin_version and log_end_version spare the original a listing of the whole log. A restore needs every name anyway, and so does the picture of the gaps:
// here the names are always read and decide, and a mark that claims more than they show is reported.

import { checkFlag, checkMethods } from '../core/check-option.js';
import { abortable } from '../core/abort.js';
import type { Clock } from '../core/clock.js';
import { systemClock } from '../core/clock.js';
import type { Version } from '../core/version.js';
import { maxVersion } from '../core/version.js';
import { MUTATION_LOG_TYPE } from '../format/fdb/properties.js';
import { checkedContainer } from '../ports/checked-container.js';
import type { BackupContainer } from '../ports/backup-container.js';
import type { CatalogListing, ContainerProperties } from './catalog.js';
import { listCatalog } from './catalog.js';
import type {
  BackupDescription,
  DescriptionProblem,
  LogFile,
  RestorableWindow,
  SnapshotDescription,
  VersionRange,
} from './description.js';
import type { LogCoverage } from './log-coverage.js';
import { analyzeLogs, compareVersions, whyNotFromEmpty } from './log-coverage.js';
import { rangesOfJob, unreadable } from './readable.js';
import { describeSnapshots } from './snapshots.js';
import { verifyLogFiles } from './verify-log-files.js';
import { rangeHolding } from './version-ranges.js';

export interface DescribeOptions {
  /** Decode every log file and count those that are corrupt as missing. Reads the whole container. Default false. */
  readonly deep?: boolean;
  readonly signal?: AbortSignal | undefined;
  readonly clock?: Clock;
  /** Deep only: called after each file, with what has been read so far. */
  readonly onProgress?: ((progress: { readonly files: number; readonly bytes: number }) => void) | undefined;
}

/**
 * Throws FILE_NOT_FOUND if there is no container, CORRUPT_FILE if a property that everything depends on is damaged, ENCRYPTION_KEY_MISSING or UNSUPPORTED_FORMAT if
 * `deep` is asked of a container whose content cannot be read. Damaged data files are not thrown but reported.
 */
export async function describeBackup(
  container: BackupContainer,
  options: DescribeOptions = {},
): Promise<BackupDescription> {
  checkMethods('container', container, 'BackupContainer', ['exists', 'readFile', 'listFiles']);
  checkFlag('deep', options.deep);
  const description = describe(checkedContainer(container, options.clock ?? systemClock), options);
  // A container may hang, and its calls know no signal.
  return options.signal === undefined ? description : abortable(description, options.signal);
}

async function describe(container: BackupContainer, options: DescribeOptions): Promise<BackupDescription> {
  const { deep = false, signal, clock = systemClock } = options;
  let listing = await listCatalog(container, signal);
  const encrypted = listing.properties.encryption.enabled && container.decrypts !== true;
  const unsupported = findUnsupported(listing, encrypted);
  const problems: DescriptionProblem[] = [];
  let corrupt = new Set<LogFile>();
  if (deep) {
    if (unsupported !== undefined) throw unreadable(container.url, encrypted, unsupported);
    const read = await verifyLogFiles(container, listing, { signal, clock, onProgress: options.onProgress });
    listing = read.listing;
    corrupt = new Set(read.corrupt.keys());
    for (const [file, error] of read.corrupt)
      problems.push({ kind: 'corrupt-file', message: error.message, file: file.name, offset: error.offset });
  }
  problems.unshift(...listing.problems);
  const { expiredEnd } = listing.properties;
  const unreliableEnd = laterOf(listing.properties.unreliableEnd, expiredEnd);
  const coverage = analyzeLogs(listing.logFiles, unreliableEnd ?? 0n, corrupt);
  problems.push(...coverage.problems, ...checkMarks(listing, coverage, unreliableEnd, deep));
  const found = await describeSnapshots(container, listing.snapshots, {
    complete: coverage.complete,
    unreliableEnd,
    jobRanges: rangesOfJob(listing.properties.job),
    encrypted,
    signal,
  });
  problems.push(...found.problems);
  const log = usableLog(coverage.complete, found.snapshots);
  const windows =
    logType(listing) === 'range-partitioned'
      ? []
      : restorableWindows(listing.properties, coverage.complete, found.snapshots);
  const window = mainWindow(windows, log);
  return {
    url: container.url,
    deep,
    logType: logType(listing),
    unsupported,
    encryption: listing.properties.encryption,
    encrypted,
    job: listing.properties.job,
    tags: coverage.tags,
    stretches: coverage.stretches,
    complete: coverage.complete,
    gaps: coverage.gaps,
    snapshots: found.snapshots,
    snapshotBytes: found.snapshots.reduce((sum, snapshot) => sum + snapshot.totalBytes, 0),
    logFiles: listing.logFiles.length,
    logBytes: listing.logFiles.reduce((sum, file) => sum + file.size, 0),
    logBegin: log?.begin,
    contiguousLogEnd: log?.end,
    maxLogEnd: coverage.stretches.at(-1)?.end,
    minRestorable: window?.min,
    maxRestorable: window?.max,
    windows,
    notRestorable: windows.length > 0 ? undefined : whyNothing(listing, coverage, found.snapshots),
    expiredEnd,
    unreliableEnd,
    problems,
  };
}

function laterOf(a: Version | undefined, b: Version | undefined): Version | undefined {
  return a === undefined ? b : b === undefined ? a : maxVersion(a, b);
}

function logType({ logFiles, properties }: CatalogListing): BackupDescription['logType'] {
  if (logFiles.length > 0) return logFiles[0]?.unpartitioned === true ? 'unpartitioned' : 'partitioned';
  return properties.mutationLogType === BigInt(MUTATION_LOG_TYPE.rangePartitioned) ? 'range-partitioned' : 'none';
}

function findUnsupported(listing: CatalogListing, encrypted: boolean): string | undefined {
  if (encrypted)
    return 'the container is encrypted, and it was opened without its key: openEncryptedContainer of tidemark/container/encrypted opens it';
  if (logType(listing) === 'range-partitioned')
    return 'the container holds range-partitioned logs, which this release does not read';
  return undefined;
}

/** What the container says of itself against what its files show. */
function checkMarks(
  listing: CatalogListing,
  coverage: LogCoverage,
  unreliableEnd: Version | undefined,
  deep: boolean,
): DescriptionProblem[] {
  const problems: DescriptionProblem[] = [];
  if (listing.ignoredLogFiles.length > 0) {
    const message = `${listing.ignoredLogFiles.length} unpartitioned log files beside the partitioned ones are ignored`;
    problems.push({ kind: 'ignored', message });
  }
  const { logBegin, logEnd } = listing.properties;
  if (deep || listing.logFiles.length === 0 || logBegin === undefined || logEnd === undefined) return problems;
  // As in the original, marks that contradict each other or the expiry say nothing.
  if (logEnd <= logBegin || logEnd < (unreliableEnd ?? 0n)) return problems;
  const begin = maxVersion(logBegin, unreliableEnd ?? 0n);
  const log = rangeHolding(coverage.complete, begin);
  if (begin < logEnd && (log === undefined || log.end < logEnd)) {
    problems.push({
      kind: 'cache',
      message: `the container's marks claim a gapless log [${begin}, ${logEnd}), and its files do not show it`,
    });
  }
  return problems;
}

/** The first gapless log that does not end before the first snapshot begins; the last one if all do. */
function usableLog(
  complete: readonly VersionRange[],
  snapshots: readonly SnapshotDescription[],
): VersionRange | undefined {
  const first = snapshots[0]?.beginVersion;
  return complete.find((log) => first === undefined || log.end > first) ?? complete.at(-1);
}

function restorableWindows(
  properties: ContainerProperties,
  complete: readonly VersionRange[],
  snapshots: readonly SnapshotDescription[],
): RestorableWindow[] {
  const windows: RestorableWindow[] = [];
  const firstVersion = properties.job?.logOnly === true ? properties.job.firstVersion : undefined;
  for (const log of complete) {
    if (firstVersion !== undefined && log.begin <= firstVersion)
      windows.push({ min: log.begin, max: log.end - 1n, snapshot: undefined });
  }
  for (const { restorable, beginVersion, endVersion, name } of snapshots) {
    if (!restorable) continue;
    const log = rangeHolding(complete, beginVersion);
    windows.push({
      min: endVersion,
      max: log !== undefined && log.end > endVersion ? log.end - 1n : endVersion,
      snapshot: name,
    });
  }
  windows.sort((a, b) => compareVersions(a.min, b.min) || compareVersions(b.max, a.max));
  // A window within an earlier one says nothing new; one that reaches out of it cannot be, both end where the log does.
  let max: Version = -1n;
  return windows.filter((window) => {
    if (window.max <= max) return false;
    max = window.max;
    return true;
  });
}

function mainWindow(windows: readonly RestorableWindow[], log: VersionRange | undefined): RestorableWindow | undefined {
  return windows.find((window) => window.max + 1n === log?.end) ?? windows.at(-1);
}

function whyNothing(
  { properties }: CatalogListing,
  coverage: LogCoverage,
  snapshots: readonly SnapshotDescription[],
): string {
  const { job } = properties;
  if (snapshots.length > 0)
    return `no snapshot is usable; the last one: ${snapshots.at(-1)?.reason ?? 'its log is not read'}`;
  if (coverage.tags.length === 0) return 'the container holds neither a snapshot nor a log file';
  if (job === undefined)
    return 'the container holds no snapshot, and nothing says that its log begins with an empty database';
  if (!job.logOnly) return 'the container holds no snapshot yet, and its job is not log-only';
  return whyNotFromEmpty(coverage, job.firstVersion);
}
