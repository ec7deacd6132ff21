// The log source suite's cases for peeking and for what is committed.

import assert from 'node:assert/strict';
import { toHex } from '../core/bytes.js';
import type { Version } from '../core/version.js';
import { logRouterTag } from '../core/version.js';
import { seededRandom } from './conformance.js';
import type { PeekReply } from '../ports/log-source.js';
import type { LogUnderTest, SuiteMessage } from './log-under-test.js';
import type { LogCase } from './log-tools.js';
import {
  expected,
  message,
  peek,
  readThrough,
  rejectsWithReason,
  stillWaits,
  withoutSubsequence,
} from './log-tools.js';

export const logPeekCases: readonly LogCase[] = [
  [
    'a peek returns the messages of its tag, in order, with their versions',
    async (log, signal) => {
      const { begin } = log.epoch;
      const messages = [
        message(log, 1, 'b', '1'),
        message(log, 0, 'x'),
        message(log, 1, 'a', '2'),
        message(log, 1, 'b', '3'),
      ];
      const first = await log.commit(messages);
      const more = [message(log, 1, 'c', '4')];
      const second = await log.commit(more);
      assert.ok(first >= begin && second > first, `commits at ${first} and ${second}, in an epoch from ${begin} on`);
      const found = await readThrough(log, second, { tag: 1, begin, signal });
      assert.deepEqual(withoutSubsequence(found), [...expected(first, messages, 1), ...expected(second, more, 1)]);
      assert.deepEqual(
        withoutSubsequence(await readThrough(log, second, { tag: 0, begin, signal })),
        expected(first, messages, 0),
      );
    },
  ],
  [
    "subsequences grow over a version's messages, over all its tags",
    async (log, signal) => {
      const messages = Array.from({ length: 12 }, (_, i) => message(log, i % 2, `k${i}`));
      const version = await log.commit(messages);
      const subsequences: [number, string][] = [];
      for (const tag of [0, 1]) {
        const { batch } = await peek(log, { tag, begin: version, signal });
        for (const each of batch) subsequences.push([each.subsequence, toHex(each.mutation.param1)]);
      }
      subsequences.sort(([a], [b]) => a - b);
      assert.equal(new Set(subsequences.map(([subsequence]) => subsequence)).size, messages.length, 'one occurs twice');
      assert.deepEqual(
        subsequences.map(([, key]) => key),
        messages.map((each) => toHex(each.key)),
      );
    },
  ],
  [
    'begin is inclusive, and what lies before it is not returned',
    async (log, signal) => {
      const versions: Version[] = [];
      for (const key of ['a', 'b', 'c']) versions.push(await log.commit([message(log, 0, key)]));
      for (const [i, begin] of versions.entries()) {
        const { batch } = await peek(log, { tag: 0, begin, signal });
        assert.equal(batch.firstVersion, versions[i]);
      }
    },
  ],
  [
    'peeking on from each end finds every message once, however few bytes are asked for',
    async (log, signal) => {
      const { commits, last } = await commitMany(log, 40);
      for (const maxBytes of [1, 200, 2000, 1 << 20]) {
        for (let tag = 0; tag < log.epoch.totalTags; tag++) {
          const found = await readThrough(log, last, { tag, begin: log.epoch.begin, signal, maxBytes });
          const wanted = commits.flatMap(([version, messages]) => expected(version, messages, tag));
          assert.deepEqual(withoutSubsequence(found), wanted, `tag ${tag}, ${maxBytes} bytes at a time`);
        }
      }
    },
  ],
  [
    'a batch stays as it is until it is released, whatever is peeked next',
    async (log, signal) => {
      const { last } = await commitMany(log, 10);
      const texts = (reply: PeekReply) =>
        [...reply.batch].map(
          ({ version, mutation }) => `${version}:${toHex(mutation.param1)}=${toHex(mutation.param2)}`,
        );
      const kept: [reply: PeekReply, texts: string[]][] = [];
      for (let begin = log.epoch.begin; begin <= last;) {
        const reply = await peek(log, { tag: 0, begin, signal, maxBytes: 1 });
        assert.ok(reply.end > begin, `a peek at ${begin} came back without getting on, although ${last} is known`);
        kept.push([reply, texts(reply)]);
        begin = reply.end;
      }
      await peek(log, { tag: 1, begin: log.epoch.begin, signal });
      for (const [reply, before] of kept) assert.deepEqual(texts(reply), before);
      for (const [reply] of kept) reply.batch.release();
    },
  ],
  [
    'a version larger than maxBytes comes alone and whole',
    async (log, signal) => {
      const before = await log.commit([message(log, 0, 'before')]);
      const large = await log.commit(Array.from({ length: 50 }, (_, i) => message(log, 0, `k${i}`, 'x'.repeat(500))));
      const after = await log.commit([message(log, 0, 'after')]);
      const reply = await peek(log, { tag: 0, begin: before + 1n, signal, maxBytes: 1000 });
      assert.deepEqual([reply.batch.versionCount, reply.batch.firstVersion, reply.batch.recordCount], [1, large, 50]);
      assert.ok(reply.end > large && reply.end <= after);
    },
  ],
  [
    'a peek at the end of what is known resolves once more is known, and not without getting on',
    async (log, signal) => {
      const first = await log.commit([message(log, 0, 'a')]);
      const { end } = await peek(log, { tag: 0, begin: first, signal });
      const waiting = peek(log, { tag: 0, begin: end, signal });
      // A log whose versions grow by themselves may have answered by now.
      await stillWaits(waiting);
      const version = await log.commit([message(log, 0, 'b')]);
      const reply = await waiting;
      assert.ok(reply.end > end, 'it was answered without knowing more');
      if (reply.end > version) assert.equal(reply.batch.lastVersion, version);
    },
  ],
  [
    'the end moves on over versions in which nothing was written for the tag',
    async (log, signal) => {
      const first = await log.commit([message(log, 0, 'a')]);
      let last = first;
      for (let i = 0; i < 5; i++) last = await log.commit([message(log, 1, `k${i}`)]);
      assert.deepEqual(await readThrough(log, last, { tag: 0, begin: first + 1n, signal }), []);
      const empty = await log.commit([]);
      assert.deepEqual(await readThrough(log, empty, { tag: 1, begin: last + 1n, signal }), []);
    },
  ],
  [
    'tags are peeked at once, each by itself',
    async (log, signal) => {
      const { commits, last } = await commitMany(log, 20);
      const tags = Array.from({ length: log.epoch.totalTags }, (_, tag) => tag);
      const found = await Promise.all(
        tags.map((tag) => readThrough(log, last, { tag, begin: log.epoch.begin, signal })),
      );
      for (const tag of tags) {
        const wanted = commits.flatMap(([version, messages]) => expected(version, messages, tag));
        assert.deepEqual(withoutSubsequence(found[tag] ?? []), wanted);
      }
    },
  ],
  [
    'a peek rejects with the reason of its signal, and the next one is none the worse for it',
    async (log, signal) => {
      const first = await log.commit([message(log, 0, 'a')]);
      const reason = new Error('enough');
      const request = { epoch: log.epoch.epoch, tag: logRouterTag(0), begin: log.epoch.begin, maxBytes: 1000 };
      await rejectsWithReason(log.source.peek({ ...request, signal: AbortSignal.abort(reason) }), reason);
      const stop = new AbortController();
      // Far ahead, where a log whose versions grow by themselves will not be soon.
      const waiting = log.source.peek({ ...request, begin: 1n << 60n, signal: stop.signal });
      assert.equal(await stillWaits(waiting), true);
      stop.abort(reason);
      await rejectsWithReason(waiting, reason);
      assert.equal((await peek(log, { tag: 0, begin: first, signal })).batch.firstVersion, first);
    },
  ],
  [
    'what was acknowledged is committed, for the epoch and for the log as a whole, and neither goes back',
    async (log, signal) => {
      const { epoch } = log.epoch;
      let [minKnown, committed] = [-1n, -1n];
      for (let i = 0; i < 5; i++) {
        const version = await log.commit([message(log, i % 2, `k${i}`)]);
        const nowCommitted = await log.source.committedVersion(signal);
        assert.ok(nowCommitted >= version, `committed is ${nowCommitted}, after a commit at ${version}`);
        const nowMinKnown = await log.source.minKnownCommittedVersion({ epoch, signal });
        assert.ok(nowMinKnown >= minKnown && nowCommitted >= committed, 'a committed version went back');
        [minKnown, committed] = [nowMinKnown, nowCommitted];
      }
    },
  ],
  [
    "a reply's min known committed version is never ahead of what the log says afterwards, and gets as far as the commits",
    async (log, signal) => {
      const version = await log.commit([message(log, 0, 'a')]);
      // It may trail behind; what follows takes it along.
      for (let begin = version; ;) {
        const reply = await peek(log, { tag: 0, begin, signal });
        const now = await log.source.minKnownCommittedVersion({ epoch: log.epoch.epoch, signal });
        assert.ok(reply.minKnownCommittedVersion <= now, `${reply.minKnownCommittedVersion} in a reply, then ${now}`);
        if (reply.minKnownCommittedVersion >= version) break;
        begin = await log.commit([message(log, 0, 'more')]);
      }
    },
  ],
];

/** Commits of random size to random tags, some of them empty. */
async function commitMany(
  log: LogUnderTest,
  count: number,
): Promise<{ commits: [Version, SuiteMessage[]][]; last: Version }> {
  const random = seededRandom(count);
  const commits: [Version, SuiteMessage[]][] = [];
  for (let i = 0; i < count; i++) {
    const messages = Array.from({ length: Math.floor(random() * 6) }, (_, k) =>
      message(log, Math.floor(random() * log.epoch.totalTags), `key ${i}.${k}`, 'x'.repeat(random() < 0.2 ? 900 : 20)),
    );
    commits.push([await log.commit(messages), messages]);
  }
  return { commits, last: commits.at(-1)?.[0] ?? log.epoch.begin };
}
