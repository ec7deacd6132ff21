// What the clients of the example host write: transaction after transaction, each a function of the seed and its number. Every one also writes its number under one key, so that rows say themselves which
// was the last one in them: a version that holds a half of a transaction, or leaves one out, shows.

import { createHash } from 'node:crypto';
import { Transaction } from '../../examples/level-host/transaction.js';
import { applyToModel } from '../../src/testing/simulation/model-state.js';
import { SimRandom } from '../../src/testing/simulation/random.js';
import type { ModelRows } from './truth.js';

const LAST = Buffer.from('last');
export const LAST_KEY = LAST.toString('hex');
const KEYS = 300;

export function transactionOf(seed: number, number: number): Transaction {
  const random = new SimRandom(seed ^ Math.imul(number, 0x9e3779b1));
  const transaction = new Transaction();
  const count = random.chance(0.01) ? random.int(50, 200) : random.int(1, 6);
  for (let i = 0; i < count; i++) draw(random, transaction);
  return transaction.set(LAST, encodeNumber(number));
}

function draw(random: SimRandom, transaction: Transaction): void {
  const key = random.int(0, KEYS - 1);
  const dice = random.next();
  if (dice < 0.65) transaction.set(keyOf(key), bytes(random, Math.floor(800 ** random.next())));
  else if (dice < 0.85) transaction.add(keyOf(key), bytes(random, random.int(1, 8)));
  else if (dice < 0.95) transaction.clear(keyOf(key));
  else transaction.clearRange(keyOf(key), keyOf(key + random.int(1, 30)));
}

function keyOf(key: number): Uint8Array {
  return Buffer.from(`key/${String(key).padStart(5, '0')}`);
}

function bytes(random: SimRandom, length: number): Uint8Array {
  return Uint8Array.from({ length }, () => random.next32() & 0xff);
}

export function encodeNumber(number: number): Uint8Array {
  const encoded = Buffer.alloc(8);
  encoded.writeBigUInt64BE(BigInt(number));
  return encoded;
}

/** The number of the last transaction in these rows; 0: there was none. */
export function lastTransaction(rows: ModelRows): number {
  const value = rows.get(LAST_KEY);
  return value === undefined ? 0 : Number(Buffer.from(value).readBigUInt64BE());
}

/** The rows after so many transactions. Asked in ascending order it goes on from where it was. */
export class HostModel {
  readonly #seed: number;
  #rows: ModelRows = new Map();
  #number = 0;

  constructor(seed: number) {
    this.#seed = seed;
  }

  rowsAfter(number: number): ModelRows {
    if (number < this.#number) {
      this.#rows = new Map();
      this.#number = 0;
    }
    while (this.#number < number) {
      for (const mutation of transactionOf(this.#seed, ++this.#number).mutations) applyToModel(this.#rows, mutation);
    }
    return this.#rows;
  }

  digestAfter(number: number): string {
    const digest = new RowDigest();
    const rows = this.rowsAfter(number);
    for (const key of [...rows.keys()].sort()) digest.add(Buffer.from(key, 'hex'), rows.get(key) as Uint8Array);
    return digest.end();
  }
}

/** Of rows in key order. */
export class RowDigest {
  readonly #hash = createHash('sha256');

  add(key: Uint8Array, value: Uint8Array): void {
    this.#hash.update(`${key.length} ${value.length} `).update(key).update(value);
  }

  end(): string {
    return this.#hash.digest('hex');
  }
}
