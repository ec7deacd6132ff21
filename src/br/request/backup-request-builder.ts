// Puts a backup request together, step by step, each checked where it is taken. A builder never changes: every step gives a new one, so that what many requests share is said once.

import { inspect } from 'node:util';
import { compareBytes, isBytes } from '../../core/bytes.js';
import { checkWholeNumber } from '../../core/check-option.js';
import { BackupError } from '../../core/errors.js';
import type { BrCipher, BrInit, BrKeyRange } from '../../format/br/messages.js';
import type { BrContext } from '../../format/br/request-messages.js';
import {
  MAX_INT64,
  MIN_INT64,
  tableRange,
  tableRecordPrefixRange,
  tableRecordRange,
} from '../../format/br/table-key.js';
import { BackupRequest } from './backup-request.js';
import type { BackupRequestFacts, RequestApiVersion } from './backup-request.js';
import { containsRange, endsBefore, formatBrRange, isEmptyRange } from '../backup/br-range.js';
import { StorageBackend } from './storage-backend.js';
import { storageFromUrl } from './storage-url.js';

/**
 * Which keys of a table: `records`, the rows from handle -2^63 to 2^63 - 1, both inclusive, as BR and mbr encode them (mbr alone leaves the last handle out: its end key has no zero byte behind it); `rows`, everything behind
 * the record prefix, whatever the handles are; `all`, indexes too.
 */
export type TablePart = 'records' | 'rows' | 'all';

/** A table as it lies in the keys: a partitioned one has its rows under the ids of its partitions. */
export interface TableIds {
  readonly id: bigint;
  readonly partitions?: readonly { readonly id: bigint }[] | undefined;
}

const MAX_UINT64 = (1n << 64n) - 1n;
const TABLE_PARTS = { records: tableRecordRange, rows: tableRecordPrefixRange, all: tableRange } as const;
const KEY_BYTES = { plaintext: 0, 'aes128-ctr': 16, 'aes192-ctr': 24, 'aes256-ctr': 32 } as const;
const COMPRESSIONS = ['lz4', 'snappy', 'zstd'] as const;
const API_VERSIONS: readonly RequestApiVersion[] = ['v1', 'v1ttl', 'v2'];
/** TiKV's column families that rows can be in. */
const FAMILIES: readonly string[] = ['default', 'write', 'lock'];

interface State extends Partial<Omit<BackupRequestFacts, 'ranges'>> {
  readonly ranges: readonly BrKeyRange[];
  readonly subRanges?: readonly BrKeyRange[];
  readonly storage?: StorageBackend;
  readonly hasVersions?: boolean;
}

/**
 * ```ts
 * const nightly = new BackupRequestBuilder().clusterId(id).storage('s3://bucket/monday').compression('zstd', 3);
 * const request = nightly.table(71n).versions({ at: timestamp }).build();
 * ```
 *
 * Every step throws INVALID_OPTION, which names what is wrong.
 */
export class BackupRequestBuilder {
  // Set by #with alone, on a builder that nobody has yet.
  #state: State = { ranges: [] };
  #cipher: BrCipher | undefined;

  /** Of PD: a store of another cluster refuses the request. */
  clusterId(clusterId: bigint): BackupRequestBuilder {
    return this.#with({ clusterId: checkUint64('clusterId', clusterId) });
  }

  /** One more range of keys: begin inclusive, end exclusive; empty ones are no bounds. User keys as they are, not memcomparable. Ranges of one request do not overlap. */
  range(startKey: Uint8Array, endKey: Uint8Array): BackupRequestBuilder {
    return this.#add([{ startKey, endKey }]);
  }

  /** As many calls of `range`. */
  ranges(ranges: Iterable<BrKeyRange>): BackupRequestBuilder {
    return this.#add([...ranges]);
  }

  /** Narrows the request's one range to parts of it: in key order, disjoint, inside. For going on with a backup of which something is done. Stores before TiKV 6.5 pass over them, and answer for the whole. */
  subRanges(ranges: readonly BrKeyRange[]): BackupRequestBuilder {
    const subRanges = ranges.map(checkedRange);
    subRanges.forEach((range, i) => {
      const last = subRanges[i - 1];
      if (last === undefined || endsBefore(last.endKey, range.startKey)) return;
      throw invalid(
        'subRanges',
        `must be in key order without overlap, got ${formatBrRange(range)} after ${formatBrRange(last)}`,
      );
    });
    if (subRanges.length === 0) throw invalid('subRanges', 'must have a range');
    return this.#with({ subRanges });
  }

