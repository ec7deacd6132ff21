// What happens to the backup while the database is busy: workers killed and frozen, a second job, a pause. Each scene plays while the workload goes on, and
// returns when the backup has got over it.

import type { KeyRange, SubmittedJob, Version } from 'tidemark';
import { number } from './display.js';
import { urlOf, type Stage } from './stage.js';
import { key } from './workload.js';

/** From the middle of the accounts to the middle of the counters: some of the workload's clears cross either edge. */
export const SECOND_RANGE: KeyRange = { begin: key('account', 10), end: key('counter', 10) };

const DISPLACED_WITHIN = 'the frozen worker finds out that it has been displaced';

/** Often enough for several in a demo; a real host would take one a day. */
const SNAPSHOT_INTERVAL = 2_000;

/** What somebody remembers: when it was, and what version the database had then. */
export interface Moment {
  readonly time: Date;
  readonly version: Version;
}

export interface Jobs {
  readonly main: SubmittedJob;
  readonly second: SubmittedJob;
  readonly snapshots: SubmittedJob;
  /** While all of them ran. */
  readonly moment: Moment;
}

export async function play(stage: Stage): Promise<Jobs> {
  const main = await submitMainJob(stage);
  await scene(stage, 0.1, 'the backup runs', () => allSaveBeyond(stage, 0n));
  const snapshots = await scene(stage, 0.15, 'a job with snapshots', () => submitSnapshotJob(stage));
  await scene(stage, 0.2, 'a worker is killed', () => killAndReplace(stage, 1));
  await scene(stage, 0.2, 'a worker is frozen', () => freezeAndReplace(stage, 2));
  const second = await scene(stage, 0.15, 'a job on a sub-range', () => submitSecondJob(stage));
  await stage.until('two snapshots are taken', () => stage.snapshotsTaken >= 2);
  const moment = { time: new Date(), version: stage.database.durableVersion };
  await scene(stage, 0.15, 'a pause', () => pauseAndResume(stage));
  await scene(stage, 1, 'the end of the workload', () => enoughSnapshots(stage));
  await finish(stage, [main, second, snapshots]);
  return { main, second, snapshots, moment };
}

/** Plays while a share of the workload, or what is left of it, runs. The next scene begins when both are done. */
async function scene<T>(stage: Stage, share: number, title: string, action: () => Promise<T>): Promise<T> {
  stage.display.say(`• ${title}`);
  const { transactions } = stage.options;
  const count = Math.min(Math.round(transactions * share), transactions - stage.workload.committed);
  const [result] = await Promise.all([action(), stage.workload.run(count, stage.signal)]);
  return result;
}

function tell(stage: Stage, line: string): void {
  stage.display.say(`    ${line}`);
}

/** The job is submitted before there is any worker: a worker without a job would discard the log, and the backup could not start from an empty database. */
async function submitMainJob(stage: Stage): Promise<SubmittedJob> {
  const submitted = stage.operator.submit({
    uid: 'main',
    url: urlOf(stage.mainContainer),
    startVersion: 1n,
    logOnly: true,
    signal: stage.signal,
  });
  const known = async () => (await stage.operator.list()).length > 0;
  const startWorkers = async () => {
    await stage.until('the job is submitted', known);
    stage.startWorkers();
  };
  const [job] = await Promise.all([submitted, startWorkers(), stage.workload.run(100, stage.signal)]);
  tell(stage, `job ${job.uid} is complete from version ${job.completeFrom}; workers: ${pids(stage)}`);
  return job;
}

async function killAndReplace(stage: Stage, tagId: number): Promise<void> {
  const victim = stage.fleet.worker(tagId);
  stage.fleet.expectEnd(victim);
  victim.signal('SIGKILL');
  const { message } = await victim.ended;
  const replacement = stage.fleet.start(tagId);
  tell(stage, `tag ${tagId}: pid ${victim.pid} ${message}, pid ${replacement.pid} takes over`);
  await allSaveBeyond(stage, stage.database.durableVersion);
  tell(stage, `tag ${tagId}: saved up to ${number(replacement.savedVersion)}`);
}

