// What must hold whatever was killed: every version that describe calls restorable restores to exactly the rows that the database had, verify finds nothing wrong, and nothing was popped that is not recorded.

import { toHex } from '../../src/core/bytes.js';
import { BackupError } from '../../src/core/errors.js';
import { rangeContains } from '../../src/core/key-range.js';
import type { KeyRange } from '../../src/core/key-range.js';
import { fromHex } from '../../src/core/bytes.js';
import type { Version } from '../../src/core/version.js';
import { readAllNoop, readAllProgress } from '../../src/job/store-access.js';
import type { BackupContainer } from '../../src/ports/backup-container.js';
import type { BackupDescription } from '../../src/restore/description.js';
import { describeBackup } from '../../src/restore/describe.js';
import { restore } from '../../src/restore/restore.js';
import { verifyBackup } from '../../src/restore/verify.js';
import { MemoryRestoreTarget } from '../../src/testing/memory-restore-target.js';
import { largestPop } from './log-state.js';
import { rowsAt, type ModelRows } from './truth.js';
import type { World } from './world.js';

export interface CheckedJob {
  /** The container's folder, too. */
  readonly uid: string;
  readonly ranges: readonly KeyRange[];
}

/** Beside an expiry a version may go away between the description and its restore. */
const MAX_TRIES = 5;

/** While everything goes on. */
export async function checkJobs(world: World, jobs: readonly CheckedJob[], versionsPerJob: number): Promise<void> {
  await checkPops(world);
  for (const job of jobs) {
    const container = world.container(job.uid);
    if (!(await container.exists())) continue;
    const { windows } = await describeQuietly(world, job, container);
    for (const version of pickVersions(world, windows, versionsPerJob)) await checkVersion(world, job, version);
    await checkReport(world, job, container, false);
  }
}

/** When nothing is written any more and every tag has come to the end of the log: all that was committed is there. */
export async function checkJobsAtRest(world: World, jobs: readonly CheckedJob[], versions: number): Promise<void> {
  await checkPops(world);
  for (const job of jobs) {
    const container = world.container(job.uid);
    const { windows, maxRestorable, notRestorable } = await describeQuietly(world, job, container);
    if (maxRestorable !== world.committed) {
      const reach = notRestorable ?? `restorable up to ${maxRestorable}`;
      world.report.problem(`job ${job.uid}: ${reach}, and ${world.committed} is committed and at rest`);
    }
    for (const version of pickVersions(world, windows, versions)) await checkVersion(world, job, version);
    await checkReport(world, job, container, true);
  }
}

async function describeQuietly(world: World, job: CheckedJob, container: BackupContainer): Promise<BackupDescription> {
  const description = await describeBackup(container);
  world.report.count('descriptions');
  for (const { kind, message } of description.problems) world.report.problem(`job ${job.uid}: ${kind}: ${message}`);
  return description;
}

/** The oldest and the newest one, where snapshots end, and any. */
function pickVersions(world: World, windows: BackupDescription['windows'], count: number): Set<Version> {
  const { random } = world;
  const versions = new Set<Version>();
  const [first, last] = [windows[0], windows.at(-1)];
  if (first === undefined || last === undefined) return versions;
  versions.add(last.max).add(first.min);
  while (count-- > 2) {
    const { min, max } = random.pick(windows);
    versions.add(random.chance(0.3) ? min : min + BigInt(random.int(0, Number(max - min))));
  }
  return versions;
}

