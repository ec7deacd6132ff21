// What a file says of itself: RocksDB's table properties, those that reading depends on and the counters that verify holds against the rows.

import { readUint32LE } from '../../core/mutation.js';
import type { IndexForm } from './index-block.js';
import type { SstFooter } from './read-footer.js';
import type { SstFile } from './sst-file.js';
import { refuseSst } from './sst-file.js';
import { BYTEWISE_COMPARATOR } from './table-properties.js';
import { readVarint64 } from './varint.js';

export const GLOBAL_SEQNO = 'rocksdb.external_sst_file.global_seqno';
const EXTERNAL_VERSION = 'rocksdb.external_sst_file.version';
const INDEX_TYPE = 'rocksdb.block.based.table.index.type';

/** The highest sequence number: 56 bits. */
const MAX_SEQNO = (1n << 56n) - 1n;

/** RocksDB's IndexType. A hash index is a binary search index with more beside it. */
const TWO_LEVEL_INDEX = 2;
const INDEX_WITH_FIRST_KEYS = 3;

/** As the file states them; `verify` holds them against the rows. */
export interface SstCounters {
  /** Entries of every type, range deletions too. */
  readonly entries: number;
  /** Point and range deletions. */
  readonly deletions: number;
  readonly merges: number;
  readonly rangeDeletions: number;
  readonly dataBlocks: number;
  /** Stored, with trailers and the padding between aligned blocks. */
  readonly dataBytes: number;
  /** With the 8 bytes of each internal key. */
  readonly rawKeyBytes: number;
  readonly rawValueBytes: number;
}

export interface SstProperties {
  /** Every property by its name (a character for each byte), as it stands there. */
  readonly all: ReadonlyMap<string, Uint8Array>;
  /** Those that the file states: old ones do not state all. */
  readonly counters: Readonly<Record<keyof SstCounters, number | undefined>>;
  readonly indexForm: IndexForm;
  /** The footer's index is an index of index blocks. */
  readonly partitionedIndex: boolean;
  /** The sequence number of all entries of a file that was made to be ingested, set by the RocksDB that ingested it (0 before); undefined for any other file. */
  readonly globalSeqno: bigint | undefined;
}

/** UNSUPPORTED_FORMAT for another order of keys than the bytewise one; CORRUPT_FILE for properties that contradict themselves or the footer. */
export function readProperties(
  file: Pick<SstFile, 'name'>,
  footer: SstFooter,
  offset: number,
  all: ReadonlyMap<string, Uint8Array>,
): SstProperties {
  const refuse = (what: string): never => refuseSst(file, offset, what);
  const number = (name: string): number | undefined => {
    const value = all.get(name);
    if (value === undefined) return undefined;
    const read = readVarint64(value, 0);
    return read?.next === value.length ? read.value : refuse(`the property ${name} is no number`);
  };
  checkComparator(file, offset, all);
  const indexType = readIndexType(all) ?? refuse(`the property ${INDEX_TYPE} is no type of index`);
  const userKeys = number('rocksdb.index.key.is.user.key') ?? 0;
  const deltas = number('rocksdb.index.value.is.delta.encoded') ?? 0;
  if (userKeys > 1 || deltas > 1) refuse('the properties of the index are neither 0 nor 1');
  if ((userKeys === 1 && footer.formatVersion < 3) || (deltas === 1 && footer.formatVersion < 4)) {
    refuse(`format version ${footer.formatVersion} has no such index`);
  }
  return {
    all,
    counters: {
      entries: number('rocksdb.num.entries'),
      deletions: number('rocksdb.deleted.keys'),
      merges: number('rocksdb.merge.operands'),
      rangeDeletions: number('rocksdb.num.range-deletions'),
      dataBlocks: number('rocksdb.num.data.blocks'),
      dataBytes: number('rocksdb.data.size'),
      rawKeyBytes: number('rocksdb.raw.key.size'),
      rawValueBytes: number('rocksdb.raw.value.size'),
    },
    indexForm: {
      internalKeys: userKeys === 0,
      deltaHandles: deltas === 1,
      firstKeys: indexType === INDEX_WITH_FIRST_KEYS,
      strict: true,
    },
    partitionedIndex: indexType === TWO_LEVEL_INDEX,
    globalSeqno: readGlobalSeqno(all, refuse),
  };
}

function checkComparator(file: Pick<SstFile, 'name'>, offset: number, all: ReadonlyMap<string, Uint8Array>): void {
  const name = Buffer.from(all.get('rocksdb.comparator') ?? []).toString('latin1');
  if (name === BYTEWISE_COMPARATOR) return;
  const what =
    name === ''
      ? 'it does not say how its keys are ordered'
      : `keys in the order of ${name.slice(0, 100)} are not read`;
  refuseSst(file, offset, `${what}, only ${BYTEWISE_COMPARATOR} is read`, 'UNSUPPORTED_FORMAT');
}

function readIndexType(all: ReadonlyMap<string, Uint8Array>): number | undefined {
  const value = all.get(INDEX_TYPE);
  // Files from before the property have the one index that there was: binary search.
  if (value === undefined) return 0;
  const type = value.length === 4 ? readUint32LE(value, 0) : Number.NaN;
  return type <= INDEX_WITH_FIRST_KEYS ? type : undefined;
}

/** As RocksDB's GetGlobalSequenceNumber, where nobody tells the file's largest sequence number from a manifest. */
function readGlobalSeqno(all: ReadonlyMap<string, Uint8Array>, refuse: (what: string) => never): bigint | undefined {
  const version = all.get(EXTERNAL_VERSION);
  const seqno = all.get(GLOBAL_SEQNO);
  if (version === undefined) {
    return seqno === undefined ? undefined : refuse('it has a global sequence number, but was not made to be ingested');
  }
  if (version.length !== 4) refuse(`the property ${EXTERNAL_VERSION} is no version`);
  const number = readUint32LE(version, 0);
  if (number < 2) {
    if (number !== 1 || seqno !== undefined)
      refuse(`version ${number} of files to ingest has no global sequence number`);
    return undefined;
  }
  if (seqno === undefined) return 0n;
  if (seqno.length !== 8) refuse(`the property ${GLOBAL_SEQNO} is no sequence number`);
  const value = (BigInt(readUint32LE(seqno, 4)) << 32n) | BigInt(readUint32LE(seqno, 0));
  return value <= MAX_SEQNO ? value : refuse(`the global sequence number ${value} is above ${MAX_SEQNO}`);
}
