// Every file is checked at the moment at which it becomes visible: it must say exactly what the database has committed in the versions that it claims, and its checksums
// must be there by then.

import { equalBytes, printableBytes } from '../../core/bytes.js';
import { minVersion } from '../../core/version.js';
import { checkBlocks, parseFileSums, sumsFileName } from '../../format/fdb/file-sums.js';
import { markOf } from './expiry-mark.js';
import type { SimCoverage } from './coverage.js';
import type { ExpectedRecord, SimHistory } from './history.js';
import type { JobBook } from './job-book.js';
import type { NamedLogFile } from './read-log-file.js';
import { parseLogName, readLogRecords } from './read-log-file.js';
import type { SimContainers } from './sim-container.js';
import type { SimLog } from './sim-log.js';
import type { SimVerdict } from './verdict.js';

/** A log file's folder changes at multiples of this. */
const FOLDER_VERSIONS = 100_000_000_000n;

export interface FileCheckParts {
  readonly containers: SimContainers;
  readonly history: SimHistory;
  readonly log: SimLog;
  readonly jobs: JobBook;
  readonly coverage: SimCoverage;
  readonly verdict: SimVerdict;
}

export function checkFiles(parts: FileCheckParts): void {
  parts.containers.onFile(({ url, name, bytes, process }) => {
    if (!name.startsWith('plogs/')) return;
    const file = parseLogName(name);
    if (file === undefined) {
      parts.verdict.fail('file name', `${url} ${name} is no name of a log file`);
      return;
    }
    checkPlace(parts, url, name, file, process.name.startsWith('care'));
    checkContent(parts, url, name, file, bytes);
    checkSums(parts, url, name, bytes);
    parts.coverage.add(url, file.tag, file.begin, file.end);
  });
}

/** The file must lie within its epoch, and below what is committed. */
function checkPlace(
  { log, history, jobs, verdict }: FileCheckParts,
  url: string,
  name: string,
  file: NamedLogFile,
  merged: boolean,
): void {
  const job = jobs.byUrl(url);
  const epoch = log.allEpochs.find(({ begin, end }) => begin <= file.begin && (end === undefined || file.begin < end));
  verdict.expect(file.begin < file.end, 'file name', () => `${name} is empty or backwards`);
  // Compaction goes across recoveries, but not across a change of the number of tags.
  const spanned = log.allEpochs.filter(
    ({ begin, end }) => begin < file.end && (end === undefined || (end > file.begin && end > begin)),
  );
  const fits =
    epoch !== undefined &&
    file.tag < file.totalTags &&
    spanned.every(({ totalTags }) => totalTags === file.totalTags) &&
    (merged || epoch.end === undefined || file.end <= epoch.end);
  verdict.expect(
    fits,
    'file within its epoch (P14)',
    () =>
      `${url} ${name} does not fit into epoch ${epoch?.epoch} [${epoch?.begin}, ${epoch?.end ?? '…'}) of ${epoch?.totalTags} tags`,
  );
  verdict.expect(
    file.end <= history.committed + 1n,
    'nothing above the committed version (P14)',
    () => `${url} ${name} ends above the committed version ${history.committed}`,
  );
  const folder = ((file.end - 1n) / FOLDER_VERSIONS) * FOLDER_VERSIONS;
  verdict.expect(
    folder <= file.begin || file.end % FOLDER_VERSIONS === 0n,
    'a long file is split at the last boundary of folders (P20)',
    () => `${url} ${name} goes across ${folder}`,
  );
  const begins = job !== undefined && file.begin >= job.startVersion;
  verdict.expect(
    begins,
    'file not below the start version',
    () => `${url} ${name} begins below the job's start version ${job?.startVersion}`,
  );
}

function checkContent(parts: FileCheckParts, url: string, name: string, file: NamedLogFile, bytes: Uint8Array): void {
  const { history, jobs, verdict } = parts;
  // What is not committed has no truth to be held against yet.
  const expected = history.records(
    file.tag,
    jobs.byUrl(url)?.ranges ?? [],
    file.begin,
    minVersion(file.end, history.committed + 1n),
  );
  let records: ExpectedRecord[];
  try {
    records = readLogRecords(bytes, file.blockSize);
  } catch (error) {
    verdict.fail('file content', `${url} ${name} cannot be read: ${String(error)}`);
    return;
  }
  const difference = firstDifference(records, expected);
  verdict.expect(difference === undefined, 'file content', () => `${url} ${name}: ${difference}`);
}

/** A log file of ours that is not empty has its checksums from the moment at which it is seen; an empty one has none. */
function checkSums({ containers, verdict }: FileCheckParts, url: string, name: string, bytes: Uint8Array): void {
  const sumsName = sumsFileName(name);
  const sums = containers.files(url).get(sumsName);
  // A frozen worker's file may come after an expiry has taken its checksums: the next one takes it too.
  if (sums === undefined && (parseLogName(name)?.end ?? 0n) <= markOf(containers.files(url))) return;
  verdict.expect(
    (sums !== undefined) === bytes.length > 0,
    'checksums before the file',
    () => `${url} ${name} of ${bytes.length} bytes has ${sums === undefined ? 'no checksums' : 'checksums'}`,
  );
  if (sums === undefined) return;
  try {
    const parsed = parseFileSums(sums, sumsName);
    checkBlocks(parsed, name, 0, bytes);
    verdict.expect(parsed.size === bytes.length, 'checksums fit', () => `${url} ${sumsName} is of another size`);
  } catch (error) {
    verdict.fail('checksums fit', `${url} ${name}: ${String(error)}`);
  }
}

export function firstDifference(
  actual: readonly ExpectedRecord[],
  expected: readonly ExpectedRecord[],
): string | undefined {
  for (let i = 0; i < Math.max(actual.length, expected.length); i++) {
    const left = actual[i];
    const right = expected[i];
    if (left === undefined || right === undefined || !sameRecord(left, right)) {
      return `record ${i} of ${actual.length} is ${describeRecord(left)}, the database committed ${describeRecord(right)}`;
    }
  }
  return undefined;
}

function sameRecord(a: ExpectedRecord, b: ExpectedRecord): boolean {
  return (
    a.version === b.version &&
    a.subsequence === b.subsequence &&
    a.mutation.type === b.mutation.type &&
    equalBytes(a.mutation.param1, b.mutation.param1) &&
    equalBytes(a.mutation.param2, b.mutation.param2)
  );
}

function describeRecord(record: ExpectedRecord | undefined): string {
  if (record === undefined) return 'missing';
  const { version, subsequence, mutation } = record;
  return `${version}.${subsequence} type ${mutation.type} (${printableBytes(mutation.param1)}, ${printableBytes(mutation.param2)})`;
}
