// What may be recorded, checked at the moment of each commit: progress only over what files hold, NOOP only without jobs, done only when drained.

import type { LogEpoch, Version } from '../../core/version.js';
import { MAX_VERSION, maxVersion, minVersion } from '../../core/version.js';
import {
  DONE_PREFIX,
  doneKey,
  EPOCH_KEY,
  NOOP_PREFIX,
  PROGRESS_PREFIX,
  REGISTERED_PREFIX,
  STARTED_KEY,
  noopKey,
  progressKey,
  registeredKey,
} from '../../job/keys.js';
import type { JobRecord } from '../../job/records.js';
import { decodeEpoch, decodeProgress, decodeStarted, decodeVersion, isActiveState } from '../../job/records.js';
import type { LogEpochInfo } from '../../ports/log-source.js';
import type { FileCheckParts } from './check-files.js';
import type { SimHits } from './hits.js';
import type { SimStore } from './sim-store.js';

type Values = ReadonlyMap<string, Uint8Array>;

export interface StoreCheckParts extends FileCheckParts {
  readonly store: SimStore;
  readonly hits: SimHits;
}

export function checkStore(parts: StoreCheckParts): void {
  const { store, hits } = parts;
  store.onCommit(({ writes, before, after }) => {
    for (const [key, value] of writes) {
      if (value === undefined) continue;
      if (key.startsWith(PROGRESS_PREFIX)) checkProgress(parts, key, before, after);
      else if (key.startsWith(NOOP_PREFIX)) checkNoop(parts, key, before, after);
      else if (key.startsWith(REGISTERED_PREFIX)) checkRegistered(parts, key, before, after);
      else if (key.startsWith(DONE_PREFIX)) checkDone(parts, key, after);
    }
  });
  /** What was committed when a job was discontinued, by uid. */
  const committedAtStop = new Map<string, Version>();
  parts.jobs.onChange((job, before) => {
    if (job.state === 'Stopping' && before?.state !== 'Stopping') committedAtStop.set(job.uid, parts.history.committed);
    const { stopVersion } = job;
    parts.verdict.expect(
      stopVersion === undefined ||
        (stopVersion <= parts.history.committed && stopVersion >= (committedAtStop.get(job.uid) ?? 0n)),
      'the stop version is what was committed after the call (P8)',
      () =>
        `job ${job.uid} stops at ${stopVersion}; committed then ${committedAtStop.get(job.uid)}, now ${parts.history.committed}`,
    );
    if (job.state !== before?.state) hits.add(`job: ${job.state}`);
    checkJob(parts, job, before);
  });
}

/** P4, P14: saved means that for every active job files hold everything from its firstVersion on. */
function checkProgress(parts: StoreCheckParts, key: string, before: Values, after: Values): void {
  const { verdict, log } = parts;
  const { epoch, tag } = placeOf(key);
  const progress = decodeProgress(key, after.get(key) as Uint8Array);
  const old = before.get(key);
  const { savedVersion } = progress;
  verdict.expect(
    savedVersion <= log.minKnownCommitted(epoch),
    'saved version is committed (P14)',
    () => `${key} says ${savedVersion}, committed is ${log.minKnownCommitted(epoch)}`,
  );
  verdict.expect(
    old === undefined || decodeProgress(key, old).savedVersion <= savedVersion,
    'saved version never goes back (P4)',
    () => `${key} goes back to ${savedVersion}`,
  );
  for (const { uid } of activeJobs(after))
    expectCovered(parts, after, uid, epoch, tag, savedVersion, `saved at ${savedVersion} (P4)`);
  parts.hits.add('store: progress saved');
}