  /** One more table, or partition, by its physical id. */
  table(tableId: bigint, part: TablePart = 'records'): BackupRequestBuilder {
    return this.#add([rangeOfTable(tableId, part)]);
  }

  /** All tables of a database: what `BackupMeta`'s schemas, or TiDB's information schema, list. Of a partitioned table its partitions. */
  database(tables: Iterable<TableIds>, part: TablePart = 'records'): BackupRequestBuilder {
    const ids = [...tables].flatMap(({ id, partitions = [] }) =>
      partitions.length === 0 ? [id] : partitions.map((partition) => partition.id),
    );
    if (ids.length === 0) throw invalid('database', 'must have a table');
    return this.#add(ids.map((id) => rangeOfTable(id, part)));
  }

  /** What is backed up of transactional data: at the timestamp `at`; with `since`, changes after that one, up to `at` inclusive. */
  versions({ at, since = 0n }: { readonly at: bigint; readonly since?: bigint }): BackupRequestBuilder {
    checkUint64('versions.at', at);
    checkUint64('versions.since', since);
    if (since >= at) throw invalid('versions.since', `must be below versions.at, got ${since} and ${at}`);
    return this.#with({ startVersion: since, endVersion: at, hasVersions: true });
  }

  /** Raw KV instead of transactional data: it has no versions. */
  raw(cf = 'default'): BackupRequestBuilder {
    if (!FAMILIES.includes(cf)) throw invalid('cf', `must be one of ${FAMILIES.join(', ')}, got ${JSON.stringify(cf)}`);
    return this.#with({ isRawKv: true, cf });
  }

  /** Where the stores write. A URL as BR takes it: see storageFromUrl. */
  storage(storage: StorageBackend | string): BackupRequestBuilder {
    const backend = typeof storage === 'string' ? storageFromUrl(storage) : storage;
    if (!(backend instanceof StorageBackend)) throw invalid('storage', 'must be a StorageBackend or a URL');
    return this.#with({ storage: backend });
  }

  /** Ranges that each store works on at a time. Newer stores go by their own configuration. Default: the store's. */
  concurrency(concurrency: number): BackupRequestBuilder {
    return this.#with({ concurrency: checkWholeNumber('concurrency', concurrency, 1, 2 ** 32 - 1) });
  }

  /** Bytes per second, of each store. Default: no limit. */
  rateLimit(bytesPerSecond: number | bigint): BackupRequestBuilder {
    const rate =
      typeof bytesPerSecond === 'bigint' ? bytesPerSecond : BigInt(checkWholeNumber('rateLimit', bytesPerSecond, 1));
    if (rate === 0n) throw invalid('rateLimit', 'must be at least 1');
    return this.#with({ rateLimit: checkUint64('rateLimit', rate) });
  }

  /** Of the files' blocks. Level 0 is the codec's default; some codecs have negative ones. Default: zstd, at the store's level. */
  compression(type: (typeof COMPRESSIONS)[number], level = 0): BackupRequestBuilder {
    if (!COMPRESSIONS.includes(type)) throw invalid('compression', `must be one of ${COMPRESSIONS.join(', ')}`);
    const compressionLevel = checkWholeNumber('compression level', level, -(2 ** 31), 2 ** 31 - 1);
    return this.#with({ compression: type, compressionLevel });
  }

  /** Encrypts the files; `backupmeta` is encrypted by who writes it. The key is copied. */
  cipher({ method, key }: BrCipher): BackupRequestBuilder {
    if (!Object.hasOwn(KEY_BYTES, method)) {
      throw invalid('cipher.method', `must be one of ${Object.keys(KEY_BYTES).join(', ')}`);
    }
    const bytes = KEY_BYTES[method];
    if (!isBytes(key) || key.length !== bytes) throw invalid('cipher.key', `must be ${bytes} bytes for ${method}`);
    return this.#with({}, { method, key: key.slice() });
  }

  /** How keys and values of raw KV are encoded in the files: the cluster's own `api-version`. (A cluster of v1 can convert to v2, but then answers for ranges of v2's keys, which were not asked for: ADAPTER_CONTRACT.) Default: v1. */
  apiVersion(apiVersion: RequestApiVersion): BackupRequestBuilder {
    if (!API_VERSIONS.includes(apiVersion)) {
      throw invalid('apiVersion', `must be one of ${API_VERSIONS.join(', ')}, got ${JSON.stringify(apiVersion)}`);
    }
    return this.#with({ apiVersion });
  }

