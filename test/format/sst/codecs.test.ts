import { crc32c } from '../../../src/core/crc32c.js';
import { constants } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { BackupError } from '../../../src/core/errors.js';
import type { SstCompression } from '../../../src/format/sst/codec.js';
import { loadCodec } from '../../../src/format/sst/codecs/load-codec.js';
import { nodeZstdCalls, packageZstdCalls, zstdCodec } from '../../../src/format/sst/codecs/zstd.js';
import type { ZstdCalls } from '../../../src/format/sst/codecs/zstd.js';
import { loadCrc32c, maskCrc32c } from '../../../src/format/sst/native-crc32c.js';

const COMPRESSIONS: readonly SstCompression[] = ['none', 'snappy', 'zlib', 'lz4', 'zstd'];

/** Compressible, not periodic. */
function text(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let state = 1;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    bytes[i] = (state >>> 16) % 7 === 0 ? state >>> 24 : 0x61 + (i % 5);
  }
  return bytes;
}

function codeOf(call: () => unknown): string {
  try {
    call();
  } catch (error) {
    if (BackupError.is(error)) return error.code;
    throw error;
  }
  return 'none';
}

const ZSTD_MAGIC = [0x28, 0xb5, 0x2f, 0xfd];

/** A compressed zstd block that makes 128 KiB of one byte, from the package itself. */
async function bombBlocks(count: number): Promise<Uint8Array> {
  const { compress } = await packageZstdCalls();
  // Two bytes in turns: not a block that repeats one.
  const frame = compress(new Uint8Array(128 * 1024 * 4).fill(0x61).fill(0x62, 0, 1000), 3);
  const second = 6 + 3 + (((frame[6] as number) | ((frame[7] as number) << 8)) >>> 3);
  const header =
    (frame[second] as number) | ((frame[second + 1] as number) << 8) | ((frame[second + 2] as number) << 16);
  const kind = (header >>> 1) & 3;
  const length = kind === 1 ? 1 : header >>> 3;
  const block = frame.subarray(second, second + 3 + length);
  const bomb = new Uint8Array(6 + block.length * count);
  bomb.set([...ZSTD_MAGIC, 0, 0x58]);
  for (let i = 0; i < count; i++) bomb.set(block, 6 + i * block.length);
  bomb[6 + block.length * (count - 1)] = (block[0] as number) | 1;
  return bomb;
}

