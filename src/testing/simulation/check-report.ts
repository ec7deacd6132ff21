// What a verification may find in a container that only the library and the simulated faults have touched.

import type { JobRecord } from '../../job/records.js';
import type { VerifyProblem, VerifyReport } from '../../restore/verify-report.js';
import { MAX_VERSION, maxVersion, minVersion } from '../../core/version.js';
import { parseLogName } from './read-log-file.js';
import { markOf } from './expiry-mark.js';
import type { SimCluster } from './cluster.js';

export function checkReport(cluster: SimCluster, job: JobRecord, report: VerifyReport, atRest: boolean): void {
  const { containers, hits, verdict } = cluster;
  hits.add('oracle: verified');
  const wrong = report.problems.find((problem) => !isNormal(cluster, job, problem, atRest));
  verdict.expect(
    wrong === undefined,
    'a verification finds nothing wrong',
    () => `job ${job.uid}, ${job.state}: ${wrong?.kind} ${wrong?.message}; mark ${markOf(containers.files(job.url))}`,
  );
  verdict.expect(
    report.unchecked.length === 0,
    'everything has checksums',
    () => `job ${job.uid}: ${report.unchecked.join(', ')}`,
  );
}

/** As docs/care.md says. A job that did not get to its end may lack log, and so may one that is at work. */
function isNormal(cluster: SimCluster, job: JobRecord, problem: VerifyProblem, atRest: boolean): boolean {
  const { kind, file, harmless, versions } = problem;
  cluster.hits.add(`verify: ${harmless ? 'harmless ' : ''}${kind}`);
  if (harmless) return true;
  const isWhole = atRest && (job.state === 'Running' || job.state === 'Completed');
  // Above its stop version a job has what its workers wrote before they knew.
  const { stopVersion = MAX_VERSION, completeFrom = MAX_VERSION } = job;
  // Checksums are written before their file.
  if (kind === 'missing-file') {
    const log = parseLogName(file ?? '');
    if (log === undefined) return false;
    const end = minVersion(log.end, stopVersion + 1n);
    return (
      !isWhole || cluster.coverage.firstGap(job.url, log.tag, maxVersion(log.begin, completeFrom), end) === undefined
    );
  }
  if (kind !== 'log-gap' || versions === undefined) return false;
  const needed = maxVersion(versions.begin, completeFrom);
  return !isWhole || needed >= versions.end || needed > stopVersion;
}
