// What a container throws for good ends the call, whichever it is: nobody may take an answer that never came for damage, for a file that is not there, or for nothing at all.

import { describe, expect, it } from 'vitest';
import type { Clock } from '../../src/core/clock.js';
import { systemClock } from '../../src/core/clock.js';
import type { BackupContainer } from '../../src/ports/backup-container.js';
import { describeBackup } from '../../src/restore/describe.js';
import { recordChecksums } from '../../src/restore/record-checksums.js';
import { restoreSet } from '../../src/restore/restore-set.js';
import { restore } from '../../src/restore/restore.js';
import { verifyBackup } from '../../src/restore/verify.js';
import { versionAt } from '../../src/restore/wanted-version.js';
import { listHalfSnapshots, listOrphanRangeFiles } from '../../src/index.js';
import { MemoryRestoreTarget } from '../../src/testing/memory-restore-target.js';
import type { MemoryContainer } from '../../src/container/memory-container.js';
import { newContainer, put, putLog } from '../restore/container-builder.js';
import { SeededRandom, randomHistory, writeHistory } from '../restore/log-model.js';
import { Crash, CrashingContainer, copyOf } from './crashing-container.js';
import { putSample } from './sample-backups.js';

/** Something of every kind: checksums of a part of the files, files of the older format, a half snapshot, version times. */
async function everything(): Promise<MemoryContainer> {
  const random = new SeededRandom(11);
  const epochs = [
    { begin: 1n, end: 40n, totalTags: 2 },
    { begin: 40n, end: 80n, totalTags: 1 },
  ];
  const container = await newContainer();
  const records = randomHistory(random, epochs, 6);
  await writeHistory(container, random, epochs, records);
  await putSample(container, records, [10n, 12n]);
  await recordChecksums(container);
  // What came later has none: a whole snapshot, a log file beside another one, one of the older format.
  await putSample(container, records, [50n, 50n]);
  await putLog(container, { begin: 40n, end: 50n, tag: 0, totalTags: 1 });
  await put(container, `properties/tidemark_times/${'20'.padStart(19, '0')},1000`, '');
  await put(container, `properties/tidemark_snapshot_part,60,${'1'.repeat(32)},5`, 'x');
  await put(container, 'properties/log_begin_version', '1');
  return container;
}

/** Waits for nothing: some calls try again what is no BackupError. */
const hasty: Clock = { ...systemClock, sleep: () => Promise.resolve() };

const calls: Record<string, (container: BackupContainer) => Promise<unknown>> = {
  describeBackup: (container) => describeBackup(container),
  'describeBackup, deep': (container) => describeBackup(container, { deep: true }),
  verifyBackup: (container) => verifyBackup(container),
  'verifyBackup, deep': (container) => verifyBackup(container, { deep: true }),
  recordChecksums: (container) => recordChecksums(container),
  restoreSet: (container) => restoreSet({ container, version: 60n }),
  versionAt: (container) => versionAt(container, 2_000),
  listHalfSnapshots: (container) => listHalfSnapshots(container, { clock: hasty }),
  listOrphanRangeFiles: (container) => listOrphanRangeFiles(container, { clock: hasty }),
  'restore from an older snapshot': (container) =>
    restore({ container, target: new MemoryRestoreTarget(), version: 45n }),
  'restore to a time': (container) =>
    restore({ container, target: new MemoryRestoreTarget(), timestamp: new Date(2_000) }),
};

describe('a call of the container that fails for good', () => {
  it.each(Object.entries(calls))('ends %s, wherever it is', async (_, run) => {
    const start = await everything();
    for (let at = 1; ; at++) {
      const container = new CrashingContainer(await copyOf(start), at, 'before');
      const outcome = await run(container).then(
        () => 'resolved',
        (error: unknown) => error,
      );
      if (!container.crashed) {
        expect(outcome).toBe('resolved');
        expect(at).toBeGreaterThan(1);
        return;
      }
      expect(outcome, `call ${at}`).toBeInstanceOf(Crash);
    }
  });
});
