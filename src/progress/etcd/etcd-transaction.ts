// One run of a transaction's body: all it reads is of one revision of etcd, its writes it keeps to itself, and it remembers what it read. It must never show two states to one run.

import type { IKeyValue, IRangeResponse } from 'etcd3';
import { BackupError } from '../../core/errors.js';
import type { ProgressEntry, ProgressTransaction } from '../../ports/progress-store.js';
import { etcdFault } from '../../etcd/errors.js';
import { revisionNumber } from '../../etcd/keys.js';
import { OwnWrites } from '../own-writes.js';
import { checkProgressKey } from '../progress-key.js';
import type { StoreCalls } from './store-calls.js';
import type { StoreKeys } from './store-keys.js';

/** What one key was at the transaction's revision. */
export interface ReadValue {
  /** At which revision it was written last; 0: there is no value. */
  readonly modified: number;
  readonly value: Uint8Array | undefined;
}

export interface ReadRange {
  readonly begin: string;
  /** Exclusive. */
  readonly end: string;
}

/** Entries of one page of a range. With records of a few kilobytes an answer stays far below the 4 MiB that gRPC takes. */
const PAGE = 256;

const NOTHING: ReadValue = { modified: 0, value: undefined };

export class EtcdTransaction implements ProgressTransaction {
  readonly #calls: StoreCalls;
  readonly #keys: StoreKeys;
  /** Keys that were asked for by themselves or found in a range. */
  readonly #read = new Map<string, ReadValue>();
  readonly #ranges: ReadRange[] = [];
  readonly #own = new OwnWrites();
  /** Resolves to the revision; the first read makes it. */
  #start: Promise<number> | undefined;
  #failure: unknown;

  constructor(calls: StoreCalls, keys: StoreKeys) {
    this.#calls = calls;
    this.#keys = keys;
  }

  async get(key: string): Promise<Uint8Array | undefined> {
    this.#own.checkOpen();
    checkProgressKey(key);
    if (this.#own.has(key)) return this.#own.get(key);
    return (await this.#valueOf(key)).value?.slice();
  }

  async getRange(begin: string, end: string): Promise<readonly ProgressEntry[]> {
    this.#own.checkOpen();
    if (begin >= end) return [];
    const found = await this.#entriesOf({ begin: asciiBound(begin), end: asciiBound(end) });
    return this.#own.over(found, begin, end);
  }

  set(key: string, value: Uint8Array): void {
    this.#own.set(key, value);
  }

  clear(key: string): void {
    this.#own.clear(key);
  }

  /** The body has returned. */
  end(): void {
    this.#own.end();
  }

  get reads(): ReadonlyMap<string, ReadValue> {
    return this.#read;
  }

  get ranges(): readonly ReadRange[] {
    return this.#ranges;
  }

  get writes(): ReadonlyMap<string, Uint8Array | undefined> {
    return this.#own.all;
  }

  /** Why a read failed, whatever the body made of it. */
  get failure(): unknown {
    return this.#failure;
  }

  /** Its revision was compacted while the body ran: nothing is wrong but that it took too long. */
  get isTooOld(): boolean {
    return BackupError.is(this.#failure, 'ETCD_COMPACTED');
  }

  /** The revision that all reads are of. Where nothing has been read yet, it is the newest. */
  async revision(): Promise<number> {
    if (this.#start === undefined) await this.lastCommit();
    return this.#start as Promise<number>;
  }

  /** What the store's `commit` key holds at the transaction's revision. */
  async lastCommit(): Promise<IKeyValue | undefined> {
    return (await this.#at({ key: this.#keys.commit })).kvs[0];
  }

  async #valueOf(key: string): Promise<ReadValue> {
    const known = this.#known(key);
    if (known !== undefined) return known;
    const { kvs } = await this.#at({ key: this.#keys.encode(key) });
    const value = this.#known(key) ?? toReadValue(kvs[0]);
    this.#read.set(key, value);
    return value;
  }

  /** What earlier reads have told about the key. */
  #known(key: string): ReadValue | undefined {
    const isInRange = this.#ranges.some(({ begin, end }) => key >= begin && key < end);
    return this.#read.get(key) ?? (isInRange ? NOTHING : undefined);
  }

  async #entriesOf(range: ReadRange): Promise<[string, Uint8Array][]> {
    const entries: [string, ReadValue][] = [];
    const rangeEnd = this.#keys.encode(range.end);
    let limit = PAGE;
    for (let from = this.#keys.encode(range.begin); ;) {
      const page = await this.#page({ key: from, range_end: rangeEnd, limit });
      if (page === undefined) {
        limit = Math.ceil(limit / 4);
        continue;
      }
      for (const kv of page.kvs) entries.push([this.#keys.decode(kv.key), toReadValue(kv)]);
      const last = page.kvs.at(-1);
      if (!page.more || last === undefined) break;
      from = Buffer.concat([last.key, Buffer.from([0])]);
    }
    // Only now: a range counts as read when all of it is.
    for (const [key, value] of entries) this.#read.set(key, value);
    this.#ranges.push(range);
    return entries.map(([key, { value }]) => [key, value as Uint8Array]);
  }

  /** undefined: it is too large for one answer, and fewer entries may not be. */
  async #page(request: { key: Buffer; range_end: Buffer; limit: number }): Promise<IRangeResponse | undefined> {
    try {
      return await this.#at(request);
    } catch (error) {
      if (request.limit === 1 || !isTooLarge(error)) throw error;
      if (this.#failure === error) this.#failure = undefined;
      return undefined;
    }
  }

  /** The first read is linearizable: it sees all that was committed before the transaction began. Its revision is that of all. */
  async #at(request: {
    key: Buffer;
    range_end?: Buffer;
    limit?: number;
    keys_only?: boolean;
  }): Promise<IRangeResponse> {
    try {
      if (this.#start !== undefined) return await this.#calls.range({ ...request, revision: await this.#start });
      const first = this.#calls.range(request);
      const start = first.then(({ header }) => revisionNumber(header.revision));
      this.#start = start;
      // It is this read's failure; whoever else waits for it has it too.
      start.catch(() => (this.#start = undefined));
      return await first;
    } catch (error) {
      this.#failure ??= error;
      throw error;
    }
  }
}

function isTooLarge(error: unknown): boolean {
  return BackupError.is(error) && etcdFault(error.cause) === 'too-large';
}

/** Plain memory: what the client gives is a part of a larger buffer. */
function toReadValue(kv: IKeyValue | undefined): ReadValue {
  return kv === undefined ? NOTHING : { modified: revisionNumber(kv.mod_revision), value: new Uint8Array(kv.value) };
}

/** Keys are ASCII: from where a bound is not, every key that could go on with it is below it, and below this. */
function asciiBound(bound: string): string {
  const at = bound.search(/[\u0080-\uffff]/);
  return at < 0 ? bound : `${bound.slice(0, at)}\x7f`;
}
