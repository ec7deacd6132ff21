// The transactions of a restore into etcd: each applies its operations and stores its checkpoint only if the checkpoints are still the ones that this restore has seen. It must never apply anything twice, nor
// into a target that somebody else restores into.
//
// The fence: every transaction compares the revision at which its checkpoint key was last changed, a shard's also that of the target's own. A restore that begins anew writes the target's own
// first, so that nothing of the one before it can come after that; of two that go on from the same place the slower one finds the key changed.
//
// An answer that does not come says nothing about what was done, and the client itself tries such calls again. Both are harmless: a transaction that comes a second time finds the key changed, by itself: the
// checkpoint carries the mark of the apply that wrote it.

import type { Etcd3, IKeyValue, IRequestOp, ITxnRequest, ITxnResponse } from 'etcd3';
import { printableBytes } from '../../core/bytes.js';
import type { Clock } from '../../core/clock.js';
import { BackupError } from '../../core/errors.js';
import type { RestoreCheckpoint } from '../../ports/restore-target.js';
import { asEtcdCall, etcdError, etcdFault } from '../../etcd/errors.js';
import { asBuffer, rangeOf } from '../../etcd/keys.js';
import type { EtcdBatch } from './target-batch.js';
import type { StoredCheckpoint } from './target-checkpoint.js';
import { decodeCheckpoint, encodeCheckpoint } from './target-checkpoint.js';
import type { CallTime } from './timed-call.js';
import { timedCall } from './timed-call.js';

/** Bytes that etcd's encoding needs around one operation, at most: four lengths and their tags. */
export const OPERATION_OVERHEAD = 24;
/** Around one compare and the read that goes with it. */
const COMPARE_OVERHEAD = 64;
/** For all the rest, the user's name among it. */
const REQUEST_OVERHEAD = 512;
/** Left for checkpoint and compares when the limits are told: enough for keys of 3,000 bytes, of which a cursor has two digits each. */
const CHECKPOINT_RESERVE = 8 << 10;

const FIRST_WAIT = 100;
const LONGEST_WAIT = 2_000;

/** What of a request of `maxRequestBytes` is left for the keys and values of so many of etcd's operations. */
export function bytesFor(operations: number, maxRequestBytes: number): number {
  return maxRequestBytes - REQUEST_OVERHEAD - CHECKPOINT_RESERVE - operations * OPERATION_OVERHEAD;
}

/** A key that holds a checkpoint, and the revision at which this restore has last seen it change. */
export class CheckpointKey {
  readonly key: Buffer;
  /** '0': it was not there. undefined: not looked at yet. */
  seen: string | undefined;
  /** What it held then. */
  checkpoint: RestoreCheckpoint | undefined;

  constructor(key: Buffer) {
    this.key = key;
  }
}

export interface TransactionOptions {
  readonly client: Etcd3;
  readonly clock: Clock;
  /** Of each call. */
  readonly time: CallTime;
  readonly maxRequestBytes: number;
  /** ms, from the first failure on */
  readonly retryFor: number;
}

export interface TargetApply {
  /** Where the checkpoint goes. */
  readonly own: CheckpointKey;
  /** The target's own, which may be the same. */
  readonly main: CheckpointKey;
  readonly batch: EtcdBatch;
  readonly stored: StoredCheckpoint;
}

export class TargetTransactions {
  readonly #options: TransactionOptions;

  constructor(options: TransactionOptions) {
    this.#options = options;
  }

  /** What the key holds now, which counts as seen from now on. */
  async read(at: CheckpointKey): Promise<RestoreCheckpoint | undefined> {
    const { client, time } = this.#options;
    const what = 'reading the checkpoint of a restore';
    const { kvs } = await asEtcdCall(what, () =>
      timedCall(what, time, (options) => client.kv.range({ key: at.key }, options)),
    );
    return see(at, kvs[0])?.checkpoint;
  }

  /** DISPLACED when the checkpoint is not the one that was seen last; ETCD_LIMIT for more than a request holds. */
  async apply(apply: TargetApply): Promise<void> {
    const { own, main, stored } = apply;
    for (const at of new Set([own, main])) if (at.seen === undefined) await this.read(at);
    const response = await this.#commit(this.#request(apply));
    if (response.succeeded) {
      own.seen = response.header.revision;
      own.checkpoint = stored.checkpoint;
      return;
    }
    const found = see(own, response.responses[0]?.response_range.kvs[0]);
    if (found?.apply !== stored.apply) throw displaced(own);
  }

