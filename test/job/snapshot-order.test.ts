// Which job's snapshot comes first when several are due (S1).

import { expect, it } from 'vitest';
import { STARTED_KEY, jobKey, snapshotKey } from '../../src/job/keys.js';
import { encodeJob, encodeStarted } from '../../src/job/records.js';
import { encodeSnapshotRecord } from '../../src/job/snapshot-record.js';
import { findDueSnapshots } from '../../src/job/snapshot-transactions.js';
import { MemoryProgressStore } from '../../src/progress/memory-progress-store.js';

const NOW = 1_800_000_000_000;
const HOUR = 3_600_000;

/** Uids of jobs whose snapshots are due at these times, in the order in which they are begun. */
async function order(due: Readonly<Record<string, number>>): Promise<readonly string[] | undefined> {
  const store = new MemoryProgressStore();
  return store.transact(async (tx) => {
    tx.set(STARTED_KEY, encodeStarted(Object.keys(due).map((uid) => ({ uid, startVersion: 0n }))));
    for (const [uid, at] of Object.entries(due)) {
      const job = {
        uid,
        submission: 'x',
        state: 'Running',
        url: `memory://${uid}`,
        ranges: [],
        logOnly: false,
      } as const;
      tx.set(jobKey(uid), encodeJob({ ...job, snapshotInterval: 60_000, startVersion: 0n, firstVersion: 0n }));
      tx.set(snapshotKey(uid), encodeSnapshotRecord({ due: at }));
    }
    return findDueSnapshots(tx, NOW);
  });
}

it('begins with the one that has been due for longest', async () => {
  expect(await order({ a: NOW - 1, b: NOW - 3, c: NOW - 2, d: NOW + 1 })).toEqual(['b', 'c', 'a']);
});

it('does not let one starve whose time was written by a clock that was ahead', async () => {
  expect(await order({ a: NOW - 1, wrong: NOW + HOUR })).toEqual(['wrong', 'a']);
});
