// Reads every container back, as a user would: what describe calls restorable must restore to exactly the rows that the database had, anything else must be refused.

import { toHex } from '../../core/bytes.js';
import type { KeyRange } from '../../core/key-range.js';
import { NORMAL_KEYS, coalesceRanges, intersectRanges } from '../../core/key-range.js';
import { BackupError } from '../../core/errors.js';
import { maxVersion } from '../../core/version.js';
import type { Version } from '../../core/version.js';
import type { JobRecord } from '../../job/records.js';
import type { RestoreTarget } from '../../ports/restore-target.js';
import type { BackupDescription, RestorableWindow } from '../../restore/description.js';
import { describeBackup } from '../../restore/describe.js';
import type { RestoreOptions, RestoreResult } from '../../restore/restore.js';
import { restore } from '../../restore/restore.js';
import { verifyBackup } from '../../restore/verify.js';
import { checkReport } from './check-report.js';
import { checkStatus } from './check-status.js';
import type { SimCluster } from './cluster.js';
import type { MemoryRestoreTargetOptions } from '../memory-restore-target.js';
import { MemoryRestoreTarget } from '../memory-restore-target.js';
import type { SimRandom } from './random.js';
import { drawRanges } from './sim-operator.js';
import { standstill } from './standstill.js';
import { describeError } from './trace.js';

/** Windows of a container that are tried at a time. */
const MAX_WINDOWS = 4;

/** `atRest`: everything that is committed must be there by now. */
export async function checkContainers(
  cluster: SimCluster,
  atRest: boolean,
  jobs: readonly JobRecord[] = cluster.jobs.all,
): Promise<void> {
  for (const job of jobs) {
    if (cluster.containers.files(job.url).size === 0) continue;
    try {
      const description = await describeBackup(cluster.containers.reader(job.url), {
        clock: standstill,
        deep: cluster.world.random.chance(0.2),
      });
      checkDescription(cluster, job, description);
      cluster.kept.check(job, description);
      await checkStatus(cluster, job, description);
      if (atRest || job.state === 'Completed') checkReach(cluster, job, description);
      if (atRest) {
        checkSnapshotsServe(cluster, job, description);
        const reader = cluster.containers.reader(job.url);
        checkReport(cluster, job, await verifyBackup(reader, { deep: true, clock: standstill }), true);
      }
      await checkRestores(cluster, job, description);
    } catch (error) {
      cluster.verdict.fail('containers can be read', `job ${job.uid}: ${describeError(error)}`);
    }
  }
}

/** Whatever a description complains of would be a mistake of ours. */
function checkDescription({ verdict }: SimCluster, job: JobRecord, description: BackupDescription): void {
  for (const problem of description.problems) {
    verdict.fail('no problem in a container', `job ${job.uid}: ${problem.kind}: ${problem.message}`);
  }
}

/** A snapshot that is listed serves restores as soon as the log has come as far. */
function checkSnapshotsServe({ verdict, history }: SimCluster, job: JobRecord, description: BackupDescription): void {
  const { snapshots, unreliableEnd = 0n } = description;
  if (!(job.state === 'Running' || job.state === 'Completed')) return;
  const last = job.state === 'Completed' ? (job.stopVersion ?? -1n) : history.committed;
  for (const { name, beginVersion, endVersion, restorable, reason } of snapshots) {
    if (beginVersion < unreliableEnd || endVersion > last) continue;
    verdict.expect(restorable, 'a snapshot serves', () => `job ${job.uid}, ${job.state}: ${name} does not: ${reason}`);
  }
}

/** A job is gapless from `completeFrom` to all that is committed, or to its stop version. */
function checkReach(
  { verdict, history, hits, firstVersion }: SimCluster,
  job: JobRecord,
  description: BackupDescription,
): void {
  if (job.completeFrom === undefined || !(job.state === 'Running' || job.state === 'Completed')) return;
  const { completeFrom } = job;
  const last = job.state === 'Completed' ? (job.stopVersion ?? -1n) : history.committed;
  const mark = description.unreliableEnd ?? 0n;
  if (last < completeFrom || last < mark) return;
  verdict.expect(
    description.complete.some(({ begin, end }) => begin <= maxVersion(completeFrom, mark) && last < end),
    'a job is complete from completeFrom on',
    () => `job ${job.uid}, ${job.state}: no gapless log from ${completeFrom} to ${last}`,
  );
  if (!job.logOnly || completeFrom > firstVersion || mark > 0n) return;
  hits.add('oracle: restorable to the end');
  verdict.expect(
    description.windows.some(({ max }) => max >= last),
    'the restorable version catches up',
    () =>
      `job ${job.uid}, ${job.state}: ${description.notRestorable ?? `restorable up to ${description.maxRestorable}`}, not to ${last}`,
  );
}

