// What is on its way into one shard of the target: a batch being filled while the one before it is applied. Every apply carries the checkpoint from which a restore that dies right
// after it goes on.

import type { Mutation } from '../core/mutation.js';
import type { RestoreCheckpoint, RestoreOperation, RestoreShard } from '../ports/restore-target.js';
import type { PendingOperation } from './evaluate-batch.js';
import { evaluateBatch } from './evaluate-batch.js';

export type ShardPlace = Pick<RestoreCheckpoint, 'phase' | 'version' | 'cursor'>;

export interface ShardWriterOptions {
  readonly target: RestoreShard;
  readonly restoreId: string;
  /** Called after each apply. */
  readonly onApplied: (place: ShardPlace) => void;
}

export class ShardWriter {
  readonly #options: ShardWriterOptions;
  #pending: PendingOperation[] = [];
  #hasAtomics = false;
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
  }

  // Each gives the bytes that are pending with it.

  set(key: Uint8Array, value: Uint8Array, bytes: number): number {
    this.#pending.push({ type: 'set', key, value });
    this.added++;
    return (this.pendingBytes += bytes);
  }

  clear(begin: Uint8Array, end: Uint8Array, bytes: number): number {
    this.#pending.push({ type: 'clear', begin, end });
    this.added++;
    return (this.pendingBytes += bytes);
  }

  atomic(mutation: Mutation, bytes: number): number {
    this.#pending.push({ type: 'atomic', mutation });
    this.#hasAtomics = true;
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
    this.pendingBytes = 0;
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
    const { target, restoreId, onApplied } = this.#options;
    const count = operations.length;
    return target.apply(operations, { restoreId, ...place }).then(() => {
      this.operations += count;
      onApplied(place);
    });
  }
}

/** The same list, told that it holds none: a look at each would be for nothing. */
function withoutAtomics(
  pending: readonly PendingOperation[],
): readonly Exclude<PendingOperation, { type: 'atomic' }>[] {
  return pending as readonly Exclude<PendingOperation, { type: 'atomic' }>[];
}