describe('the codecs of SST blocks', () => {
  it.each(COMPRESSIONS)('%s gives back what it was given', async (compression) => {
    const codec = await loadCodec(compression);
    for (const length of [0, 1, 2, 13, 300, 4096, 65_536, 131_073, 1_000_000]) {
      const raw = text(length);
      const stored = codec.compress(raw).slice();
      expect(Buffer.compare(codec.decompress(stored, length), raw), `${length} bytes`).toBe(0);
      if (length >= 4096 && compression !== 'none') expect(stored.length).toBeLessThan(length);
    }
  });

  it.each(COMPRESSIONS)('%s gives back what is larger than the largest window of zstd', async (compression) => {
    const codec = await loadCodec(compression);
    const raw = new Uint8Array((128 << 20) + 1000);
    raw.set(text(70_000), 1 << 20);
    raw.set(text(70_000), raw.length - 70_000);
    const found = codec.decompress(codec.compress(raw), raw.length);
    expect(Buffer.compare(found, raw)).toBe(0);
  });

  it.each(COMPRESSIONS)(
    '%s refuses another length than the stated one, cuts and damage, and nothing else is thrown',
    async (compression) => {
      const codec = await loadCodec(compression);
      const raw = text(5000);
      const stored = codec.compress(raw).slice();
      for (const length of [0, 1, 4999, 5001, 10_000, 0xffffffff]) {
        expect(
          codeOf(() => codec.decompress(stored, length)),
          `${length}`,
        ).toBe('CORRUPT_FILE');
      }
      for (let cut = 0; cut < stored.length; cut += 7) {
        expect(
          codeOf(() => codec.decompress(stored.subarray(0, cut), 5000)),
          `cut at ${cut}`,
        ).toBe('CORRUPT_FILE');
      }
      for (let at = 0; at < Math.min(stored.length, 500); at++) {
        const damaged = stored.slice();
        damaged[at] = (damaged[at] as number) ^ (1 << (at % 8));
        expect(['none', 'CORRUPT_FILE']).toContain(codeOf(() => codec.decompress(damaged, 5000)));
      }
    },
  );

  it('levels: zstd and zlib have some, and refuse others', async () => {
    const raw = text(200_000);
    const sizes: number[] = [];
    for (const level of [-5, 1, 19]) {
      const codec = await loadCodec('zstd', { level });
      const stored = codec.compress(raw);
      sizes.push(stored.length);
      expect(Buffer.compare(codec.decompress(stored, raw.length), raw)).toBe(0);
    }
    expect(sizes[2]).toBeLessThan(sizes[0] as number);
    for (const level of [23, 1.5, Number.NaN])
      await expect(loadCodec('zstd', { level })).rejects.toThrow(/level of zstd/);
    await expect(loadCodec('zlib', { level: 10 })).rejects.toThrow(/level of zlib/);
    await expect(loadCodec('bzip2' as SstCompression)).rejects.toThrow(/compression must be/);
  });

  it('a zstd bomb is found by its headers, with no more decompressed than there should be', async () => {
    const calls = await packageZstdCalls();
    let most = 0;
    const counted: ZstdCalls = {
      compress: (raw, level) => calls.compress(raw, level),
      decompress(frame, rawLength) {
        const raw = calls.decompress(frame, rawLength);
        most = Math.max(most, raw.length);
        return raw;
      },
    };
    const codec = zstdCodec(counted);
    for (const count of [20, 200, 5000]) {
      const bomb = await bombBlocks(count);
      for (const rawLength of [100, 65_536, 1_000_000]) {
        expect(codeOf(() => codec.decompress(bomb, rawLength))).toBe('CORRUPT_FILE');
        expect(most).toBeLessThanOrEqual(2 * rawLength + 9 * 131_072);
      }
    }
    // And what is no bomb comes out, however its blocks are cut.
    const whole = await bombBlocks(20);
    expect(codec.decompress(whole, 20 * 131_072).length).toBe(20 * 131_072);
  });

  it('zstd reads frames in many small compressed blocks', async () => {
    const calls = await packageZstdCalls();
    const codec = zstdCodec(calls);
    // Blocks of one frame at most have 128 KiB; each part here is a frame of its own, whose only block is moved into one frame.
    const parts = Array.from({ length: 300 }, (_, i) => text(1500).map((byte) => byte ^ (i & 1)));
    const blocks = parts.map((part) => calls.compress(part, 3).slice(6));
    const body = Buffer.concat(
      blocks.map((block, i) => {
        const copy = block.slice(0, block.length);
        copy[0] = ((copy[0] as number) & ~1) | (i === blocks.length - 1 ? 1 : 0);
        return copy;
      }),
    );
    const frame = Buffer.concat([Uint8Array.of(...ZSTD_MAGIC, 0, 0x58), body]);
    const raw = Buffer.concat(parts);
    expect(Buffer.compare(codec.decompress(frame, raw.length), raw)).toBe(0);
    expect(codeOf(() => codec.decompress(frame, raw.length - 1))).toBe('CORRUPT_FILE');
  });

  it("takes Node's own zstd where there is one, with a bound", () => {
    expect(nodeZstdCalls({})).toBeUndefined();
    const asked: unknown[] = [];
    const calls = nodeZstdCalls({
      zstdCompressSync: (raw: Uint8Array, options: object) => (asked.push(options), raw),
      zstdDecompressSync: (raw: Uint8Array, options: object) => (asked.push(options), raw),
    });
    calls?.compress(text(5), 7);
    calls?.decompress(text(5), 0);
    expect(asked).toEqual([{ params: { 100: 7 } }, { maxOutputLength: 1 }]);
    // The parameter's number, where this Node knows its name.
    const named = Reflect.get(constants, 'ZSTD_c_compressionLevel') as unknown;
    expect([100, undefined]).toContain(named);
  });
});

describe('CRC-32C of blocks', () => {
  it('is the one of core, whichever computes it', async () => {
    const native = await loadCrc32c();
    for (const length of [0, 1, 9, 1000]) expect(native(text(length))).toBe(crc32c(text(length)));
    expect(native(text(9).subarray(4), native(text(9).subarray(0, 4)))).toBe(crc32c(text(9)));
  });

  it('is masked as RocksDB masks it', () => {
    expect(maskCrc32c(0)).toBe(0xa282ead8);
    expect(maskCrc32c(crc32c(new TextEncoder().encode('foo')))).toBe(0xfebe8a61);
  });
});
