// The life of the etcd that is backed up: puts, deletes, transactions, and keys that end with their lease, all the time. It keeps a model of its own by revision, except of keys whose end is etcd's to decide.

import { setTimeout as sleep } from 'node:timers/promises';
import type { Etcd3, IRequestOp } from 'etcd3';
import { SimRandom } from '../../src/testing/simulation/random.js';

/** Keys and values as texts of one character per byte. */
export type Rows = Map<string, string>;

interface Written {
  readonly revision: number;
  /** undefined: deleted. */
  readonly rows: readonly (readonly [key: string, value: string | undefined])[];
}

const LANES = 3;
/** ms between two writes of a lane, at most. */
const LONGEST_PAUSE = 50;
const KEYS = 240;
/** Keys that end with their lease. */
export const LEASED = 'leased/';
/** s: about the shortest that etcd grants. */
const LEASE_TTL = 2;

export class DatabaseWriter {
  readonly problems: string[] = [];
  readonly #client: Etcd3;
  readonly #random: SimRandom;
  readonly #written: Written[] = [];
  #lanes: Promise<void>[] = [];
  #isStopping = false;
  #last = 0;

  /** The client stays its owner's. */
  constructor(client: Etcd3, seed: number) {
    this.#client = client;
    this.#random = new SimRandom(seed);
  }

  /** Of the writes that were answered: the newest revision. */
  get lastRevision(): number {
    return this.#last;
  }

  get writes(): number {
    return this.#written.length;
  }

  start(): void {
    this.#isStopping = false;
    this.#lanes = Array.from({ length: LANES }, () => this.#write());
  }

  /** Every write has been answered. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    await Promise.all(this.#lanes);
    this.#lanes = [];
  }

  /** All rows at the revision, but for those below LEASED. Every write up to it must have been answered. */
  rowsAt(revision: number): Rows {
    const rows: Rows = new Map();
    const upTo = this.#written.filter((written) => written.revision <= revision);
    for (const written of upTo.sort((a, b) => a.revision - b.revision)) {
      for (const [key, value] of written.rows) {
        if (value === undefined) rows.delete(key);
        else rows.set(key, value);
      }
    }
    return rows;
  }

  async #write(): Promise<void> {
    while (!this.#isStopping) {
      try {
        await this.#writeOnce();
      } catch (error) {
        // Whether it has taken effect nobody knows, so the model is of no use any more.
        this.problems.push(`a write has failed: ${String(error)}`);
        return;
      }
      await sleep(this.#random.int(0, LONGEST_PAUSE));
    }
  }

  async #writeOnce(): Promise<void> {
    const dice = this.#random.next();
    if (dice < 0.5) await this.#put();
    else if (dice < 0.65) await this.#delete();
    else if (dice < 0.68) await this.#deleteRange();
    else if (dice < 0.97) await this.#transact();
    else await this.#putWithLease();
  }

  async #put(): Promise<void> {
    const [key, value] = [this.#key(), this.#value()];
    const { header } = await this.#client.kv.put({ key: bytes(key), value: bytes(value) });
    this.#note(header.revision, [[key, value]]);
  }

  async #delete(): Promise<void> {
    const key = this.#key();
    const { header } = await this.#client.kv.deleteRange({ key: bytes(key) });
    this.#note(header.revision, [[key, undefined]]);
  }

  async #deleteRange(): Promise<void> {
    const begin = this.#random.int(0, KEYS - 1);
    const end = Math.min(KEYS, begin + this.#random.int(1, 10));
    const { header } = await this.#client.kv.deleteRange({ key: bytes(keyOf(begin)), range_end: bytes(keyOf(end)) });
    this.#note(
      header.revision,
      Array.from({ length: end - begin }, (_, i) => [keyOf(begin + i), undefined]),
    );
  }

  /** No key twice: etcd refuses that. */
  async #transact(): Promise<void> {
    const keys = new Set(Array.from({ length: this.#random.int(1, 12) }, () => this.#key()));
    const rows = [...keys].map((key) => [key, this.#random.chance(0.25) ? undefined : this.#value()] as const);
    const success: IRequestOp[] = rows.map(([key, value]) =>
      value === undefined
        ? { request_delete_range: { key: bytes(key) } }
        : { request_put: { key: bytes(key), value: bytes(value) } },
    );
    const { header } = await this.#client.kv.txn({ compare: [], success, failure: [] });
    this.#note(header.revision, rows);
  }

  async #putWithLease(): Promise<void> {
    const { ID } = await this.#client.leaseClient.leaseGrant({ TTL: LEASE_TTL });
    const key = `${LEASED}${this.#random.int(0, 20)}`;
    const { header } = await this.#client.kv.put({ key: bytes(key), value: bytes(this.#value()), lease: ID });
    this.#note(header.revision, []);
  }

  /** A delete that has found nothing is answered with a revision that is another's, and does no harm there: it was the state then. */
  #note(revision: string, rows: Written['rows']): void {
    this.#last = Math.max(this.#last, Number(revision));
    this.#written.push({ revision: Number(revision), rows });
  }

  #key(): string {
    return keyOf(this.#random.int(0, KEYS - 1));
  }

  #value(): string {
    const random = this.#random;
    const length = random.chance(0.01) ? random.int(5_000, 40_000) : Math.floor(400 ** random.next());
    return String.fromCharCode(...Array.from({ length }, () => random.int(0, 255)));
  }
}

/** What etcd itself says of a revision: all rows, or those that begin with a prefix. */
export async function readRows(client: Etcd3, revision: number): Promise<Rows> {
  const everything = Buffer.from([0]);
  const { kvs } = await client.kv.range({ key: everything, range_end: everything, revision: String(revision) });
  return new Map(kvs.map(({ key, value }) => [key.toString('latin1'), value.toString('latin1')]));
}

/** undefined: they are the same. */
export function differenceOf(actual: Rows, expected: Rows): string | undefined {
  for (const [key, value] of expected) {
    const found = actual.get(key);
    if (found === undefined) return `the row ${key} is missing`;
    if (found !== value) return `the row ${key} has another value`;
  }
  for (const key of actual.keys()) if (!expected.has(key)) return `there is a row ${key} that should not be`;
  return undefined;
}

function keyOf(key: number): string {
  return `k/${String(key).padStart(4, '0')}`;
}

function bytes(text: string): Buffer {
  return Buffer.from(text, 'latin1');
}
