// The log source suite's cases for recoveries: how an epoch ends and the next begins.

import assert from 'node:assert/strict';
import type { LogSystemInfo } from '../ports/log-source.js';
import { logRouterTag } from '../core/version.js';
import type { LogUnderTest, SuiteEpoch } from './log-under-test.js';
import type { LogCase } from './log-tools.js';
import { message, peek, readThrough, rejectsWithReason, stillWaits } from './log-tools.js';

export const logEpochCases: readonly LogCase[] = [
  [
    'an epoch that has ended is read up to its end without waiting, and not beyond',
    async (log, signal) => {
      const old = log.epoch;
      const version = await log.commit([message(log, 0, 'a'), message(log, 1, 'b')]);
      const next = await recover(log);
      assert.ok(
        next.begin > version,
        `what was acknowledged at ${version} belongs to the old epoch, not to [${next.begin}, …)`,
      );
      const later = await log.commit([message(log, 0, 'new')]);
      assert.ok(later >= next.begin);
      for (const tag of [0, 1]) {
        const found = await readThrough(log, next.begin - 1n, { tag, begin: old.begin, epoch: old, signal });
        assert.equal(found.length, 1, `tag ${tag} of the old epoch: ${found.join(' ')}`);
      }
      for (let begin = old.begin; begin < next.begin;) {
        const { end } = await peek(log, { tag: 0, begin, epoch: old, signal });
        assert.ok(end > begin && end <= next.begin, `[${begin}, ${end}) of an epoch that ended at ${next.begin}`);
        begin = end;
      }
    },
  ],
  [
    'a peek that waits when its epoch ends is answered',
    async (log, signal) => {
      const version = await log.commit([message(log, 0, 'a')]);
      const { end } = await peek(log, { tag: 0, begin: version, signal });
      const waiting = peek(log, { tag: 0, begin: end, signal });
      await stillWaits(waiting);
      const next = await recover(log);
      if (end <= next.begin) assert.ok((await waiting).end <= next.begin);
    },
  ],
  [
    'a new epoch begins where the old one ends, with its own partitions',
    async (log, signal) => {
      await log.commit([message(log, 0, 'old'), message(log, 1, 'old')]);
      const next = await recover(log);
      assert.ok(next.epoch > log.epoch.epoch);
      const version = await log.commit([message(log, 1, 'new')]);
      const { begin } = next;
      assert.equal((await readThrough(log, version, { tag: 1, begin, epoch: next, signal })).length, 1);
      assert.equal((await readThrough(log, version, { tag: 0, begin, epoch: next, signal })).length, 0);
    },
  ],
  [
    "an ended epoch's min known committed version is never at or above its end; the log's own goes on (P14, P8)",
    async (log, signal) => {
      const old = log.epoch;
      const before = await log.commit([message(log, 0, 'a')]);
      const next = await recover(log);
      const after = await log.commit([message(log, 0, 'b')]);
      const ofOld = await log.source.minKnownCommittedVersion({ epoch: old.epoch, signal });
      assert.ok(ofOld < next.begin, `${ofOld} for an epoch that ended at ${next.begin}`);
      assert.ok(ofOld >= before, `${ofOld}, after a commit at ${before}: an ended epoch is durable to its end`);
      assert.ok((await log.source.committedVersion(signal)) >= after);
      const reply = await peek(log, { tag: 0, begin: old.begin, epoch: old, signal });
      assert.ok(reply.minKnownCommittedVersion < next.begin);
    },
  ],
  [
    'a pop in one epoch leaves the next one alone',
    async (log, signal) => {
      const old = log.epoch;
      const before = await log.commit([message(log, 0, 'old')]);
      const next = await recover(log);
      const after = await log.commit([message(log, 0, 'new')]);
      await log.source.pop({ epoch: old.epoch, tag: logRouterTag(0), upTo: before });
      const reply = await peek(log, { tag: 0, begin: next.begin, epoch: next, signal });
      assert.deepEqual(
        [...reply.batch].map((each) => each.version),
        [after],
      );
      assert.ok(reply.popped === undefined || reply.popped < next.begin);
    },
  ],
  [
    'logSystem yields the current state first, then every recovery, and ends when its signal aborts',
    async (log) => {
      const stop = new AbortController();
      assert.ok(log.source.logSystem !== undefined, 'a log that changes hands must say so');
      const states = log.source.logSystem(stop.signal)[Symbol.asyncIterator]();
      const first = await nextState(states);
      checkState(first, log.epoch);
      await log.commit([message(log, 0, 'a')]);
      const next = await recover(log);
      let state = await nextState(states);
      while (state.recoveryCount < next.epoch) state = await nextState(states);
      checkState(state, next);
      const pending = states.next();
      const reason = new Error('enough');
      stop.abort(reason);
      await endsAfterAbort(states, pending, reason);
      // Whoever asks later begins with the newest.
      const again = new AbortController();
      const late = log.source.logSystem(again.signal)[Symbol.asyncIterator]();
      checkState(await nextState(late), next);
      again.abort(new Error('enough'));
    },
  ],
];

async function recover(log: LogUnderTest): Promise<SuiteEpoch> {
  assert.ok(log.recover !== undefined, 'the suite needs recover(), or the option epochs: false');
  return log.recover();
}

async function nextState(states: AsyncIterator<LogSystemInfo>): Promise<LogSystemInfo> {
  const result = await states.next();
  if (result.done === true) assert.fail('logSystem ended although its signal did not abort');
  return result.value;
}

/** Ending and rejecting with the reason are both fine. A few states may have been on their way. */
async function endsAfterAbort(
  states: AsyncIterator<LogSystemInfo>,
  pending: Promise<IteratorResult<LogSystemInfo>>,
  reason: Error,
): Promise<void> {
  let result = pending;
  for (let i = 0; i < 10; i++) {
    try {
      if ((await result).done === true) return;
    } catch {
      await rejectsWithReason(result, reason);
      return;
    }
    result = states.next();
  }
  assert.fail('logSystem goes on although its signal has aborted');
}

function checkState(state: LogSystemInfo, newest: SuiteEpoch): void {
  assert.equal(state.recoveryCount, newest.epoch);
  const last = state.epochs.at(-1);
  assert.deepEqual(last, { epoch: newest.epoch, begin: newest.begin, end: undefined, totalTags: newest.totalTags });
  for (const [i, epoch] of state.epochs.slice(0, -1).entries()) {
    const following = state.epochs[i + 1];
    assert.equal(epoch.end, following?.begin, `epoch ${epoch.epoch} must end where the next begins`);
    assert.ok(epoch.epoch < (following?.epoch ?? 0), 'epochs come oldest first');
  }
}
