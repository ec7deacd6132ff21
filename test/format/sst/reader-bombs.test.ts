// Small files that would take much memory: refused before they get it.

import { describe, expect, it } from 'vitest';

import { utf8 } from '../../../src/core/bytes.js';
import { crc32c } from '../../../src/core/crc32c.js';
import { writeUint32LE } from '../../../src/core/mutation.js';
import type { SstCompression } from '../../../src/format/sst/codec.js';
import { loadCodec } from '../../../src/format/sst/codecs/load-codec.js';
import { DataBlockDecoder } from '../../../src/format/sst/data-block.js';
import { type BlockHandle, encodeBlockHandle, encodeFooter } from '../../../src/format/sst/footer.js';
import { encodeMetaBlock } from '../../../src/format/sst/meta-block.js';
import { pressBlock, sealBlock } from '../../../src/format/sst/press-block.js';
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

/** A file with range deletions alone. */
async function fileOfRangeDeletions(count: number, compression: SstCompression): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let offset = 0;
  const place = (stored: Uint8Array): BlockHandle => {
    const handle = { offset, size: stored.length - 5 };
    chunks.push(stored.slice());
    offset += stored.length;
    return handle;
  };
  const key = (i: number) => Buffer.concat([utf8(String(i).padStart(6, '0')), Uint8Array.of(15, 0, 0, 0, 0, 0, 0, 0)]);
  const deletions = encodeMetaBlock(Array.from({ length: count }, (_, i) => [key(i), utf8('z')] as const));
  const rangeDeletions = place(pressBlock(deletions, await loadCodec(compression), crc32c));
  const index = place(sealBlock(encodeMetaBlock([]), 'none', crc32c));
  const facts = { rawKeyBytes: 14 * count, rawValueBytes: count, dataBlocks: 0, dataBytes: 0, indexBytes: 0 };
  const properties = encodeTableProperties({ entries: count, ...facts, compression: 'none', formatVersion: 2 });
  const said = Buffer.from(properties.buffer, properties.byteOffset, properties.length);
  const name = utf8('range-deletions');
  said[said.indexOf(name) + name.length] = count;
  const names = [
    [utf8('rocksdb.properties'), encodeBlockHandle(place(sealBlock(properties, 'none', crc32c)))],
    [utf8('rocksdb.range_del'), encodeBlockHandle(rangeDeletions)],
  ] as const;
  const metaindex = place(sealBlock(encodeMetaBlock(names), 'none', crc32c));
  return new Uint8Array(Buffer.concat([...chunks, encodeFooter(metaindex, index, 2)]));
}

describe('small files that would take much memory', () => {
  it('many entries that share one key take no more room than maxBlockBytes has keys for', () => {
    const maxBlockBytes = 1 << 20;
    const file = { name: 'test.sst' };
    const decoder = new DataBlockDecoder({ file, maxBlockBytes, globalSeqno: false });
    const raw = sameKeyAgain(340_000);
    expect(() => decoder.decode(raw, 0)).toThrow(/maxBlockBytes/);
    expect(decoder.keyStarts.length).toBeLessThanOrEqual(2 * (maxBlockBytes / 8));
  });

  it('range deletions, which are kept as objects, are never compressed', async () => {
    const plain = await openBytes(await fileOfRangeDeletions(100, 'none'));
    expect(plain.rangeDeletions).toHaveLength(100);
    for (const compression of ['snappy', 'zlib', 'lz4', 'zstd'] as const) {
      const opening = openBytes(await fileOfRangeDeletions(100, compression));
      await expect(opening).rejects.toMatchObject({ code: 'CORRUPT_FILE', file: 'test.sst' });
      await expect(opening).rejects.toThrow(/compressed/);
    }
  });
});
