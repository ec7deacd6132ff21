// Where things are in the host's LevelDB: one letter, then the rest. LevelDB orders keys as unsigned bytes, so versions are big-endian.
//
//   m<name>                        the database's own state
//   p<epoch u32><tag u32>          how far a tag's log has been popped
//   l<epoch u32><tag u32><version> one page of a tag's log; the version is the last one in the page
//   r<user key>                    rows

import { ClassicLevel } from 'classic-level';
import type { Version } from 'tidemark';

export type Level = ClassicLevel<Uint8Array, Uint8Array>;

export type LevelOperation =
  | { readonly type: 'put'; readonly key: Uint8Array; readonly value: Uint8Array }
  | { readonly type: 'del'; readonly key: Uint8Array };

const META = 0x6d;
const POPPED = 0x70;
const LOG = 0x6c;
const ROW = 0x72;

export async function openLevel(location: string): Promise<Level> {
  const level = new ClassicLevel<Uint8Array, Uint8Array>(location, { keyEncoding: 'view', valueEncoding: 'view' });
  await level.open();
  return level;
}

function prefixed(letter: number, rest: Uint8Array): Uint8Array {
  const key = new Uint8Array(1 + rest.length);
  key[0] = letter;
  key.set(rest, 1);
  return key;
}

export function metaKey(name: string): Uint8Array {
  return prefixed(META, Buffer.from(name));
}

export function rowKey(userKey: Uint8Array): Uint8Array {
  return prefixed(ROW, userKey);
}

export function userKeyOf(rowKey: Uint8Array): Uint8Array {
  return rowKey.subarray(1);
}

/** Above every row key. */
export const ROWS_END: Uint8Array = Uint8Array.of(ROW + 1);

export function poppedKey(epoch: number, tagId: number): Uint8Array {
  const key = new Uint8Array(9);
  const view = new DataView(key.buffer);
  key[0] = POPPED;
  view.setUint32(1, epoch);
  view.setUint32(5, tagId);
  return key;
}

export function pageKey(epoch: number, tagId: number, lastVersion: Version): Uint8Array {
  const key = new Uint8Array(17);
  const view = new DataView(key.buffer);
  key[0] = LOG;
  view.setUint32(1, epoch);
  view.setUint32(5, tagId);
  view.setBigInt64(9, lastVersion);
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
