// Look-ups and ranges of SstReader against a plain model: any rows, any keys that are asked for, in both directions, on files of SstWriter with tiny blocks.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { compareBytes } from '../../../src/core/bytes.js';
import type { SstReader } from '../../../src/format/sst/sst-reader.js';
import { hexOf, openBytes } from './rocksdb-file.js';
import { pressFor, type Row, writeSst } from './write-rows.js';

/** Few bytes, so that keys meet, are prefixes of each other and are asked for between rows. */
const shortKey = fc.array(fc.constantFrom(0, 1, 0x7f, 0xff), { maxLength: 5 });
/** And some about as long as those that are copied in another way. */
const key = fc
  .tuple(fc.constantFrom(0, 0, 0, 88, 93, 96, 120), shortKey)
  .map(([prefix, bytes]) => Uint8Array.from([...new Array<number>(prefix).fill(5), ...bytes]));

const rowsOf = fc
  .array(fc.tuple(key, fc.uint8Array({ maxLength: 30 })), { minLength: 1, maxLength: 60 })
  .map((rows) => [...new Map(rows.map((row) => [hexOf(row[0]), row])).values()].sort(([a], [b]) => compareBytes(a, b)));

async function collect(reader: SstReader, options: Parameters<SstReader['rows']>[0]): Promise<string[]> {
  const rows: string[] = [];
  for await (const batch of reader.rows(options)) {
    expect(batch.count).toBeGreaterThan(0);
    for (let i = 0; i < batch.count; i++) rows.push(`${hexOf(batch.key(i))}=${hexOf(batch.value(i))}`);
  }
  return rows;
}

