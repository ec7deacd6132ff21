// A LogSource whose answers are looked at before anything is done with them: a broken promise ends in an error that names the call, and not in a backup that lies.

import { abortable } from '../core/abort.js';
import { batchProblem } from '../core/check-batch.js';
import type { Clock } from '../core/clock.js';
import { BackupError } from '../core/errors.js';
import type { MessageBatch } from '../core/message-batch.js';
import { Pace } from '../core/pace.js';
import { formatTag, type Version } from '../core/version.js';
import { answerOf, brokenContract, isVersion, iteratorOf, lacksFunction, show } from './broken-contract.js';
import type { LogEpochInfo, LogSource, LogSystemInfo, PeekReply, PeekRequest } from './log-source.js';

const checked = new WeakSet<LogSource>();

/** INVALID_OPTION for what is no LogSource. Wraps once. */
export function checkedLogSource(source: LogSource, clock: Clock): LogSource {
  if (checked.has(source)) return source;
  const missing = lacksFunction(source, ['peek', 'pop', 'minKnownCommittedVersion', 'committedVersion']);
  if (missing !== undefined) {
    throw new BackupError('INVALID_OPTION', `logSource.${missing} must be a function: pass a LogSource`);
  }
  const checkedSource: LogSource = {
    peek: async (request) =>
      checkReply(request, await answerOf('LogSource.peek', () => source.peek(request), request.signal)),
    pop: (request) => answerOf('LogSource.pop', () => source.pop(request)),
    minKnownCommittedVersion: async (request) =>
      checkCommitted(
        'LogSource.minKnownCommittedVersion',
        await answerOf(
          'LogSource.minKnownCommittedVersion',
          () => source.minKnownCommittedVersion(request),
          request.signal,
        ),
      ),
    committedVersion: async (signal) =>
      checkCommitted(
        'LogSource.committedVersion',
        await answerOf('LogSource.committedVersion', () => source.committedVersion(signal), signal),
      ),
    ...(source.logSystem === undefined
      ? {}
      : { logSystem: (signal: AbortSignal) => checkedSystem(source as Required<LogSource>, clock, signal) }),
  };
  checked.add(checkedSource);
  return checkedSource;
}

/** A copy: what the log does to its own object later changes nothing. Whether the versions are those that were asked for the queue knows. */
function checkReply({ epoch, tag, begin }: PeekRequest, reply: PeekReply): PeekReply {
  const refuse = (what: string, end?: Version): BackupError =>
    brokenContract(
      'LogSource.peek',
      `asked for tag ${formatTag(tag)} of epoch ${epoch} from version ${begin} on, ${what}`,
      {
        tag,
        epoch,
        ...(end === undefined ? {} : { versions: { begin, end } }),
      },
    );
  if (typeof reply !== 'object' || reply === null) throw refuse(`it answered ${show(reply)}`);
  const { batch, end, minKnownCommittedVersion, popped } = reply;
  if (!isVersion(end)) throw refuse(`it answered with the end ${show(end)}, which is no version`);
  if (end < begin) throw refuse(`it answered with an end below that, ${end}`, end);
  if (!isVersion(minKnownCommittedVersion, -1n))
    throw refuse(
      `it answered with the minKnownCommittedVersion ${show(minKnownCommittedVersion)}, which is no version`,
    );
  // FoundationDB's invalid version says the same as undefined: nothing is discarded.
  if (popped !== undefined && !isVersion(popped, -1n))
    throw refuse(`it answered with popped ${show(popped)}, which is neither a version nor undefined`);
  if (typeof batch !== 'object' || (batch as MessageBatch | null) === null)
    throw refuse(`it answered with the batch ${show(batch)}`);
  const problem = batchProblem(batch);
  if (problem !== undefined) throw refuse(`it answered with a batch that is none: ${problem}`);
  return { batch, end, minKnownCommittedVersion, popped };
}

/** -1: nothing is committed yet. */
function checkCommitted(call: string, version: Version): Version {
  if (isVersion(version, -1n)) return version;
  throw brokenContract(call, `it answered ${show(version)}, which is no version`);
}

/** A log system that never stops telling the same does not take the process's time. */
async function* checkedSystem(
  source: Required<LogSource>,
  clock: Clock,
  signal: AbortSignal,
): AsyncGenerator<LogSystemInfo, void, undefined> {
  const call = 'LogSource.logSystem';
  const pace = new Pace(clock);
  const states = iteratorOf(call, () => source.logSystem(signal));
  try {
    for (;;) {
      // A log that does not heed its signal is told to return all the same.
      const next = await abortable(
        answerOf(call, () => states.next(), signal),
        signal,
      );
      if (next.done === true) return;
      await pace.next(signal);
      checkSystem(call, next.value);
      yield next.value;
    }
  } finally {
    // Not waited for: one that hangs in `next` cannot return before it; how it ends is of no interest.
    void answerOf(call, () => states.return?.()).catch(() => undefined);
  }
}

/** Whether its epochs join is for the recovery plan to say (INVALID_EPOCHS). */
function checkSystem(call: string, info: LogSystemInfo): void {
  if (typeof info !== 'object' || (info as LogSystemInfo | null) === null)
    throw brokenContract(call, `it yielded ${show(info)}`);
  const { recoveryCount, oldestBackupEpoch, epochs } = info;
  if (!isEpoch(recoveryCount)) throw brokenContract(call, `it yielded the recoveryCount ${show(recoveryCount)}`);
  if (oldestBackupEpoch !== undefined && !(isEpoch(oldestBackupEpoch) && oldestBackupEpoch <= recoveryCount))
    throw brokenContract(call, `it yielded the oldestBackupEpoch ${show(oldestBackupEpoch)} in epoch ${recoveryCount}`);
  if (!Array.isArray(epochs) || epochs.length === 0) throw brokenContract(call, 'it yielded no epochs');
  for (const epoch of epochs as readonly LogEpochInfo[]) {
    const isRight =
      typeof epoch === 'object' &&
      (epoch as LogEpochInfo | null) !== null &&
      isEpoch(epoch.epoch) &&
      isVersion(epoch.begin) &&
      (epoch.end === undefined || isVersion(epoch.end));
    if (!isRight) throw brokenContract(call, 'it yielded an epoch without a number, a begin, or a proper end');
  }
  const newest = (epochs as readonly LogEpochInfo[]).at(-1)?.epoch;
  if (newest !== recoveryCount)
    throw brokenContract(call, `it yielded epoch ${newest} as the last one, and the recoveryCount ${recoveryCount}`, {
      epoch: recoveryCount,
    });
}

function isEpoch(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
