// Deliberate mistakes of a recruiter: each is its way to plan.

import { planFromStore } from '../../job/recruiter-transactions.js';
import { writeDone } from '../../job/store-access.js';
import type { HostRules } from './planted-rules.js';

type Plan = NonNullable<HostRules['plan']>;

/** The current epoch's workers begin one version after its begin, as if epochs did not join. */
export const recruitsOneTooHigh: Plan = async (store, epochs) => {
  const plan = await planFromStore(store, epochs);
  const begin = epochs.at(-1)?.begin;
  const workers = plan.workers.map((worker) =>
    worker.endVersion === undefined && worker.startVersion === begin ? { ...worker, startVersion: begin + 1n } : worker,
  );
  return { ...plan, workers };
};

/** Old epochs are drained to the version before their last: an exclusive end, taken off twice. */
export const drainsOneTooFew: Plan = async (store, epochs) => {
  const plan = await planFromStore(store, epochs);
  const workers = plan.workers.map((worker) =>
    worker.endVersion !== undefined && worker.endVersion > worker.startVersion
      ? { ...worker, endVersion: worker.endVersion - 1n }
      : worker,
  );
  return { ...plan, workers };
};

/** Old epochs are called done as soon as they are seen: nobody drains them. */
export const callsDoneAtOnce: Plan = async (store, epochs) => {
  const plan = await planFromStore(store, epochs);
  const isOld = ({ recruitedEpoch, backupEpoch }: (typeof plan.workers)[number]) => backupEpoch !== recruitedEpoch;
  const old = plan.workers.filter(isOld);
  if (old.length > 0)
    await store.transact((tx) => {
      for (const { backupEpoch, tag } of old) writeDone(tx, { epoch: backupEpoch, tag });
      return Promise.resolve();
    });
  return { ...plan, workers: plan.workers.filter((worker) => !isOld(worker)) };
};
