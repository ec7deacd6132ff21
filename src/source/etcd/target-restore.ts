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
import { batchesWithin } from '../../ports/apply-limits.js';
import { prefixRange } from './options.js';
import { SMALL_ANSWERS } from './range-call.js';
import { isOnlyEmptyKey, withoutRanges } from './range-parts.js';
import type { EtcdBatch } from './target-batch.js';
import { etcdBatch, mostEtcdOperations } from './target-batch.js';
import { partsOf } from './target-clear.js';
import type { TargetApply } from './target-transaction.js';
import { CheckpointKey, TargetTransactions, bytesFor } from './target-transaction.js';
import type { CallTime } from './timed-call.js';
import { CALL_TIMEOUT, timedCall } from './timed-call.js';

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
  /** ms: a call without an answer has failed then, with ETCD_UNAVAILABLE. Longer than your cluster needs for a transaction (etcd gives one up after 7 s by default). Default 30,000. */
  readonly callTimeout?: number | undefined;
  /** ms, from the first failure on, for which an apply is tried again while etcd does not answer, beside what the client does by itself. Default 30,000. */
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
 * that etcd took by itself may be too large with that around it: then both `--max-request-bytes` and `maxRequestBytes` must be raised. So they must for keys of more than 3,000 bytes, of which a checkpoint has two digits
 * for each.
 *
 * An apply is two steps or more if the clears in it, cut around the keys that are set, make a request that etcd would not take: the cut clears go first, with the checkpoint of before. Whoever finds it so applies the same again, and
 * comes to the same end: no key that was cleared early is there when the apply is done, whatever was computed from it, and no other key was touched.
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
  readonly #time: CallTime;
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
    const { prefix = DEFAULT_PREFIX, callTimeout = CALL_TIMEOUT, retryFor = 30_000 } = options;
    const { clock = systemClock, random = systemRandom } = options;
    checkMethods('client', client, 'client of etcd3', ['getRoles', 'watch', 'lease', 'if']);
    for (const each of exclude) checkRange(each, 'exclude');
    this.#client = client;
    this.#own = prefixRange(checkPrefix(prefix));
    this.#holes = coalesceRanges([...exclude, this.#own]);
    this.limits = limitsOf(maxTxnOps, maxRequestBytes, this.#holes);
    checkWholeNumber('retryFor', retryFor, 0);
    this.#time = { clock, timeout: checkWholeNumber('callTimeout', callTimeout, 1) };
    this.#transactions = new TargetTransactions({ client, clock, time: this.#time, maxRequestBytes, retryFor });
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
      const { kvs } = await this.#call('looking for keys', (options) => this.#client.kv.range(wanted, options));
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
    await this.#call('deleting checkpoints', (options) => this.#client.kv.deleteRange(rangeOf(begin, end), options));
  }

  async #apply(
    own: CheckpointKey,
    operations: readonly RestoreOperation[],
    checkpoint: RestoreCheckpoint,
  ): Promise<void> {
    for (const operation of operations) this.#checkWritable(operation);
    const batch = etcdBatch(operations, this.#holes);
    const ranges = checkpoint.phase === 'clearing' ? await this.#clearInSteps(own, batch, checkpoint) : batch.ranges;
    const whole = this.#applyOf(own, { ...batch, ranges }, checkpoint);
    if (ranges.length === 0 || this.#transactions.fits(whole)) {
      await this.#transactions.apply(whole);
      return;
    }
    await this.#clearBefore(own, ranges, checkpoint);
    await this.#commit(own, { ...batch, ranges: [] }, checkpoint);
  }

  /**
   * The ranges by themselves, before the apply that they are of, which puts no key in them. Done again it finds them cleared: what it then computes from their keys may be something else, but is cleared as well. Each
   * step writes the checkpoint that is there already, so that nothing of another restore can come after it; one that begins has none of its own, and says that the target is being cleared.
   */
  async #clearBefore(own: CheckpointKey, ranges: readonly KeyRange[], checkpoint: RestoreCheckpoint): Promise<void> {
    if (own.seen === undefined) await this.#transactions.read(own);
    const before = own.checkpoint;
    const { restoreId } = checkpoint;
    const goesOn =
      checkpoint.phase !== 'clearing' && before?.restoreId === restoreId && before.phase !== 'done'
        ? before
        : undefined;
    const place = goesOn ?? { restoreId, phase: 'clearing', version: 0n };
    const clears = ranges.map(({ begin, end }) => ({ type: 'clear', begin, end }) as const);
    for (const step of batchesWithin(clears, this.limits))
      await this.#commit(own, { puts: [], deletes: [], ranges: step }, place);
  }

  /** Leaves the last part of each range. From the first step on the checkpoint says that the target is being cleared: whoever finds it so clears it again. */
  async #clearInSteps(own: CheckpointKey, batch: EtcdBatch, checkpoint: RestoreCheckpoint): Promise<KeyRange[]> {
    const rest: KeyRange[] = [];
    for (const range of batch.ranges) {
      let last: KeyRange | undefined;
      for await (const part of partsOf(this.#client, range, CLEARED_AT_ONCE, this.#time)) {
        if (last !== undefined) await this.#commit(own, { puts: [], deletes: [], ranges: [last] }, checkpoint);
        last = part;
      }
      if (last !== undefined) rest.push(last);
    }
    return rest;
  }

  async #commit(own: CheckpointKey, batch: EtcdBatch, checkpoint: RestoreCheckpoint): Promise<void> {
    await this.#transactions.apply(this.#applyOf(own, batch, checkpoint));
  }

  #applyOf(own: CheckpointKey, batch: EtcdBatch, checkpoint: RestoreCheckpoint): TargetApply {
    const apply = `${this.#writer}:${++this.#applies}`;
    return { own, main: this.#main, batch, stored: { checkpoint, apply } };
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
    const response = await this.#call('reading rows', async (options): Promise<ITxnResponse | undefined> => {
      try {
        return await this.#client.kv.txn({ success }, { ...SMALL_ANSWERS, ...options });
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

  #call<T>(what: string, call: (options: { readonly deadline: number }) => Promise<T>): Promise<T> {
    return asEtcdCall(what, () => timedCall(what, this.#time, call));
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

/**
 * One operation of etcd is the checkpoint's. The bytes are those of all that is put and deleted, each key once, and of any one range between such keys and holes; ranges that make more together go by themselves
 * (`#clearBefore`). So a value may be nearly as large as a request.
 */
function limitsOf(maxTxnOps: number, maxRequestBytes: number, holes: readonly KeyRange[]): RestoreLimits {
  checkWholeNumber('maxTxnOps', maxTxnOps, 2 + holes.length);
  const operations = Math.floor((maxTxnOps - holes.length) / 2);
  const most = mostEtcdOperations(operations, holes.length) + 1;
  const edge = Math.max(...holes.map(({ begin, end }) => Math.max(begin.length, end.length)));
  const bytes = bytesFor(most, maxRequestBytes) - 2 * edge;
  checkWholeNumber('maxRequestBytes', maxRequestBytes, maxRequestBytes - bytes + 1);
  return { operations, bytes };
}
