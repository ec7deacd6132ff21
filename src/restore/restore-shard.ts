// What is on its way into one shard of the target: a batch being filled while the one before it is applied. Every apply carries the checkpoint from which a restore that dies right
// after it goes on.

import type { Mutation } from '../core/mutation.js';
import { checkWithinLimits, operationBytes } from '../ports/apply-limits.js';
import type { RestoreCheckpoint, RestoreLimits, RestoreOperation, RestoreShard } from '../ports/restore-target.js';
import type { PendingOperation } from './evaluate-batch.js';
import { evaluateBatch, mostAtomicBytes } from './evaluate-batch.js';

export type ShardPlace = Pick<RestoreCheckpoint, 'phase' | 'version' | 'cursor'>;

export interface ShardWriterOptions {
  readonly target: RestoreShard;
  readonly restoreId: string;
  /** What the target takes at once. */
  readonly limits: RestoreLimits | undefined;
  /** Called after each apply. */
  readonly onApplied: (place: ShardPlace) => void;
}

export class ShardWriter {
  readonly #options: ShardWriterOptions;
  readonly #mostOperations: number;
  readonly #mostBytes: number;
  #pending: PendingOperation[] = [];
  #hasAtomics = false;
  /** Of what is pending, as the target's limits count them: at most so many, where atomic operations are not evaluated yet. */
  #limitBytes = 0;
  /** The apply under way. Never rejects: it may fail long before anyone waits for it. */
  #running: Promise<void> | undefined;
  #failure: { readonly error: unknown } | undefined;
  /** Bytes of what is pending, as the caller counts them. */
  pendingBytes = 0;
  /** What has been handed over so far, and what of it came out and was applied. */
  added = 0;
  operations = 0;

  constructor(options: ShardWriterOptions) {
    this.#options = options;
    this.#mostOperations = options.limits?.operations ?? Infinity;
    this.#mostBytes = options.limits?.bytes ?? Infinity;
  }

  /** More is pending than the target takes at once: to be asked after each record, and answered with `flushOver`. */
  get isOver(): boolean {
    return this.#pending.length > this.#mostOperations || this.#limitBytes > this.#mostBytes;
  }

  // Each gives the bytes that are pending with it.

  set(key: Uint8Array, value: Uint8Array, bytes: number): number {
    this.#pending.push({ type: 'set', key, value });
    this.#limitBytes += key.length + value.length;
    this.added++;
    return (this.pendingBytes += bytes);
  }

  clear(begin: Uint8Array, end: Uint8Array, bytes: number): number {
    this.#pending.push({ type: 'clear', begin, end });
    this.#limitBytes += begin.length + end.length;
    this.added++;
    return (this.pendingBytes += bytes);
  }

  atomic(mutation: Mutation, bytes: number): number {
    this.#pending.push({ type: 'atomic', mutation });
    this.#hasAtomics = true;
    this.#limitBytes += mostAtomicBytes(mutation);
    this.added++;
    return (this.pendingBytes += bytes);
  }

  /** Waits for the apply under way, then starts one of all that is pending. */
  async flush(place: ShardPlace): Promise<void> {
    await this.settle();
    const pending = this.#pending;
    const hasAtomics = this.#hasAtomics;
    this.#pending = [];
    this.#hasAtomics = false;
    this.#limitBytes = 0;
    this.pendingBytes = 0;
    this.#start(pending, hasAtomics, place);
  }

  /**
   * Starts applies of what is pending until the rest is within the limits. `place` is where things stand without the last record: of that one a part may be applied as well, if it is a clear in several
   * pieces, which may come again. One operation alone is left as it is: it goes with the record after it, or fails there.
   */
  async flushOver(place: ShardPlace): Promise<void> {
    while (this.isOver && this.#pending.length > 1) {
      await this.settle();
      const pending = this.#pending.splice(0, this.#countWithin());
      const hasAtomics = this.#hasAtomics;
      this.#hasAtomics = this.#pending.some(({ type }) => type === 'atomic');
      this.#limitBytes = this.#pending.reduce((sum, operation) => sum + limitBytesOf(operation), 0);
      this.pendingBytes = this.#limitBytes;
      this.#start(pending, hasAtomics, place);
    }
  }

  /** How many of the first are within the limits, or the first one alone. */
  #countWithin(): number {
    let bytes = 0;
    let count = 0;
    for (const operation of this.#pending) {
      bytes += limitBytesOf(operation);
      if (count === this.#mostOperations || bytes > this.#mostBytes) break;
      count++;
    }
    return Math.max(1, count);
  }

  #start(pending: readonly PendingOperation[], hasAtomics: boolean, place: ShardPlace): void {
    this.#running = this.#apply(pending, hasAtomics, place).catch((error: unknown) => {
      this.#failure = { error };
    });
  }

  /** Until no apply is under way. Throws what one has failed with. */
  async settle(): Promise<void> {
    await this.#running;
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  async #apply(pending: readonly PendingOperation[], hasAtomics: boolean, place: ShardPlace): Promise<void> {
    const operations = hasAtomics ? await evaluateBatch(pending, this.#options.target) : withoutAtomics(pending);
    // Not awaited here: a frame that waits would keep thousands of operations from the garbage collector, which then moves them about.
    return this.#applyOperations(operations, place);
  }

  #applyOperations(operations: readonly RestoreOperation[], place: ShardPlace): Promise<void> {
    const { target, restoreId, limits, onApplied } = this.#options;
    if (limits !== undefined) checkWithinLimits(operations, limits);
    const count = operations.length;
    return target.apply(operations, { restoreId, ...place }).then(() => {
      this.operations += count;
      onApplied(place);
    });
  }
}

function limitBytesOf(operation: PendingOperation): number {
  return operation.type === 'atomic' ? mostAtomicBytes(operation.mutation) : operationBytes(operation);
}

/** The same list, told that it holds none: a look at each would be for nothing. */
function withoutAtomics(
  pending: readonly PendingOperation[],
): readonly Exclude<PendingOperation, { type: 'atomic' }>[] {
  return pending as readonly Exclude<PendingOperation, { type: 'atomic' }>[];
}
