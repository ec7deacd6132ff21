// How often each rule of docs/protocol.md is met, as far as that shows from outside: in what is recorded, in files, in plans. What only a worker knows it says itself (src/worker/worker-path.ts).

import type { Version } from '../../core/version.js';
import {
  DONE_PREFIX,
  PROGRESS_PREFIX,
  REGISTERED_PREFIX,
  SNAPSHOT_PREFIX,
  STARTED_KEY,
  noopKey,
  progressKey,
} from '../../job/keys.js';
import type { RecoveryPlan } from '../../job/plan.js';
import type { JobState } from '../../job/records.js';
import { decodeProgress, decodeStarted, decodeVersion } from '../../job/records.js';
import type { SnapshotRecord, SnapshotRun } from '../../job/snapshot-record.js';
import { decodeSnapshotRecord } from '../../job/snapshot-record.js';
import type { LogEpochInfo } from '../../ports/log-source.js';
import type { StoreCheckParts } from './check-store.js';
import { parseLogName, readLogRecords } from './read-log-file.js';
import type { SimProcess } from './process.js';

type Values = ReadonlyMap<string, Uint8Array>;

/** Each name begins with its rule. */
export type RuleHit =
  | 'P01 tag claimed for the first time'
  | 'P02 registered by the claim'
  | 'P02 registered after the claim'
  | 'P03 complete from above its start version'
  | 'P03 submit resolves'
  | 'P03 submit rejects: the job has ended'
  | 'P04 save had been recorded by a lost try'
  | 'P08 discontinued before it was started: aborted'
  | 'P08 completed although a tag had nothing to save'
  | 'P08 completed in a later epoch than its last version'
  | 'P11 done recorded by the recruiter'
  | 'P13 files overlap'
  | "P18 clear split at the edges of a job's ranges"
  | 'P18 file written while other jobs are active'
  | 'P23 old epoch drained from its begin'
  | 'P23 old epoch drained after what is saved'
  | 'P23 old epoch drained after what noop discarded'
  | 'P23 no worker for an old epoch: no active job'
  | 'P23 no worker for an old epoch: every job starts later'
  | 'P23 no worker for an old epoch: all is saved'
  | 'P23 no worker for an old epoch: all is discarded'
  | 'P24 worker of the current epoch replaced'
  | 'P24 worker of an old epoch replaced'
  | 'S1 first snapshot begun'
  | 'S1 next snapshot begun'
  | 'S1 begun because it was asked for'
  | 'S1 asked for while another is under way'
  | `S4 stopped: the job is ${Exclude<JobState, 'Submitted' | 'Running'>}`
  | 'S6 failed'
  | 'S6 failed again'
  | 'S6 failed: no sign of life'
  | 'S6 done after failures'
  | "S7 another's, gone on with"
  | 'S7 its own, gone on with';

const OWNER_PREFIX = 'owner/';

export function countRules(parts: StoreCheckParts): void {
  countCommits(parts);
  countJobs(parts);
  countFiles(parts);
  countSnapshots(parts);
}

function countCommits({ store, hits, log }: StoreCheckParts): void {
  const add = (name: RuleHit) => hits.add(name);
  store.onCommit(({ writes, before, after, process }) => {
    const keys = [...writes.keys()];
    const isClaim = keys.some((key) => key.startsWith(OWNER_PREFIX));
    if (keys.some((key) => key.startsWith(REGISTERED_PREFIX)))
      add(isClaim ? 'P02 registered by the claim' : 'P02 registered after the claim');
    for (const key of keys) {
      if (key.startsWith(OWNER_PREFIX)) {
        const isCurrent = Number(key.split('/')[1]) === log.current.epoch;
        if (!before.has(key)) add('P01 tag claimed for the first time');
        else add(isCurrent ? 'P24 worker of the current epoch replaced' : 'P24 worker of an old epoch replaced');
      }
      if (key.startsWith(PROGRESS_PREFIX) && savedVersion(before, key) === savedVersion(after, key))
        add('P04 save had been recorded by a lost try');
      if (key.startsWith(DONE_PREFIX) && isRecruiter(process)) add('P11 done recorded by the recruiter');
    }
  });
}

/** Hosts recruit in the same process in which their workers run: those are not counted. */
function isRecruiter({ name }: SimProcess): boolean {
  return name.startsWith('recruiter');
}

function savedVersion(values: Values, key: string): Version | undefined {
  const value = values.get(key);
  return value && decodeProgress(key, value).savedVersion;
}

function countJobs({ jobs, hits, log, store }: StoreCheckParts): void {
  const add = (name: RuleHit) => hits.add(name);
  jobs.onChange((job, before) => {
    if (job.state === before?.state) return;
    if (job.state === 'Running' && (job.completeFrom ?? 0n) > job.startVersion)
      add('P03 complete from above its start version');
    if (job.state !== 'Completed' || job.stopVersion === undefined) return;
    if (job.stopVersion < log.current.begin) add('P08 completed in a later epoch than its last version');
    if (hasIdleTag(job.stopVersion)) add('P08 completed although a tag had nothing to save');
  });
  /** P8: what it has saved ends below the stop version, because the job begins above that. */
  const hasIdleTag = (stopVersion: Version) =>
    Array.from({ length: log.current.totalTags }, (_, tag) =>
      savedVersion(store.values, progressKey(log.current.epoch, tag)),
    ).some((saved) => (saved ?? -1n) < stopVersion);
}

