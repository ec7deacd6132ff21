// Deliberate mistakes in a worker's transactions: each wraps the progress store that a worker is given, and knows a transaction by what it reads.

import { EPOCH_KEY, JOB_PREFIX, NOOP_PREFIX, REGISTERED_PREFIX, STARTED_KEY } from '../../job/keys.js';
import { decodeStarted, encodeEpoch } from '../../job/records.js';
import type { ProgressStore, ProgressTransaction } from '../../ports/progress-store.js';
import type { BackupWorkerOptions } from '../../worker/options.js';
import type { PlantedOptions } from './planted-rules.js';

type Value = Uint8Array | undefined;
/** What a get gives instead of `value`. `read`: the keys that this transaction has read before. */
type ChangedGet = (key: string, value: Value, read: readonly string[], options: BackupWorkerOptions) => Value;

function withStore(
  options: BackupWorkerOptions,
  transact: <T>(store: ProgressStore, body: (tx: ProgressTransaction) => Promise<T>) => Promise<T>,
): BackupWorkerOptions {
  const { progressStore } = options;
  return { ...options, progressStore: { ...progressStore, transact: (body) => transact(progressStore, body) } };
}

/** A transaction whose gets are watched. */
function spied(tx: ProgressTransaction, get: (key: string) => Promise<Value>): ProgressTransaction {
  return {
    get,
    getRange: (begin, end) => tx.getRange(begin, end),
    set: (key, value) => tx.set(key, value),
    clear: (key) => tx.clear(key),
  };
}

function withGets(changed: ChangedGet): PlantedOptions {
  return (options) =>
    withStore(options, (store, body) =>
      store.transact((tx) => {
        const read: string[] = [];
        return body(
          spied(tx, async (key) => {
            const value = changed(key, await tx.get(key), [...read], options);
            read.push(key);
            return value;
          }),
        );
      }),
    );
}

/** Whoever looks after the jobs takes its own epoch for the newest (scenario 3). */
export const startedByAnyEpoch = withGets((key, value, read, { backupEpoch, startVersion, totalTags }) =>
  key === EPOCH_KEY && read[1]?.startsWith(JOB_PREFIX) === true
    ? encodeEpoch({ epoch: backupEpoch, begin: startVersion, totalTags })
    : value,
);

/** A claim does not look for the firstVersion that an earlier run has registered. */
export const registrationsForgotten = withGets((key, value, read) =>
  key.startsWith(REGISTERED_PREFIX) && read[1] === EPOCH_KEY ? undefined : value,
);

/** A NOOP that is tried again looks for jobs before it looks whether its first try has committed (scenario 5). */
export const retriedNoopRefuses: PlantedOptions = (options) =>
  withStore(options, (store, body) =>
    store.transact(async (tx) => {
      const read: string[] = [];
      const result = await body(
        spied(tx, (key) => {
          read.push(key);
          return tx.get(key);
        }),
      );
      // It was content with what it found recorded, and did not look further.
      const wasRecorded = read.length === 2 && read[1]?.startsWith(NOOP_PREFIX) === true;
      if (!wasRecorded || decodeStarted(STARTED_KEY, await tx.get(STARTED_KEY)).length === 0) return result;
      return body(spied(tx, async (key) => (key.startsWith(NOOP_PREFIX) ? undefined : tx.get(key))));
    }),
  );
