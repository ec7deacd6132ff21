// Reads every container back, as a user would: what describe calls restorable must restore to exactly the rows that the database had, anything else must be refused.

import { toHex } from '../../core/bytes.js';
import type { Clock } from '../../core/clock.js';
import { BackupError } from '../../core/errors.js';
import type { Version } from '../../core/version.js';
import type { JobRecord } from '../../job/records.js';
import type { BackupDescription } from '../../restore/description.js';
import { describeBackup } from '../../restore/describe.js';
import { restore } from '../../restore/restore.js';
import type { SimCluster } from './cluster.js';
import { MemoryRestoreTarget } from '../memory-restore-target.js';
import { describeError } from './trace.js';

/** The oracle looks while the world stands still. */
const standstill: Clock = {
  now: () => 0,
  wallTime: () => 0,
  sleep: () => Promise.resolve(),
  yieldToHost: () => Promise.resolve(),
};

/** `atRest`: everything that is committed must be there by now. */
export async function checkContainers(cluster: SimCluster, atRest: boolean): Promise<void> {
  for (const job of cluster.jobs.all) {
    if (cluster.containers.files(job.url).size === 0) continue;
    try {
      const description = await describeBackup(cluster.containers.reader(job.url), {
        clock: standstill,
        deep: cluster.world.random.chance(0.2),
      });
      checkDescription(cluster, job, description);
      if (atRest) checkReach(cluster, job, description);
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

/** A job is gapless from `completeFrom` to all that is committed, or to its stop version. */
function checkReach(
  { verdict, history, hits, firstVersion }: SimCluster,
  job: JobRecord,
  description: BackupDescription,
): void {
  if (job.completeFrom === undefined || !(job.state === 'Running' || job.state === 'Completed')) return;
  const { completeFrom } = job;
  const last = job.state === 'Completed' ? (job.stopVersion ?? -1n) : history.committed;
  if (last < completeFrom) return;
  verdict.expect(
    description.complete.some(({ begin, end }) => begin <= completeFrom && last < end),
    'a job is complete from completeFrom on',
    () => `job ${job.uid}, ${job.state}: no gapless log from ${completeFrom} to ${last}`,
  );
  if (!job.logOnly || completeFrom > firstVersion) return;
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
  for (const { min, max } of windows) {
    const inside = cluster.history.versions(min, max + 1n);
    const tries = new Set<Version>([max, ...(inside.length === 0 ? [] : [random.pick(inside)])]);
    for (const version of tries) await checkRestore(cluster, job, version);
  }
  const last = windows.at(-1);
  if (last !== undefined && random.chance(0.1)) await checkRefusal(cluster, job, last.max + 1n);
}

async function checkRestore(cluster: SimCluster, job: JobRecord, version: Version): Promise<void> {
  const { history, containers, verdict, hits, world } = cluster;
  const target = new MemoryRestoreTarget();
  const applyBytes = world.random.pick([1, 200, 1 << 20]);
  const container = containers.reader(job.url);
  await restore({
    container,
    target,
    version,
    baseline: 'empty',
    clock: standstill,
    applyBytes,
    readBytes: world.random.pick([100, 1 << 20]),
  });
  const expected = history.rowsAt(version, job.ranges);
  const rows = new Map([...target.rows()].map(({ key, value }) => [toHex(key), toHex(value)]));
  const difference = differenceOf(rows, expected);
  hits.add('oracle: restored');
  verdict.expect(
    version <= history.committed,
    'only committed versions are restorable',
    () => `job ${job.uid}: ${version} is not committed`,
  );
  verdict.expect(difference === undefined, 'a restore is exact', () => `job ${job.uid} at ${version}: ${difference}`);
}

async function checkRefusal(cluster: SimCluster, job: JobRecord, version: Version): Promise<void> {
  try {
    const container = cluster.containers.reader(job.url);
    await restore({ container, target: new MemoryRestoreTarget(), version, baseline: 'empty', clock: standstill });
    cluster.verdict.fail('what is not restorable is refused', `job ${job.uid}: ${version} was restored`);
  } catch (error) {
    if (!BackupError.is(error, 'NOT_RESTORABLE')) throw error;
    cluster.hits.add('oracle: restore refused');
  }
}

function differenceOf(actual: ReadonlyMap<string, string>, expected: ReadonlyMap<string, string>): string | undefined {
  for (const [key, value] of expected) {
    if (actual.get(key) !== value) return `key ${key} is ${actual.get(key) ?? 'missing'}, the database had ${value}`;
  }
  for (const key of actual.keys()) if (!expected.has(key)) return `key ${key} is there, the database had none`;
  return undefined;
}
