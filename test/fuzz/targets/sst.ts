// SST files, of our writer and of RocksDB. Most mutated ones get their checksums repaired, so that what lies behind them is reached.

import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';

import { compareBytes, toHex } from '../../../src/core/bytes.js';
import { crc32c } from '../../../src/core/crc32c.js';
import { BackupError } from '../../../src/core/errors.js';
import { readUint32LE, writeUint32LE } from '../../../src/core/mutation.js';
import type { BlockCodec, SstCompression } from '../../../src/format/sst/codec.js';
import { loadCodec } from '../../../src/format/sst/codecs/load-codec.js';
import { type BlockHandle, FOOTER_BYTES } from '../../../src/format/sst/footer.js';
import { readIndexBlock } from '../../../src/format/sst/index-block.js';
import { readMetaEntries } from '../../../src/format/sst/meta-entries.js';
import { maskCrc32c } from '../../../src/format/sst/native-crc32c.js';
import { decodeHandle, TRAILER_BYTES } from '../../../src/format/sst/read-footer.js';
import type { SstBatch } from '../../../src/format/sst/sst-batch.js';
import { SstReader } from '../../../src/format/sst/sst-reader.js';
import type { SimRandom } from '../../../src/testing/simulation/random.js';
import { COMPRESSIONS, pressFor, type Row, writeSst } from '../../format/sst/write-rows.js';
import { randomBytes } from '../mutate.js';
import type { FuzzTarget, Verdict } from '../target.js';
import { must, mustEqual } from '../target.js';

/** So that a bomb is one of 64 KiB. */
const MAX_BLOCK_BYTES = 64 << 10;
/** Look-ups of one case: each opens a block. */
const MAX_LOOKUPS = 20;

const fixtures = path.join(import.meta.dirname, '../../fixtures/sst');

interface Entry {
  readonly key: string;
  readonly bytes: Uint8Array;
  readonly type: string;
  readonly seqno: bigint;
  readonly value: string;
}

const codecs = new Map<SstCompression, BlockCodec>();

async function loadOnce(compression: SstCompression): Promise<BlockCodec> {
  const codec = codecs.get(compression) ?? (await loadCodec(compression));
  codecs.set(compression, codec);
  return codec;
}

export const sstFile: FuzzTarget = {
  name: 'sst-file',
  weight: 6,
  form: 'bytes',
  maxBytes: 8192,
  // Each block is read some times, and may be of 64 KiB raw, or its keys may.
  memory: { fixed: 48 << 20, perByte: 8192 },
  batch: 16,
  codes: ['CORRUPT_FILE', 'CHECKSUM_MISMATCH', 'UNSUPPORTED_FORMAT'],
  dictionary: ['rocksdb.', 'global_seqno', 'partitionedfilter.', 'rocksdb.range_del', 'rocksdb.compression_dict']
    .map((text): Uint8Array => Buffer.from(text))
    .concat([1, 2, 4, 7, 0x0f, 0x11, 0x14].map((type) => Uint8Array.of(type, 0, 0, 0, 0, 0, 0, 0))),
  repair,
  async seeds(random) {
    const seeds = readdirSync(fixtures)
      .filter((name) => name.endsWith('.sst'))
      .map((name) => new Uint8Array(readFileSync(path.join(fixtures, name))));
    for (const compression of COMPRESSIONS) {
      for (const formatVersion of [2, 3, 4, 5] as const) {
        const press = await pressFor(compression);
        const { bytes } = await writeSst(randomRows(random), { press, formatVersion, blockSize: 128 });
        seeds.push(new Uint8Array(bytes));
      }
    }
    return seeds;
  },
  async run(input): Promise<Verdict> {
    const reader = await SstReader.open({
      name: 'fuzzed.sst',
      size: input.length,
      read: (offset, length) => Promise.resolve(input.slice(offset, offset + length)),
      loadCodec: loadOnce,
      maxBlockBytes: MAX_BLOCK_BYTES,
      readAheadBytes: 500,
    });
    const entries = await entriesOf(reader.entries());
    checkOrder(entries);
    mustEqual(await entriesOf(reader.entries({ reuse: true })), entries, 'entries with reuse');
    const backward = await entriesOf(reader.entries({ reverse: true }));
    mustEqual(backward.toReversed(), entries, 'entries backward');
    const rows = await checkRows(reader, entries);
    const verified = await reader.verify().catch(refusedVerify);
    if (verified === undefined) return 'refused';
    must(verified.entries === entries.length + reader.rangeDeletions.length, 'verify counts other entries');
    // What a look-up finds depends on the index's keys, which `verify` has just proved.
    if (rows !== undefined) await checkLookUps(reader, rows);
    return 'accepted';
  },
};

function refusedVerify(error: unknown): undefined {
  if (BackupError.is(error) && sstFile.codes.includes(error.code)) return undefined;
  throw error;
}

async function entriesOf(batches: AsyncIterable<SstBatch>): Promise<Entry[]> {
  const entries: Entry[] = [];
  for await (const batch of batches) {
    must(batch.count > 0, 'an empty batch');
    for (let i = 0; i < batch.count; i++) {
      // The batch may be good only until the next one.
      const bytes = batch.key(i).slice();
      const value = toHex(batch.value(i));
      entries.push({ key: toHex(bytes), bytes, type: batch.type(i), seqno: batch.seqno(i), value });
    }
  }
  return entries;
}

