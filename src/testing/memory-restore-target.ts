// A restore target in memory: for tests and simulations, and the shortest complete example of the port.

import { BackupError } from '../core/errors.js';
import type { KeyRange } from '../core/key-range.js';
import { operationBytes } from '../ports/apply-limits.js';
import type {
  RestoreCheckpoint,
  RestoreLimits,
  RestoreOperation,
  RestoreShard,
  RestoreTarget,
} from '../ports/restore-target.js';

export interface MemoryRow {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

export interface MemoryRestoreTargetOptions {
  /** What it takes at once: an apply of more is refused, as a database with such limits would. Default: anything. */
  readonly limits?: RestoreLimits | undefined;
  /** Called before each apply; throwing makes the apply fail with nothing applied: fault injection. */
  readonly beforeApply?:
    ((operations: readonly RestoreOperation[], checkpoint: RestoreCheckpoint) => void | Promise<void>) | undefined;
  /** Called after each apply has taken effect; throwing makes the caller believe that it failed. */
  readonly afterApply?: ((checkpoint: RestoreCheckpoint) => void | Promise<void>) | undefined;
}

/** Rows are kept in key order. What is written is copied. */
export class MemoryRestoreTarget implements RestoreTarget {
  /** Keys as strings of one character per byte: those compare as the bytes do. Sorted. */
  readonly #keys: string[] = [];
  readonly #values = new Map<string, Uint8Array>();
  readonly #options: MemoryRestoreTargetOptions;
  /** By the shard's name; '' is the target's own. */
  readonly #checkpoints = new Map<string, RestoreCheckpoint>();
  #applies = 0;

  constructor(options: MemoryRestoreTargetOptions = {}) {
    this.#options = options;
  }

  get limits(): RestoreLimits | undefined {
    return this.#options.limits;
  }

  /** Number of keys that have a value. */
  get size(): number {
    return this.#values.size;
  }

  /** How many times `apply` has taken effect. */
  get applies(): number {
    return this.#applies;
  }

  /** All rows, or those of `range`, in key order. */
  *rows(range?: KeyRange): IterableIterator<MemoryRow> {
    const from = range === undefined ? 0 : this.#lowerBound(text(range.begin));
    const to = range === undefined ? this.#keys.length : this.#lowerBound(text(range.end));
    for (const key of this.#keys.slice(from, to)) {
      yield { key: new Uint8Array(Buffer.from(key, 'latin1')), value: this.#values.get(key) as Uint8Array };
    }
  }

  get(key: Uint8Array): Uint8Array | undefined {
    return this.#values.get(text(key));
  }

  /** Writes a row beside any restore. */
  put(key: Uint8Array, value: Uint8Array): void {
    this.#set(text(key), new Uint8Array(value));
  }

  read(keys: readonly Uint8Array[]): Promise<readonly (Uint8Array | undefined)[]> {
    return Promise.resolve(keys.map((key) => this.get(key)));
  }

  apply(operations: readonly RestoreOperation[], checkpoint: RestoreCheckpoint): Promise<void> {
    return this.#apply('', operations, checkpoint);
  }

  async #apply(name: string, operations: readonly RestoreOperation[], checkpoint: RestoreCheckpoint): Promise<void> {
    await this.#options.beforeApply?.(operations, checkpoint);
    this.#checkLimits(operations);
    for (const operation of operations) {
      if (operation.type === 'set') this.put(operation.key, operation.value);
      else this.#clear(text(operation.begin), text(operation.end));
    }
    this.#checkpoints.set(name, { ...checkpoint });
    this.#applies++;
    await this.#options.afterApply?.(checkpoint);
  }

  #checkLimits(operations: readonly RestoreOperation[]): void {
    const { limits } = this.#options;
    if (limits === undefined) return;
    const bytes = operations.reduce((sum, operation) => sum + operationBytes(operation), 0);
    if (operations.length <= limits.operations && bytes <= limits.bytes) return;
    throw new BackupError(
      'INVALID_OPTION',
      `an apply of ${operations.length} operations and ${bytes} bytes, where ${limits.operations} and ${limits.bytes} are the limits`,
    );
  }

  checkpoint(): Promise<RestoreCheckpoint | undefined> {
    return Promise.resolve(this.#checkpoints.get(''));
  }

  shard(name: string): RestoreShard {
    return {
      read: (keys) => this.read(keys),
      apply: (operations, checkpoint) => this.#apply(name, operations, checkpoint),
      checkpoint: () => Promise.resolve(this.#checkpoints.get(name)),
    };
  }

  isEmpty(range: KeyRange): Promise<boolean> {
    const key = this.#keys[this.#lowerBound(text(range.begin))];
    return Promise.resolve(key === undefined || key >= text(range.end));
  }

  #set(key: string, value: Uint8Array): void {
    if (!this.#values.has(key)) this.#keys.splice(this.#lowerBound(key), 0, key);
    this.#values.set(key, value);
  }

  #clear(begin: string, end: string): void {
    const from = this.#lowerBound(begin);
    const to = this.#lowerBound(end);
    if (from >= to) return;
    for (const key of this.#keys.splice(from, to - from)) this.#values.delete(key);
  }

  /** Index of the first key at or above `key`. */
  #lowerBound(key: string): number {
    let low = 0;
    let high = this.#keys.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#keys[middle] as string) < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}