/** P6 */
function checkNoop(parts: StoreCheckParts, key: string, before: Values, after: Values): void {
  const { verdict, log } = parts;
  const { epoch } = placeOf(key);
  const version = decodeVersion(key, after.get(key) as Uint8Array);
  const old = before.get(key);
  verdict.expect(activeJobs(after).length === 0, 'no NOOP while a job is active (P6)', () => `${key} says ${version}`);
  verdict.expect(
    version <= log.minKnownCommitted(epoch),
    'NOOP only up to the committed version (P6, P14)',
    () => `${key} says ${version}, committed is ${log.minKnownCommitted(epoch)}`,
  );
  verdict.expect(
    old === undefined || decodeVersion(key, old) <= version,
    'NOOP never goes back (P6)',
    () => `${key} goes back to ${version}`,
  );
  parts.hits.add('store: noop recorded');
}

/** P2: from its firstVersion on the job's messages are all still there to be stored. */
function checkRegistered(parts: StoreCheckParts, key: string, before: Values, after: Values): void {
  const { verdict, log } = parts;
  const { epoch, tag, uid } = placeOf(key);
  const firstVersion = decodeVersion(key, after.get(key) as Uint8Array);
  const old = before.get(key);
  const job = parts.jobs.byUid(uid);
  verdict.expect(
    job !== undefined && firstVersion >= job.startVersion,
    'firstVersion is not below the start version (P2)',
    () => `${key} says ${firstVersion}`,
  );
  verdict.expect(
    old === undefined || decodeVersion(key, old) === firstVersion,
    'firstVersion is fixed once (P2)',
    () => `${key} changes to ${firstVersion}`,
  );
  const noop = after.get(noopKey(epoch, tag));
  const noopVersion = noop === undefined ? -1n : decodeVersion('noop', noop);
  verdict.expect(
    old !== undefined || firstVersion > noopVersion,
    'firstVersion lies above what is recorded as discarded (P2, P6)',
    () => `${key} says ${firstVersion}, NOOP mode has recorded ${noopVersion}`,
  );
  // What is discarded already must be in the job's files: a worker that has fixed the version may store and pop before it has got round to recording it.
  const info = log.allEpochs.find((entry) => entry.epoch === epoch);
  const popped = minVersion(log.popped(epoch, tag) ?? -1n, (info?.end ?? MAX_VERSION) - 1n);
  const gap = job && parts.coverage.firstGap(job.url, tag, firstVersion, popped + 1n);
  // A worker that has not been told yet may still register in an epoch that is drained: nobody looks at it.
  const isDrained = after.has(doneKey(epoch, tag));
  verdict.expect(
    old !== undefined || isDrained || gap === undefined,
    'firstVersion lies above what the log has discarded (P2)',
    () => `${key} says ${firstVersion}, discarded up to ${popped}, and no file holds ${gap}`,
  );
  parts.hits.add('store: job registered');
}

/** P11: nothing of a drained epoch is missing for a job that is registered there. */
function checkDone(parts: StoreCheckParts, key: string, after: Values): void {
  const { epoch, tag } = placeOf(key);
  const info = parts.log.allEpochs.find((entry) => entry.epoch === epoch);
  if (info?.end === undefined) {
    parts.verdict.fail('only an old epoch is done (P11)', key);
    return;
  }
  parts.hits.add('store: old epoch done');
  for (const { uid } of activeJobs(after))
    expectCovered(parts, after, uid, epoch, tag, info.end - 1n, `epoch ${epoch} is done (P11)`);
}

function checkJob(parts: StoreCheckParts, job: JobRecord, before: JobRecord | undefined): void {
  const { verdict, store } = parts;
  verdict.expect(
    before === undefined || isActiveState(before.state) || before.state === job.state,
    'a final state is final',
    () => `job ${job.uid} goes from ${before?.state} to ${job.state}`,
  );
  verdict.expect(
    isActiveState(job.state) === activeJobs(store.values).some(({ uid }) => uid === job.uid),
    'exactly the active jobs are in "started"',
    () => `job ${job.uid} is ${job.state}`,
  );
  if (job.savedVersion !== undefined && job.savedVersion !== before?.savedVersion) {
    expectComplete(parts, job, job.savedVersion, 'the saved version of a job is stored by every tag');
  }
  if (job.state === before?.state) return;
  if (job.state === 'Running') checkStarted(parts, job);
  if (job.state === 'Completed') expectComplete(parts, job, job.stopVersion ?? -1n, 'a completed job is complete (P8)');
}