function checkOrder(entries: readonly Entry[]): void {
  entries.forEach(({ bytes, seqno }, i) => {
    const before = entries[i - 1];
    if (before === undefined) return;
    const order = compareBytes(before.bytes, bytes);
    must(order < 0 || (order === 0 && before.seqno >= seqno), 'entries out of order');
  });
}

/** Rows by the plainest way; undefined where the file cannot tell them. */
async function checkRows(reader: SstReader, entries: readonly Entry[]): Promise<Map<string, string> | undefined> {
  const newest = new Map<string, Entry>();
  for (const entry of entries) if (!newest.has(entry.key)) newest.set(entry.key, entry);
  const rows = new Map<string, string>();
  let known = true;
  for (const { key, bytes, type, seqno, value } of newest.values()) {
    const hidden = reader.rangeDeletions.some(
      (range) => compareBytes(range.begin, bytes) <= 0 && compareBytes(bytes, range.end) < 0 && range.seqno > seqno,
    );
    if (hidden || type.endsWith('deletion')) continue;
    if (type === 'value') rows.set(key, value);
    else known = false;
  }
  for (const reverse of [false, true]) {
    const read = await entriesOf(reader.rows({ reverse })).catch((error: unknown) => {
      must(!known && BackupError.is(error, 'UNSUPPORTED_FORMAT'), `rows were refused: ${String(error)}`);
      return undefined;
    });
    must((read !== undefined) === known, 'rows of which the file does not know the value');
    const expected = [...rows];
    const found = read?.map(({ key, value }) => [key, value]);
    if (found !== undefined) mustEqual(found, reverse ? expected.reverse() : expected, 'rows');
  }
  return known ? rows : undefined;
}

async function checkLookUps(reader: SstReader, rows: ReadonlyMap<string, string>): Promise<void> {
  for (const [key, value] of [...rows].slice(0, MAX_LOOKUPS)) {
    const found = await reader.get(Buffer.from(key, 'hex'));
    must(found !== undefined && toHex(found) === value, `a look-up of ${key}`);
    const next = Buffer.from(`${key}00`, 'hex');
    const after = await reader.get(next);
    must((after && toHex(after)) === rows.get(toHex(next)), `a look-up behind ${key}`);
  }
}

/** Only CRC-32C: of the blocks that footer, metaindex and index lead to, as far as they can still be read. */
function repair(input: Uint8Array): Uint8Array {
  const repaired = input.slice();
  const footerAt = repaired.length - FOOTER_BYTES;
  if (footerAt < 0) return repaired;
  const footer = repaired.subarray(footerAt);
  const metaindex = decodeHandle(footer, 1, footer.length);
  const index = metaindex && decodeHandle(footer, metaindex.next, footer.length);
  if (metaindex === undefined || index === undefined) return repaired;
  const seal = ({ offset, size }: BlockHandle): Uint8Array | undefined => {
    if (offset + size + TRAILER_BYTES > repaired.length) return undefined;
    writeUint32LE(repaired, offset + size + 1, maskCrc32c(crc32c(repaired.subarray(offset, offset + size + 1))));
    return repaired[offset + size] === 0 ? repaired.subarray(offset, offset + size) : undefined;
  };
  const raw = seal(metaindex.handle);
  const names = raw && attempt(() => readMetaEntries({ name: '' }, 0, raw));
  const deltas = readUint32LE(footer, FOOTER_BYTES - 12) >= 4;
  const sealBelow = (handle: BlockHandle, depth: number): void => {
    const block = seal(handle);
    if (block === undefined || depth === 0) return;
    for (const deltaHandles of [deltas, !deltas]) {
      const form = { internalKeys: false, deltaHandles, firstKeys: false, strict: false };
      const context = { file: { name: '' }, form, end: footerAt, maxBlockBytes: MAX_BLOCK_BYTES };
      const below = attempt(() => readIndexBlock(context, 0, block));
      for (let i = 0; i < (below?.count ?? 0); i++) if (below !== undefined) sealBelow(below.handle(i), depth - 1);
    }
  };
  for (const [name, value] of names ?? []) {
    const handle = decodeHandle(value, 0, value.length)?.handle;
    if (handle !== undefined) sealBelow(handle, name.startsWith('partitionedfilter.') ? 1 : 0);
  }
  sealBelow(index.handle, 2);
  return repaired;
}

function attempt<T>(call: () => T): T | undefined {
  try {
    return call();
  } catch (error) {
    if (BackupError.is(error)) return undefined;
    throw error;
  }
}

function randomRows(random: SimRandom): Row[] {
  const rows = new Map<string, Row>();
  for (let left = random.int(1, 30); left > 0; left--) {
    const key = Uint8Array.of(random.int(1, 8), ...randomBytes(random, random.int(0, 4)));
    const value = new Uint8Array(random.int(0, 60)).fill(random.int(0, 255));
    rows.set(toHex(key), [key, value]);
  }
  return [...rows.values()].sort(([a], [b]) => compareBytes(a, b));
}