/** The frozen worker does not know how long it slept. When it goes on, it must record nothing any more (rule P1). */
async function freezeAndReplace(stage: Stage, tagId: number): Promise<void> {
  const frozen = stage.fleet.worker(tagId);
  stage.fleet.expectEnd(frozen);
  frozen.signal('SIGSTOP');
  const replacement = stage.fleet.start(tagId);
  tell(stage, `tag ${tagId}: pid ${frozen.pid} is frozen, pid ${replacement.pid} takes over`);
  await allSaveBeyond(stage, stage.database.durableVersion);
  frozen.signal('SIGCONT');
  const end = await stage.within(DISPLACED_WITHIN, frozen.ended);
  if (end.outcome !== 'displaced')
    throw new Error(`The frozen worker should have been displaced, but was ${end.outcome}: ${end.message}`);
  tell(stage, `tag ${tagId}: pid ${frozen.pid} went on and ended as displaced: ${end.message}`);
}

/** It begins in mid-stream: without a snapshot its log would be of no use. */
async function submitSnapshotJob(stage: Stage): Promise<SubmittedJob> {
  stage.startSnapshots();
  const job = await stage.operator.submit({
    uid: 'snapshots',
    url: urlOf(stage.snapshotContainer),
    startVersion: 0n,
    snapshotInterval: SNAPSHOT_INTERVAL,
    signal: stage.signal,
  });
  tell(
    stage,
    `job ${job.uid}, of everything, is complete from version ${number(job.completeFrom)}; a snapshot makes it whole`,
  );
  await stage.until('the first snapshot is taken', () => stage.snapshotsTaken > 0);
  return job;
}

async function submitSecondJob(stage: Stage): Promise<SubmittedJob> {
  const job = await stage.operator.submit({
    uid: 'second',
    url: urlOf(stage.secondContainer),
    ranges: [SECOND_RANGE],
    startVersion: 0n,
    signal: stage.signal,
  });
  tell(stage, `job ${job.uid}, on a sub-range, is complete from version ${number(job.completeFrom)}`);
  await allSaveBeyond(stage, job.completeFrom);
  return job;
}

async function pauseAndResume(stage: Stage): Promise<void> {
  await stage.operator.pause();
  await stage.until('all workers pause', () => stage.fleet.workers.every(({ progress }) => progress?.paused === true));
  const before = stage.database.durableVersion;
  await stage.pause(1_000);
  const now = stage.database.durableVersion;
  const saved = await savedByAll(stage);
  if (saved > before) throw new Error(`The workers were paused at ${before}, but saved up to ${saved}`);
  await stage.operator.resume();
  tell(stage, `paused, and resumed ${number(now - saved)} versions behind`);
  await allSaveBeyond(stage, stage.database.durableVersion);
}

/** Of three the last two are the younger half. A short workload has ended before. */
async function enoughSnapshots(stage: Stage): Promise<void> {
  await stage.until('three snapshots are taken', () => stage.snapshotsTaken >= 3);
}

/** Everything that was committed is stored, both jobs end, and the workers with them. */
async function finish(stage: Stage, jobs: readonly SubmittedJob[]): Promise<void> {
  for (const { uid } of jobs) await stage.operator.discontinue(uid);
  for (const { uid } of jobs) {
    await stage.until(`job ${uid} completes`, async () => (await stage.operator.status(uid)).state === 'Completed');
    const { stopVersion, files } = await stage.operator.status(uid);
    tell(stage, `job ${uid} is complete up to version ${number(stopVersion ?? 0n)}, in ${number(files)} files`);
  }
  await stage.stopSnapshots();
  const ends = (await stage.stopWorkers()).map(({ outcome }) => outcome);
  tell(stage, `the workers ended: ${ends.join(', ')}`);
  const stopped = ends.filter((outcome) => outcome === 'stopped').length;
  if (stopped !== stage.database.totalTags) throw new Error(`${stopped} workers stopped when they were asked to`);
}

async function allSaveBeyond(stage: Stage, version: bigint): Promise<void> {
  await stage.until(`all tags save beyond version ${version}`, async () => (await savedByAll(stage)) > version);
}

/** Inclusive, as the progress store has it: a worker's own word would not survive its death. */
async function savedByAll(stage: Stage): Promise<bigint> {
  return (await stage.operator.status('main')).savedVersion ?? 0n;
}

function pids(stage: Stage): string {
  return stage.fleet.workers.map(({ tagId, pid }) => `tag ${tagId} is pid ${pid}`).join(', ');
}