async function checkVersion(world: World, job: CheckedJob, version: Version): Promise<void> {
  const { report } = world;
  const target = new MemoryRestoreTarget();
  for (let attempt = 1; ; attempt++) {
    try {
      const result = await restore({ container: world.container(job.uid), target, version, clearTarget: true });
      report.count(
        `versions restored and compared: job ${job.uid}${result.snapshot === undefined ? '' : ', from a snapshot'}`,
      );
      report.count('bytes restored from', result.bytesRead);
      break;
    } catch (error) {
      // Compacted or expired meanwhile: it is called again, unless describe does not call it restorable any more.
      const { windows } = await describeBackup(world.container(job.uid));
      const isGone = !windows.some(({ min, max }) => min <= version && version <= max);
      if (isGone && BackupError.is(error)) {
        report.count('versions that expired before they were restored');
        return;
      }
      if (BackupError.is(error, 'FILE_NOT_FOUND') && attempt < MAX_TRIES) continue;
      report.problem(`job ${job.uid} at ${version} cannot be restored: ${String(error)}`);
      return;
    }
  }
  if (version > world.committed) report.problem(`job ${job.uid}: ${version} is restorable and was never committed`);
  const expected = rowsOf(job, rowsAt(world.seed, world.epochs, version));
  const rows = new Map([...target.rows()].map(({ key, value }) => [toHex(key), value]));
  report.count('rows compared', expected.size);
  const difference = differenceOf(rows, expected);
  if (difference !== undefined) report.problem(`job ${job.uid} at ${version}: ${difference}`);
}

function rowsOf({ ranges }: CheckedJob, rows: ModelRows): ModelRows {
  if (ranges.length === 0) return rows;
  return new Map([...rows].filter(([key]) => ranges.some((range) => rangeContains(range, fromHex(key)))));
}

/** Of restored rows against those of the model; undefined when they are the same. */
export function differenceOf(actual: ModelRows, expected: ModelRows): string | undefined {
  for (const [key, value] of expected) {
    const found = actual.get(key);
    if (found === undefined) return `the row ${key} is missing`;
    if (Buffer.compare(found, value) !== 0)
      return `the row ${key} is ${toHex(found)}, the database had ${toHex(value)}`;
  }
  for (const key of actual.keys()) if (!expected.has(key)) return `the row ${key} is there, the database had none`;
  return undefined;
}

/** Deep. While workers are being killed, a file may be missing that their replacements will write (docs/care.md). */
export async function checkReport(
  world: Pick<World, 'report'>,
  { uid }: Pick<CheckedJob, 'uid'>,
  container: BackupContainer,
  atRest: boolean,
): Promise<void> {
  const { report } = world;
  const verified = await verifyBackup(container, { deep: true });
  report.count('verifications, deep');
  report.count('bytes verified', verified.checked.bytes);
  for (const { kind, message, harmless } of verified.problems) {
    if (harmless) report.count(`verify: harmless ${kind}`);
    // Checksums whose file is still to come; the log of an old epoch that not every tag has drained.
    else if ((kind === 'missing-file' || kind === 'log-gap') && !atRest) report.count(`verify: ${kind} that will pass`);
    else report.problem(`job ${uid}: verify found ${kind}: ${message}`);
  }
  for (const name of verified.unchecked) report.problem(`job ${uid}: ${name} has no checksums`);
  report.count('verify: leftovers', verified.leftovers.length);
}

/** The pops are read first: what is recorded only grows. */
async function checkPops(world: World): Promise<void> {
  const { epochs, logFolder, progressStore, report } = world;
  const pops = epochs.flatMap(({ epoch, totalTags }) =>
    Array.from({ length: totalTags }, (_, tag) => ({ epoch, tag, upTo: largestPop(logFolder, epoch, tag) })),
  );
  const [progress, noop] = await progressStore.transact(async (tx) => [
    await readAllProgress(tx),
    await readAllNoop(tx),
  ]);
  for (const { epoch, tag, upTo } of pops) {
    if (upTo === undefined) continue;
    report.count('pops checked');
    const saved = progress.find((record) => record.epoch === epoch && record.tag === tag)?.savedVersion ?? -1n;
    const discarded = noop.find((record) => record.epoch === epoch && record.tag === tag)?.noopVersion ?? -1n;
    if (upTo > saved && upTo > discarded)
      report.problem(`epoch ${epoch} tag ${tag} was popped up to ${upTo}, and only ${saved} is recorded`);
  }
}