function countFiles({ containers, hits, jobs }: StoreCheckParts): void {
  const add = (name: RuleHit) => hits.add(name);
  const seen = new Map<string, { begin: Version; end: Version }[]>();
  containers.onFile(({ url, name, bytes, process }) => {
    const file = parseLogName(name);
    if (file === undefined || process.name.startsWith('care')) return;
    const key = `${url} ${file.tag}-of-${file.totalTags}`;
    const others = seen.get(key) ?? [];
    seen.set(key, [...others, file]);
    if (others.some(({ begin, end }) => begin < file.end && file.begin < end)) add('P13 files overlap');
    if (hasSplitClear(bytes, file.blockSize)) add("P18 clear split at the edges of a job's ranges");
    const active = jobs.all.filter(({ state }) => state === 'Running' || state === 'Submitted');
    if (active.length > 1) add('P18 file written while other jobs are active');
  });
}

/** Pieces of one mutation share its version and subsequence. */
function hasSplitClear(bytes: Uint8Array, blockSize: number): boolean {
  // What cannot be read is for the oracle to say.
  if (bytes.length === 0) return false;
  const records = readLogRecords(bytes, blockSize);
  return records.some((record, index) => {
    const previous = records[index - 1];
    return previous?.version === record.version && previous.subsequence === record.subsequence;
  });
}

function countSnapshots({ store, hits, jobs }: StoreCheckParts): void {
  store.onCommit(({ writes, before }) => {
    for (const [key, value] of writes) {
      if (!key.startsWith(SNAPSHOT_PREFIX) || value === undefined) continue;
      const old = before.get(key);
      const was = old === undefined ? {} : decodeSnapshotRecord(key, old);
      const is = decodeSnapshotRecord(key, value);
      const state = jobs.byUid(key.slice(SNAPSHOT_PREFIX.length))?.state;
      for (const name of snapshotHits(was, is, state)) hits.add(name);
    }
  });
}

function snapshotHits(was: SnapshotRecord, is: SnapshotRecord, state: JobState | undefined): RuleHit[] {
  const hits: RuleHit[] = [];
  if (is.running !== undefined && is.running.leaseId !== was.running?.leaseId) hits.push(beginOf(was, is.running));
  if (is.requested === true && was.running !== undefined) hits.push('S1 asked for while another is under way');
  const { failure } = is;
  const hasFailed = failure !== undefined && failure.tries !== was.failure?.tries;
  if (hasFailed) hits.push(failure.tries > 1 ? 'S6 failed again' : 'S6 failed');
  if (hasFailed && failure.code === 'TIMEOUT') hits.push('S6 failed: no sign of life');
  if (was.failure !== undefined && failure === undefined) hits.push('S6 done after failures');
  const hasEnded = was.running !== undefined && is.running === undefined;
  const isDone = is.last?.finishedAt !== was.last?.finishedAt;
  if (hasEnded && !isDone && !hasFailed && state !== undefined && state !== 'Submitted' && state !== 'Running')
    hits.push(`S4 stopped: the job is ${state}`);
  return hits;
}

function beginOf(was: SnapshotRecord, { by }: SnapshotRun): RuleHit {
  if (was.running !== undefined)
    return was.running.by === by ? 'S7 its own, gone on with' : "S7 another's, gone on with";
  if (was.requested === true) return 'S1 begun because it was asked for';
  return was.last === undefined ? 'S1 first snapshot begun' : 'S1 next snapshot begun';
}

/** P23: what the recovery plan says of old epochs, and why. */
export function countPlan({ hits, store }: StoreCheckParts, epochs: readonly LogEpochInfo[], plan: RecoveryPlan): void {
  const add = (name: RuleHit) => hits.add(name);
  const { values } = store;
  for (const { backupEpoch, tag, startVersion, endVersion } of plan.workers) {
    if (endVersion === undefined) continue;
    const epoch = epochs.find((info) => info.epoch === backupEpoch);
    if (startVersion === epoch?.begin) add('P23 old epoch drained from its begin');
    else if (startVersion - 1n === savedVersion(values, progressKey(backupEpoch, tag)))
      add('P23 old epoch drained after what is saved');
    else if (startVersion - 1n === noopVersion(values, backupEpoch, tag))
      add('P23 old epoch drained after what noop discarded');
  }
  if (plan.done.length === 0) return;
  const active = decodeStarted(STARTED_KEY, values.get(STARTED_KEY));
  for (const { epoch, tag } of plan.done) {
    const end = epochs.find((info) => info.epoch === epoch)?.end ?? 0n;
    if (active.length === 0) add('P23 no worker for an old epoch: no active job');
    else if (active.every(({ startVersion }) => startVersion >= end))
      add('P23 no worker for an old epoch: every job starts later');
    else if ((savedVersion(values, progressKey(epoch, tag)) ?? -1n) >= end - 1n)
      add('P23 no worker for an old epoch: all is saved');
    else add('P23 no worker for an old epoch: all is discarded');
  }
}

function noopVersion(values: Values, epoch: number, tag: number): Version | undefined {
  const key = noopKey(epoch, tag);
  const value = values.get(key);
  return value && decodeVersion(key, value);
}
