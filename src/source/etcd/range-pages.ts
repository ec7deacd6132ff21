// Reads a key range of etcd page by page, at one revision. It never asks for more rows at once than the last pages let it expect to fit, and leaves no row out or gives one twice.
//
// Why pages are small: etcd has no limit on the bytes of an answer, only on its keys. It puts the whole answer together in memory first, and a gRPC client takes 4 MiB by default (grpc-js:
// `grpc.max_receive_message_length`). One value may have up to `--max-request-bytes` (1.5 MiB).

import type { Etcd3, IKeyValue, IRangeRequest } from 'etcd3';
import { abortable } from '../../core/abort.js';
import { keyAfter } from '../../core/bytes.js';
import { BackupError } from '../../core/errors.js';
import type { KeyRange } from '../../core/key-range.js';
import type { Version } from '../../core/version.js';
import { etcdError, etcdFault } from '../../etcd/errors.js';
import { rangeOf } from '../../etcd/keys.js';
import type { EtcdCluster } from './cluster.js';
import { SMALL_ANSWERS } from './range-call.js';
import { isOnlyEmptyKey } from './range-parts.js';
import type { CallTime } from './timed-call.js';
import { timedCall } from './timed-call.js';

/** Bytes of keys and values that a page is meant to have: an eighth of what a client takes. */
const PAGE_BYTES = 512 << 10;
/** Rows of a page at most: even if all of them turn out to be as large as can be, the server has memory for them. */
const MOST_ROWS = 1_000;
/**
 * Keys of a page without values at most. Few pages, since etcd counts all keys behind each of them: measured with 200,000 keys in etcd 3.4.23, pages of 1,000 took it six times as long as the rows themselves. Not
 * more, since it reads the values too before it leaves them out.
 */
const MOST_KEYS = 10_000;
/** Nothing is known of the rows yet. */
const FIRST_ROWS = 8;
/** A page has at most so many times as many rows as the one before: rows that are suddenly larger are met early. */
const GROWTH = 4;
/** Of etcd's own around each key: revisions, version, lease. */
const ROW_OVERHEAD = 40;

export interface PagesRequest {
  /** Half-open. */
  readonly range: KeyRange;
  readonly revision: Version;
  /** Values are left out. The server reads them all the same. */
  readonly keysOnly: boolean;
  readonly signal: AbortSignal;
}

export class EtcdPages {
  readonly #client: Etcd3;
  readonly #cluster: EtcdCluster;
  readonly #time: CallTime;

  /** `time`: of each page. */
  constructor(client: Etcd3, cluster: EtcdCluster, time: CallTime) {
    this.#client = client;
    this.#cluster = cluster;
    this.#time = time;
  }

  /** In key order; no page is empty. VERSION_TOO_OLD when the revision is compacted, also in the middle; LOG_INCONSISTENT for a revision that the cluster has not come to. */
  async *read(request: PagesRequest): AsyncGenerator<readonly IKeyValue[], void, undefined> {
    const { end } = request.range;
    let { begin } = request.range;
    request.signal.throwIfAborted();
    if (isOnlyEmptyKey(end)) return;
    let rows = FIRST_ROWS;
    for (;;) {
      const page = await this.#page(request, begin, rows);
      if (page === undefined) {
        rows = Math.max(1, rows >>> 2);
        continue;
      }
      const { kvs, more } = page;
      const last = kvs.at(-1);
      if (last === undefined) return;
      // The receiver may do with the page what it likes.
      begin = keyAfter(last.key);
      rows = Math.min(nextRows(rows, kvs), request.keysOnly ? MOST_KEYS : MOST_ROWS);
      yield kvs;
      request.signal.throwIfAborted();
      if (!more) return;
    }
  }

  /** undefined: it has more bytes than the client takes. */
  async #page(request: PagesRequest, begin: Uint8Array, rows: number) {
    const { range, revision, keysOnly, signal } = request;
    const wanted = { ...rangeOf(begin, range.end), limit: rows, revision: String(revision), keys_only: keysOnly };
    try {
      return await this.#read(wanted, revision, signal);
    } catch (error) {
      const fault = etcdFault(error);
      if (fault === 'too-large' && rows > 1) return undefined;
      if (fault === 'too-large') throw rowTooLarge(error);
      throw fault === 'compacted'
        ? compacted(revision, error)
        : etcdError(`reading rows at revision ${revision}`, error);
    }
  }

  /**
   * From any member, by itself: what was committed up to a revision is the same on all of them, and followers share the load. One that has not come so far says so, and is then asked again in a way that waits
   * until it has what the leader has.
   */
  async #read(wanted: IRangeRequest, revision: Version, signal: AbortSignal) {
    try {
      return await this.#call({ ...wanted, serializable: true }, signal);
    } catch (error) {
      if (etcdFault(error) !== 'future-revision') throw error;
    }
    try {
      return await this.#call(wanted, signal);
    } catch (error) {
      if (etcdFault(error) !== 'future-revision') throw error;
      await this.#cluster.reach(revision, signal);
      return await this.#call(wanted, signal);
    }
  }

  async #call(wanted: IRangeRequest, signal: AbortSignal) {
    const call = timedCall('reading rows', this.#time, (options) =>
      this.#client.kv.range(wanted, { ...SMALL_ANSWERS, ...options }),
    );
    const response = await abortable(call, signal);
    this.#cluster.observe(response.header);
    return response;
  }
}

/** As many as make a page, if they are like the last ones. */
function nextRows(rows: number, kvs: readonly IKeyValue[]): number {
  let bytes = 0;
  for (const { key, value } of kvs) bytes += key.length + value.length + ROW_OVERHEAD;
  const fitting = Math.floor((PAGE_BYTES * kvs.length) / bytes);
  return Math.max(1, Math.min(fitting, rows * GROWTH));
}

function compacted(revision: Version, cause: unknown): BackupError {
  return new BackupError(
    'VERSION_TOO_OLD',
    `etcd: revision ${revision} has been compacted: let the cluster keep its history for as long as a snapshot takes (--auto-compaction-retention)`,
    { version: revision, cause },
  );
}

function rowTooLarge(cause: unknown): BackupError {
  return new BackupError(
    'ETCD_LIMIT',
    'etcd: a single row is larger than the client takes: give new Etcd3 the grpcOptions ETCD_GRPC_OPTIONS',
    { cause },
  );
}
