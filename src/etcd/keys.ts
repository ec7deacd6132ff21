// etcd's keys and ranges (half-open, [key, range_end)), and its revisions, which the client gives as decimal texts.
//
// How to use it: `rangeOf(begin, end)` makes `key` and `range_end` of a request from the library's ranges; `revisionOf(header.revision)` gives a Version. A revision counts the transactions of the whole
// cluster: at a million a second 2^53 is reached after 285 years, so `revisionNumber` is good for hot paths; both throw ETCD_FAILED for what is no revision, never give a wrong one.

import { EMPTY_BYTES } from '../core/bytes.js';
import { BackupError } from '../core/errors.js';
import type { Version } from '../core/version.js';

/** etcd's `range_end` that means: to the end of the key space. */
const TO_THE_END = Buffer.from([0]);
/** etcd refuses an empty key; no key is smaller than this one, since there is no empty key. */
const FIRST_KEY = Buffer.from([0]);

/** The same memory as a Buffer, which the client wants. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** The first key after all that begin with `prefix`; undefined: there is none, they reach to the end of the key space. */
export function prefixEnd(prefix: Uint8Array): Uint8Array | undefined {
  let length = prefix.length;
  while (length > 0 && prefix[length - 1] === 0xff) length--;
  if (length === 0) return undefined;
  const end = new Uint8Array(prefix.subarray(0, length));
  end[length - 1] = (end[length - 1] as number) + 1;
  return end;
}

/** What a request on the keys `begin` <= key < `end` carries. Without `end` to the end of the key space. `end` must be above `begin`: to etcd an empty `range_end` means the one key. */
export function rangeOf(begin: Uint8Array, end: Uint8Array | undefined): { key: Buffer; range_end: Buffer } {
  if (end?.length === 0) throw new BackupError('INVALID_OPTION', 'a range of etcd keys must not end at the empty key');
  return {
    key: begin.length === 0 ? FIRST_KEY : asBuffer(begin),
    range_end: end === undefined ? TO_THE_END : asBuffer(end),
  };
}

/** What a request on all keys that begin with `prefix` carries; an empty one means every key. */
export function prefixRange(prefix: Uint8Array = EMPTY_BYTES): { key: Buffer; range_end: Buffer } {
  return rangeOf(prefix, prefixEnd(prefix));
}

const DECIMAL = /^\d{1,19}$/;

/** Of a decimal text as the client gives them. ETCD_FAILED if it is none. */
export function revisionOf(text: string): Version {
  if (!DECIMAL.test(text)) throw notARevision(text);
  return BigInt(text);
}

/** As `revisionOf`, as a number without loss. */
export function revisionNumber(text: string): number {
  const revision = DECIMAL.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(revision)) throw notARevision(text);
  return revision;
}

function notARevision(text: unknown): BackupError {
  return new BackupError('ETCD_FAILED', `etcd gave ${JSON.stringify(text)} where a revision was expected`);
}
