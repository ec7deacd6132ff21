// The request for a backup, checked. Made by a BackupRequestBuilder or from a message that was received. Shows neither the credentials of its storage nor its cipher's key to anybody.

import { inspect } from 'node:util';
import { assert } from '../../core/errors.js';
import type { BrCipher, BrInit, BrKeyRange } from '../../format/br/messages.js';
import type { BrBackupRequest, BrCipherInfo, BrCompression, BrContext } from '../../format/br/request-messages.js';
import { formatBrRange } from '../backup/br-range.js';
import type { StorageBackend } from './storage-backend.js';

/** Of the keys and values in the files: TiKV's `api-version`. */
export type RequestApiVersion = 'v1' | 'v1ttl' | 'v2';

/** What a request says, beside its storage and its cipher. */
export interface BackupRequestFacts {
  readonly clusterId: bigint;
  /** In key order, disjoint, never empty; begin inclusive, end exclusive (empty: no bound). Raw keys, not memcomparable. */
  readonly ranges: readonly BrKeyRange[];
  readonly isRawKv: boolean;
  /** Of raw KV; empty for transactional data, which has two. */
  readonly cf: string;
  /** Timestamps: changes of (startVersion, endVersion]. A full backup has startVersion 0. Raw KV has neither: both are 0. */
  readonly startVersion: bigint;
  readonly endVersion: bigint;
  /** Bytes per second and store; 0: no limit. */
  readonly rateLimit: bigint;
  /** Ranges that a store works on at a time; 0: as it is configured. */
  readonly concurrency: number;
  readonly compression: BrCompression;
  /** 0: the codec's default. */
  readonly compressionLevel: number;
  readonly apiVersion: RequestApiVersion;
  readonly replicaRead: boolean;
  readonly context?: BrInit<BrContext> | undefined;
}

/** Immutable. */
export class BackupRequest {
  readonly facts: BackupRequestFacts;
  readonly storage: StorageBackend;
  readonly #cipher: BrCipher | undefined;

  /** What comes in is checked already: use a BackupRequestBuilder. */
  constructor(facts: BackupRequestFacts, storage: StorageBackend, cipher: BrCipher | undefined) {
    assert(facts.ranges.length > 0, 'a backup request has a range');
    this.facts = facts;
    this.storage = storage;
    this.#cipher = cipher;
  }

  /** Secret: with what the files are encrypted. */
  get cipher(): BrCipher | undefined {
    return this.#cipher;
  }

  get isIncremental(): boolean {
    return this.facts.startVersion > 0n;
  }

  /** With all secrets: for the wire. For the whole request, or for some ranges of it: in key order, disjoint, at least one. Several are sub-ranges of the one that spans them. */
  toMessage(ranges: readonly BrKeyRange[] = this.facts.ranges): BrInit<BrBackupRequest> {
    const { compression, apiVersion, ranges: _whole, ...facts } = this.facts;
    const first = ranges[0];
    const last = ranges.at(-1);
    assert(first !== undefined && last !== undefined, 'a backup is asked for with a range');
    return {
      ...facts,
      startKey: first.startKey,
      endKey: last.endKey,
      // TiKV before 6.5 passes over sub-ranges: where there is one range, none is needed.
      subRanges: ranges.length === 1 ? [] : ranges,
      compressionType: compression,
      dstApiVersion: apiVersion,
      storageBackend: this.storage.toMessage(),
      cipherInfo: this.#cipherInfo(),
      mode: 'scan',
    };
  }

  /** TiKV takes the lack of it for plain text; BR always says it. */
  #cipherInfo(): BrInit<BrCipherInfo> {
    const { method, key } = this.#cipher ?? { method: 'plaintext' as const, key: new Uint8Array(0) };
    return { cipherType: method, cipherKey: key };
  }

  /** All that was asked for, each secret as `***`, versions as texts. */
  toJSON(): Record<string, unknown> {
    const { ranges, context: _context, ...facts } = this.facts;
    const shown = Object.entries(facts).map(([name, value]) => [
      name,
      typeof value === 'bigint' ? String(value) : value,
    ]);
    return {
      ...(Object.fromEntries(shown) as Record<string, unknown>),
      ranges: ranges.slice(0, SHOWN_RANGES).map(formatBrRange),
      ...(ranges.length > SHOWN_RANGES ? { moreRanges: ranges.length - SHOWN_RANGES } : {}),
      storage: this.storage.toJSON(),
      cipher: this.#cipher === undefined ? 'none' : { method: this.#cipher.method, key: '***' },
    };
  }

  toString(): string {
    const { ranges, isRawKv, endVersion } = this.facts;
    const [first] = ranges;
    const what = ranges.length === 1 && first !== undefined ? formatBrRange(first) : `${ranges.length} ranges`;
    return `backup of ${what} ${isRawKv ? '(raw)' : `at ${endVersion}`} to ${this.storage.url}`;
  }

  [inspect.custom](): string {
    return `BackupRequest ${inspect(this.toJSON())}`;
  }
}

/** A database may have thousands of tables. */
const SHOWN_RANGES = 16;
