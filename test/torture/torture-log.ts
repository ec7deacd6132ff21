// The log of the deterministic database, as a worker's process sees it: a LogSource over the log's state file. What was popped is gone.

import { appendFile } from 'node:fs/promises';
import { systemClock } from '../../src/core/clock.js';
import { BackupError } from '../../src/core/errors.js';
import { RECORD_HEADER_BYTES } from '../../src/core/message-batch.js';
import { MessageBatchBuilder } from '../../src/core/message-batch-builder.js';
import { MUTATION_OVERHEAD_BYTES } from '../../src/core/mutation.js';
import type { LogEpoch, Version } from '../../src/core/version.js';
import { minVersion } from '../../src/core/version.js';
import { oldestBackupEpoch } from '../../src/job/plan.js';
import { readDone } from '../../src/job/recruiter-transactions.js';
import type {
  LogEpochInfo,
  LogSource,
  LogSystemInfo,
  PeekReply,
  PeekRequest,
  PopRequest,
} from '../../src/ports/log-source.js';
import type { ProgressStore } from '../../src/ports/progress-store.js';
import { largestPop, popsFile, readLogState, type LogState } from './log-state.js';
import { mutationsOf, tagOf } from './truth.js';

/** ms between looks at the state file. */
const LOOK_INTERVAL = 15;
/** ms between looks for drained epochs. */
const DONE_INTERVAL = 150;
const MAX_VERSIONS = 2_000n;

export interface TortureLogOptions {
  readonly folder: string;
  readonly seed: number;
  readonly progressStore: ProgressStore;
}

export class TortureLog implements LogSource {
  readonly #folder: string;
  readonly #seed: number;
  readonly #progressStore: ProgressStore;

  constructor({ folder, seed, progressStore }: TortureLogOptions) {
    this.#folder = folder;
    this.#seed = seed;
    this.#progressStore = progressStore;
  }

  async peek({ epoch, tag, begin, maxBytes, signal }: PeekRequest): Promise<PeekReply> {
    for (;;) {
      signal.throwIfAborted();
      const { state, info, popped } = asked(() => {
        const now = readLogState(this.#folder);
        const found = findEpoch(now, epoch);
        return { state: now, info: found, popped: this.#popped(now, found, tag.id) };
      });
      const known = info.end ?? state.known + 1n;
      const minKnownCommittedVersion = committedOf(state, info);
      const hasGap = popped !== undefined && popped >= begin;
      if (known > begin || hasGap || info.end !== undefined) {
        const from = hasGap ? popped + 1n : begin;
        const end = known > from ? known : from;
        return { ...this.#read(info, tag.id, from, end, maxBytes), minKnownCommittedVersion, popped };
      }
      await systemClock.sleep(LOOK_INTERVAL, signal);
    }
  }

  /** Resolves when the line is in the file: it outlives this process. */
  async pop({ epoch, tag, upTo }: PopRequest): Promise<void> {
    await appendFile(popsFile(this.#folder, epoch, tag.id), `${upTo}\n`).catch(unavailable);
  }

  async minKnownCommittedVersion({ epoch }: { readonly epoch: LogEpoch }): Promise<Version> {
    const state = asked(() => readLogState(this.#folder));
    return committedOf(state, findEpoch(state, epoch));
  }

  async committedVersion(): Promise<Version> {
    return asked(() => readLogState(this.#folder)).committed;
  }

  async *logSystem(signal: AbortSignal): AsyncGenerator<LogSystemInfo> {
    let told = '';
    while (!signal.aborted) {
      const { epochs } = asked(() => readLogState(this.#folder));
      const done = await readDone(this.#progressStore);
      const oldest = oldestBackupEpoch(epochs, done);
      const what = `${epochs.length} ${oldest}`;
      const recoveryCount = (epochs.at(-1) as LogEpochInfo).epoch;
      if (what !== told) yield { recoveryCount, recoveryState: 'fully_recovered', oldestBackupEpoch: oldest, epochs };
      told = what;
      await systemClock.sleep(DONE_INTERVAL, signal).catch(() => undefined);
    }
  }

  /** A pop is cumulative: it takes the tag's data in older epochs, too. */
  #popped({ epochs }: LogState, { epoch, end }: LogEpochInfo, tag: number): Version | undefined {
    let popped: Version | undefined;
    for (const other of epochs) {
      if (other.epoch < epoch) continue;
      const upTo = largestPop(this.#folder, other.epoch, tag);
      if (upTo !== undefined && (popped === undefined || upTo > popped)) popped = upTo;
    }
    return popped === undefined || end === undefined ? popped : minVersion(popped, end - 1n);
  }

  /** Whole versions, as many as fit. */
  #read({ epoch, totalTags }: LogEpochInfo, tag: number, begin: Version, end: Version, maxBytes: number) {
    const builder = new MessageBatchBuilder();
    const last = minVersion(end, begin + MAX_VERSIONS);
    for (let version = begin; version < last; version++) {
      const own = mutationsOf(this.#seed, epoch, version).filter((mutation) => tagOf(mutation, totalTags) === tag);
      if (own.length === 0) continue;
      let bytes = 0;
      for (const { param1, param2 } of own)
        bytes += RECORD_HEADER_BYTES + MUTATION_OVERHEAD_BYTES + param1.length + param2.length;
      if (builder.recordCount > 0 && builder.byteLength + bytes > maxBytes) {
        return { batch: builder.build(), end: version };
      }
      builder.beginVersion(version);
      for (const { subsequence, type, param1, param2 } of own) builder.add(subsequence, type, param1, param2);
    }
    return { batch: builder.build(), end: last };
  }
}

/** The log is a file, and a process may be out of handles: that is the log's trouble, and passes. */
function asked<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    return unavailable(error);
  }
}

function unavailable(error: unknown): never {
  if (BackupError.is(error)) throw error;
  throw new BackupError('TIMEOUT', `the log does not answer: ${String(error)}`, { retryable: true, cause: error });
}

function findEpoch({ epochs }: LogState, epoch: LogEpoch): LogEpochInfo {
  const found = epochs.find((info) => info.epoch === epoch);
  if (found === undefined) throw new BackupError('ADAPTER_CONTRACT', `there is no epoch ${epoch}`, { epoch });
  return found;
}

/** Rule P14. */
function committedOf({ committed }: LogState, { end }: LogEpochInfo): Version {
  return end === undefined ? committed : minVersion(committed, end - 1n);
}
