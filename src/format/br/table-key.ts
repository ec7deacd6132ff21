// Where TiDB keeps a table: `t`, the table's id, then `_r` and a row's handle, or `_i` and an index. User keys, not yet memcomparable.
// A physical id is meant: of a partitioned table each partition has one.

const TABLE_PREFIX = 0x74; // t
const RECORD = [0x5f, 0x72] as const; // _r
const INDEX = [0x5f, 0x69] as const; // _i
const ID_BYTES = 8;
/** `t` and the id. */
export const TABLE_PREFIX_BYTES = 1 + ID_BYTES;

export const MIN_INT64 = -(1n << 63n);
export const MAX_INT64 = (1n << 63n) - 1n;

/** Keys with startKey <= key < endKey. */
export interface TableKeyRange {
  readonly startKey: Uint8Array;
  readonly endKey: Uint8Array;
}

/** Writes 8 bytes that order like the number: big-endian, the sign bit inverted. */
export function writeComparableInt64(to: Uint8Array, at: number, value: bigint): void {
  new DataView(to.buffer, to.byteOffset, to.byteLength).setBigUint64(at, BigInt.asUintN(64, value) ^ (1n << 63n));
}

export function readComparableInt64(from: Uint8Array, at: number): bigint {
  const view = new DataView(from.buffer, from.byteOffset, from.byteLength);
  return BigInt.asIntN(64, view.getBigUint64(at) ^ (1n << 63n));
}

/** `t` and the id: what all keys of the table begin with. */
export function tablePrefix(tableId: bigint): Uint8Array {
  const prefix = new Uint8Array(TABLE_PREFIX_BYTES);
  prefix[0] = TABLE_PREFIX;
  writeComparableInt64(prefix, 1, tableId);
  return prefix;
}

/** `t`, the id and `_r`: what all its rows begin with. */
export function tableRecordPrefix(tableId: bigint): Uint8Array {
  return withBytes(tablePrefix(tableId), RECORD);
}

/** `t`, the id and `_i`: what all its index entries begin with. */
export function tableIndexPrefix(tableId: bigint): Uint8Array {
  return withBytes(tablePrefix(tableId), INDEX);
}

/** The key of the row with that integer handle. */
export function tableRowKey(tableId: bigint, handle: bigint): Uint8Array {
  const key = withBytes(tableRecordPrefix(tableId), new Uint8Array(ID_BYTES));
  writeComparableInt64(key, key.length - ID_BYTES, handle);
  return key;
}

/**
 * Handles from -2^63 to 2^63 - 1, both included, as BR asks for a table with integer handles: the end is the key right after the last handle's (mbr asks for the last handle's key itself as an exclusive end, and
 * so leaves out that one row). A table with a clustered index has other handles, which may lie outside: see tableRecordPrefixRange.
 */
export function tableRecordRange(tableId: bigint): TableKeyRange {
  const last = tableRowKey(tableId, MAX_INT64);
  return { startKey: tableRowKey(tableId, MIN_INT64), endKey: withBytes(last, [0]) };
}

/** All rows, whatever their handles are. */
export function tableRecordPrefixRange(tableId: bigint): TableKeyRange {
  const startKey = tableRecordPrefix(tableId);
  return { startKey, endKey: prefixEnd(startKey) };
}

/** Everything of the table: rows and indexes. */
export function tableRange(tableId: bigint): TableKeyRange {
  const startKey = tablePrefix(tableId);
  return { startKey, endKey: prefixEnd(startKey) };
}

/** Whose table a user key belongs to; undefined when to none. */
export function tableIdOf(userKey: Uint8Array): bigint | undefined {
  if (userKey[0] !== TABLE_PREFIX || userKey.length < TABLE_PREFIX_BYTES) return undefined;
  return readComparableInt64(userKey, 1);
}

export type TableKeyKind = 'record' | 'index' | 'other';

/** What a key with a table id is; `other` for one that is neither, of whatever kind. */
export function tableKeyKind(userKey: Uint8Array): TableKeyKind {
  if (tableIdOf(userKey) === undefined || userKey[TABLE_PREFIX_BYTES] !== RECORD[0]) return 'other';
  const kind = userKey[TABLE_PREFIX_BYTES + 1];
  if (kind === RECORD[1]) return 'record';
  return kind === INDEX[1] ? 'index' : 'other';
}

/** The first key behind all that begin with the prefix; empty (no bound) when there is none. */
export function prefixEnd(prefix: Uint8Array): Uint8Array {
  let length = prefix.length;
  while (length > 0 && prefix[length - 1] === 0xff) length--;
  const end = prefix.slice(0, length);
  if (length > 0) end[length - 1] = (end[length - 1] as number) + 1;
  return end;
}

function withBytes(prefix: Uint8Array, more: ArrayLike<number>): Uint8Array {
  const key = new Uint8Array(prefix.length + more.length);
  key.set(prefix);
  key.set(more, prefix.length);
  return key;
}
