// Where things are in the host's LevelDB. Rows are stored under the very keys that the clients use, so that a scan hands on what LevelDB returns. What the database keeps for itself lies behind
// them, where no client's key can be: 0xFF, one letter, then the rest. LevelDB orders keys as unsigned bytes, so versions are big-endian.
//
//   <key>                              rows; the key is below 0xFF
//   FF m<name>                         the database's own state
//   FF p<epoch u32><tag u32>           how far a tag's log has been popped
//   FF l<epoch u32><tag u32><version>  one page of a tag's log; the version is the last one in the page

import type { KeyRange, Version } from 'tidemark';

const OWN = 0xff;
const META = 0x6d;
const POPPED = 0x70;
const LOG = 0x6c;

/** Above every row's key. */
const ROWS_END = Uint8Array.of(OWN);
/** Every row. */
export const ALL_ROWS: KeyRange = { begin: new Uint8Array(0), end: ROWS_END };

/** The key as it is; throws for one that no row can have. */
export function rowKey(key: Uint8Array): Uint8Array {
  if (key[0] === OWN) throw new RangeError('Keys from 0xFF on are not for rows');
  return key;
}

/** The rows in a range of keys, as options of an iterator. */
export function rowsWithin({ begin, end }: KeyRange): { readonly gte: Uint8Array; readonly lt: Uint8Array } {
  return { gte: begin, lt: Buffer.compare(end, ROWS_END) > 0 ? ROWS_END : end };
}

/** The key, when it is the only one that the range can hold. */
export function oneKeyOf({ begin, end }: KeyRange): Uint8Array | undefined {
  const isOne = end.length === begin.length + 1 && end.at(-1) === 0 && Buffer.compare(begin, end.subarray(0, -1)) === 0;
  return isOne ? begin : undefined;
}

export function metaKey(name: string): Uint8Array {
  return Uint8Array.of(OWN, META, ...Buffer.from(name));
}

export function poppedKey(epoch: number, tagId: number): Uint8Array {
  return tagKey(POPPED, epoch, tagId, 10);
}

export function pageKey(epoch: number, tagId: number, lastVersion: Version): Uint8Array {
  const key = tagKey(LOG, epoch, tagId, 18);
  new DataView(key.buffer).setBigInt64(10, lastVersion);
  return key;
}

export function lastVersionOf(pageKey: Uint8Array): Version {
  return decodeVersion(pageKey.subarray(10));
}

function tagKey(letter: number, epoch: number, tagId: number, length: number): Uint8Array<ArrayBuffer> {
  const key = new Uint8Array(length);
  const view = new DataView(key.buffer);
  key[0] = OWN;
  key[1] = letter;
  view.setUint32(2, epoch);
  view.setUint32(6, tagId);
  return key;
}

export function encodeVersion(version: Version): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigInt64(0, version);
  return bytes;
}

export function decodeVersion(bytes: Uint8Array): Version {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getBigInt64(0);
}
