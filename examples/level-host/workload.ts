// Clients that keep the database busy: accounts with values of mixed sizes, counters, and an index whose stretches are cleared now and then. Keys are skewed: a few are hot,
// most are cold. A seed decides every transaction.

import { setTimeout as sleep } from 'node:timers/promises';
import { History } from './history.js';
import type { LevelDatabase } from './level-database.js';
import { SeededRandom, Zipf } from './random.js';
import { Transaction } from './transaction.js';

const ACCOUNTS = 4_000;
const COUNTERS = 1_000;
const INDEX_GROUPS = 200;
const CLIENTS = 32;

export interface WorkloadOptions {
  readonly seed: number;
  /** Transactions per second, about: the demo wants to see a backup that keeps up, not a load as fast as can be. */
  readonly rate: number;
}

export class Workload {
  readonly history = new History();
  readonly #database: LevelDatabase;
  readonly #random: SeededRandom;
  readonly #rate: number;
  readonly #accounts = new Zipf(ACCOUNTS);
  readonly #counters = new Zipf(COUNTERS);
  readonly #groups = new Zipf(INDEX_GROUPS);

  constructor(database: LevelDatabase, { seed, rate }: WorkloadOptions) {
    this.#database = database;
    this.#random = new SeededRandom(seed);
    this.#rate = rate;
  }

  get committed(): number {
    return this.history.size;
  }

  /** Commits `count` transactions, with many clients side by side. */
  async run(count: number, signal: AbortSignal): Promise<void> {
    const started = performance.now();
    let begun = 0;
    const client = async (): Promise<void> => {
      const own = AbortSignal.any([signal]); // Node warns of many listeners on one signal
      while (begun < count) {
        const early = (begun++ / this.#rate) * 1000 - (performance.now() - started);
        if (early > 5) await sleep(early, undefined, { signal: own });
        signal.throwIfAborted();
        await this.#commit();
      }
    };
    await Promise.all(Array.from({ length: Math.min(CLIENTS, count) }, client));
  }

  async #commit(): Promise<void> {
    const transaction = this.#transaction();
    const version = await this.#database.commit(transaction);
    this.history.record({ version, mutations: transaction.mutations });
  }

  #transaction(): Transaction {
    const transaction = new Transaction();
    const changes = this.#random.chance(0.002) ? 300 : this.#random.mixedSize(12);
    for (let i = 0; i < changes; i++) this.#change(transaction);
    return transaction;
  }

  #change(transaction: Transaction): void {
    const random = this.#random;
    const dice = random.next();
    if (dice < 0.5) transaction.set(this.#account(), this.#value());
    else if (dice < 0.75)
      transaction.add(
        random.chance(0.95) ? this.#counter() : this.#account(),
        random.bytes(random.chance(0.9) ? 8 : random.mixedSize(16)),
      );
    else if (dice < 0.9) transaction.set(key('index', this.#groups.pick(random), random.below(50)), random.bytes(4));
    else if (dice < 0.97) transaction.clear(this.#account());
    else this.#clearRange(transaction);
  }

  #value(): Uint8Array {
    return this.#random.bytes(this.#random.chance(0.001) ? 60_000 : this.#random.mixedSize(4_000) - 1);
  }

  /** Mostly a group of the index; sometimes a stretch of counters, or one that reaches over from the accounts into the counters. */
  #clearRange(transaction: Transaction): void {
    const dice = this.#random.next();
    const group = this.#groups.pick(this.#random);
    const counter = this.#random.below(COUNTERS - 20);
    if (dice < 0.9) transaction.clearRange(key('index', group), key('index', group + 1));
    else if (dice < 0.98) transaction.clearRange(key('counter', counter), key('counter', counter + 20));
    else transaction.clearRange(key('account', ACCOUNTS - 100), key('counter', 20));
  }

  #account(): Uint8Array {
    return key('account', this.#accounts.pick(this.#random));
  }

  #counter(): Uint8Array {
    return key('counter', this.#counters.pick(this.#random));
  }
}

/** table/00042/00007 */
export function key(table: string, ...numbers: number[]): Uint8Array {
  return Buffer.from([table, ...numbers.map((number) => String(number).padStart(5, '0'))].join('/'));
}
