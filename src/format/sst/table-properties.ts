// The properties block: what RocksDB wants to know of a file before it reads or ingests it. The same rows give the same bytes: no times, no random identities.

import { compareBytes, utf8 } from '../../core/bytes.js';
import { writeUint32LE } from '../../core/mutation.js';
import type { SstCompression } from './codec.js';
import type { SstFormatVersion } from './footer.js';
import { encodeMetaBlock } from './meta-block.js';
import { varintLength, writeVarint } from './write-varint.js';

export const BYTEWISE_COMPARATOR = 'leveldb.BytewiseComparator';

/** RocksDB's names, as in the property `rocksdb.compression`. */
export const COMPRESSION_NAMES: Readonly<Record<SstCompression, string>> = {
  none: 'NoCompression',
  snappy: 'Snappy',
  zlib: 'Zlib',
  lz4: 'LZ4',
  zstd: 'ZSTD',
};

/** Version 2 of externally made files: their rows all have sequence number 0, and the file has a global one, which ingestion may set in place. */
const EXTERNAL_FILE_VERSION = 2;
/** TablePropertiesCollectorFactory::Context::kUnknownColumnFamily. */
const UNKNOWN_COLUMN_FAMILY = 0x7fffffff;

export interface TableFacts {
  readonly entries: number;
  /** With the 8 bytes of each internal key. */
  readonly rawKeyBytes: number;
  readonly rawValueBytes: number;
  readonly dataBlocks: number;
  /** As stored, with trailers. */
  readonly dataBytes: number;
  /** The raw index block and its trailer: so RocksDB counts it, however the index is stored. */
  readonly indexBytes: number;
  readonly compression: SstCompression;
  readonly formatVersion: SstFormatVersion;
}

/**
 * Raw, with room for a trailer; never compressed, because an ingesting RocksDB may overwrite the value of `rocksdb.external_sst_file.global_seqno` where it stands in the file (`write_global_seqno`); it then takes the checksum
 * of the block as it was with 0.
 *
 * Left out, though SstFileWriter writes them: the identities of database, session and host and the file's number. RocksDB derives its cache keys from them, so equal ones in different files would mix up their blocks; without
 * them it takes its own.
 */
export function encodeTableProperties(facts: TableFacts): Uint8Array {
  const { formatVersion } = facts;
  const properties: Readonly<Record<string, Uint8Array>> = {
    'rocksdb.block.based.table.index.type': uint32(0), // binary search
    'rocksdb.block.based.table.prefix.filtering': utf8('0'),
    'rocksdb.block.based.table.whole.key.filtering': utf8('1'),
    'rocksdb.column.family.id': varint(UNKNOWN_COLUMN_FAMILY),
    'rocksdb.comparator': utf8(BYTEWISE_COMPARATOR),
    'rocksdb.compression': utf8(COMPRESSION_NAMES[facts.compression]),
    'rocksdb.creation.time': varint(0),
    'rocksdb.data.size': varint(facts.dataBytes),
    'rocksdb.deleted.keys': varint(0),
    'rocksdb.external_sst_file.global_seqno': new Uint8Array(8),
    'rocksdb.external_sst_file.version': uint32(EXTERNAL_FILE_VERSION),
    'rocksdb.filter.size': varint(0),
    'rocksdb.fixed.key.length': varint(0),
    // 0 whatever the footer's version: the table builder's own, which RocksDB no longer counts.
    'rocksdb.format.version': varint(0),
    'rocksdb.index.key.is.user.key': varint(formatVersion >= 3 ? 1 : 0),
    'rocksdb.index.size': varint(facts.indexBytes),
    'rocksdb.index.value.is.delta.encoded': varint(formatVersion >= 4 ? 1 : 0),
    'rocksdb.merge.operands': varint(0),
    'rocksdb.merge.operator': utf8('nullptr'),
    'rocksdb.num.data.blocks': varint(facts.dataBlocks),
    'rocksdb.num.entries': varint(facts.entries),
    'rocksdb.num.filter_entries': varint(0),
    'rocksdb.num.range-deletions': varint(0),
    'rocksdb.oldest.key.time': varint(0),
    'rocksdb.prefix.extractor.name': utf8('nullptr'),
    'rocksdb.property.collectors': utf8('[]'),
    'rocksdb.raw.key.size': varint(facts.rawKeyBytes),
    'rocksdb.raw.value.size': varint(facts.rawValueBytes),
  };
  const entries = Object.entries(properties).map(([name, value]) => [utf8(name), value] as const);
  // RocksDB refuses properties that are out of order.
  entries.sort(([a], [b]) => compareBytes(a, b));
  return encodeMetaBlock(entries, { restartInterval: Infinity });
}

function varint(value: number): Uint8Array {
  const bytes = new Uint8Array(varintLength(value));
  writeVarint(bytes, 0, value);
  return bytes;
}

function uint32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  writeUint32LE(bytes, 0, value);
  return bytes;
}
