// Restores into an etcd cluster: every apply is one transaction of etcd, with its checkpoint. It must never touch a key outside of the restored ranges, beside its own checkpoints.

import type { Etcd3, IRangeResponse, ITxnResponse } from 'etcd3';
import { printableBytes } from '../../core/bytes.js';
import { checkMethods, checkWholeNumber } from '../../core/check-option.js';
import type { Clock, Random } from '../../core/clock.js';
import { systemClock, systemRandom } from '../../core/clock.js';
import { BackupError } from '../../core/errors.js';
import type { KeyRange } from '../../core/key-range.js';
import { checkRange, coalesceRanges, formatRange, intersectRanges, rangeContains } from '../../core/key-range.js';
import type {
  RestoreCheckpoint,
  RestoreLimits,
  RestoreOperation,
  RestoreShard,
  RestoreTarget,
} from '../../ports/restore-target.js';
import { asEtcdCall, etcdFault } from '../../etcd/errors.js';
import { asBuffer, rangeOf } from '../../etcd/keys.js';
import { prefixRange } from './options.js';
import { SMALL_ANSWERS } from './range-call.js';
import { isOnlyEmptyKey, withoutRanges } from './range-parts.js';
import type { EtcdBatch } from './target-batch.js';
import { etcdBatch, mostEtcdOperations } from './target-batch.js';
import { partsOf } from './target-clear.js';
import { CheckpointKey, TargetTransactions, bytesFor } from './target-transaction.js';

export interface EtcdRestoreTargetOptions {
  /** The host's own client of the cluster, with no namespace. It is never closed here. `ETCD_GRPC_OPTIONS` are what its `grpcOptions` should hold at least. */
  readonly client: Etcd3;
  /**
   * Under which the checkpoints are kept, at most 1,000 bytes. Restored ranges must leave it out. Default: 0xFF and `/tidemark/restore/`, which lies behind all keys that a backup without `ranges` has. Two
   * restores into one cluster at a time need two prefixes.
   */
  readonly prefix?: Uint8Array | string | undefined;
  /** Keys that are left alone although they lie in restored ranges: clears go around them, and a backup that holds one is refused. Default: none. */
  readonly exclude?: readonly KeyRange[] | undefined;
  /** etcd's own `--max-txn-ops`: operations of a transaction. Default 128, as etcd's. */
  readonly maxTxnOps?: number | undefined;
  /** etcd's own `--max-request-bytes`. Default 1.5 MiB, as etcd's. */
  readonly maxRequestBytes?: number | undefined;
  /** ms for which an apply is tried again while etcd does not answer, beside what the client does by itself. Default 30,000. */
  readonly retryFor?: number | undefined;
  readonly clock?: Clock | undefined;
  readonly random?: Random | undefined;
}

const DEFAULT_PREFIX = Buffer.concat([Buffer.from([0xff]), Buffer.from('/tidemark/restore/')]);
const MAX_PREFIX = 1_000;
/** etcd's defaults (etcd: embed/config.go, DefaultMaxTxnOps and DefaultMaxRequestBytes). */
const MAX_TXN_OPS = 128;
const MAX_REQUEST_BYTES = 1.5 * 1024 * 1024;
/** Keys that a step of the phase `clearing` deletes. */
const CLEARED_AT_ONCE = 10_000;
/** Reads of one transaction, as far as it may have so many. */
const READS = 128;

/**
 * A row is a put, without a lease: leases are not restored, and a key that had one stays until someone deletes it. Keys get new revisions.
 *
 * Limits: an apply is one transaction, so it has at most about half of `maxTxnOps` operations (a clear is cut around every key that is set after it), and fits into `maxRequestBytes` with its checkpoint. A value
 * that etcd took by itself may be too large with that around it: then both `--max-request-bytes` and `maxRequestBytes` must be raised.
 *
 * An apply of the phase `clearing` alone is not one step if it has to delete more than 10,000 keys of a range: each such step stores the same checkpoint, which says that the target is being cleared, and that
 * is what a restore does again when it finds it. A clear in the log is one step however many keys there are.
 *
 * Errors: DISPLACED when another restore has written to the target; OPERATION_TOO_LARGE (by the restore) and ETCD_LIMIT for what is above the limits; INVALID_OPTION for ranges or rows that are the
 * target's own or excluded; STORE_CORRUPT for a checkpoint that is none; ETCD_DENIED, ETCD_NO_SPACE, ETCD_UNAVAILABLE. After any of them the same `restore` call goes on.
 */
