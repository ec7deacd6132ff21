// npm run demo:etcd: a real etcd is backed up into an S3 server by two processes, one of which is killed; somebody deletes what should have stayed; it comes back, and every key is compared.
// This file is the order of events; story.ts is what happens, checks.ts what is compared.

import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { describeBackup, renderCoverage, verifyBackup, type BackupDescription, type VerifyReport } from 'tidemark';
import { mebibytes, number, table } from '../level-host/display.js';
import { demoMain } from '../level-host/demo-main.js';
import { copyObjects, keepRows } from './backup-copy.js';
import type { RestoreCheck } from './checks.js';
import type { DemoOptions } from '../level-host/demo-options.js';
import { parseOptions, USAGE } from './demo-options.js';
import { etcdVersion, HOW_TO_INSTALL } from './etcd-server.js';
import { TOTAL_TAGS } from './settings.js';
import { Stage } from './stage.js';
import { play, type Story } from './story.js';

async function runDemo(options: DemoOptions, abort: AbortController): Promise<void> {
  console.log(etcdVersion());
  const started = performance.now();
  const stage = await Stage.open(options, abort);
  try {
    const story = await play(stage);
    stage.display.say('• verifying the backup to the last byte');
    const description = await describeBackup(stage.openContainer(), { deep: true, signal: stage.signal });
    const verified = await verify(stage);
    await keep(stage, story, description);
    stage.display.stop();
    console.log(report(stage, story, description, verified, started));
  } finally {
    await stage.close();
  }
}

async function verify(stage: Stage): Promise<VerifyReport> {
  const verified = await verifyBackup(stage.openContainer(), { deep: true, signal: stage.signal });
  const found = verified.problems.map(({ file, message }) => `\n  ${file ?? ''}: ${message}`);
  if (!verified.ok) throw new Error(`The backup is damaged:${found.join('')}`);
  return verified;
}

async function keep(stage: Stage, { accident, end }: Story, description: BackupDescription): Promise<void> {
  await mkdir(dirname(stage.picture), { recursive: true });
  await writeFile(stage.picture, renderCoverage(description));
  if (stage.options.out === undefined) return;
  const folder = resolve(stage.options.out);
  await copyObjects(stage.s3, join(folder, 'container'));
  await keepRows(folder, [accident.moment.expected, accident.before, end]);
}

function report(
  stage: Stage,
  story: Story,
  description: BackupDescription,
  verified: VerifyReport,
  started: number,
): string {
  const { rangeFiles, logFiles, rows, records, bytes } = verified.checked;
  return table([
    ['transactions', `${number(stage.workload.committed)}, up to revision ${number(story.end.version)}`],
    [
      'backup',
      `${mebibytes(description.logBytes)} of log, ${description.snapshots.length} snapshots of ${mebibytes(description.snapshotBytes)} in all`,
    ],
    ['restorable', `${number(description.minRestorable ?? 0n)} to ${number(description.maxRestorable ?? 0n)}`],
    ['hand-over', `${TOTAL_TAGS} tags; ${number(story.handover / 1000, 1)} s after a kill -9 everything was stored`],
    ['deleted by accident', `${number(story.accident.deleted)} keys`],
    restored('the prefix, elsewhere', story.intoSpare),
    restored('the prefix, in place', story.intoLiving),
    ['', `${number(story.meanwhile)} transactions of the others went on meanwhile, their keys untouched`],
    restored('everything, by time', story.byTime),
    restored('everything, at the end', story.last),
    [
      'verified',
      `${mebibytes(bytes)}: ${number(rows)} rows in ${rangeFiles} files, ${number(records)} mutations in ${logFiles} files`,
    ],
    ['picture', stage.picture],
    ['took', `${number((performance.now() - started) / 1000, 1)} s`],
  ]);
}

function restored(what: string, { version, rows, milliseconds }: RestoreCheck): readonly [string, string] {
  return [what, `revision ${number(version)}: ${number(rows)} keys, all as they were, in ${number(milliseconds)} ms`];
}

await demoMain({
  parseOptions,
  usage: USAGE,
  missing: () => (etcdVersion() === undefined ? HOW_TO_INSTALL : undefined),
  run: runDemo,
});