async function checkRestores(cluster: SimCluster, job: JobRecord, description: BackupDescription): Promise<void> {
  const { random } = cluster.world;
  const { windows } = description;
  for (const window of random.shuffle(windows).slice(0, MAX_WINDOWS)) {
    const { min, max } = window;
    const inside = cluster.history.versions(min, max + 1n);
    const tries = new Set<Version>([random.pick([min, max]), ...(inside.length === 0 ? [] : [random.pick(inside)])]);
    for (const version of tries) await checkRestore(cluster, job, version, window);
  }
  const last = windows.at(-1);
  if (last !== undefined && random.chance(0.1)) await checkRefusal(cluster, job, last.max + 1n);
}

async function checkRestore(
  cluster: SimCluster,
  job: JobRecord,
  version: Version,
  window: RestorableWindow,
): Promise<void> {
  const { history, containers, verdict, hits, world } = cluster;
  const { random } = world;
  const faults = { left: random.chance(0.3) ? random.int(1, 3) : 0 };
  const memory = new MemoryRestoreTarget(failingTarget(random, faults));
  const ranges = random.chance(0.2) ? partOf(cluster, job) : undefined;
  const options: RestoreOptions = {
    container: cluster.restored(containers.reader(job.url)),
    target: cluster.target(random.chance(0.5) ? memory : withoutShards(memory)),
    shards: random.int(1, 4),
    version,
    ...(window.snapshot === undefined ? { baseline: 'empty' } : {}),
    ...(ranges === undefined ? {} : { ranges }),
    clock: standstill,
    applyBytes: random.pick([1, 200, 1 << 20]),
    readBytes: random.pick([100, 1 << 20]),
  };
  let result: RestoreResult | undefined;
  while (result === undefined) {
    try {
      result = await restore(options);
    } catch (error) {
      if (!(error instanceof TargetFault)) throw error;
      hits.add('oracle: restore goes on');
    }
  }
  const expected = history.rowsAt(version, ranges ?? job.ranges);
  const rows = new Map([...memory.rows()].map(({ key, value }) => [toHex(key), toHex(value)]));
  const difference = differenceOf(rows, expected);
  hits.add(result.snapshot === undefined ? 'oracle: restored' : 'oracle: restored from a snapshot');
  verdict.expect(
    version <= history.committed,
    'only committed versions are restorable',
    () => `job ${job.uid}: ${version} is not committed`,
  );
  verdict.expect(
    difference === undefined,
    'a restore is exact',
    () => `job ${job.uid} at ${version} from ${result.snapshot ?? 'the log alone'}: ${difference}`,
  );
}

async function checkRefusal(cluster: SimCluster, job: JobRecord, version: Version): Promise<void> {
  try {
    const container = cluster.containers.reader(job.url);
    await restore({ container, target: new MemoryRestoreTarget(), version, clock: standstill });
    cluster.verdict.fail('what is not restorable is refused', `job ${job.uid}: ${version} was restored`);
  } catch (error) {
    if (!BackupError.is(error, 'NOT_RESTORABLE')) throw error;
    cluster.hits.add('oracle: restore refused');
  }
}

class TargetFault extends Error {}

/** Applies fail before or after they take effect, `faults.left` times. */
function failingTarget(random: SimRandom, faults: { left: number }): MemoryRestoreTargetOptions {
  const strike = () => {
    if (faults.left === 0 || !random.chance(0.3)) return;
    faults.left--;
    throw new TargetFault('the simulated target fails');
  };
  return { beforeApply: strike, afterApply: strike };
}

function withoutShards(target: MemoryRestoreTarget): RestoreTarget {
  return {
    read: (keys) => target.read(keys),
    apply: (operations, checkpoint) => target.apply(operations, checkpoint),
    checkpoint: () => target.checkpoint(),
    isEmpty: (range) => target.isEmpty(range),
  };
}

/** Some keys of the job; undefined: none were hit. */
function partOf(cluster: SimCluster, job: JobRecord): KeyRange[] | undefined {
  const own = job.ranges.length === 0 ? [NORMAL_KEYS] : job.ranges;
  const parts = drawRanges(cluster).flatMap((range) => own.map((other) => intersectRanges(range, other)));
  const inside = coalesceRanges(parts.filter((part) => part !== undefined));
  return inside.length === 0 ? undefined : inside;
}

export function differenceOf(
  actual: ReadonlyMap<string, string>,
  expected: ReadonlyMap<string, string>,
): string | undefined {
  for (const [key, value] of expected) {
    if (actual.get(key) !== value) return `key ${key} is ${actual.get(key) ?? 'missing'}, the database had ${value}`;
  }
  for (const key of actual.keys()) if (!expected.has(key)) return `key ${key} is there, the database had none`;
  return undefined;
}
