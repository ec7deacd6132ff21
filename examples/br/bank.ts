// What keeps the transactional store busy: a bank. Money moves between accounts, accounts are opened and closed, and some have long notes. Whatever timestamp is looked at, the money is all there.

import type { ModelRows } from '../level-host/history.js';
import { SeededRandom, Zipf } from '../level-host/random.js';
import { MvccStore, WriteConflict, type MvccTransaction } from './mvcc-store.js';

const ACCOUNTS = 3_000;
const FIRST_BALANCE = 1_000;
export const TOTAL_MONEY = ACCOUNTS * FIRST_BALANCE;

interface Commit {
  readonly commitTs: bigint;
  readonly changes: ReadonlyMap<string, Uint8Array | undefined>;
}

export class Bank {
  readonly store = new MvccStore();
  readonly #random: SeededRandom;
  readonly #accounts = new Zipf(ACCOUNTS);
  /** What was acknowledged, in order: the rows at any timestamp follow from it, without a look into the store. */
  readonly #commits: Commit[] = [];
  #conflicts = 0;

  constructor(seed: number) {
    this.#random = new SeededRandom(seed);
    for (let from = 0; from < ACCOUNTS; from += 100) {
      const opening = this.store.begin();
      for (let i = from; i < from + 100; i++) opening.set(accountKey(i), balance(FIRST_BALANCE));
      this.#commit(opening);
    }
  }

  get committed(): number {
    return this.#commits.length;
  }

  get conflicts(): number {
    return this.#conflicts;
  }

  /** Keys at which the store's regions begin. */
  get splitKeys(): readonly string[] {
    return [accountKey(1_000), accountKey(2_000), 'note/'];
  }

  /** Two transactions at a time, so that some conflict; lets others have a turn now and then. */
  async run(count: number, signal: AbortSignal): Promise<void> {
    for (let i = 0; i < count; i += 2) {
      const pair = [this.store.begin(), this.store.begin()];
      for (const transaction of pair) this.#change(transaction);
      for (const transaction of pair) this.#tryToCommit(transaction);
      if (i % 50 === 0) await new Promise(setImmediate);
      signal.throwIfAborted();
    }
  }

  /** Hex key to hex value, as they were at the timestamp. */
  rowsAt(ts: bigint): ModelRows {
    const rows: ModelRows = new Map();
    for (const { commitTs, changes } of this.#commits) {
      if (commitTs > ts) break;
      for (const [key, value] of changes) {
        const hexKey = Buffer.from(key).toString('hex');
        if (value === undefined) rows.delete(hexKey);
        else rows.set(hexKey, Buffer.from(value).toString('hex'));
      }
    }
    return rows;
  }

  #tryToCommit(transaction: MvccTransaction): void {
    try {
      this.#commit(transaction);
    } catch (error) {
      // The other one was first: as in any such database, the client would try again.
      if (!(error instanceof WriteConflict)) throw error;
      this.#conflicts++;
    }
  }

  #commit(transaction: MvccTransaction): void {
    const { changes } = transaction;
    this.#commits.push({ commitTs: transaction.commit(), changes });
  }

  #change(transaction: MvccTransaction): void {
    const dice = this.#random.next();
    if (dice < 0.7) this.#transfer(transaction);
    else if (dice < 0.9) this.#note(transaction);
    else transaction.delete(noteKey(this.#accounts.pick(this.#random)));
  }

  /** An account that has nothing left is closed, one that gets something is opened again. */
  #transfer(transaction: MvccTransaction): void {
    const [from, to] = [this.#accounts.pick(this.#random), this.#random.below(ACCOUNTS)].map(accountKey) as [string, string]; // prettier-ignore
    const available = moneyOf(transaction.get(from));
    if (from === to || available === 0) return this.#note(transaction);
    const amount = this.#random.chance(0.1) ? available : 1 + this.#random.below(available);
    if (amount === available) transaction.delete(from);
    else transaction.set(from, balance(available - amount));
    transaction.set(to, balance(moneyOf(transaction.get(to)) + amount));
  }

  /** Values up to 255 bytes are stored with their write record, longer ones by themselves: here are both. */
  #note(transaction: MvccTransaction): void {
    transaction.set(noteKey(this.#accounts.pick(this.#random)), this.#random.bytes(this.#random.mixedSize(2_000)));
  }
}

/** The sum of all balances. */
export function moneyIn(rows: ModelRows): number {
  let sum = 0;
  for (const [key, value] of rows) {
    if (Buffer.from(key, 'hex').toString().startsWith('account/')) sum += moneyOf(Buffer.from(value, 'hex'));
  }
  return sum;
}

function balance(money: number): Uint8Array {
  return Buffer.from(String(money));
}

function moneyOf(value: Uint8Array | undefined): number {
  return value === undefined ? 0 : Number(Buffer.from(value).toString());
}

function accountKey(account: number): string {
  return `account/${String(account).padStart(5, '0')}`;
}

function noteKey(account: number): string {
  return `note/${String(account).padStart(5, '0')}`;
}
