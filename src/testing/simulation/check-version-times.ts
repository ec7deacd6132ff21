// Rule P26 at the moment at which a version's time becomes visible: the job holds everything up to the version, and all of it was committed by that time.

import { VERSION_TIME_FOLDER, parseVersionTimeName } from '../../format/fdb/version-times.js';
import type { StoreCheckParts } from './check-store.js';
import { expectComplete } from './check-store.js';

export function checkVersionTimes(parts: StoreCheckParts): void {
  const { containers, history, hits, jobs, verdict } = parts;
  containers.onFile(({ url, name, bytes, process }) => {
    if (!name.startsWith(VERSION_TIME_FOLDER)) return;
    const pair = parseVersionTimeName(name);
    const job = jobs.byUrl(url);
    if (pair === undefined || job === undefined || bytes.length > 0) {
      verdict.fail('version time', `${url} ${name} of ${bytes.length} bytes is none`);
      return;
    }
    hits.add('container: version time');
    verdict.expect(
      pair.version >= (job.completeFrom ?? pair.version + 1n),
      'a version with a time is at or above completeFrom (P26)',
      () => `${url} ${name}, complete from ${job.completeFrom}`,
    );
    expectComplete(parts, job, pair.version, 'a version with a time is stored by every tag (P26)');
    const committedAt = history.committedAt(pair.version);
    const time = process.momentOf(pair.time) ?? -1;
    verdict.expect(
      committedAt !== undefined && committedAt <= time,
      'all that a version stands for was committed at its time (P26)',
      () => `${url} ${name}, which is ${time} here: it was committed at ${committedAt}`,
    );
  });
}
