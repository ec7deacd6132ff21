// What happens: a backup, a worker that is killed, an accident, and what becomes of it. The workload goes on all the while.

import type { SubmittedJob, Version } from 'tidemark';
import { versionAt } from 'tidemark';
import { number } from '../level-host/display.js';
import {
  checkRestore,
  compareWithModel,
  expectedAt,
  timedRestore,
  type Expected,
  type RestoreCheck,
} from './checks.js';
import { compareRows, mustBeCompacted } from './compare-rows.js';
import { ALL_KEYS, currentRevision, keysWith, readRows, rowsWithin } from './etcd-rows.js';
import { CONTAINER_URL, JOB, TOTAL_TAGS } from './settings.js';
import type { HostName, Stage } from './stage.js';
import { configPrefix } from './workload.js';

/** Often enough for several in a demo; a real cluster would take one a day. */
const SNAPSHOT_INTERVAL = 3_000;
const VICTIM = 'payments';
const LOST = keysWith(configPrefix(VICTIM));

export interface Accident {
  /** Just before it: all rows, as etcd had them. */
  readonly before: Expected;
  /** What somebody remembers, and the rows of the version that was recorded then. */
  readonly moment: { readonly time: Date; readonly expected: Expected };
  readonly deleted: number;
}

export interface Story {
  readonly handover: number;
  readonly accident: Accident;
  readonly intoSpare: RestoreCheck;
  readonly intoLiving: RestoreCheck;
  /** Transactions of the workload while its own cluster was being restored. */
  readonly meanwhile: number;
  readonly byTime: RestoreCheck;
  readonly last: RestoreCheck;
  readonly end: Expected;
}

export async function play(stage: Stage): Promise<Story> {
  await stage.scene('services with their configuration', 0, () => fill(stage));
  await stage.scene('a continuous backup by two processes', 0.2, () => startBackup(stage));
  const handover = await stage.scene('a process is killed', 0.2, () => killAndReplace(stage));
  const time = await stage.scene('somebody remembers this moment', 0.1, () => rememberMoment(stage));
  const accident = await stage.scene('the accident', 0.1, () => deleteByAccident(stage, time));
  const intoSpare = await stage.scene('the prefix, as it was just before, into another etcd', 0, () =>
    restoreIntoSpare(stage, accident),
  );
  const { check: intoLiving, meanwhile } = await stage.scene('the same into the cluster itself', 0.1, () =>
    restoreIntoLiving(stage, accident),
  );
  const byTime = await stage.scene('everything, as of that moment, into the other etcd', 0.1, () =>
    restoreByTime(stage, accident),
  );
  const { end, check: last } = await stage.scene('the end', 0, () => finish(stage));
  return { handover, accident, intoSpare, intoLiving, meanwhile, byTime, last, end };
}

async function fill(stage: Stage): Promise<void> {
  await stage.workload.fill(stage.signal);
  stage.tell(`${number(await currentRevision(stage.services))} revisions before anybody thought of a backup`);
  stage.startWorkload();
}

async function startBackup(stage: Stage): Promise<SubmittedJob> {
  stage.startHost('host-a');
  stage.startHost('host-b');
  const job = await stage.operator.submit({
    uid: JOB,
    url: CONTAINER_URL,
    startVersion: 0n,
    snapshotInterval: SNAPSHOT_INTERVAL,
    signal: stage.signal,
  });
  stage.tell(`job ${job.uid} is complete from revision ${number(job.completeFrom)}; a snapshot makes it whole`);
  await stage.until('the first snapshot is taken', () => stage.snapshotsTaken > 0);
  await stage.until(
    'both processes have half of the tags',
    () => hasTags(stage, 'host-a', 2) && hasTags(stage, 'host-b', 2),
  );
  return job;
}

/** Resolves with the ms until everything that was committed when the process died is stored by others. */
async function killAndReplace(stage: Stage): Promise<number> {
  const { pid } = stage.host('host-a');
  const started = performance.now();
  await stage.host('host-a').kill();
  stage.tell(`host-a (pid ${pid}) is killed`);
  const revision = await currentRevision(stage.services);
  await stage.until('host-b has all tags', () => hasTags(stage, 'host-b', TOTAL_TAGS));
  await savedBeyond(stage, revision);
  const handover = performance.now() - started;
  stage.tell(`host-b has all tags, and has stored what was committed then, after ${number(handover / 1000, 1)} s`);
  stage.startHost('host-c');
  await stage.until('host-c has half of the tags', () => hasTags(stage, 'host-c', TOTAL_TAGS / 2));
  stage.tell('host-c has come instead, and was given half of the tags');
  return handover;
}

