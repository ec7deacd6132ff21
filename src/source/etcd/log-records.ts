// What the log source keeps in the progress store, beside the epoch: a mark of the history that it has read, and how far each tag has been popped. Must never be ahead of what is stored in files: it is written
// on pops alone.

import type { IEvent } from 'etcd3';
import { createHash } from 'node:crypto';
import { utf8 } from '../../core/bytes.js';
import { BackupError } from '../../core/errors.js';
import type { Version } from '../../core/version.js';
import type { ProgressStore } from '../../ports/progress-store.js';

const MARK_KEY = 'source/etcd/mark';
const POPPED_PREFIX = 'source/etcd/popped/';
const POPPED_END = 'source/etcd/popped0';

/** One revision of a history, and what it held: a cluster that was restored from an older state and has gone on holds something else there. */
export interface HistoryMark {
  readonly revision: number;
  /** Of all its events, hex. */
  readonly hash: string;
}

export function hashOfEvents(events: readonly IEvent[]): string {
  const hash = createHash('sha256');
  const lengths = new DataView(new ArrayBuffer(8));
  for (const { type, kv } of events) {
    lengths.setUint32(0, kv.key.length);
    lengths.setUint32(4, kv.value.length);
    hash.update(type.charAt(0)).update(lengths).update(kv.key).update(kv.value);
  }
  return hash.digest('hex');
}

export function readMark(store: ProgressStore): Promise<HistoryMark | undefined> {
  return store.transact(async (tx) => {
    const bytes = await tx.get(MARK_KEY);
    return bytes === undefined ? undefined : decodeMark(bytes);
  });
}

/** Nothing happens where a later one is recorded. */
export function writeMark(store: ProgressStore, mark: HistoryMark): Promise<void> {
  return store.transact(async (tx) => {
    const bytes = await tx.get(MARK_KEY);
    if (bytes !== undefined && decodeMark(bytes).revision >= mark.revision) return;
    tx.set(MARK_KEY, utf8(JSON.stringify(mark)));
  });
}

/** Records that the tag has been popped up to `upTo`; gives the smallest of all tags, undefined while one of them has no record. */
export function recordPop(
  store: ProgressStore,
  tag: number,
  totalTags: number,
  upTo: Version,
): Promise<Version | undefined> {
  return store.transact(async (tx) => {
    const popped = new Map<string, Version>();
    for (const { key, value } of await tx.getRange(POPPED_PREFIX, POPPED_END))
      popped.set(key, decodePopped(key, value));
    const own = `${POPPED_PREFIX}${tag}`;
    if (upTo > (popped.get(own) ?? -1n)) {
      tx.set(own, utf8(String(upTo)));
      popped.set(own, upTo);
    }
    let least: Version | undefined;
    for (let each = 0; each < totalTags; each++) {
      const version = popped.get(`${POPPED_PREFIX}${each}`);
      if (version === undefined) return undefined;
      if (least === undefined || version < least) least = version;
    }
    return least;
  });
}

function decodeMark(bytes: Uint8Array): HistoryMark {
  const text = new TextDecoder().decode(bytes);
  try {
    const { revision, hash } = JSON.parse(text) as Partial<HistoryMark>;
    if (Number.isSafeInteger(revision) && typeof hash === 'string' && /^[0-9a-f]{64}$/.test(hash))
      return { revision: revision as number, hash };
  } catch {
    // As for what is no mark.
  }
  throw damaged(MARK_KEY);
}

function decodePopped(key: string, bytes: Uint8Array): Version {
  const text = new TextDecoder().decode(bytes);
  if (!/^\d{1,19}$/.test(text)) throw damaged(key);
  return BigInt(text);
}

function damaged(key: string): BackupError {
  return new BackupError('STORE_CORRUPT', `the record ${key} in the progress store is damaged or not ours`);
}
