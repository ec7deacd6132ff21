// Keys, values and file names of TiKV's backups. The first byte chooses what the rest is.

import { checkTxnDataKey, encodeTxnDataKey, tsOf, userKeyOf } from '../../../src/format/br/engine-key.js';
import { brFileName, parseBrFileName } from '../../../src/format/br/file-name.js';
import { encodeMemcomparable } from '../../../src/format/br/memcomparable.js';
import type { RawApiVersion } from '../../../src/format/br/raw-kv.js';
import { decodeRawRow } from '../../../src/format/br/raw-kv.js';
import { readComparableInt64, tableIdOf, tableKeyKind, tablePrefix } from '../../../src/format/br/table-key.js';
import { encodeWriteRecord, parseWriteRecord } from '../../../src/format/br/write-record.js';
import type { FuzzTarget, Verdict } from '../target.js';
import { SMALL_MEMORY, must, mustEqual } from '../target.js';
import { latin1 } from './inputs.js';

const RUNS: readonly ((bytes: Uint8Array) => Verdict)[] = [txnKey, writeRecord, rawRow, fileName, tableKey];
const bytesOf = (...parts: readonly (number | readonly number[] | Uint8Array)[]) =>
  Uint8Array.from(parts.flatMap((part) => (typeof part === 'number' ? [part] : [...part])));

function txnKey(key: Uint8Array): Verdict {
  checkTxnDataKey(key, 'f');
  mustEqual(encodeTxnDataKey(userKeyOf(key), tsOf(key)), key.slice(), 'a key encoded again');
  return 'accepted';
}

function writeRecord(bytes: Uint8Array): Verdict {
  const record = parseWriteRecord(bytes, 'f');
  const again = parseWriteRecord(encodeWriteRecord(record));
  mustEqual(
    { ...again, txnSource: again.txnSource ?? 0n },
    { ...record, txnSource: record.txnSource ?? 0n },
    'a write record encoded again',
  );
  return 'accepted';
}

/** The length of the key, then key and value. */
function rawRow(bytes: Uint8Array): Verdict {
  const version = (['v1', 'v1ttl', 'v2'] as const satisfies readonly RawApiVersion[])[(bytes[0] ?? 0) % 3] ?? 'v1';
  const keyLength = bytes[1] ?? 0;
  const key = bytes.subarray(2, 2 + keyLength);
  const value = bytes.subarray(2 + keyLength);
  const row = decodeRawRow(version, key, value, 'f');
  mustEqual(row.userValue.slice(), value.slice(0, row.userValue.length), 'the value');
  const encodedKey = version === 'v2' ? encodeMemcomparable(row.userKey) : row.userKey;
  mustEqual(encodedKey.slice(), key.slice(0, encodedKey.length), 'the key');
  must(
    version === 'v2' ? key.length === encodedKey.length + 8 : key.length === encodedKey.length,
    'what is behind the key',
  );
  must(version === 'v2' || !row.isDelete, 'only v2 has deleted rows');
  return 'accepted';
}

function fileName(bytes: Uint8Array): Verdict {
  const name = latin1(bytes);
  const descriptor = parseBrFileName(name);
  if (descriptor === undefined) return 'refused';
  for (const storage of ['local', 'gcs'] as const) {
    mustEqual(parseBrFileName(brFileName(descriptor, storage)), descriptor, 'a name built and parsed again');
  }
  return 'accepted';
}

function tableKey(key: Uint8Array): Verdict {
  const id = tableIdOf(key);
  must(id !== undefined || tableKeyKind(key) === 'other', 'a row belongs to a table');
  if (id === undefined) return 'refused';
  mustEqual(tablePrefix(id), key.slice(0, 9), 'the prefix of a table');
  must(readComparableInt64(key, 1) === id, 'the id of a table');
  return 'accepted';
}

export const brRow: FuzzTarget = {
  name: 'br-row',
  weight: 2,
  form: 'bytes',
  maxBytes: 600,
  seeds: () => [
    bytesOf(0, encodeTxnDataKey(Uint8Array.of(1, 2, 3), 5n)),
    bytesOf(0, encodeTxnDataKey(new Uint8Array(16), (1n << 64n) - 1n)),
    bytesOf(0, 0x7a, new Uint8Array(6)),
    bytesOf(1, encodeWriteRecord({ type: 'put', startTs: 1n << 40n, shortValue: Uint8Array.of(1, 2) })),
    bytesOf(
      1,
      encodeWriteRecord({
        type: 'delete',
        startTs: 7n,
        overlappedRollback: true,
        gcFence: 9n,
        lastChange: { ts: 3n, versions: 300n },
        txnSource: 1n,
      }),
    ),
    bytesOf(2, 0, 1, 0x61, 0x62),
    bytesOf(2, 1, 1, 0x61, 0x62, new Uint8Array(8)),
    bytesOf(
      2,
      2,
      17,
      encodeMemcomparable(Uint8Array.of(0x72, 0, 0, 0, 0x61)),
      new Uint8Array(8),
      0x62,
      new Uint8Array(8),
      1,
    ),
    bytesOf(2, 2, 7, new Uint8Array(8)),
    ...[
      '1/2_3_default.sst',
      `1_2_3_${'0a'.repeat(32)}_1700000000000_write.sst`,
      `1/2_3_${'0a'.repeat(32)}_write.sst`,
    ].map((name) => bytesOf(3, Buffer.from(name))),
    bytesOf(4, tablePrefix(-1n), 0x5f, 0x72),
  ],
  dictionary: [
    Uint8Array.of(0xff),
    Uint8Array.of(0xf7),
    Uint8Array.of(0x76, 0xff),
    Uint8Array.of(0x46),
    Uint8Array.of(0x6c),
    Uint8Array.of(0x53),
    Buffer.from('18446744073709551616'),
    Buffer.from('.sst'),
  ],
  codes: ['CORRUPT_FILE', 'INVALID_NAME'],
  memory: SMALL_MEMORY,
  batch: 2_000,
  run: (input) => (RUNS[(input[0] ?? 0) % RUNS.length] ?? txnKey)(input.subarray(1)),
};