  /** Whether it is no larger than a request may be. */
  fits(apply: TargetApply): boolean {
    return requestBytes(apply) <= this.#options.maxRequestBytes;
  }

  #request(apply: TargetApply): ITxnRequest {
    const { own, batch, stored } = apply;
    const { maxRequestBytes } = this.#options;
    const bytes = requestBytes(apply);
    if (bytes > maxRequestBytes) throw tooLarge(bytes, maxRequestBytes);
    const value = encodeCheckpoint(stored);
    const success: IRequestOp[] = [
      { request_put: { key: own.key, value } },
      ...batch.puts.map((put) => ({ request_put: { key: asBuffer(put.key), value: asBuffer(put.value) } })),
      ...batch.deletes.map((key) => ({ request_delete_range: { key: asBuffer(key) } })),
      ...batch.ranges.map(({ begin, end }) => ({ request_delete_range: rangeOf(begin, end) })),
    ];
    return {
      compare: checkpointsOf(apply).map(({ key, seen = '0' }) => ({
        key,
        target: 'Mod',
        result: 'Equal',
        mod_revision: seen,
      })),
      success,
      failure: [{ request_range: { key: own.key } }],
    };
  }

  /** Tries again for as long as it is allowed to. */
  async #commit(request: ITxnRequest): Promise<ITxnResponse> {
    const { client, clock, time, retryFor } = this.#options;
    const what = 'applying a part of a restore';
    let until: number | undefined;
    for (let wait = FIRST_WAIT; ; wait = Math.min(2 * wait, LONGEST_WAIT)) {
      try {
        return await timedCall(what, time, (options) => client.kv.txn(request, options));
      } catch (error) {
        until ??= clock.now() + retryFor;
        if (!mayPass(error) || clock.now() + wait > until) throw etcdError(what, error);
      }
      await clock.sleep(wait);
    }
  }
}

function see(at: CheckpointKey, kv: IKeyValue | undefined): StoredCheckpoint | undefined {
  const stored = kv === undefined ? undefined : decodeCheckpoint(kv.value, printableBytes(at.key));
  at.seen = kv?.mod_revision ?? '0';
  at.checkpoint = stored?.checkpoint;
  return stored;
}

function mayPass(error: unknown): boolean {
  const fault = etcdFault(error);
  if (fault === undefined) return BackupError.is(error) && error.retryable;
  return fault === 'unavailable' || fault === 'busy' || fault === 'stale-auth';
}

function checkpointsOf({ own, main }: TargetApply): readonly CheckpointKey[] {
  return own === main ? [own] : [own, main];
}

/** At most. */
function requestBytes(apply: TargetApply): number {
  const { puts, deletes, ranges } = apply.batch;
  return (
    REQUEST_OVERHEAD +
    (1 + puts.length + deletes.length + ranges.length) * OPERATION_OVERHEAD +
    encodeCheckpoint(apply.stored).length +
    checkpointsOf(apply).reduce((sum, { key }) => sum + 3 * key.length + COMPARE_OVERHEAD, 0) +
    bytesOf(apply.batch)
  );
}

function bytesOf({ puts, deletes, ranges }: EtcdBatch): number {
  let bytes = 0;
  for (const { key, value } of puts) bytes += key.length + value.length;
  for (const key of deletes) bytes += key.length;
  for (const { begin, end } of ranges) bytes += begin.length + end.length;
  return bytes;
}

function displaced({ key }: CheckpointKey): BackupError {
  return new BackupError(
    'DISPLACED',
    `another restore writes to this etcd cluster, or this one had been given up and has gone on since: its checkpoint "${printableBytes(key)}" has changed; see that only one runs, and make the call again`,
  );
}

function tooLarge(bytes: number, most: number): BackupError {
  return new BackupError(
    'ETCD_LIMIT',
    `etcd: applying a part of a restore would take a request of ${bytes} bytes, above maxRequestBytes (${most}): pass a smaller applyBytes, or let etcd (--max-request-bytes) and the target take more`,
  );
}
