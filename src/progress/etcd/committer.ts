// Sends a commit and finds out what has become of it. It must never say that a commit has not taken effect when it may have.

import type { ITxnResponse } from 'etcd3';
import type { Random } from '../../core/clock.js';
import { BackupError } from '../../core/errors.js';
import { revisionNumber } from '../../etcd/keys.js';
import type { CommitLimits } from './commit.js';
import { commitRequest } from './commit.js';
import type { EtcdTransaction } from './etcd-transaction.js';
import type { StoreCalls } from './store-calls.js';
import type { StoreKeys } from './store-keys.js';

/** Commits of others that are looked through for one's own. */
const MAX_LOOKED_AT = 100;

export class Committer {
  readonly #calls: StoreCalls;
  readonly #keys: StoreKeys;
  readonly #random: Random;
  readonly #limits: CommitLimits;

  constructor(calls: StoreCalls, keys: StoreKeys, random: Random, limits: CommitLimits) {
    this.#calls = calls;
    this.#keys = keys;
    this.#random = random;
    this.#limits = limits;
  }

  /** False: something that was read has changed, and nothing was written. STORE_UNAVAILABLE: it may have been. */
  async commit(tx: EtcdTransaction): Promise<boolean> {
    const revision = await tx.revision();
    const content = { revision, reads: tx.reads, ranges: tx.ranges, writes: tx.writes };
    const id = this.#random.uid();
    const request = commitRequest(this.#keys, content, id, this.#limits);
    const before = Math.max(revision, this.#calls.newest);
    const response = await this.#calls.txn(request);
    return response.succeeded || (await this.#hasGoneThrough(response, id, before));
  }

  /**
   * The client sends a request again whose answer it has lost. A second copy always fails, by what the first has written: then it is the first that counts. `before`: a revision that was there before any of
   * them was sent.
   */
  async #hasGoneThrough(response: ITxnResponse, id: string, before: number): Promise<boolean> {
    const [commit, written] = response.responses.map(({ response_range: { kvs } }) => kvs[0]);
    // The usual case: a key that it would have set has not been touched, so it has not gone through.
    if (written !== undefined && revisionNumber(written.mod_revision) <= before) return false;
    let last = commit;
    for (let looked = 0; looked < MAX_LOOKED_AT; looked++) {
      if (last === undefined || revisionNumber(last.mod_revision) <= before) return false;
      if (last.value.toString() === id) return true;
      last = (await this.#commitBefore(revisionNumber(last.mod_revision))).kvs[0];
    }
    throw unknownOutcome();
  }

  async #commitBefore(revision: number) {
    try {
      return await this.#calls.range({ key: this.#keys.commit, revision: revision - 1 });
    } catch (error) {
      if (BackupError.is(error, 'ETCD_COMPACTED')) throw unknownOutcome(error);
      throw error;
    }
  }
}

function unknownOutcome(cause?: unknown): BackupError {
  return new BackupError('STORE_UNAVAILABLE', 'etcd: a commit may have taken effect: its answer was lost', {
    retryable: true,
    cause,
  });
}
