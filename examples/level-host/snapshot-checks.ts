// The backup that began in mid-stream, and is whole by its snapshots: restored at them, between them and to a point in time; then its older half is expired, and what is left is verified to the last byte
// and restored again.

import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  BackupError,
  describeBackup,
  expireBackup,
  renderCoverage,
  restore,
  verifyBackup,
  type BackupContainer,
  type BackupDescription,
  type ExpireResult,
  type SnapshotDescription,
  type VerifyReport,
  type Version,
} from 'tidemark';
import { checkRestores, compareRows, openContainer, type CheckedBackup, type RestoreCheck } from './checks.js';
import { LevelRestoreTarget } from './restore-target.js';
import type { Stage } from './stage.js';
import type { Moment } from './story.js';

export interface SnapshotChecks {
  readonly snapshots: number;
  readonly before: readonly RestoreCheck[];
  readonly byTime: RestoreCheck;
  readonly expired: ExpireResult;
  readonly verified: VerifyReport;
  readonly after: readonly RestoreCheck[];
  readonly description: BackupDescription;
}

export async function checkSnapshots(stage: Stage, moment: Moment): Promise<SnapshotChecks> {
  const container = openContainer(stage.snapshotContainer);
  const all = await describeBackup(container, { signal: stage.signal });
  await draw(stage.snapshotPicture, all);
  const snapshots = restorableOf(all);
  const [first, second, third] = atLeastThree(snapshots);
  const versions = [between(first, second), second.endVersion, between(second, third)];
  const before = await checkRestores(stage, { container, rowsFolder: undefined }, versions);
  const byTime = await checkMoment(stage, container, moment);

  const kept = snapshots.slice(Math.floor(snapshots.length / 2));
  const expired = await expireOlderThan(stage, container, kept, between(first, second));
  const verified = await verifyDeep(stage, container);

  const left = await describeBackup(container, { deep: true, signal: stage.signal });
  await draw(stage.expiredPicture, left);
  const after = await checkRestores(stage, await keptBackup(stage, container), versionsLeft(left, kept));
  return { snapshots: snapshots.length, before, byTime, expired, verified, after, description: left };
}

function restorableOf({ snapshots }: BackupDescription): SnapshotDescription[] {
  return snapshots.filter(({ restorable }) => restorable);
}

function atLeastThree(
  snapshots: readonly SnapshotDescription[],
): [SnapshotDescription, SnapshotDescription, SnapshotDescription] {
  const [first, second, third] = snapshots;
  if (first === undefined || second === undefined || third === undefined)
    throw new Error(`${snapshots.length} snapshots were taken: the demo needs three to show anything`);
  return [first, second, third];
}

/** A version that no snapshot has: the older one is restored, and the log from there. */
function between(older: SnapshotDescription, newer: SnapshotDescription): Version {
  return (older.endVersion + newer.beginVersion) / 2n;
}

/** Somebody remembers the time only. The restore finds the newest version that is known to have been committed by then. */
async function checkMoment(stage: Stage, container: BackupContainer, moment: Moment): Promise<RestoreCheck> {
  const target = await LevelRestoreTarget.open(join(stage.folder, 'restored-to-a-time'));
  try {
    const started = performance.now();
    const { version } = await restore({ container, target, timestamp: moment.time, signal: stage.signal });
    const milliseconds = performance.now() - started;
    if (version > moment.version)
      throw new Error(`At ${moment.time.toISOString()} the database was at ${moment.version}, not at ${version}`);
    const expected = stage.workload.history.rowsAt(version);
    return { version, rows: await compareRows(moment.time.toISOString(), target, expected), milliseconds };
  } finally {
    await target.close();
  }
}

/** What is older than the oldest snapshot to be kept goes; restoring to it is refused from then on. */
async function expireOlderThan(
  stage: Stage,
  container: BackupContainer,
  kept: readonly SnapshotDescription[],
  gone: Version,
): Promise<ExpireResult> {
  const before = kept[0]?.beginVersion ?? 0n;
  const result = await expireBackup(container, { before, signal: stage.signal });
  if (result.deleted.snapshots === 0) throw new Error('No snapshot was expired');
  const target = await LevelRestoreTarget.open(join(stage.folder, 'not-restored'));
  try {
    await restore({ container, target, version: gone, signal: stage.signal });
  } catch (error) {
    if (BackupError.is(error, 'NOT_RESTORABLE')) return result;
    throw error;
  } finally {
    await target.close();
  }
  throw new Error(`Version ${gone} is expired, and was restored all the same`);
}

async function verifyDeep(stage: Stage, container: BackupContainer): Promise<VerifyReport> {
  const report = await verifyBackup(container, { deep: true, signal: stage.signal });
  const found = report.problems.map(({ file, message }) => `\n  ${file ?? ''}: ${message}`);
  if (!report.ok) throw new Error(`What is left is damaged:${found.join('')}`);
  if (report.unchecked.length > 0) throw new Error(`Without a checksum: ${report.unchecked.join(', ')}`);
  return report;
}

async function keptBackup(stage: Stage, container: BackupContainer): Promise<CheckedBackup> {
  const rowsFolder = stage.snapshotRows;
  if (rowsFolder !== undefined) await mkdir(rowsFolder, { recursive: true });
  return { container, rowsFolder };
}

/** The first that is left, one between two snapshots, and the last. */
function versionsLeft(
  { minRestorable, maxRestorable }: BackupDescription,
  kept: readonly SnapshotDescription[],
): Version[] {
  const [older, newer] = kept;
  if (minRestorable === undefined || maxRestorable === undefined) throw new Error('Nothing is left');
  return [minRestorable, ...(older && newer ? [between(older, newer)] : []), maxRestorable];
}

async function draw(path: string, description: BackupDescription): Promise<void> {
  await mkdir(join(path, '..'), { recursive: true });
  await writeFile(path, renderCoverage(description));
}
