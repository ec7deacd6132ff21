// Reads an index block: for every block of the level below a key that is not below the block's last key and below the next block's first one, and where the block lies.
//
// From format version 4 on an entry that shares a prefix with the one before says only by how much its block's size differs, for its block follows the other's trailer.

import { compareBytes, printableBytes } from '../../core/bytes.js';
import { checkBlockBytes } from './block-opener.js';
import { readBlockTail } from './block-tail.js';
import { INTERNAL_BYTES } from './entry-types.js';
import type { BlockHandle } from './footer.js';
import { compareInternalKeys, userKeyOf } from './internal-key.js';
import { TRAILER_BYTES, describeHandle, handleFits } from './read-footer.js';
import type { SstFile } from './sst-file.js';
import { refuseSst } from './sst-file.js';
import { readVarint32, readVarint64 } from './varint.js';

/** How the entries of a file's index blocks are written; from its properties. */
export interface IndexForm {
  /** Keys end in 8 bytes of sequence number and type. */
  readonly internalKeys: boolean;
  readonly deltaHandles: boolean;
  /** Each entry holds the first internal key of its block, too. */
  readonly firstKeys: boolean;
  /** False: its keys may be equal, as may be those of an index of filters. */
  readonly strict: boolean;
}

interface Entry {
  readonly key: Uint8Array;
  readonly handle: BlockHandle;
  readonly firstKey: Uint8Array | undefined;
}

/** Blocks in the order of keys, which is their order in the file too. */
export class IndexBlock {
  readonly form: IndexForm;
  readonly #entries: readonly Entry[];

  constructor(form: IndexForm, entries: readonly Entry[]) {
    this.form = form;
    this.#entries = entries;
  }

  get count(): number {
    return this.#entries.length;
  }

  handle(i: number): BlockHandle {
    return this.#entry(i).handle;
  }

  /** As it stands there: an internal key if `form.internalKeys`. */
  key(i: number): Uint8Array {
    return this.#entry(i).key;
  }

  firstKey(i: number): Uint8Array | undefined {
    return this.#entry(i).firstKey;
  }

  userKey(i: number): Uint8Array {
    const key = this.key(i);
    return this.form.internalKeys ? userKeyOf(key) : key;
  }

  /** The order of an internal key of a row and an index key: <= 0 if the block's key bounds it. */
  compareToKey(internalKey: Uint8Array, i: number): number {
    return this.form.internalKeys
      ? compareInternalKeys(internalKey, this.key(i))
      : compareBytes(userKeyOf(internalKey), this.key(i));
  }

