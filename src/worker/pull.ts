// The pull actor: peeks the log and queues what it gets, in memory ahead of commitment, bounded by the flow lock. Must never queue a version twice or skip one:
// the queue's end is where the next peek begins.

import { abortable } from '../core/abort.js';
import { BackupError } from '../core/errors.js';
import type { Version } from '../core/version.js';
import type { GapFacts } from '../job/worker-transactions.js';
import { displaced, readGapFacts } from '../job/worker-transactions.js';
import type { PeekReply } from '../ports/log-source.js';
import type { Run } from './run.js';
import { NoJobLeft } from './run.js';

/** ms before the log is asked again after an answer that brought nothing; doubles up to the longest. */
const SHORTEST_EMPTY_DELAY = 10;
const LONGEST_EMPTY_DELAY = 1_000;

/** Runs until its signal aborts, or an old epoch is pulled to its end. */
export async function pull(run: Run, signal: AbortSignal): Promise<void> {
  let firstPeek = true;
  let emptyDelay = SHORTEST_EMPTY_DELAY;
  while (!isPulledToEnd(run)) {
    await whilePaused(run, signal);
    const begin = run.queue.end;
    const reply = await peek(run, begin, signal);
    try {
      // The answer may have come in the very step in which the last job left (rule P22).
      signal.throwIfAborted();
      checkReply(run, begin, reply);
      run.noteCommitted(reply.minKnownCommittedVersion);
      if (reply.popped !== undefined && reply.popped >= begin)
        await passGap(run, begin, reply.popped, firstPeek, signal);
      await enqueue(run, reply, signal);
    } catch (error) {
      reply.batch.release();
      throw error;
    }
    firstPeek = false;
    if (reply.end > begin) emptyDelay = SHORTEST_EMPTY_DELAY;
    else {
      await run.clock.sleep(emptyDelay, signal);
      emptyDelay = Math.min(LONGEST_EMPTY_DELAY, emptyDelay * 2);
    }
  }
}

export function isPulledToEnd(run: Run): boolean {
  const { endVersion } = run.options;
  return endVersion !== undefined && run.queue.end > endVersion;
}

async function whilePaused(run: Run, signal: AbortSignal): Promise<void> {
  if (!run.paused) return;
  run.rules.met(run.isOldEpoch ? 'P21 an old epoch pauses' : 'P21 pulling pauses');
  try {
    for (let seen = run.changed.count; run.paused; seen = run.changed.count) await run.changed.after(seen, signal);
  } catch (error) {
    if (error instanceof NoJobLeft) run.rules.met('P21 pause cut short: the last job leaves');
    else if (run.displacement !== undefined) run.rules.met('P21 pause cut short: displaced');
    throw error;
  }
}

async function peek(run: Run, begin: Version, signal: AbortSignal): Promise<PeekReply> {
  const { logSource, tag, backupEpoch, peekBytes } = run.options;
  try {
    return await run.retry(`peek from ${begin}`, signal, () =>
      // A reply that comes too late is discarded: nobody asks for it any more (rule P22).
      abortable(logSource.peek({ epoch: backupEpoch, tag, begin, maxBytes: peekBytes, signal }), signal, (late) =>
        late.batch.release(),
      ),
    );
  } catch (error) {
    if (error instanceof NoJobLeft) run.rules.met('P22 peek in flight discarded');
    throw error;
  }
}

/** What the queue does not check when it takes a batch. */
function checkReply(run: Run, begin: Version, reply: PeekReply): void {
  if (reply.end >= begin) return;
  const { tag, backupEpoch } = run.options;
  throw new BackupError(
    'ADAPTER_CONTRACT',
    `the log of epoch ${backupEpoch}, tag ${tag.id}, was asked from version ${begin} on and answered up to ${reply.end} only`,
    { tag, epoch: backupEpoch, versions: { begin, end: reply.end } },
  );
}

/** The flow lock before the queue: what does not fit waits here. */
async function enqueue(run: Run, reply: PeekReply, signal: AbortSignal): Promise<void> {
  const { queue, lock, options } = run;
  // After an accepted gap the reply may say nothing that is not known.
  if (reply.end < queue.end && reply.batch.isEmpty) {
    reply.batch.release();
    return;
  }
  const releaser = reply.batch.isEmpty ? undefined : await lock.take(reply.batch.byteLength, { signal });
  try {
    signal.throwIfAborted();
    queue.push(reply.batch, reply.end, releaser);
  } catch (error) {
    releaser?.release();
    throw error;
  }
  // What an old epoch holds above its end was rolled back.
  if (options.endVersion !== undefined && queue.end > options.endVersion + 1n) {
    run.rules.met('P16 peek reaches beyond an old epoch');
    queue.dropAfter(options.endVersion);
  }
  if (queue.bytes >= options.uploadBytes || isPulledToEnd(run)) run.changed.fire();
}

/** P7: the log has discarded up to `popped` although it was asked from `begin` on. Returns when that is explained. */
async function passGap(
  run: Run,
  begin: Version,
  popped: Version,
  firstPeek: boolean,
  signal: AbortSignal,
): Promise<void> {
  const facts = await gapFacts(run, signal);
  signal.throwIfAborted();
  const firstVersions = run.jobs.values().map((job) => job.firstVersion);
  if (run.rules.acceptGap({ popped, firstPeek, noopVersion: facts.noopVersion, firstVersions })) {
    run.rules.met('P07 gap accepted');
    if (popped >= run.queue.end) run.queue.skipTo(popped + 1n);
    return;
  }
  // A worker that has not been told yet may ask an epoch that others have drained (scenario 10).
  if (facts.done) {
    run.rules.met('P07 gap: the tag is drained');
    throw displaced(run.owner, 'its tag is drained');
  }
  run.rules.met('P07 gap: data are lost');
  const { tag, backupEpoch } = run.options;
  throw new BackupError(
    'LOG_GAP',
    `the log of epoch ${backupEpoch}, tag ${tag.id}, has discarded versions ${begin} to ${popped} before they were stored` +
      (facts.noopVersion === undefined ? '' : ` (NOOP mode recorded ${facts.noopVersion})`) +
      '; find out who popped them. These data are lost to the active jobs: abort them, let the workers reach NOOP mode, then submit new ones',
    { tag, epoch: backupEpoch, versions: { begin, end: popped + 1n } },
  );
}

async function gapFacts(run: Run, signal: AbortSignal): Promise<GapFacts> {
  try {
    return await run.transact('look for the reason of a gap', signal, (tx) => readGapFacts(tx, run.owner));
  } catch (error) {
    if (BackupError.is(error, 'DISPLACED')) run.rules.met('P07 gap: another owner');
    throw error;
  }
}
