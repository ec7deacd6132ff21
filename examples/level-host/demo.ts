// npm run demo: a real database is backed up, by its log and by snapshots, while workers are killed, frozen and paused; then it is rebuilt, and every row is compared.
// This file is the order of events; story.ts is what happens while the database is busy, checks.ts and snapshot-checks.ts what is compared afterwards.

import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { describeBackup, renderCoverage, type BackupDescription, type Version } from 'tidemark';
import { checkRecords, checkRestores, openContainer, type RestoreCheck } from './checks.js';
import { demoMain } from './demo-main.js';
import { parseOptions, USAGE, type DemoOptions } from './demo-options.js';
import { mebibytes, number, table } from './display.js';
import { Stage } from './stage.js';
import { checkSnapshots, type SnapshotChecks } from './snapshot-checks.js';
import { play, SECOND_RANGE } from './story.js';

interface Results {
  readonly description: BackupDescription;
  readonly restores: readonly RestoreCheck[];
  readonly secondJobRecords: number;
  readonly snapshots: SnapshotChecks;
}

async function runDemo(options: DemoOptions, abort: AbortController): Promise<void> {
  const started = performance.now();
  const stage = await Stage.open(options, abort);
  try {
    const jobs = await play(stage);
    stage.display.say('• restoring, and comparing every row');
    const description = await describeBackup(openContainer(stage.mainContainer), { deep: true });
    const { stopVersion } = await stage.operator.status(jobs.second.uid);
    const secondJobRecords = await checkRecords(stage, SECOND_RANGE, jobs.second.completeFrom, stopVersion ?? 0n);
    const main = {
      container: openContainer(stage.mainContainer),
      baseline: 'empty',
      rowsFolder: stage.mainRows,
    } as const;
    const restores = await checkRestores(stage, main, versionsToCheck(stage));
    await mkdir(dirname(stage.picture), { recursive: true });
    await writeFile(stage.picture, renderCoverage(description));
    stage.display.say('• restoring from snapshots, expiring the older half, verifying the rest, restoring again');
    const snapshots = await checkSnapshots(stage, jobs.moment);
    stage.display.stop();
    console.log(await report(stage, { description, restores, secondJobRecords, snapshots }, started));
  } finally {
    await stage.close();
  }
}

/** Three on the way, one of them between two commits, and the latest. */
function versionsToCheck({ workload: { history } }: Stage): Version[] {
  const at = (share: number) => history.transactions[Math.floor(history.size * share)]?.version ?? 0n;
  return [at(0.1), at(0.45), at(0.75) - 1n, history.lastVersion];
}

async function report(stage: Stage, results: Results, started: number): Promise<string> {
  const { description, restores, secondJobRecords, snapshots } = results;
  const { transactions } = stage.workload.history;
  const { storedBytes, poppedBytes } = await stage.database.logSize();
  const mutations = transactions.reduce((sum, transaction) => sum + transaction.mutations.length, 0);
  return table([
    ['transactions, mutations', `${number(transactions.length)}, ${number(mutations)}`],
    ['versions', `1 to ${number(stage.workload.history.lastVersion)}`],
    ['log popped, left', `${mebibytes(poppedBytes)}, ${mebibytes(storedBytes)}`],
    ['backup', `${mebibytes(description.logBytes)} in ${number(description.logFiles)} files`],
    ['restorable', `${number(description.minRestorable ?? 0n)} to ${number(description.maxRestorable ?? 0n)}`],
    ['worker processes', `${stage.fleet.started} for ${stage.database.totalTags} tags`],
    ...restores.map((check) => restored('restored to', check)),
    ['second job', `${number(secondJobRecords)} records, one by one as the database committed them`],
    ...snapshotRows(snapshots),
    ['pictures', [stage.picture, stage.snapshotPicture, stage.expiredPicture].join('\n')],
    ['took', `${number((performance.now() - started) / 1000, 1)} s`],
  ]);
}

type TableRow = readonly [name: string, value: string];

function snapshotRows({
  snapshots,
  before,
  byTime,
  expired,
  verified,
  after,
  description,
}: SnapshotChecks): TableRow[] {
  const { deleted } = expired;
  const { rangeFiles, logFiles, rows, records, bytes } = verified.checked;
  return [
    ['snapshots', `${snapshots} while the database was busy`],
    ...before.map((check) => restored('from a snapshot', check)),
    restored('to a time', byTime),
    [
      'expired',
      `${deleted.snapshots} snapshots, ${deleted.rangeFiles} range files, ${deleted.logFiles} log files, ${mebibytes(deleted.bytes)}`,
    ],
    [
      'verified',
      `${mebibytes(bytes)}: ${number(rows)} rows in ${rangeFiles} files, ${number(records)} mutations in ${logFiles} files`,
    ],
    ['restorable', `${number(description.minRestorable ?? 0n)} to ${number(description.maxRestorable ?? 0n)}`],
    ...after.map((check) => restored('from what is left', check)),
  ];
}

function restored(how: string, { version, rows, milliseconds }: RestoreCheck): TableRow {
  return [how, `${number(version)}: ${number(rows)} rows, all as they should be, in ${number(milliseconds)} ms`];
}

await demoMain({ parseOptions, usage: USAGE, run: runDemo });
