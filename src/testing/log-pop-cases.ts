// The log source suite's cases for pops.

import assert from 'node:assert/strict';
import type { Version } from '../core/version.js';
import { logRouterTag } from '../core/version.js';
import type { PeekReply } from '../ports/log-source.js';
import type { LogUnderTest } from './log-under-test.js';
import type { LogCase } from './log-tools.js';
import { message, peek } from './log-tools.js';

export const logPopCases: readonly LogCase[] = [
  [
    'nothing is popped at first',
    async (log, signal) => {
      const version = await log.commit([message(log, 0, 'a')]);
      assert.equal((await peek(log, { tag: 0, begin: version, signal })).popped, undefined);
    },
  ],
  [
    'a pop discards nothing above its version and nothing of other tags',
    async (log, signal) => {
      const versions = await commitBoth(log, 6);
      await pop(log, 0, versions[2] as Version);
      await checkAfterPop(log, signal, versions, versions[2] as Version);
      const other = await peek(log, { tag: 1, begin: versions[0] as Version, signal });
      assert.deepEqual(
        [...other.batch].map((each) => each.version),
        versions,
      );
      assert.equal(other.popped, undefined);
    },
  ],
  [
    'a pop may come again, and a lower one than before changes nothing',
    async (log, signal) => {
      const versions = await commitBoth(log, 6);
      const upTo = versions[3] as Version;
      for (const each of [upTo, upTo, versions[1] as Version, upTo]) await pop(log, 0, each);
      const before = await checkAfterPop(log, signal, versions, upTo);
      await pop(log, 0, versions[0] as Version);
      const after = await checkAfterPop(log, signal, versions, upTo);
      assert.ok((after.popped ?? -1n) >= (before.popped ?? -1n), 'popped went back');
    },
  ],
  [
    'a pop between two commits discards what lies below it, and the log goes on',
    async (log, signal) => {
      const versions = await commitBoth(log, 2);
      await pop(log, 0, versions[1] as Version);
      const next = await log.commit([message(log, 0, 'next')]);
      const reply = await peek(log, { tag: 0, begin: (versions[1] as Version) + 1n, signal });
      assert.equal(reply.batch.firstVersion, next);
    },
  ],
];

async function commitBoth(log: LogUnderTest, count: number): Promise<Version[]> {
  const versions: Version[] = [];
  for (let i = 0; i < count; i++) versions.push(await log.commit([message(log, 0, `a${i}`), message(log, 1, `b${i}`)]));
  return versions;
}

function pop(log: LogUnderTest, tag: number, upTo: Version): Promise<void> {
  return log.source.pop({ epoch: log.epoch.epoch, tag: logRouterTag(tag), upTo });
}

/** A log may keep what it was allowed to discard, but must say what it has discarded, and must have the rest. */
async function checkAfterPop(
  log: LogUnderTest,
  signal: AbortSignal,
  versions: readonly Version[],
  upTo: Version,
): Promise<PeekReply> {
  const begin = versions[0] as Version;
  const found: Version[] = [];
  let first: PeekReply | undefined;
  for (let at = begin; at <= (versions.at(-1) as Version);) {
    const reply = await peek(log, { tag: 0, begin: at, signal });
    first ??= reply;
    found.push(...[...reply.batch].map((each) => each.version));
    // A log may answer early to report what was popped; then the peek goes on from above it.
    const above = (reply.popped ?? -1n) + 1n;
    at = reply.end > above ? reply.end : above;
  }
  assert.ok(first !== undefined);
  const { popped } = first;
  assert.ok(popped === undefined || popped <= upTo, `popped is ${String(popped)}, but nothing above ${upTo} may go`);
  assert.deepEqual(
    found.filter((version) => version > (popped ?? -1n)),
    versions.filter((version) => version > (popped ?? -1n)),
  );
  return first;
}