/** P3: every tag of the newest epoch has registered, and none begins above completeFrom. */
function checkStarted({ store, verdict }: StoreCheckParts, job: JobRecord): void {
  const value = store.values.get(EPOCH_KEY);
  const epoch = value && decodeEpoch(EPOCH_KEY, value);
  for (let tag = 0; tag < (epoch?.totalTags ?? 0); tag++) {
    const registered = store.values.get(registeredKey(job.uid, epoch?.epoch ?? 0, tag));
    verdict.expect(
      registered !== undefined && decodeVersion('registered', registered) <= (job.completeFrom ?? -1n),
      'a job is started when every tag has registered (P3)',
      () => `job ${job.uid} is complete from ${job.completeFrom}; epoch ${epoch?.epoch}, tag ${tag} is not`,
    );
  }
}

/** Everything from completeFrom to `last` is there, in every epoch. */
export function expectComplete(
  { log, coverage, verdict }: StoreCheckParts,
  job: JobRecord,
  last: Version,
  check: string,
): void {
  for (const epoch of log.allEpochs) {
    const begin = maxVersion(epoch.begin, job.completeFrom ?? last + 1n);
    const end = epoch.end === undefined ? last + 1n : minVersion(epoch.end, last + 1n);
    for (let tag = 0; tag < epoch.totalTags; tag++) {
      const gap = coverage.firstGap(job.url, tag, begin, end);
      verdict.expect(
        gap === undefined,
        check,
        () => `job ${job.uid}, to ${last}: nothing holds ${gap} of epoch ${epoch.epoch}, tag ${tag}`,
      );
    }
  }
}

function expectCovered(
  parts: StoreCheckParts,
  values: Values,
  uid: string,
  epoch: LogEpoch,
  tag: number,
  upTo: Version,
  claim: string,
): void {
  const key = registeredKey(uid, epoch, tag);
  const registered = values.get(key);
  const job = parts.jobs.byUid(uid);
  if (registered === undefined || job === undefined) return;
  const stopped = job.stopVersion === undefined ? upTo : minVersion(upTo, job.stopVersion);
  const gap = parts.coverage.firstGap(job.url, tag, decodeVersion(key, registered), stopped + 1n);
  parts.verdict.expect(
    gap === undefined,
    'recorded versions are stored',
    () => `epoch ${epoch}, tag ${tag} ${claim}, but no file of job ${uid} holds ${gap}`,
  );
}

/** Inclusive: what the store says may be forgotten of this tag (P4, P6, P23). */
export function recordedVersion(
  values: Values,
  epochs: readonly LogEpochInfo[],
  epoch: LogEpoch,
  tag: number,
): Version {
  const info = epochs.find((entry) => entry.epoch === epoch);
  const noop = values.get(noopKey(epoch, tag));
  let recorded = maxVersion((info?.begin ?? 0n) - 1n, noop === undefined ? -1n : decodeVersion('noop', noop));
  for (const other of epochs) {
    if (other.epoch > epoch || other.totalTags !== info?.totalTags) continue;
    const progress = values.get(progressKey(other.epoch, tag));
    if (progress !== undefined) recorded = maxVersion(recorded, decodeProgress('progress', progress).savedVersion);
  }
  return recorded;
}

export function activeJobs(values: Values): { readonly uid: string }[] {
  return decodeStarted(STARTED_KEY, values.get(STARTED_KEY));
}

function placeOf(key: string): { uid: string; epoch: LogEpoch; tag: number } {
  const parts = key.split('/');
  return { uid: parts[1] ?? '', epoch: Number(parts.at(-2)), tag: Number(parts.at(-1)) };
}
