// The range source suite's cases for the versions that can be read.

import assert from 'node:assert/strict';
import { rejectsWithReason, stillWaits } from './log-tools.js';
import type { RangeCase } from './range-tools.js';

export const rangeVersionCases: readonly RangeCase[] = [
  [
    'a read version holds everything that was acknowledged before the call, and does not go back',
    async (database, signal) => {
      let last = -1n;
      for (let i = 0; i < 5; i++) {
        const committed = await database.put({ [`k${i}`]: `v${i}` });
        const version = await database.source.readVersion({ atLeast: 0n, signal });
        assert.ok(version >= committed, `the read version is ${version}, after a commit at ${committed}`);
        assert.ok(version >= last, `the read version went back from ${last} to ${version}`);
        const rows = await database.scan(database.range, version, signal);
        assert.deepEqual(
          rows,
          Array.from({ length: i + 1 }, (_, k) => `k${k}=v${k}`),
        );
        last = version;
        await database.source.releaseVersion?.(version);
      }
    },
  ],
  [
    'a read version is at or above what is asked for, once there is one',
    async (database, signal) => {
      const first = await database.put({ a: '1' });
      assert.ok((await database.source.readVersion({ atLeast: first, signal })) >= first);
      const waiting = database.source.readVersion({ atLeast: first + 1n, signal });
      // A database whose versions grow by themselves may have answered by now.
      await stillWaits(waiting);
      const second = await database.put({ b: '2' });
      const version = await waiting;
      assert.ok(version > first, `${version} was answered when ${first + 1n} was asked for`);
      if (version >= second) assert.deepEqual(await database.scan(database.range, version, signal), ['a=1', 'b=2']);
    },
  ],
  [
    'waiting for a version ends with the reason of the signal, and the next call is none the worse for it',
    async (database, signal) => {
      const committed = await database.put({ a: '1' });
      const reason = new Error('enough');
      const { source } = database;
      await rejectsWithReason(source.readVersion({ atLeast: 0n, signal: AbortSignal.abort(reason) }), reason);
      const stop = new AbortController();
      // Far ahead, where a database whose versions grow by themselves will not be soon.
      const waiting = source.readVersion({ atLeast: 1n << 60n, signal: stop.signal });
      assert.equal(await stillWaits(waiting), true);
      stop.abort(reason);
      await rejectsWithReason(waiting, reason);
      assert.ok((await source.readVersion({ atLeast: 0n, signal })) >= committed);
    },
  ],
  [
    'a version is read the same however often, whatever is written in between',
    async (database, signal) => {
      await database.put({ a: '1', b: '2', c: '3' });
      const version = await database.source.readVersion({ atLeast: 0n, signal });
      await database.put({ a: 'later', d: 'later' });
      await database.clear('b', 'd');
      for (let i = 0; i < 3; i++) {
        assert.deepEqual(await database.scan(database.range, version, signal), ['a=1', 'b=2', 'c=3']);
        await database.put({ [`b${i}`]: 'later' });
      }
      const now = await database.source.readVersion({ atLeast: version, signal });
      const rows = await database.scan(database.range, now, signal);
      assert.deepEqual(rows, ['a=later', 'b0=later', 'b1=later', 'b2=later', 'd=later']);
    },
  ],
  [
    'two versions are read side by side',
    async (database, signal) => {
      await database.put({ a: '1' });
      const old = await database.source.readVersion({ atLeast: 0n, signal });
      await database.put({ a: '2' });
      const young = await database.source.readVersion({ atLeast: old + 1n, signal });
      const read = (version: bigint) => database.scan(database.range, version, signal);
      assert.deepEqual(await Promise.all([read(old), read(young), read(old)]), [['a=1'], ['a=2'], ['a=1']]);
    },
  ],
  [
    'a version is released more than once, and one that nobody knows, without harm',
    async (database, signal) => {
      await database.put({ a: '1' });
      const { source } = database;
      const released = await source.readVersion({ atLeast: 0n, signal });
      await source.releaseVersion?.(released);
      await source.releaseVersion?.(released);
      await source.releaseVersion?.(released + 1_000_000n);
      await database.put({ b: '2' });
      const version = await source.readVersion({ atLeast: released + 1n, signal });
      assert.deepEqual(await database.scan(database.range, version, signal), ['a=1', 'b=2']);
    },
  ],
];