describe('look-ups and ranges', () => {
  it('give what a sorted list gives', async () => {
    const press = await pressFor('none');
    await fc.assert(
      fc.asyncProperty(
        rowsOf,
        fc.constantFrom<2 | 3 | 4 | 5>(2, 3, 4, 5),
        fc.array(key, { maxLength: 10 }),
        fc.array(fc.tuple(fc.option(key), fc.option(key), fc.boolean(), fc.boolean()), { maxLength: 5 }),
        async (rows: readonly Row[], formatVersion, keys, ranges) => {
          const { bytes } = await writeSst(rows, { press, formatVersion, blockSize: 64, restartInterval: 3 });
          const reader = await openBytes(bytes, { readAheadBytes: 100 });
          await reader.verify();
          for (const wanted of [...keys, ...rows.map(([of]) => of)]) {
            const value = rows.find(([of]) => compareBytes(of, wanted) === 0)?.[1];
            const found = await reader.get(wanted);
            expect(found && hexOf(found)).toBe(value && hexOf(value));
          }
          for (const [from, to, reverse, reuse] of ranges) {
            const inside = rows.filter(
              ([of]) => (from === null || compareBytes(of, from) >= 0) && (to === null || compareBytes(of, to) < 0),
            );
            const expected = inside.map(([of, value]) => `${hexOf(of)}=${hexOf(value)}`);
            const options = { from: from ?? undefined, to: to ?? undefined, reverse, reuse };
            expect(await collect(reader, options)).toEqual(reverse ? expected.reverse() : expected);
          }
        },
      ),
      { numRuns: 300 },
    );
  }, 120_000);

  it("batches are the receiver's, but with `reuse` only until the next one", async () => {
    const press = await pressFor('none');
    const rows = Array.from({ length: 500 }, (_, i): Row => [
      Buffer.from(String(i).padStart(8, '0')),
      Buffer.from('v'),
    ]);
    const reader = await openBytes((await writeSst(rows, { press, blockSize: 500 })).bytes);
    const expected = rows.map(([of]) => hexOf(of));
    const kept = [];
    for await (const batch of reader.rows()) kept.push(batch);
    expect(kept.length).toBeGreaterThan(5);
    expect(kept.flatMap((batch) => batch.keys().map(hexOf))).toEqual(expected);
    const memory = new Set<ArrayBufferLike>();
    const seen: string[] = [];
    for await (const batch of reader.rows({ reuse: true })) {
      memory.add(batch.places.keyBytes.buffer);
      seen.push(...batch.keys().map(hexOf));
    }
    expect(seen).toEqual(expected);
    // It grows at first.
    expect(memory.size).toBeLessThan(kept.length);
  });

  it('a scan that is left waits for its read, and reads no more', async () => {
    const press = await pressFor('none');
    const rows = Array.from({ length: 5000 }, (_, i): Row => [
      Buffer.from(String(i).padStart(8, '0')),
      new Uint8Array(50),
    ]);
    const bytes = new Uint8Array((await writeSst(rows, { press, blockSize: 1000 })).bytes);
    let reads = 0;
    let running = 0;
    const read = async (offset: number, length: number): Promise<Uint8Array> => {
      reads++;
      running++;
      await new Promise((resolve) => setImmediate(resolve));
      running--;
      return bytes.slice(offset, offset + length);
    };
    const reader = await openBytes(bytes, { read });
    reads = 0;
    for await (const batch of reader.rows()) {
      expect(batch.count).toBeGreaterThan(0);
      break;
    }
    expect({ reads, running }).toEqual({ reads: 1, running: 0 });
    reads = 0;
    let atLeave = 0;
    for await (const batch of reader.rows()) {
      expect(batch.count).toBeGreaterThan(0);
      if (reads < 4) continue;
      atLeave = reads;
      break;
    }
    for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
    expect({ reads, running }).toEqual({ reads: atLeave, running: 0 });
    const { signal } = new AbortController();
    expect(await collect(reader, { signal })).toHaveLength(5000);
    await expect(collect(reader, { signal: AbortSignal.abort(new Error('enough')) })).rejects.toThrow('enough');
    await expect(reader.verify({ signal: AbortSignal.abort(new Error('enough')) })).rejects.toThrow('enough');
  });

  it('an error of the reading side comes through, whoever waits', async () => {
    const press = await pressFor('none');
    const rows = Array.from({ length: 5000 }, (_, i): Row => [
      Buffer.from(String(i).padStart(8, '0')),
      new Uint8Array(50),
    ]);
    const bytes = new Uint8Array((await writeSst(rows, { press, blockSize: 1000 })).bytes);
    let failAt = Infinity;
    const read = (offset: number, length: number): Promise<Uint8Array> =>
      offset >= failAt ? Promise.reject(new Error('disk')) : Promise.resolve(bytes.slice(offset, offset + length));
    const reader = await openBytes(bytes, { read });
    for (failAt of [0, 1, 100_000, 200_000]) {
      await expect(collect(reader, {})).rejects.toThrow('disk');
      await expect(reader.verify()).rejects.toThrow('disk');
    }
    failAt = 40_000;
    // Left before the read that fails is waited for: no rejection is left over.
    for await (const batch of reader.rows()) {
      expect(batch.count).toBeGreaterThan(0);
      break;
    }
  });

  it('a reading side that gives too much is at fault, not the file; one that gives too little has a file that is cut', async () => {
    const rows: Row[] = [[Buffer.from('k'), Buffer.from('v')]];
    const bytes = new Uint8Array((await writeSst(rows, { press: await pressFor('none') })).bytes);
    const open = (give: (wanted: Uint8Array) => Uint8Array) =>
      openBytes(bytes, { read: (offset, length) => Promise.resolve(give(bytes.slice(offset, offset + length))) });
    const tooMuch = open((wanted) => Buffer.concat([wanted, wanted]));
    await expect(tooMuch).rejects.toMatchObject({ code: 'ADAPTER_CONTRACT', file: 'test.sst' });
    const text = open((wanted) => wanted.toString() as never);
    await expect(text).rejects.toMatchObject({ code: 'ADAPTER_CONTRACT' });
    await expect(open(() => undefined as never)).rejects.toMatchObject({ code: 'ADAPTER_CONTRACT' });
    await expect(open((wanted) => wanted.subarray(1))).rejects.toMatchObject({ code: 'CORRUPT_FILE' });
  });
});