  /** The first block that may hold a user key that is not below `key`; `count` if there is none. */
  lowerBound(key: Uint8Array): number {
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (compareBytes(this.userKey(middle), key) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #entry(i: number): Entry {
    return this.#entries[i] as Entry;
  }
}

export interface IndexBlockContext {
  readonly file: Pick<SstFile, 'name'>;
  readonly form: IndexForm;
  /** Blocks end here at the latest. */
  readonly end: number;
  readonly maxBlockBytes: number;
}

/** CORRUPT_FILE for keys that do not ascend, and for blocks that overlap, go back or do not lie in the file. */
export function readIndexBlock(context: IndexBlockContext, offset: number, raw: Uint8Array): IndexBlock {
  const { file, form, maxBlockBytes } = context;
  const { restartsAt: end } = readBlockTail(file, offset, raw);
  const entries: Entry[] = [];
  let keyTotal = 0;
  let last: Entry | undefined;
  for (let at = 0; at < end;) {
    const { key, valueAt, shared } = readKey(context, offset, raw, at, end, last);
    keyTotal += key.length;
    checkBlockBytes(file, offset, keyTotal, maxBlockBytes);
    const previous = form.deltaHandles && shared ? last?.handle : undefined;
    const value = readValue(form, raw, valueAt, end, previous);
    if (value === undefined) return refuseSst(file, offset, `the entry at ${at} of the index block cannot be`);
    const entry = { key, handle: value.handle, firstKey: value.firstKey };
    checkEntry(context, offset, entry, last);
    entries.push(entry);
    last = entry;
    at = value.next;
  }
  return new IndexBlock(form, entries);
}

function readKey(
  { file, form }: IndexBlockContext,
  offset: number,
  raw: Uint8Array,
  at: number,
  end: number,
  last: Entry | undefined,
): { key: Uint8Array; valueAt: number; shared: boolean } {
  const shared = readVarint32(raw, at);
  const unshared = shared && readVarint32(raw, shared.next);
  const valueLength = form.deltaHandles ? { next: unshared?.next ?? 0 } : unshared && readVarint32(raw, unshared.next);
  const keyAt = valueLength?.next ?? 0;
  if (!shared || !unshared || !valueLength || keyAt + unshared.value > end) {
    return refuseSst(file, offset, `the entry at ${at} of the index block cannot be`);
  }
  const length = shared.value + unshared.value;
  if (shared.value > (last?.key.length ?? 0) || length < (form.internalKeys ? INTERNAL_BYTES : 0)) {
    return refuseSst(file, offset, `the entry at ${at} of the index block has a key that cannot be`);
  }
  const valueAt = keyAt + unshared.value;
  const unsharedKey = raw.subarray(keyAt, valueAt);
  if (shared.value === 0) return { key: unsharedKey, valueAt, shared: false };
  const key = new Uint8Array(length);
  if (last !== undefined) key.set(last.key.subarray(0, shared.value));
  key.set(unsharedKey, shared.value);
  return { key, valueAt, shared: true };
}

function readValue(
  form: IndexForm,
  raw: Uint8Array,
  at: number,
  end: number,
  previous: BlockHandle | undefined,
): { handle: BlockHandle; firstKey: Uint8Array | undefined; next: number } | undefined {
  const read = previous === undefined ? readHandleAt(raw, at) : readDelta(raw, at, previous);
  if (read === undefined || read.next > end) return undefined;
  if (!form.firstKeys) return { ...read, firstKey: undefined };
  const length = readVarint32(raw, read.next);
  if (length === undefined || length.next + length.value > end) return undefined;
  const next = length.next + length.value;
  return { handle: read.handle, firstKey: raw.subarray(length.next, next), next };
}

function readHandleAt(raw: Uint8Array, at: number): { handle: BlockHandle; next: number } | undefined {
  const offset = readVarint64(raw, at);
  const size = offset && readVarint64(raw, offset.next);
  return offset && size && { handle: { offset: offset.value, size: size.value }, next: size.next };
}

/** Zigzag: the lowest bit is the sign. */
function readDelta(
  raw: Uint8Array,
  at: number,
  previous: BlockHandle,
): { handle: BlockHandle; next: number } | undefined {
  const read = readVarint64(raw, at);
  if (read === undefined) return undefined;
  const delta = read.value % 2 === 0 ? read.value / 2 : -(read.value + 1) / 2;
  const size = previous.size + delta;
  if (size < 0) return undefined;
  return { handle: { offset: previous.offset + previous.size + TRAILER_BYTES, size }, next: read.next };
}

function checkEntry(context: IndexBlockContext, offset: number, entry: Entry, last: Entry | undefined): void {
  const { file, form, end, maxBlockBytes } = context;
  const { handle } = entry;
  const from = last === undefined ? 0 : last.handle.offset + last.handle.size + TRAILER_BYTES;
  if (handle.offset < from || !handleFits(handle, end)) refuseSst(file, offset, describeHandle(handle));
  checkBlockBytes(file, offset, handle.size, maxBlockBytes);
  if (last === undefined) return;
  const order = form.internalKeys ? compareInternalKeys(last.key, entry.key) : compareBytes(last.key, entry.key);
  if (order < 0 || (order === 0 && !form.strict)) return;
  const what = `index key "${printableBytes(entry.key)}" comes after "${printableBytes(last.key)}"`;
  refuseSst(file, offset, what);
}
