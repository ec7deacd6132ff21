// The rules of SstWriter that need no judge: what it refuses, what it depends on, what it holds, and how it ends.

import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';

import { BufferPool } from '../../../src/core/buffer-pool.js';
import { BackupError } from '../../../src/core/errors.js';
import { BLOCK_TRAILER_BYTES, type BlockPress } from '../../../src/format/sst/block-press.js';
import { loadCodec } from '../../../src/format/sst/codecs/load-codec.js';
import { encodeFooter } from '../../../src/format/sst/footer.js';
import { shortestSeparator } from '../../../src/format/sst/index-separator.js';
import { inlinePress } from '../../../src/format/sst/inline-press.js';
import { type SstSink, SstWriter } from '../../../src/format/sst/sst-writer.js';
import { readVarint64 } from '../../../src/format/sst/varint.js';
import { varintLength, writeVarint } from '../../../src/format/sst/write-varint.js';
import { binaryRows, largeRows, plainRows } from './row-sets.js';
import { MemorySink, pressFor, type Row, writeSst } from './write-rows.js';

const NONE = inlinePress(await loadCodec('none'));

function writer(options: Partial<ConstructorParameters<typeof SstWriter>[0]> = {}) {
  return new SstWriter({ sink: new MemorySink(), press: NONE, ...options });
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

describe('what SstWriter refuses', () => {
  it('a key that is not above the last one, with its place; the file is as if it had not been tried', async () => {
    const sink = new MemorySink();
    const press = await pressFor('zstd');
    const sst = new SstWriter({ sink, press, blockSize: 100 });
    const wrong: readonly string[] = ['b', 'a', 'aa', '', 'b'];
    for (const key of ['b', 'c', 'cc']) {
      sst.add(Buffer.from(key), Buffer.alloc(60));
      for (const bad of [...wrong, key]) {
        const add = () => sst.add(Buffer.from(bad), Buffer.alloc(1_000));
        expect(add).toThrow(/^row \d of the SST file: its key .* is not above the last one, /);
        expect(add).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
      }
    }
    expect(sst.entries).toBe(3);
    await sst.finish();
    const rows = ['b', 'c', 'cc'].map((key): Row => [Buffer.from(key), Buffer.alloc(60)]);
    expect(sink.bytes).toEqual((await writeSst(rows, { press, blockSize: 100 })).bytes);
  });

  it('a file without rows, before the sink has anything', async () => {
    const sink = new MemorySink();
    const sst = writer({ sink });
    await sst.flush();
    await expect(sst.finish()).rejects.toMatchObject({ code: 'INVALID_STATE' });
    expect(sink.bytes).toHaveLength(0);
    // It is not too late for a row.
    sst.add(Buffer.from('k'), Buffer.from('v'));
    expect(await sst.finish()).toMatchObject({ entries: 1, size: sink.bytes.length });
  });

  it('a row that is larger than blocks can be', () => {
    const huge = new Uint8Array((1 << 30) - 1);
    const sst = writer();
    expect(() => sst.add(Buffer.from('ab'), huge)).toThrow(expect.objectContaining({ code: 'OPERATION_TOO_LARGE' }));
    expect(sst.entries).toBe(0);
  });

  it('rows without end that are never flushed; it goes on after a flush', async () => {
    const sst = writer({ sink: { append: () => Promise.resolve() } });
    const value = new Uint8Array(8 << 20);
    let added = 0;
    const add = () => {
      const key = Buffer.alloc(4);
      key.writeUInt32BE(added);
      sst.add(key, value);
      added++;
    };
    expect(() => {
      while (added < 100) add();
    }).toThrow(expect.objectContaining({ code: 'INVALID_STATE' }));
    expect(added).toBeGreaterThan(30);
    expect(added).toBeLessThan(40);
    await sst.flush();
    while (sst.pendingBytes <= 256 << 20) add();
    expect((await sst.finish()).entries).toBe(added);
  });

  it('anything after the end', async () => {
    const sst = writer();
    sst.add(Buffer.from('a'), Buffer.from('b'));
    await sst.finish();
    expect(() => sst.add(Buffer.from('b'), Buffer.from('b'))).toThrow(BackupError);
    await expect(sst.flush()).rejects.toMatchObject({ code: 'INVALID_STATE' });
    await expect(sst.finish()).rejects.toMatchObject({ code: 'INVALID_STATE' });
    await sst.abort();
  });

  it.each([
    { blockSize: 0 },
    { blockSize: 1.5 },
    { blockSize: 1 << 30 },
    { restartInterval: 0 },
    { formatVersion: 1 as 2 },
    { formatVersion: 6 as 2 },
    { batchBytes: 0 },
    { press: { ...NONE, concurrency: 0 } },
    { press: { ...NONE, compression: 'bzip2' as 'none' } },
    { press: {} as BlockPress },
    { sink: {} as SstSink },
  ])('the option %j', (options) => {
    expect(() => writer(options)).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
  });
});

describe('what the bytes depend on', () => {
  it('not on flushes, batches, the pool or the order in which a press is done', async () => {
    const rows = [...binaryRows(9, 600)];
    const codec = await loadCodec('zstd');
    const pool = new BufferPool();
    // Leftovers of other files lie in the buffers.
    pool.give(new Uint8Array(1 << 20).fill(0xee));
    const plain = await writeSst(rows, { press: inlinePress(codec), blockSize: 1_000 });
    for (const options of [
      { flushEvery: 1, batchBytes: 1 },
      { flushEvery: 1e9, batchBytes: 20_000 },
      { flushEvery: 7, batchBytes: 3_000, pool },
      { flushEvery: 7, batchBytes: 3_000, press: unevenPress(inlinePress(codec), 4) },
      { flushEvery: 50, batchBytes: 10_000, press: transferringPress(inlinePress(codec)) },
    ]) {
      const other = await writeSst(rows, { press: inlinePress(codec), blockSize: 1_000, ...options });
      expect(sha256(other.bytes)).toBe(sha256(plain.bytes));
      expect(other.summary).toEqual(plain.summary);
    }
  });

  it('not on memory that the caller uses again for the next row', async () => {
    const rows = binaryRows(3, 300);
    const sink = new MemorySink();
    const sst = writer({ sink, blockSize: 500, batchBytes: 2_000 });
    const key = Buffer.alloc(11_000);
    const value = Buffer.alloc(3_000);
    for (const [k, v] of rows) {
      key.fill(0x55).set(k);
      value.fill(0x55).set(v);
      sst.add(key.subarray(0, k.length), value.subarray(0, v.length));
      if (sst.pendingBytes > 0) await sst.flush();
    }
    key.fill(0x55);
    const summary = await sst.finish();
    const plain = await writeSst(rows, { press: NONE, blockSize: 500 });
    expect(sha256(sink.bytes)).toBe(sha256(plain.bytes));
    expect(summary).toEqual(plain.summary);
    expect(Buffer.from(summary.smallestKey)).toEqual(Buffer.from((rows[0] as Row)[0]));
    expect(Buffer.from(summary.largestKey)).toEqual(Buffer.from((rows.at(-1) as Row)[0]));
  });

  it('its sizes are those of the rows and of the file', async () => {
    const rows = plainRows(5_000);
    for (const compression of ['none', 'zstd'] as const) {
      const { bytes, summary } = await writeSst(rows, { press: await pressFor(compression), blockSize: 4_096 });
      expect(summary).toMatchObject({
        size: bytes.length,
        entries: rows.length,
        rawKeyBytes: 16 * rows.length,
        rawValueBytes: 100 * rows.length,
      });
    }
  });

  it('`bytes` is the size without compression and index, however far the press is', async () => {
    const rows = plainRows(3_000);
    const sizes = async (press: BlockPress, flushEvery: number) => {
      const sst = writer({ press, blockSize: 4_096, batchBytes: 10_000 });
      const seen: number[] = [];
      for (const [i, [key, value]] of rows.entries()) {
        sst.add(key, value);
        if (i % 100 === 0) seen.push(sst.bytes);
        if (i % flushEvery === 0) await sst.flush();
      }
      const { size } = await sst.finish();
      return { seen, size };
    };
    const plain = await sizes(NONE, 50);
    const zstd = await sizes(await pressFor('zstd'), 1);
    expect(zstd.seen).toEqual(plain.seen);
    expect(zstd.size).toBeLessThan(plain.size);
    expect(plain.size / (plain.seen.at(-1) as number)).toBeLessThan(1.1);
  });
});

describe('what SstWriter holds and how it ends', () => {
  it('starts no more batches than the press has a use for, and one: a slow sink holds the caller back', async () => {
    let under = 0;
    let most = 0;
    const slow: BlockPress = {
      ...NONE,
      concurrency: 3,
      press: async (blocks) => {
        most = Math.max(most, ++under);
        await new Promise((resolve) => setImmediate(resolve));
        return NONE.press(blocks);
      },
    };
    const sink = {
      append: async () => {
        await new Promise((resolve) => setImmediate(resolve));
        under--;
      },
    };
    const sst = writer({ press: slow, sink, blockSize: 1_000, batchBytes: 5_000 });
    for (const [key, value] of plainRows(10_000)) {
      sst.add(key, value);
      if (sst.pendingBytes > 0) await sst.flush();
    }
    await sst.finish();
    expect(most).toBe(4);
  });

  it('one append at a time, in file order; the memory is its own until it has resolved', async () => {
    const rows = [
      ...plainRows(4_000),
      ...largeRows().map(([key, value]): Row => [Buffer.concat([Buffer.from('z'), key]), value]),
    ];
    let appending = false;
    const kept: Buffer[] = [];
    const sink = {
      append: async (chunks: readonly Uint8Array[]) => {
        expect(appending).toBe(false);
        appending = true;
        const before = Buffer.concat(chunks);
        await new Promise((resolve) => setImmediate(resolve));
        expect(Buffer.concat(chunks).equals(before)).toBe(true);
        kept.push(before);
        appending = false;
      },
    };
    const sst = writer({ sink, press: unevenPress(NONE, 3), blockSize: 2_000, batchBytes: 30_000 });
    for (const [key, value] of rows) {
      sst.add(key, value);
      if (sst.pendingBytes > 0) await sst.flush();
    }
    await sst.finish();
    const plain = await writeSst(rows, { press: NONE, blockSize: 2_000 });
    expect(sha256(Buffer.concat(kept))).toBe(sha256(plain.bytes));
  });

  it('recycles the buffers of a press that takes them to another thread and back', async () => {
    const buffers = new Set<ArrayBufferLike>();
    const pool = new BufferPool();
    const press = transferringPress(NONE);
    const sink = {
      append: (chunks: readonly Uint8Array[]) => Promise.resolve(void buffers.add((chunks[0] as Uint8Array).buffer)),
    };
    const sst = writer({ sink, pool, press, blockSize: 1_000, batchBytes: 5_000 });
    for (const [key, value] of plainRows(2_000)) {
      sst.add(key, value);
      if (sst.pendingBytes > 0) await sst.flush();
    }
    await sst.finish();
    expect(buffers.size).toBeGreaterThan(10);
    expect(pool.idleBytes).toBeGreaterThan(0);
    expect(pool.idleBytes).toBeLessThan(5 * 2 * 6_000);
  });

  it.each(['press', 'sink', 'press, later', 'sink, later'])(
    'the first error comes out of flush or finish, and stays: %s',
    async (where) => {
      const error = new Error(`${where} failed`);
      let calls = 0;
      const fails = (part: string) => where.startsWith(part) && (++calls > 3 || !where.endsWith('later'));
      const press: BlockPress = {
        ...NONE,
        concurrency: 2,
        press: async (blocks) => {
          await Promise.resolve();
          if (fails('press')) throw error;
          return NONE.press(blocks);
        },
      };
      const sink = { append: () => (fails('sink') ? Promise.reject(error) : Promise.resolve()) };
      const sst = writer({ press, sink, blockSize: 500, batchBytes: 1_000 });
      const write = async () => {
        for (const [key, value] of plainRows(1_000)) {
          sst.add(key, value);
          if (sst.pendingBytes > 0) await sst.flush();
        }
        await sst.finish();
      };
      await expect(write()).rejects.toBe(error);
      await expect(sst.flush()).rejects.toBe(error);
      await expect(sst.finish()).rejects.toBe(error);
      expect(() => sst.add(Buffer.from('zz'), Buffer.from('v'))).toThrow(error);
      await sst.abort();
    },
  );

  it('a press that answers with too few blocks is named', async () => {
    const sst = writer({ press: { ...NONE, press: (blocks) => blocks.slice(1) } });
    sst.add(Buffer.from('k'), Buffer.from('v'));
    await expect(sst.finish()).rejects.toMatchObject({ code: 'ADAPTER_CONTRACT' });
  });

  it('an abort of the signal ends the waiting; abort() joins what is under way and gives the sink nothing more', async () => {
    const gate = new Gate();
    let appends = 0;
    const sink = {
      append: async () => {
        appends++;
        await gate.opened;
      },
    };
    const sst = writer({ sink, blockSize: 500, batchBytes: 1_000 });
    for (const [key, value] of plainRows(500)) sst.add(key, value);
    const controller = new AbortController();
    const flushing = sst.flush(controller.signal);
    const reason = new Error('enough');
    controller.abort(reason);
    await expect(flushing).rejects.toBe(reason);
    await expect(sst.flush(controller.signal)).rejects.toBe(reason);
    let joined = false;
    const joining = sst.abort().then(() => (joined = true));
    await new Promise((resolve) => setImmediate(resolve));
    expect(joined).toBe(false);
    gate.open();
    await joining;
    expect(appends).toBe(1);
    await expect(sst.flush()).rejects.toMatchObject({ code: 'INVALID_STATE' });
  });
});

it('varints are read as they were written, of any size that files have', () => {
  const bytes = new Uint8Array(12);
  for (let power = 0; power <= 53; power++) {
    for (const value of [2 ** power - 1, 2 ** power, 2 ** power + 1].filter(Number.isSafeInteger)) {
      const next = writeVarint(bytes, 1, value);
      expect(next).toBe(1 + varintLength(value));
      expect(readVarint64(bytes, 1)).toEqual({ value, next });
    }
  }
});

it('the footer holds handles of the largest files', () => {
  const large = { offset: Number.MAX_SAFE_INTEGER, size: 2 ** 32 - 1 };
  const footer = encodeFooter(large, { offset: 2 ** 40, size: 3 }, 5);
  expect(footer).toHaveLength(53);
  expect(Buffer.from(footer).toString('hex')).toMatch(
    /^01ffffffffffffff0fffffffff0f80808080802003(00)+05000000f7cff485b741e288$/,
  );
});

it.each(['press', 'sink'])(
  'abort() while the end of the file is at the %s joins it; finish does not say that there is a file',
  async (where) => {
    const gate = new Gate();
    let ending = false;
    let busy = false;
    const work = async () => {
      if (!ending) return;
      busy = true;
      await gate.opened;
      busy = false;
    };
    let appends = 0;
    const sink = {
      append: async () => {
        appends++;
        if (where === 'sink') await work();
      },
    };
    const press: BlockPress = {
      ...NONE,
      press: async (blocks) => {
        if (where === 'press') await work();
        return NONE.press(blocks);
      },
    };
    const sst = writer({ sink, press, blockSize: 500, batchBytes: 1_000 });
    for (const [key, value] of plainRows(50)) sst.add(key, value);
    await sst.flush();
    ending = true;
    const finishing = sst.finish();
    while (!busy) await new Promise((resolve) => setImmediate(resolve));
    const before = appends;
    const joining = sst.abort().then(() => busy);
    gate.open();
    expect(await joining).toBe(false);
    await expect(finishing).rejects.toMatchObject({ code: 'INVALID_STATE' });
    expect(appends).toBe(before);
  },
);

it('every call of abort() joins what is under way, not the first one alone', async () => {
  const gate = new Gate();
  const sst = writer({ sink: { append: () => gate.opened }, blockSize: 500, batchBytes: 1_000 });
  for (const [key, value] of plainRows(500)) sst.add(key, value);
  const flushing = sst.flush().catch((error: unknown) => error);
  // The sink has the first blocks.
  await new Promise((resolve) => setImmediate(resolve));
  let joined = 0;
  const joining = [sst.abort(), sst.abort()].map((aborting) => aborting.then(() => joined++));
  await new Promise((resolve) => setImmediate(resolve));
  joining.push(sst.abort().then(() => joined++));
  await new Promise((resolve) => setImmediate(resolve));
  expect(joined).toBe(0);
  gate.open();
  await Promise.all(joining);
  expect(await flushing).toMatchObject({ code: 'INVALID_STATE' });
});

it('from a call of abort() on neither press nor sink is called, whenever it comes', async () => {
  for (let turns = 0; turns < 100; turns++) {
    let aborted = false;
    let late = 0;
    const press: BlockPress = { ...NONE, press: (blocks) => (aborted && late++, NONE.press(blocks)) };
    const sink = { append: () => (aborted && late++, Promise.resolve()) };
    const sst = writer({ press, sink, blockSize: 500, batchBytes: 1_000 });
    for (const [key, value] of plainRows(100)) sst.add(key, value);
    const finishing = sst.finish().catch((error: unknown) => error);
    for (let turn = 0; turn < turns; turn++) await Promise.resolve();
    aborted = true;
    await sst.abort();
    await finishing;
    expect(late, `after ${turns} turns`).toBe(0);
  }
});

describe('index separators', () => {
  it.each([
    ['abc1', 'abd', 'abc2'],
    ['abc1', 'abe', 'abd'],
    ['abc', 'abd', undefined],
    ['ab', 'abc', undefined],
    ['a\xff\xff1', 'b', 'a\xff\xff2'],
    ['a\xff\xff', 'b', undefined],
    ['a1', 'c', 'b'],
    ['a1zzz', 'a3', 'a2'],
    ['abcd', 'abd', 'abce'],
    ['', 'a', undefined],
  ])('between %j and %j: %j', (last, next, wanted) => {
    const found = shortestSeparator(Buffer.from(last, 'latin1'), Buffer.from(next, 'latin1'));
    expect(found === undefined ? undefined : Buffer.from(found).toString('latin1')).toBe(wanted);
    if (found === undefined) return;
    expect(Buffer.compare(found, Buffer.from(last, 'latin1'))).toBeGreaterThan(0);
    expect(Buffer.compare(found, Buffer.from(next, 'latin1'))).toBeLessThan(0);
  });

  it('are at or above the last key, below the next one, and no longer, for keys of all kinds', () => {
    const rows = binaryRows(21, 2_000);
    let shortened = 0;
    for (let i = 1; i < rows.length; i++) {
      const [last, next] = [(rows[i - 1] as Row)[0], (rows[i] as Row)[0]];
      const separator = shortestSeparator(last, next);
      if (separator === undefined) continue;
      shortened++;
      expect(Buffer.compare(separator, last)).toBe(1);
      expect(Buffer.compare(separator, next)).toBe(-1);
      expect(separator.length).toBeLessThanOrEqual(last.length);
    }
    expect(shortened).toBeGreaterThan(100);
  });
});

/** Presses that are done late are done before those behind them, and the other way round. */
function unevenPress(press: BlockPress, concurrency: number): BlockPress {
  let calls = 0;
  return {
    compression: press.compression,
    concurrency,
    press: async (blocks) => {
      for (let turns = (calls++ * 7) % 5; turns > 0; turns--) await new Promise((resolve) => setImmediate(resolve));
      return await press.press(blocks);
    },
  };
}

/** Takes the blocks' memory away with it, as a press on another thread does. */
function transferringPress(press: BlockPress): BlockPress {
  return {
    compression: press.compression,
    concurrency: 2,
    press: async (blocks) => {
      const { buffer } = blocks[0] as Uint8Array;
      const places = blocks.map(({ byteOffset, length }) => [byteOffset, length] as const);
      const moved = structuredClone(buffer, { transfer: [buffer as ArrayBuffer] });
      expect(buffer.byteLength).toBe(0);
      const taken = places.map(([at, length]) => new Uint8Array(moved, at, length));
      for (const block of taken)
        expect(block.byteOffset + block.length + BLOCK_TRAILER_BYTES).toBeLessThanOrEqual(moved.byteLength);
      return await press.press(taken);
    },
  };
}

class Gate {
  open: () => void = () => undefined;
  readonly opened = new Promise<void>((resolve) => (this.open = resolve));
}
