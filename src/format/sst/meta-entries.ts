// Reads the blocks whose keys are names: metaindex and properties. The counterpart of meta-block.ts.

import { printableBytes } from '../../core/bytes.js';
import { readBlockTail } from './block-tail.js';
import type { SstFile } from './sst-file.js';
import { refuseSst } from './sst-file.js';
import { readVarint32 } from './varint.js';

/** More than any name of RocksDB or of a host's property collector; keeps shared prefixes from making much of little. */
const MAX_NAME_BYTES = 4096;
/** All names together, for each byte of the block. */
const MAX_EXPANSION = 16;
/** RocksDB has some 50 of its own. A map takes more than a hundred bytes for each, and only so many. */
const MAX_NAMES = 1 << 16;

/** Names (a character for each byte) and values, which share the block's memory, in order. CORRUPT_FILE for names that do not ascend. */
export function readMetaEntries(file: Pick<SstFile, 'name'>, offset: number, raw: Uint8Array): Map<string, Uint8Array> {
  const { restartsAt: end } = readBlockTail(file, offset, raw);
  const entries = new Map<string, Uint8Array>();
  const refuse = (what: string): never => refuseSst(file, offset, what);
  let last = '';
  let nameBytes = 0;
  for (let at = 0; at < end;) {
    const shared = readVarint32(raw, at);
    const unshared = shared && readVarint32(raw, shared.next);
    const valueLength = unshared && readVarint32(raw, unshared.next);
    if (!shared || !unshared || !valueLength) return refuse(`no entry stands at ${at} of the block`);
    const nameAt = valueLength.next;
    const valueAt = nameAt + unshared.value;
    at = valueAt + valueLength.value;
    if (at > end || shared.value > last.length) return refuse('an entry does not fit into its block');
    if (entries.size === MAX_NAMES) return refuse(`it has more than ${MAX_NAMES} names`);
    nameBytes += shared.value + unshared.value;
    if (shared.value + unshared.value > MAX_NAME_BYTES || nameBytes > MAX_NAME_BYTES + MAX_EXPANSION * raw.length) {
      return refuse('names are longer than names are');
    }
    const name = last.slice(0, shared.value) + Buffer.from(raw.subarray(nameAt, valueAt)).toString('latin1');
    if (entries.size > 0 && name <= last) {
      return refuse(`"${printable(name)}" comes after "${printable(last)}"`);
    }
    entries.set(name, raw.subarray(valueAt, at));
    last = name;
  }
  return entries;
}

function printable(name: string): string {
  return printableBytes(Buffer.from(name, 'latin1'));
}
