// What an operator is told of a job must be true: `status` never says that more is stored, or restorable, than the container holds at that moment.

import { maxVersion } from '../../core/version.js';
import { BackupOperator } from '../../job/operator.js';
import type { JobRecord } from '../../job/records.js';
import type { BackupDescription } from '../../restore/description.js';
import { expectComplete } from './check-store.js';
import type { SimCluster } from './cluster.js';
import { markOf } from './expiry-mark.js';
import { standstill } from './standstill.js';

export async function checkStatus(
  cluster: SimCluster,
  { uid }: JobRecord,
  description: BackupDescription,
): Promise<void> {
  const { containers, history, hits, jobs, store, verdict } = cluster;
  const status = await new BackupOperator(store.reader, { clock: standstill }).status(uid);
  const job = jobs.byUid(uid);
  hits.add('oracle: looked at the status');
  verdict.expect(
    job?.state === status.state && job.completeFrom === status.completeFrom && job.stopVersion === status.stopVersion,
    'a status is what is recorded',
    () => `job ${uid} is ${job?.state}, its status says ${status.state}`,
  );
  const { savedVersion, completeFrom } = status;
  // Below completeFrom there is nothing to store: a job that begins at a version that is still to come is as good as saved up to there.
  if (job === undefined || savedVersion === undefined || completeFrom === undefined || savedVersion < completeFrom)
    return;
  verdict.expect(
    savedVersion <= history.committed,
    'a status claims only what is committed',
    () => `job ${uid}, ${status.state}: saved ${savedVersion}, committed is ${history.committed}`,
  );
  expectComplete(cluster, job, savedVersion, 'a status claims only what is stored');
  const mark = markOf(containers.files(job.url));
  const begin = maxVersion(completeFrom, mark);
  verdict.expect(
    savedVersion < begin || description.complete.some((log) => log.begin <= begin && savedVersion < log.end),
    'describe agrees with the status',
    () => `job ${uid}, ${status.state}: saved ${savedVersion}, but there is no gapless log from ${begin} to it`,
  );
  // An expiry is none of the store's business.
  if (!status.restorable || mark > 0n) return;
  hits.add('oracle: a status says restorable');
  verdict.expect(
    description.windows.some(({ min, max }) => min <= savedVersion && max >= savedVersion),
    'what a status calls restorable is',
    () => `job ${uid}, ${status.state}, saved ${savedVersion}: ${description.notRestorable ?? 'not up to there'}`,
  );
}
