// A reader whose listings lag: what it claims must be true all the same, and what it restores exact. It may refuse, or fail loudly.

import { toHex } from '../../core/bytes.js';
import { BackupError } from '../../core/errors.js';
import type { JobRecord } from '../../job/records.js';
import { describeBackup } from '../../restore/describe.js';
import { restore } from '../../restore/restore.js';
import { MemoryRestoreTarget } from '../memory-restore-target.js';
import { differenceOf } from './check-containers.js';
import type { SimCluster } from './cluster.js';
import { standstill } from './standstill.js';
import { describeError } from './trace.js';

export async function checkLagging(cluster: SimCluster): Promise<void> {
  const { containers, jobs, verdict, world } = cluster;
  if (world.faults.rates.listingLagMs === 0) return;
  for (const job of jobs.all) {
    if (containers.files(job.url).size === 0) continue;
    try {
      await checkOne(cluster, job);
    } catch (error) {
      if (BackupError.is(error, 'FILE_NOT_FOUND') || BackupError.is(error, 'NOT_RESTORABLE')) {
        cluster.hits.add('oracle: a lagging reader refuses');
      } else verdict.fail('a lagging reader fails loudly', `job ${job.uid}: ${describeError(error)}`);
    }
  }
}

async function checkOne({ containers, history, hits, verdict, world }: SimCluster, job: JobRecord): Promise<void> {
  const { random } = world;
  const lagging = containers.laggingReader(job.url);
  const { windows } = await describeBackup(lagging, { clock: standstill });
  const exact = await describeBackup(containers.reader(job.url), { clock: standstill });
  for (const { min, max } of windows) {
    verdict.expect(
      exact.windows.some((window) => window.min <= min && max <= window.max),
      'a lagging reader claims nothing that is not there',
      () => `job ${job.uid}: ${min} to ${max}, there is ${exact.windows.map((w) => `${w.min} to ${w.max}`).join(', ')}`,
    );
  }
  if (windows.length === 0) return;
  const window = random.pick(windows);
  const version = random.pick([window.min, window.max]);
  const target = new MemoryRestoreTarget();
  const baseline = window.snapshot === undefined ? { baseline: 'empty' as const } : {};
  await restore({ container: lagging, target, version, ...baseline, clock: standstill });
  const rows = new Map([...target.rows()].map(({ key, value }) => [toHex(key), toHex(value)]));
  const difference = differenceOf(rows, history.rowsAt(version, job.ranges));
  hits.add('oracle: restored by a lagging reader');
  verdict.expect(
    difference === undefined && version <= history.committed,
    'a lagging reader restores what was',
    () => `job ${job.uid} at ${version}: ${difference ?? 'it is not committed'}`,
  );
}
