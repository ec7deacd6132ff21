// Small files that would take much memory: refused before they get it.

import { describe, expect, it } from 'vitest';

import { utf8 } from '../../../src/core/bytes.js';
import { crc32c } from '../../../src/core/crc32c.js';
import { writeUint32LE } from '../../../src/core/mutation.js';
import type { SstCompression } from '../../../src/format/sst/codec.js';
import { loadCodec } from '../../../src/format/sst/codecs/load-codec.js';
import { DataBlockDecoder } from '../../../src/format/sst/data-block.js';
import { PLACE_NUMBERS } from '../../../src/format/sst/sst-batch.js';
import { type BlockHandle, encodeBlockHandle, encodeFooter } from '../../../src/format/sst/footer.js';
import { encodeMetaBlock } from '../../../src/format/sst/meta-block.js';
import { readMetaEntries } from '../../../src/format/sst/meta-entries.js';
import { pressBlock } from '../../../src/format/sst/press-block.js';
import { encodeTableProperties } from '../../../src/format/sst/table-properties.js';
import { openBytes } from './rocksdb-file.js';

/** A whole key, then entries of 3 bytes with that same key. */
function sameKeyAgain(entries: number): Uint8Array {
  const first = [0, 8, 0, 1, 0, 0, 0, 0, 0, 0, 0];
  const raw = new Uint8Array(first.length + 3 * entries + 8);
  raw.set(first);
  for (let i = 0; i < entries; i++) raw[first.length + 3 * i] = 8;
  writeUint32LE(raw, raw.length - 4, 1);
  return raw;
}

interface Meta {
  /** How the block of range deletions and the metaindex are stored. Default: as they are. */
  readonly rangeDeletions?: SstCompression;
  readonly metaindex?: SstCompression;
  /** Names of further blocks, each with an index of nothing. */
  readonly others?: readonly string[];
}

/** A file with `count` range deletions, and nothing else. */
async function fileOfRangeDeletions(count: number, meta: Meta = {}): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let offset = 0;
  const place = async (raw: Uint8Array, compression: SstCompression = 'none'): Promise<BlockHandle> => {
    const stored = pressBlock(raw, await loadCodec(compression), crc32c);
    const handle = { offset, size: stored.length - 5 };
    chunks.push(stored.slice());
    offset += stored.length;
    return handle;
  };
  const key = (i: number) => Buffer.concat([utf8(String(i).padStart(6, '0')), Uint8Array.of(15, 0, 0, 0, 0, 0, 0, 0)]);
  const deletions = encodeMetaBlock(Array.from({ length: count }, (_, i) => [key(i), utf8('z')] as const));
  const facts = { rawKeyBytes: 14 * count, rawValueBytes: count, dataBlocks: 0, dataBytes: 0, indexBytes: 0 };
  const properties = encodeTableProperties({ entries: count, ...facts, compression: 'none', formatVersion: 2 });
  const said = Buffer.from(properties.buffer, properties.byteOffset, properties.length);
  // As far as the names are not shared with the ones before them.
  for (const name of ['eleted.keys', 'range-deletions']) said[said.indexOf(name) + name.length] = count;
  const index = await place(encodeMetaBlock([]));
  const names: [string, BlockHandle][] = [];
  for (const name of meta.others ?? []) names.push([name, await place(encodeMetaBlock([]))]);
  names.push(['rocksdb.properties', await place(properties)]);
  names.push(['rocksdb.range_del', await place(deletions, meta.rangeDeletions)]);
  const entries = names.map(([name, handle]) => [utf8(name), encodeBlockHandle(handle)] as const);
  const metaindex = await place(encodeMetaBlock(entries), meta.metaindex);
  return new Uint8Array(Buffer.concat([...chunks, encodeFooter(metaindex, index, 2)]));
}

const COMPRESSIONS = ['snappy', 'zlib', 'lz4', 'zstd'] as const;

describe('small files that would take much memory', () => {
  it('many entries that share one key take no more room than maxBlockBytes has keys for', () => {
    const maxBlockBytes = 1 << 20;
    const file = { name: 'test.sst' };
    const raw = sameKeyAgain(340_000);
    const ofData = new DataBlockDecoder({ file, maxBlockBytes, globalSeqno: false });
    expect(() => ofData.decode(raw, 0)).toThrow(/comes after/);
    expect(ofData.keyBytes.length).toBeLessThan(100);
    // Range deletions need not be in order.
    const decoder = new DataBlockDecoder({ file, maxBlockBytes, globalSeqno: false, rangeDeletions: true });
    expect(() => decoder.decode(raw, 0)).toThrow(/maxBlockBytes/);
    expect(decoder.at.length / PLACE_NUMBERS).toBeLessThanOrEqual(2 * (maxBlockBytes / 8));
    expect(decoder.keyBytes.length).toBeLessThanOrEqual(maxBlockBytes + 3);
  });

  it('what is kept as objects is never compressed: range deletions and the names of blocks', async () => {
    const others = Array.from(
      { length: 50 },
      (_, i) => `a.name.for.nothing.that.there.is.${String(i).padStart(3, '0')}`,
    );
    const plain = await openBytes(await fileOfRangeDeletions(100, { others }));
    expect(plain.rangeDeletions).toHaveLength(100);
    expect((await plain.verify()).rangeDeletions).toBe(100);
    for (const compression of COMPRESSIONS) {
      for (const block of ['rangeDeletions', 'metaindex'] as const) {
        const opening = openBytes(await fileOfRangeDeletions(100, { others, [block]: compression }));
        await expect(opening).rejects.toMatchObject({ code: 'CORRUPT_FILE', file: 'test.sst' });
        await expect(opening).rejects.toThrow(/compressed/);
      }
    }
  });

  it('more names than any file has are refused before there are too many for a map', () => {
    const names = (count: number) =>
      encodeMetaBlock(
        Array.from({ length: count }, (_, i) => [Uint8Array.of(i >>> 16, i >>> 8, i), new Uint8Array(0)] as const),
      );
    const file = { name: 'test.sst' };
    expect(readMetaEntries(file, 0, names(1 << 16)).size).toBe(1 << 16);
    expect(() => readMetaEntries(file, 0, names((1 << 16) + 1))).toThrow(/more than 65536 names/);
  });

  it('filters are read once: a second index of them is refused', async () => {
    const one = await openBytes(await fileOfRangeDeletions(1, { others: ['partitionedfilter.a'] }));
    await one.verify();
    const two = await openBytes(
      await fileOfRangeDeletions(1, { others: ['partitionedfilter.a', 'partitionedfilter.b'] }),
    );
    await expect(two.verify()).rejects.toMatchObject({ code: 'CORRUPT_FILE' });
    await expect(two.verify()).rejects.toThrow(/more than one partitioned filter/);
  });
});
