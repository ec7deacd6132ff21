// Leases of the store: a key with an etcd lease attached, which etcd deletes when nobody has renewed the lease for its time. The deletion is a commit like any other: from that revision on nobody finds the
// value, and a transaction that has read it fails its compare. The clock is that of etcd's leader, which expires leases; its members agree on the deletion, so it happens once.
//
// etcd counts whole seconds, and gives no lease less than one and a half election timeouts, in whole seconds again (etcd: minTTL in etcdserver/server.go, 2 s by default). A time is rounded up to that, never down: a
// holder must not lose what it counts on. A lease that has run out is deleted within a second (the lessor looks every 500 ms). When the leader changes, the new one gives every lease its whole time again
// (lessor.Promote), so that leases live longer then. They may end early where the old leader was stuck (its disk, its processor): it could still revoke, by its own clock, what the new one had renewed (etcd issue
// 15247, mended in 3.4.31 and 3.5.13). So it is the fence that makes work safe, never the time: a transaction that has read the lease does not commit once it is gone.

import type { IKeyValue } from 'etcd3';
import type { Random } from '../../core/clock.js';
import { BackupError } from '../../core/errors.js';
import { asBuffer, revisionNumber } from '../../etcd/keys.js';
import { etcdFault } from '../../etcd/errors.js';
import type { EtcdFault } from '../../etcd/errors.js';
import type { Lease, LeaseRequest } from '../../ports/progress-store.js';
import { checkLeaseRequest } from '../lease-record.js';
import { checkProgressKey } from '../progress-key.js';
import { modifiedAt } from './commit.js';
import type { StoreCalls } from './store-calls.js';
import type { StoreKeys } from './store-keys.js';

/** Seconds: the longest that etcd takes (etcd: MaxLeaseTTL), 285 years. */
const MAX_TTL = 9_000_000_000;

/** undefined: somebody holds it. */
export async function acquireEtcdLease(
  calls: StoreCalls,
  keys: StoreKeys,
  random: Random,
  request: LeaseRequest,
): Promise<Lease | undefined> {
  checkLeaseRequest(request);
  checkProgressKey(request.key);
  const value = Buffer.from(request.value);
  const key = keys.encode(request.key);
  // Whoever asks again and again leaves no trace in etcd.
  if ((await calls.range({ key, keys_only: true })).kvs.length > 0) return undefined;
  const id = leaseId(random.uid());
  await grant(calls, id, Math.min(MAX_TTL, Math.ceil(request.ttl / 1_000)));
  const held = await attach(calls, keys, { key, value, id }, random.uid());
  if (held !== undefined) return new EtcdLease(calls, request.key, key, id, held);
  // Another was faster. If this fails, etcd ends the lease by its time.
  await endLease(calls, id).catch(() => undefined);
  return undefined;
}

/** A number of its own makes it possible to ask twice: the client does, when an answer is lost. */
async function grant(calls: StoreCalls, id: string, ttl: number): Promise<void> {
  try {
    await calls.grantLease(id, ttl);
  } catch (error) {
    // An earlier copy of this very call; the time counts from then, which was within the call too.
    if (faultOf(error) !== 'lease-exists') throw error;
  }
}

interface Attachment {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly id: string;
}

/** Sets the key if it has no value; the revision at which it did, undefined if somebody else was faster. */
async function attach(
  calls: StoreCalls,
  keys: StoreKeys,
  { key, value, id }: Attachment,
  commit: string,
): Promise<number | undefined> {
  try {
    const { succeeded, header, responses } = await calls.txn({
      compare: [modifiedAt(key, 0)],
      success: [
        { request_put: { key, value: asBuffer(value), lease: id } },
        { request_put: { key: keys.commit, value: Buffer.from(commit) } },
      ],
      failure: [{ request_range: { key, keys_only: true } }],
    });
    if (succeeded) return revisionNumber(header.revision);
    const holder: IKeyValue | undefined = responses[0]?.response_range.kvs[0];
    // An earlier copy of the same request.
    return holder?.lease === id ? revisionNumber(holder.mod_revision) : undefined;
  } catch (error) {
    if (faultOf(error) !== 'lease-not-found') throw error;
    throw new BackupError('STORE_UNAVAILABLE', 'etcd: a lease has ended before its key could be set', {
      retryable: true,
      cause: error,
    });
  }
}

class EtcdLease implements Lease {
  readonly key: string;
  readonly #calls: StoreCalls;
  readonly #etcdKey: Buffer;
  readonly #id: string;
  readonly #revision: number;

  /** `revision`: at which the key was set. */
  constructor(calls: StoreCalls, key: string, etcdKey: Buffer, id: string, revision: number) {
    this.key = key;
    this.#calls = calls;
    this.#etcdKey = etcdKey;
    this.#id = id;
    this.#revision = revision;
  }

  async renew(): Promise<void> {
    if (!(await this.#calls.renewLease(this.#id))) throw this.#lost();
    // A renewal does not go through etcd's log: a leader that has been deposed without knowing may have granted it. And an operator may have deleted the key.
    const { kvs } = await this.#calls.range({ key: this.#etcdKey, keys_only: true });
    if (kvs[0] === undefined || revisionNumber(kvs[0].mod_revision) !== this.#revision) throw this.#lost();
  }

  async release(): Promise<void> {
    await endLease(this.#calls, this.#id);
  }

  #lost(): BackupError {
    return new BackupError('LEASE_LOST', `the lease ${this.key} has ended`);
  }
}

/** Deletes the keys that are still attached to it; fine if it has ended already. */
async function endLease(calls: StoreCalls, id: string): Promise<void> {
  try {
    await calls.revokeLease(id);
  } catch (error) {
    if (faultOf(error) !== 'lease-not-found') throw error;
  }
}

function faultOf(error: unknown): EtcdFault | undefined {
  return BackupError.is(error) ? etcdFault(error.cause) : undefined;
}

/** A positive int64, in decimals; 0 would let etcd choose. */
function leaseId(uid: string): string {
  const id = BigInt.asUintN(63, BigInt(`0x${uid.slice(0, 16)}`));
  return String(id === 0n ? 1n : id);
}