export class EtcdRestoreTarget implements RestoreTarget {
  readonly limits: RestoreLimits;
  readonly #client: Etcd3;
  readonly #own: KeyRange;
  /** What is never touched: sorted, disjoint. */
  readonly #holes: readonly KeyRange[];
  readonly #transactions: TargetTransactions;
  readonly #main: CheckpointKey;
  readonly #readsAtOnce: number;
  /** Marks this object's applies. */
  readonly #writer: string;
  #applies = 0;
  /** The target's own apply and those of shards take turns: its checkpoint is compared by theirs. */
  readonly #shardApplies = new Set<Promise<void>>();
  #ownApply: Promise<void> = Promise.resolve();

  constructor(options: EtcdRestoreTargetOptions) {
    const { client, exclude = [], maxTxnOps = MAX_TXN_OPS, maxRequestBytes = MAX_REQUEST_BYTES } = options;
    const { prefix = DEFAULT_PREFIX, retryFor = 30_000, clock = systemClock, random = systemRandom } = options;
    checkMethods('client', client, 'client of etcd3', ['getRoles', 'watch', 'lease', 'if']);
    for (const each of exclude) checkRange(each, 'exclude');
    this.#client = client;
    this.#own = prefixRange(checkPrefix(prefix));
    this.#holes = coalesceRanges([...exclude, this.#own]);
    this.limits = limitsOf(maxTxnOps, maxRequestBytes, this.#holes.length);
    checkWholeNumber('retryFor', retryFor, 0);
    this.#transactions = new TargetTransactions({ client, clock, maxRequestBytes, retryFor });
    this.#main = new CheckpointKey(this.#keyOf('checkpoint'));
    this.#readsAtOnce = Math.min(READS, maxTxnOps);
    this.#writer = random.uid();
  }

  async read(keys: readonly Uint8Array[]): Promise<readonly (Uint8Array | undefined)[]> {
    const values: (Uint8Array | undefined)[] = [];
    for (let from = 0; from < keys.length; from += this.#readsAtOnce)
      values.push(...(await this.#readAtOnce(keys.slice(from, from + this.#readsAtOnce))));
    return values;
  }

  apply(operations: readonly RestoreOperation[], checkpoint: RestoreCheckpoint): Promise<void> {
    const before = [this.#ownApply, ...this.#shardApplies];
    const applied = settled(before).then(() => this.#apply(this.#main, operations, checkpoint));
    this.#ownApply = applied;
    return applied;
  }

  checkpoint(): Promise<RestoreCheckpoint | undefined> {
    return this.#transactions.read(this.#main);
  }

  /** By a read of one key. INVALID_OPTION for a range in which the target keeps its checkpoints. */
  async isEmpty(range: KeyRange): Promise<boolean> {
    this.#checkApart(range);
    for (const part of withoutRanges([range], this.#holes)) {
      if (isOnlyEmptyKey(part.end)) continue;
      const wanted = { ...rangeOf(part.begin, part.end), limit: 1, keys_only: true };
      const { kvs } = await asEtcdCall('looking for keys', () => this.#client.kv.range(wanted));
      if (kvs.length > 0) return false;
    }
    return true;
  }

  shard(name: string): RestoreShard {
    const own = new CheckpointKey(this.#keyOf(`shard/${name}`));
    return {
      read: (keys) => this.read(keys),
      checkpoint: () => this.#transactions.read(own),
      apply: async (operations, checkpoint) => {
        const applied = settled([this.#ownApply]).then(() => this.#apply(own, operations, checkpoint));
        this.#shardApplies.add(applied);
        try {
          await applied;
        } finally {
          this.#shardApplies.delete(applied);
        }
      },
    };
  }

  /**
   * Deletes all checkpoints under the prefix: nothing of a restore stays in the cluster but its rows. Only when none is half done: it could not be continued, and the next one would find a target that is not
   * empty.
   */
  async forget(): Promise<void> {
    const { begin, end } = this.#own;
    await asEtcdCall('deleting checkpoints', () => this.#client.kv.deleteRange(rangeOf(begin, end)));
  }

  async #apply(
    own: CheckpointKey,
    operations: readonly RestoreOperation[],
    checkpoint: RestoreCheckpoint,
  ): Promise<void> {
    for (const operation of operations) this.#checkWritable(operation);
    const batch = etcdBatch(operations, this.#holes);
    const ranges = checkpoint.phase === 'clearing' ? await this.#clearInSteps(own, batch, checkpoint) : batch.ranges;
    await this.#commit(own, { ...batch, ranges }, checkpoint);
  }

  /** Leaves the last part of each range. From the first step on the checkpoint says that the target is being cleared: whoever finds it so clears it again. */
  async #clearInSteps(own: CheckpointKey, batch: EtcdBatch, checkpoint: RestoreCheckpoint): Promise<KeyRange[]> {
    const rest: KeyRange[] = [];
    for (const range of batch.ranges) {
      let last: KeyRange | undefined;
      for await (const part of partsOf(this.#client, range, CLEARED_AT_ONCE)) {
        if (last !== undefined) await this.#commit(own, { puts: [], deletes: [], ranges: [last] }, checkpoint);
        last = part;
      }
      if (last !== undefined) rest.push(last);
    }
    return rest;
  }

  async #commit(own: CheckpointKey, batch: EtcdBatch, checkpoint: RestoreCheckpoint): Promise<void> {
    const apply = `${this.#writer}:${++this.#applies}`;
    await this.#transactions.apply({ own, main: this.#main, batch, stored: { checkpoint, apply } });
  }

  #checkWritable(operation: RestoreOperation): void {
    if (operation.type === 'clear') {
      this.#checkApart(operation);
      return;
    }
    const { key } = operation;
    const hole = this.#holes.find((range) => rangeContains(range, key));
    if (hole !== undefined) {
      throw new BackupError(
        'INVALID_OPTION',
        `the backup holds the key "${printableBytes(key)}", and the target leaves ${formatRange(hole)} alone: restore \`ranges\` without it`,
      );
    }
    if (key.length === 0) {
      throw new BackupError(
        'INVALID_OPTION',
        'the backup holds a row whose key is empty, which etcd cannot have: pass addPrefix',
      );
    }
  }

  #checkApart(range: KeyRange): void {
    if (intersectRanges(range, this.#own) === undefined) return;
    throw new BackupError(
      'INVALID_OPTION',
      `prefix: the target keeps its checkpoints in ${formatRange(this.#own)}, which lies in ${formatRange(range)}: give it another prefix, or restore \`ranges\` without it`,
    );
  }

  async #readAtOnce(keys: readonly Uint8Array[]): Promise<readonly (Uint8Array | undefined)[]> {
    const there = keys.filter((key) => key.length > 0);
    if (there.length === 0) return keys.map(() => undefined);
    const success = there.map((key) => ({ request_range: { key: asBuffer(key) } }));
    const response = await asEtcdCall('reading rows', async (): Promise<ITxnResponse | undefined> => {
      try {
        return await this.#client.kv.txn({ success }, SMALL_ANSWERS);
      } catch (error) {
        if (etcdFault(error) === 'too-large' && keys.length > 1) return undefined;
        throw error;
      }
    });
    if (response === undefined) {
      const half = keys.length >>> 1;
      return [...(await this.#readAtOnce(keys.slice(0, half))), ...(await this.#readAtOnce(keys.slice(half)))];
    }
    let next = 0;
    return keys.map((key) => (key.length === 0 ? undefined : valueOf(response.responses[next++]?.response_range)));
  }

  #keyOf(name: string): Buffer {
    return Buffer.concat([this.#own.begin, Buffer.from(name)]);
  }
}

function valueOf(response: IRangeResponse | undefined): Uint8Array | undefined {
  return response?.kvs[0]?.value;
}

async function settled(promises: readonly Promise<void>[]): Promise<void> {
  // What they fail with is told to those who made them.
  await Promise.allSettled(promises);
}

function checkPrefix(prefix: Uint8Array | string): Uint8Array {
  const bytes = typeof prefix === 'string' ? Buffer.from(prefix) : prefix;
  if (bytes instanceof Uint8Array && bytes.length >= 1 && bytes.length <= MAX_PREFIX) return bytes;
  throw new BackupError('INVALID_OPTION', `prefix must be from 1 to ${MAX_PREFIX} bytes, got ${bytes.length}`);
}

/** One operation of etcd is the checkpoint's. */
function limitsOf(maxTxnOps: number, maxRequestBytes: number, holes: number): RestoreLimits {
  checkWholeNumber('maxTxnOps', maxTxnOps, 2 + holes);
  const operations = Math.floor((maxTxnOps - holes) / 2);
  const most = mostEtcdOperations(operations, holes) + 1;
  const least = maxRequestBytes - bytesFor(most, maxRequestBytes) + 1;
  checkWholeNumber('maxRequestBytes', maxRequestBytes, least);
  return { operations, bytes: bytesFor(most, maxRequestBytes) };
}
