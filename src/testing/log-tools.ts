// What the cases of the log source suite share.

import assert from 'node:assert/strict';
import { toHex, utf8 } from '../core/bytes.js';
import { systemClock } from '../core/clock.js';
import { MutationType } from '../core/mutation.js';
import type { Version } from '../core/version.js';
import { logRouterTag } from '../core/version.js';
import type { PeekReply } from '../ports/log-source.js';
import type { LogUnderTest, SuiteEpoch, SuiteMessage } from './log-under-test.js';

/** `signal` aborts when the case has ended. */
export type LogCheck = (log: LogUnderTest, signal: AbortSignal) => Promise<void>;

export type LogCase = readonly [name: string, check: LogCheck];

export function message(log: LogUnderTest, tag: number, name: string, value = 'v'): SuiteMessage {
  return { tag, key: log.keyFor?.(tag, name) ?? utf8(name), value: utf8(value) };
}

export interface PeekOptions {
  readonly tag: number;
  readonly begin: Version;
  readonly signal: AbortSignal;
  readonly epoch?: SuiteEpoch;
  readonly maxBytes?: number;
}

/** Peeks, and checks what holds for every reply. */
export async function peek(log: LogUnderTest, options: PeekOptions): Promise<PeekReply> {
  const { tag, begin, signal, epoch = log.epoch, maxBytes = 1 << 20 } = options;
  const reply = await log.source.peek({ epoch: epoch.epoch, tag: logRouterTag(tag), begin, maxBytes, signal });
  const { batch, end } = reply;
  assert.ok(end >= begin, `end ${end} of a reply lies before its begin ${begin}`);
  assert.ok(batch.isEmpty || (batch.firstVersion as Version) >= begin, 'a message lies before the begin');
  assert.ok(batch.isEmpty || (batch.lastVersion as Version) < end, 'a message lies at or behind the end');
  const isWithin = batch.byteLength <= maxBytes || batch.versionCount === 1;
  assert.ok(
    isWithin,
    `${batch.byteLength} bytes of ${batch.versionCount} versions where ${maxBytes} were wanted at most`,
  );
  return reply;
}

/** Everything of the tag from `begin` until the end of a reply is above `last`, as `version:subsequence:key=value`. */
export async function readThrough(log: LogUnderTest, last: Version, options: PeekOptions): Promise<string[]> {
  const found: string[] = [];
  let begin = options.begin;
  while (begin <= last) {
    const { batch, end } = await peek(log, { ...options, begin });
    assert.ok(end > begin, `a peek at ${begin} came back without getting on, although ${last} is known`);
    for (const { version, subsequence, mutation } of batch) {
      assert.equal(mutation.type, MutationType.SetValue);
      found.push(`${version}:${subsequence}:${toHex(mutation.param1)}=${toHex(mutation.param2)}`);
    }
    batch.release();
    begin = end;
  }
  return found;
}

/** The same without subsequences, which a log numbers as it likes. */
export function withoutSubsequence(entries: readonly string[]): string[] {
  return entries.map((entry) => entry.replace(/:\d+:/, ':'));
}

/** What a commit in `version` should come back as, for one tag. */
export function expected(version: Version, messages: readonly SuiteMessage[], tag: number): string[] {
  return messages
    .filter((each) => each.tag === tag)
    .map(({ key, value }) => `${version}:${toHex(key)}=${toHex(value)}`);
}

/** Whether the promise is still undecided after many turns of the event loop. */
export async function stillWaits(promise: Promise<unknown>): Promise<boolean> {
  let decided = false;
  const decide = () => {
    decided = true;
  };
  promise.then(decide, decide);
  for (let i = 0; i < 20 && !decided; i++) await systemClock.yieldToHost();
  return !decided;
}

/** Fails unless the promise rejects with this very reason. */
export async function rejectsWithReason(promise: Promise<unknown>, reason: Error): Promise<void> {
  await assert.rejects(promise, (error) => error === reason);
}
