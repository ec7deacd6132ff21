// The commits of one `transact`, and what has become of them. It must never run a body again whose commit has taken effect, as far as that can be known.
//
// The client sends a request again when the connection breaks before the answer (etcd3's fault handling), and each copy may be carried out, at once or late. Of one commit only one copy can go through
// (commit.ts); but a copy that fails says nothing of another that went through before it, and would make the body run again. Every commit writes its id to the store's `commit` key, and etcd keeps that key's
// history: so before a body runs again, the commits since the first was sent are looked through for one's own.

import type { IKeyValue } from 'etcd3';
import type { Random } from '../../core/clock.js';
import { BackupError } from '../../core/errors.js';
import { revisionNumber } from '../../etcd/keys.js';
import type { CommitLimits } from './commit.js';
import { commitRequest } from './commit.js';
import type { EtcdTransaction } from './etcd-transaction.js';
import type { StoreCalls } from './store-calls.js';
import type { StoreKeys } from './store-keys.js';

/** Commits of others that are looked through: a transaction that overlaps with more of them takes far too long. */
const MAX_LOOKED_AT = 1_000;

export interface CommitterOptions {
  readonly calls: StoreCalls;
  readonly keys: StoreKeys;
  readonly random: Random;
  readonly limits: CommitLimits;
}

export class Committer<T> {
  readonly #options: CommitterOptions;
  /** By the commit's id. */
  readonly #sent = new Map<string, T>();
  /** None of them went through at or below it. */
  #checked = 0;

  constructor(options: CommitterOptions) {
    this.#options = options;
  }

  /** False: what was read has changed, or an earlier copy of this very commit went through. STORE_UNAVAILABLE: nobody knows. */
  async commit(tx: EtcdTransaction, result: T): Promise<boolean> {
    const { calls, keys, random, limits } = this.#options;
    const revision = await tx.revision();
    const id = random.uid();
    const request = commitRequest(
      keys,
      { revision, reads: tx.reads, ranges: tx.ranges, writes: tx.writes },
      id,
      limits,
    );
    if (this.#sent.size === 0) this.#checked = Math.max(revision, calls.newest);
    this.#sent.set(id, result);
    return (await calls.txn(request)).succeeded;
  }

  /** What the body gave in the run whose commit went through after all; to be asked before `tx` reads anything else. */
  async earlier(tx: EtcdTransaction): Promise<{ readonly result: T } | undefined> {
    if (this.#sent.size === 0) return undefined;
    let last = await tx.lastCommit();
    for (let looked = 0; looked < MAX_LOOKED_AT; looked++) {
      const revision = last === undefined ? 0 : revisionNumber(last.mod_revision);
      if (last === undefined || revision <= this.#checked) {
        // A copy that is still on its way comes after the revision of `tx`: where the two write the same key, as two runs of a body do, one fails by the other.
        this.#checked = await tx.revision();
        return undefined;
      }
      const id = last.value.toString();
      if (this.#sent.has(id)) return { result: this.#sent.get(id) as T };
      last = await this.#commitBefore(revision);
    }
    throw unknownOutcome();
  }

  async #commitBefore(revision: number): Promise<IKeyValue | undefined> {
    const { calls, keys } = this.#options;
    try {
      return (await calls.range({ key: keys.commit, revision: revision - 1 })).kvs[0];
    } catch (error) {
      if (BackupError.is(error, 'ETCD_COMPACTED')) throw unknownOutcome(error);
      throw error;
    }
  }
}

function unknownOutcome(cause?: unknown): BackupError {
  return new BackupError('STORE_UNAVAILABLE', 'etcd: a commit may have taken effect, and it cannot be found out', {
    retryable: true,
    cause,
  });
}
