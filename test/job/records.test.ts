// What is written to the progress store can be read back: a record that cannot would stop every worker and every operator's call, for all jobs.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MAX_VERSION } from '../../src/core/version.js';
import type { EpochRecord, JobProgress, JobRecord, ProgressRecord, StartedJob } from '../../src/job/records.js';
import * as records from '../../src/job/records.js';
import type { SnapshotRecord } from '../../src/job/snapshot-record.js';
import { decodeSnapshotRecord, encodeSnapshotRecord } from '../../src/job/snapshot-record.js';
import * as access from '../../src/job/store-access.js';
import { MemoryProgressStore } from '../../src/progress/memory-progress-store.js';

const version = fc.oneof(fc.constantFrom(0n, 1n, MAX_VERSION), fc.bigInt({ min: 0n, max: MAX_VERSION }));
/** The version before a log's first one: -1 if that is 0. */
const versionOrNone = fc.oneof({ weight: 1, arbitrary: fc.constant(-1n) }, { weight: 2, arbitrary: version });
const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });
const uid = fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/);
const text = fc.string({ unit: 'binary' });
const count = fc.nat();
const bytes = fc.uint8Array({ maxLength: 20 });

const job: fc.Arbitrary<JobRecord> = fc.record({
  uid,
  submission: text,
  state: fc.constantFrom('Submitted', 'Running', 'Stopping', 'Completed', 'Failed', 'Aborted'),
  url: text,
  ranges: fc.array(fc.record({ begin: bytes, end: bytes }), { maxLength: 3 }),
  logOnly: fc.boolean(),
  snapshotInterval: maybe(count),
  firstVersion: version,
  startVersion: version,
  completeFrom: maybe(version),
  stopVersion: maybe(versionOrNone),
  failure: maybe(
    fc.record({
      code: fc.constantFrom('TIMEOUT', 'CONTAINER_IN_USE'),
      message: text,
      tag: count,
      lastGoodVersion: versionOrNone,
    }),
  ),
  savedVersion: maybe(versionOrNone),
  bytes: maybe(count),
  files: maybe(count),
});
const started: fc.Arbitrary<StartedJob[]> = fc.array(
  fc.record({ uid, startVersion: version, stopVersion: maybe(versionOrNone) }),
  { maxLength: 4 },
);
const jobProgress: fc.Arbitrary<JobProgress> = fc.record({ nextBegin: version, bytes: count, files: count });
const progress: fc.Arbitrary<ProgressRecord> = fc.record({
  savedVersion: versionOrNone,
  totalTags: count,
  jobs: fc.array(fc.tuple(uid, jobProgress), { maxLength: 4 }).map((entries) => new Map(entries)),
});
const snapshot: fc.Arbitrary<SnapshotRecord> = fc.record({
  due: maybe(count),
  requested: fc.constantFrom(true, undefined),
  running: maybe(fc.record({ leaseId: text, by: text, since: count })),
  last: maybe(
    fc.record({
      name: text,
      beginVersion: version,
      endVersion: version,
      startedAt: count,
      finishedAt: count,
      by: text,
      files: count,
      rows: count,
      bytes: count,
    }),
  ),
  failure: maybe(
    fc.record({
      code: fc.constantFrom('TIMEOUT', 'SNAPSHOT_INCOMPLETE'),
      message: text,
      at: count,
      by: text,
      tries: count,
    }),
  ),
});
const epoch: fc.Arbitrary<EpochRecord> = fc.record({ epoch: count, begin: version, totalTags: count });

/** For every value: what is decoded from its code is the value. */
function itComesBack<T>(
  name: string,
  values: fc.Arbitrary<T>,
  encode: (value: T) => Uint8Array,
  decode: (key: string, value: Uint8Array) => T,
): void {
  it(`${name} comes back as it was written`, () => {
    fc.assert(
      fc.property(values, (value) => {
        expect(decode('key', encode(value))).toEqual(value);
      }),
    );
  });
}

describe('records of the progress store', () => {
  itComesBack('a job', job, records.encodeJob, records.decodeJob);
  itComesBack('the list of active jobs', started, records.encodeStarted, records.decodeStarted);
  itComesBack('progress', progress, records.encodeProgress, records.decodeProgress);
  itComesBack('the state of snapshots', snapshot, encodeSnapshotRecord, decodeSnapshotRecord);
  itComesBack('an epoch', epoch, records.encodeEpoch, records.decodeEpoch);
  itComesBack('a version', version, records.encodeVersion, records.decodeVersion);
  itComesBack('an owner', text, records.encodeOwner, records.decodeOwner);

  it('are not committed when they could not be read back', async () => {
    const store = new MemoryProgressStore();
    const [value] = fc.sample(job, { numRuns: 1, seed: 1 }) as [JobRecord];
    const writes = [
      () => store.transact(async (tx) => access.writeJob(tx, { ...value, savedVersion: -2n })),
      () => store.transact(async (tx) => access.writeJob(tx, { ...value, logOnly: 'true' as never })),
      () => store.transact(async (tx) => access.writeStarted(tx, [{ uid: 7 as never, startVersion: 1n }])),
      () => store.transact(async (tx) => access.writeEpoch(tx, { epoch: 1.5, begin: 1n, totalTags: 1 })),
      () =>
        store.transact(async (tx) =>
          access.writeProgress(tx, { epoch: 1, tag: 0 }, { savedVersion: -2n, totalTags: 1, jobs: new Map() }),
        ),
    ];
    for (const write of writes) await expect(write()).rejects.toMatchObject({ code: 'STORE_CORRUPT' });
    expect(store.entries()).toEqual([]);
  });
});
