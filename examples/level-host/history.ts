// What the workload knows of its own: every transaction that the database has acknowledged. Rows at any version follow from it. It shares no code with the
// database or the library (numbers are added as numbers, keys are hex), so that an error in one does not hide the same error in the other.

import { MutationType, type Mutation, type Version } from 'tidemark';

export interface CommittedTransaction {
  readonly version: Version;
  readonly mutations: readonly Mutation[];
}

/** Hex key to hex value. */
export type ModelRows = Map<string, string>;

export class History {
  readonly #transactions: CommittedTransaction[] = [];
  #sorted = true;

  /** In any order: with several transactions in flight the acknowledgements may overtake each other. */
  record(transaction: CommittedTransaction): void {
    this.#transactions.push(transaction);
    this.#sorted = false;
  }

  /** In version order. */
  get transactions(): readonly CommittedTransaction[] {
    if (!this.#sorted) this.#transactions.sort((a, b) => (a.version < b.version ? -1 : 1));
    this.#sorted = true;
    return this.#transactions;
  }

  get size(): number {
    return this.#transactions.length;
  }

  get lastVersion(): Version {
    return this.transactions.at(-1)?.version ?? 0n;
  }

  /** The rows as they were at `version`. */
  rowsAt(version: Version): ModelRows {
    return new Replay(this).advanceTo(version);
  }
}

/** Plays a history, once, through ascending versions. */
export class Replay {
  readonly #transactions: readonly CommittedTransaction[];
  readonly #rows: ModelRows = new Map();
  #next = 0;

  constructor(history: History) {
    this.#transactions = history.transactions;
  }

  /** The rows as they were at `version`: the same map every time, brought up to date. */
  advanceTo(version: Version): ModelRows {
    for (; this.#next < this.#transactions.length; this.#next++) {
      const transaction = this.#transactions[this.#next];
      if (transaction === undefined || transaction.version > version) break;
      for (const mutation of transaction.mutations) change(this.#rows, mutation);
    }
    return this.#rows;
  }
}

function change(rows: ModelRows, { type, param1, param2 }: Mutation): void {
  const key = hex(param1);
  if (type === MutationType.SetValue) {
    rows.set(key, hex(param2));
  } else if (type === MutationType.AddValue) {
    rows.set(key, addAsNumbers(rows.get(key) ?? '', hex(param2)));
  } else {
    const end = hex(param2);
    for (const candidate of rows.keys()) if (candidate >= key && candidate < end) rows.delete(candidate);
  }
}

function addAsNumbers(old: string, operand: string): string {
  const bits = operand.length * 4;
  const sum = BigInt.asUintN(bits, littleEndian(old.slice(0, operand.length)) + littleEndian(operand));
  return reverseBytes(sum.toString(16).padStart(operand.length, '0'));
}

function littleEndian(hexBytes: string): bigint {
  return BigInt(`0x0${reverseBytes(hexBytes)}`);
}

function reverseBytes(hexBytes: string): string {
  return (hexBytes.match(/../g) ?? []).reverse().join('');
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

/** One line per row, "hex key, space, hex value", sorted by key. Hex sorts as the bytes do. */
export function formatRows(rows: ModelRows): string {
  return [...rows.keys()]
    .sort()
    .map((key) => `${key} ${rows.get(key)}\n`)
    .join('');
}