/** A time is worth something once one was recorded before it. */
async function rememberMoment(stage: Stage): Promise<Date> {
  const recorded = () => versionAt(stage.openContainer(), Date.now(), stage.signal);
  await stage.until('a time is recorded', async () => (await recorded()) !== undefined);
  const time = new Date();
  stage.tell(time.toISOString());
  return time;
}

/** Deletes the prefix, as somebody does who has left out a slash; then etcd is compacted, as Kubernetes does it every five minutes: from now on only the backup knows. */
async function deleteByAccident(stage: Stage, time: Date): Promise<Accident> {
  const { workload, services } = stage;
  await workload.stopService(VICTIM);
  const { revision, deleted } = await workload.deletePrefix(configPrefix(VICTIM));
  stage.tell(`revision ${number(revision)}: ${number(deleted)} keys of ${configPrefix(VICTIM)} are gone`);
  await workload.writeDefaults(VICTIM);
  await savedBeyond(stage, revision);

  const before = await expectedAt(stage, revision - 1n);
  const recorded = await versionAt(stage.openContainer(), time.getTime(), stage.signal);
  if (recorded === undefined) throw new Error(`No version was recorded by ${time.toISOString()}`);
  const expected = await expectedAt(stage, recorded.version);
  await services.kv.compact({ revision: String(revision), physical: true });
  const refusal = await mustBeCompacted(services, before.version);
  stage.tell(`etcd is compacted; asked for revision ${number(before.version)} it says: ${refusal}`);
  return { before, moment: { time, expected }, deleted };
}

async function restoreIntoSpare(stage: Stage, { before }: Accident): Promise<RestoreCheck> {
  const { version } = before;
  const request = { into: stage.spare, at: { version }, ranges: [LOST] };
  return checkRestore(stage, request, rowsWithin(before.rows, LOST), 'The prefix in the other etcd');
}

/** Its services are stopped meanwhile: nobody else may write where a restore is at work. All others go on. */
async function restoreIntoLiving(
  stage: Stage,
  { before }: Accident,
): Promise<{ check: RestoreCheck; meanwhile: number }> {
  const { services, workload } = stage;
  const committed = workload.committed;
  const request = { into: services, at: { version: before.version }, ranges: [LOST], clearTarget: true };
  const { version, milliseconds } = await timedRestore(stage, request);
  const { revision, rows } = await readRows(services, ALL_KEYS);
  const restored = rowsWithin(rows, LOST);
  compareRows('The prefix in the cluster itself', restored, rowsWithin(before.rows, LOST));
  workload.recordRestored(LOST, restored, revision);
  compareWithModel(stage, 'Outside of the prefix', rows, revision);
  workload.startService(VICTIM);
  const check = { version, rows: restored.size, milliseconds };
  return { check, meanwhile: workload.committed - committed };
}

async function restoreByTime(stage: Stage, { moment }: Accident): Promise<RestoreCheck> {
  const { time, expected } = moment;
  const request = { into: stage.spare, at: { timestamp: time }, clearTarget: true };
  const check = await checkRestore(stage, request, expected.rows, `Everything as of ${time.toISOString()}`);
  if (check.version !== expected.version) throw new Error(`Revision ${check.version} instead of ${expected.version}`);
  return check;
}

/** Everything that was committed is stored, the job ends, and the processes with it. */
async function finish(stage: Stage): Promise<{ end: Expected; check: RestoreCheck }> {
  await stage.stopWorkload();
  await stage.operator.discontinue(JOB);
  await stage.until('the job completes', async () => (await stage.operator.status(JOB)).state === 'Completed');
  const { stopVersion = 0n, files, bytes } = await stage.operator.status(JOB);
  stage.tell(
    `job ${JOB} is complete up to revision ${number(stopVersion)}: ${number(bytes)} bytes in ${number(files)} files`,
  );
  for (const { failed, message } of await stage.stopHosts()) if (failed) throw new Error(message);
  const end = await expectedAt(stage, stopVersion);
  const request = { into: stage.spare, at: { version: stopVersion }, clearTarget: true };
  return { end, check: await checkRestore(stage, request, end.rows, 'Everything, to the end') };
}

function hasTags(stage: Stage, name: HostName, count: number): boolean {
  return stage.host(name).progress.tags.length === count;
}

async function savedBeyond(stage: Stage, revision: Version): Promise<void> {
  const saved = async () => (await stage.operator.status(JOB)).savedVersion ?? 0n;
  await stage.until(`all tags save beyond revision ${revision}`, async () => (await saved()) > revision);
}