  /** Also followers read, not only leaders. Several stores then answer for a region; of its answers one is kept. Default false. */
  replicaRead(replicaRead = true): BackupRequestBuilder {
    return this.#with({ replicaRead });
  }

  /** What stores account the request to: `requestSource`, a resource group. */
  context(context: BrInit<BrContext>): BackupRequestBuilder {
    return this.#with({ context });
  }

  /** INVALID_OPTION for what is missing, or does not go together. */
  build(): BackupRequest {
    const { storage, clusterId, isRawKv = false, hasVersions = false } = this.#state;
    if (clusterId === undefined) throw invalid('clusterId', 'is missing');
    if (storage === undefined) throw invalid('storage', 'is missing');
    if (isRawKv && hasVersions) throw invalid('versions', 'are of transactional data: raw KV has none');
    if (!isRawKv && !hasVersions) throw invalid('versions', 'are missing (or is it raw KV?)');
    const { cf = '', startVersion = 0n, endVersion = 0n, rateLimit = 0n, concurrency = 0 } = this.#state;
    const {
      compression = 'unknown',
      compressionLevel = 0,
      apiVersion = 'v1',
      replicaRead = false,
      context,
    } = this.#state;
    const facts: BackupRequestFacts = {
      ...{ clusterId, ranges: this.#ranges(), isRawKv, cf, startVersion, endVersion, rateLimit, concurrency },
      ...{ compression, compressionLevel, apiVersion, replicaRead, context },
    };
    return new BackupRequest(facts, storage, this.#cipher?.method === 'plaintext' ? undefined : this.#cipher);
  }

  [inspect.custom](): string {
    return 'BackupRequestBuilder';
  }

  #ranges(): readonly BrKeyRange[] {
    const { subRanges } = this.#state;
    const ranges = [...this.#state.ranges].sort((a, b) => compareBytes(a.startKey, b.startKey));
    const [first] = ranges;
    if (first === undefined) throw invalid('ranges', 'are missing: a range, a table or a database');
    ranges.forEach((range, i) => {
      const last = ranges[i - 1];
      if (last === undefined || endsBefore(last.endKey, range.startKey)) return;
      throw invalid('ranges', `must not overlap, got ${formatBrRange(last)} and ${formatBrRange(range)}`);
    });
    if (subRanges === undefined) return ranges;
    if (ranges.length > 1) throw invalid('subRanges', `are of one range, and there are ${ranges.length}`);
    const outside = subRanges.find((range) => !containsRange(first, range));
    if (outside === undefined) return subRanges;
    throw invalid('subRanges', `must lie in ${formatBrRange(first)}, got ${formatBrRange(outside)}`);
  }

  #add(ranges: readonly BrKeyRange[]): BackupRequestBuilder {
    return this.#with({ ranges: [...this.#state.ranges, ...ranges.map(checkedRange)] });
  }

  #with(change: Partial<State>, cipher = this.#cipher): BackupRequestBuilder {
    const builder = new BackupRequestBuilder();
    builder.#state = { ...this.#state, ...change };
    builder.#cipher = cipher;
    return builder;
  }
}

function checkedRange({ startKey, endKey }: BrKeyRange): BrKeyRange {
  if (!isBytes(startKey) || !isBytes(endKey)) throw invalid('range', 'must have Uint8Array startKey and endKey');
  if (isEmptyRange({ startKey, endKey })) {
    throw invalid('range', `must have startKey < endKey, got ${formatBrRange({ startKey, endKey })}`);
  }
  return { startKey: startKey.slice(), endKey: endKey.slice() };
}

function rangeOfTable(tableId: bigint, part: TablePart): BrKeyRange {
  if (typeof tableId !== 'bigint' || tableId < MIN_INT64 || tableId > MAX_INT64) {
    throw invalid('table', `must be a bigint of 64 bits, got ${String(tableId)}`);
  }
  if (!Object.hasOwn(TABLE_PARTS, part)) throw invalid('part', `must be one of ${Object.keys(TABLE_PARTS).join(', ')}`);
  return TABLE_PARTS[part](tableId);
}

function checkUint64(name: string, value: unknown): bigint {
  if (typeof value === 'bigint' && value >= 0n && value <= MAX_UINT64) return value;
  throw invalid(name, `must be a bigint from 0 to 2^64 - 1, got ${String(value)}`);
}

function invalid(name: string, problem: string): BackupError {
  return new BackupError('INVALID_OPTION', `${name} of a backup request ${problem}`);
}
