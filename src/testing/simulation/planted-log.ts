// Deliberate mistakes in what a host's log tells its workers, and in what they make of it: each wraps the log that a worker is given.

import { MessageBatch } from '../../core/message-batch.js';
import type { Version } from '../../core/version.js';
import { maxVersion } from '../../core/version.js';
import type { LogSource, LogSystemInfo } from '../../ports/log-source.js';
import type { BackupWorkerOptions } from '../../worker/options.js';
import type { PlantedOptions } from './planted-rules.js';

function withLog(change: (log: LogSource, options: BackupWorkerOptions) => Partial<LogSource>): PlantedOptions {
  return (options) => ({ ...options, logSource: { ...options.logSource, ...change(options.logSource, options) } });
}

/** What is committed, without regard to the end of the epoch that was asked for (scenario 1). */
export const uncappedCommitted = withLog((log) => ({
  minKnownCommittedVersion: ({ signal }) => log.committedVersion(signal),
}));

/** The stop version of a job is what the worker's own epoch has committed (scenario 2). */
export const stopVersionOfOwnEpoch = withLog((log, { backupEpoch }) => ({
  committedVersion: (signal) => log.minKnownCommittedVersion({ epoch: backupEpoch, signal }),
}));

/** Nobody asks what is committed: a worker knows what its last peek has said (P15). */
export const committedByPeeksOnly = withLog((log) => {
  let known: Version | undefined;
  return {
    peek: async (request) => {
      const reply = await log.peek(request);
      known = maxVersion(known ?? reply.minKnownCommittedVersion, reply.minKnownCommittedVersion);
      return reply;
    },
    minKnownCommittedVersion: (request) =>
      known === undefined ? log.minKnownCommittedVersion(request) : Promise.resolve(known),
  };
});

/** Every worker takes its own epoch for the oldest that is not drained. */
export const ownEpochIsOldest = withLog((log, { backupEpoch }) => ({
  async *logSystem(signal): AsyncGenerator<LogSystemInfo> {
    for await (const info of log.logSystem?.(signal) ?? []) yield { ...info, oldestBackupEpoch: backupEpoch };
  },
}));

/** An adapter for a log whose pops are exclusive adds one, and this one is not. */
export const popsOneTooFar = withLog((log) => ({
  pop: ({ epoch, tag, upTo }) => log.pop({ epoch, tag, upTo: upTo + 1n }),
}));

/** The end of a reply, taken for inclusive. */
export const peeksEndTooFar = withLog((log) => ({
  peek: async (request) => {
    const reply = await log.peek(request);
    return reply.end > request.begin ? { ...reply, end: reply.end + 1n } : reply;
  },
}));

/** A batch's key interval ends at its last key, instead of right after it. */
export const keyIntervalTooShort = withLog((log) => ({
  peek: async (request) => {
    const { batch, ...reply } = await log.peek(request);
    return { ...reply, batch: batch.isEmpty ? batch : withEndKey(batch, batch.endKey?.slice(0, -1)) };
  },
}));

function withEndKey(batch: MessageBatch, endKey: Uint8Array | undefined): MessageBatch {
  const { bytes, byteLength, recordStarts, recordCount, versions, versionRecords, versionCount } = batch;
  const { minKey, maxRecordBytes } = batch;
  return new MessageBatch({
    bytes,
    byteLength,
    recordStarts,
    recordCount,
    versions,
    versionRecords,
    versionCount,
    minKey,
    endKey,
    maxRecordBytes,
    onRelease: () => batch.release(),
  });
}

/** P26 the wrong way round: the time that goes with a version is read before the question for it. */
export const timeBeforeQuestion: PlantedOptions = (options) => {
  const { clock, logSource } = options;
  if (clock === undefined) return options;
  let asked: number | undefined;
  return {
    ...options,
    clock: { ...clock, wallTime: () => asked ?? clock.wallTime() },
    logSource: {
      ...logSource,
      committedVersion: (signal) => {
        asked = clock.wallTime();
        return logSource.committedVersion(signal);
      },
    },
  };
};
