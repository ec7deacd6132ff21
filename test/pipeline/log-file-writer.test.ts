import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { BufferPool } from '../../src/core/buffer-pool.js';
import { BackupError } from '../../src/core/errors.js';
import type { KeyRange } from '../../src/core/key-range.js';
import { checkBlocks, type FileSums } from '../../src/format/fdb/file-sums.js';
import { LogFileEncoder, blockSizeFor } from '../../src/format/fdb/log-file-encoder.js';
import { DEFAULT_BLOCK_SIZE } from '../../src/format/fdb/names.js';
import { writeLogFile } from '../../src/pipeline/log-file-writer.js';
import { MessageQueue } from '../../src/pipeline/message-queue.js';
import { MutationRouter } from '../../src/pipeline/mutation-router.js';
import type { RoutedJob } from '../../src/pipeline/routed-job.js';
import { RecordingFile, StillClock, batchOf, decodeLogFile, latin1, set, type Message } from './helpers.js';

async function routed(messages: readonly Message[], ranges: readonly KeyRange[] = []): Promise<RoutedJob> {
  const queue = new MessageQueue({ nextVersion: 0n });
  queue.push(batchOf(messages), 1_000_000n);
  // Runs as they lie in the batch: what the router gathers is long already.
  const router = new MutationRouter({ gatherBytes: 0 });
  router.setJobs([{ uid: 'job', ranges }]);
  const result = await router.route(queue.cut(999_999n), [{ uid: 'job', begin: 0n }], { clock: new StillClock() });
  return result.get('job') as RoutedJob;
}

async function write(job: RoutedJob, blockSize: number, file = new RecordingFile(), pool = new BufferPool()) {
  const result = await writeLogFile(file, job, { blockSize, pool, clock: new StillClock() });
  return { ...result, contents: file.contents, file };
}

function expected(messages: readonly Message[]) {
  return messages.map(([version, subsequence, type, param1, param2]) => ({
    version,
    subsequence,
    type,
    param1,
    param2,
  }));
}

describe('writeLogFile', () => {
  it('writes blocks that a reader written from the format page alone decodes to the same records', async () => {
    const messages = Array.from({ length: 200 }, (_, i) => set(1 + (i >> 2), i, `key${i}`, 'v'.repeat((i * 37) % 90)));
    const job = await routed(messages);
    const { contents, bytes, messages: count } = await write(job, 300);
    expect(decodeLogFile(contents, 300)).toEqual(expected(messages));
    expect([bytes, count]).toEqual([contents.length, 200]);
  });

  it('starts every block with the block version, pads with 0xFF all but the last', async () => {
    // 16 + 9 + 1 + 1 = 27 bytes each: two fit into a block of 60, with 2 bytes of padding.
    const { contents } = await write(await routed([set(1, 0, 'a'), set(1, 1, 'b'), set(1, 2, 'c')]), 60);
    expect(contents.length).toBe(60 + 4 + 27);
    expect([contents.readUInt32LE(0), contents.readUInt32LE(60)]).toEqual([4110, 4110]);
    expect([...contents.subarray(58, 60)]).toEqual([0xff, 0xff]);
    expect(contents.at(-1)).toBe('v'.charCodeAt(0));
  });

  it('fills a block to the last byte', async () => {
    const { contents } = await write(await routed([set(1, 0, 'a'), set(1, 1, 'b'), set(1, 2, 'c')]), 4 + 27);
    expect(contents.length).toBe(3 * 31);
    expect(decodeLogFile(contents, 31)).toHaveLength(3);
  });

  it('appends nothing for a job without messages: an empty file', async () => {
    const job = await routed([set(1, 0, 'z')], [{ begin: latin1('a'), end: latin1('b') }]);
    const { contents, bytes, messages, file } = await write(job, DEFAULT_BLOCK_SIZE);
    expect([contents.length, bytes, messages, file.chunkCounts.length]).toEqual([0, 0, 0, 0]);
  });

  it('P20: a record longer than a block makes the blocks of its file larger', async () => {
    const messages = [set(1, 0, 'a'), set(1, 1, 'b', 'x'.repeat(5_000)), set(1, 2, 'c')];
    const job = await routed(messages);
    expect(job.maxRecordBytes).toBe(16 + 9 + 1 + 5_000);
    const blockSize = blockSizeFor(job.maxRecordBytes, 1_024);
    expect(blockSize).toBe(5_026 + 4);
    expect(blockSizeFor(job.maxRecordBytes, DEFAULT_BLOCK_SIZE)).toBe(DEFAULT_BLOCK_SIZE);
    const { contents } = await write(job, blockSize);
    expect(decodeLogFile(contents, blockSize)).toEqual(expected(messages));
    await expect(write(job, blockSize - 1)).rejects.toThrow(/no record is longer than a block/);
  });

  it('lays out the next chunks while an append is under way, one append at a time, at most 1,024 chunks each', async () => {
    // 5,000-byte values pass uncopied, every one cut off by a block header: many chunks.
    const messages = Array.from({ length: 3_000 }, (_, i) => set(1, i, 'k', 'x'.repeat(5_000)));
    const file = new RecordingFile();
    const { contents } = await write(await routed(messages), 5_100, file);
    expect(decodeLogFile(contents, 5_100)).toEqual(expected(messages));
    expect(file.maxInFlight).toBe(1);
    expect(file.chunkCounts.length).toBeGreaterThan(1);
    expect(Math.max(...file.chunkCounts)).toBeLessThanOrEqual(1_024);
  });

  it('copies short runs together: every other message of a batch makes few chunks', async () => {
    const messages = Array.from({ length: 20_000 }, (_, i) => set(1, i, i % 2 === 0 ? 'a' : 'z', `value ${i}`));
    const job = await routed(messages, [{ begin: latin1('a'), end: latin1('b') }]);
    expect(job.runCount).toBe(10_000);
    const pool = new BufferPool();
    const file = new RecordingFile();
    const { contents } = await write(job, DEFAULT_BLOCK_SIZE, file, pool);
    expect(decodeLogFile(contents, DEFAULT_BLOCK_SIZE)).toEqual(expected(messages.filter((m) => m[3] === 'a')));
    expect(file.chunkCounts.reduce((a, b) => a + b)).toBeLessThan(4);
    expect(pool.idleBytes).toBeGreaterThan(0);
  });

  it('uses a pooled buffer again only after its append has resolved', async () => {
    const messages = Array.from({ length: 30_000 }, (_, i) => set(1, i, i % 2 === 0 ? 'a' : 'z', `${i}`.padEnd(150)));
    const job = await routed(messages, [{ begin: latin1('a'), end: latin1('b') }]);
    const file = new RecordingFile();
    file.delay = 200;
    const pool = new BufferPool();
    // RecordingFile fails when chunks change while an append is under way.
    for (let i = 0; i < 2; i++) await write(job, DEFAULT_BLOCK_SIZE, file, pool);
    expect(decodeLogFile(file.contents.subarray(0, file.contents.length / 2), DEFAULT_BLOCK_SIZE)).toHaveLength(15_000);
  });

  it('rejects with the error of an append, once none is under way', async () => {
    const messages = Array.from({ length: 3_000 }, (_, i) => set(1, i, 'k', 'x'.repeat(5_000)));
    const job = await routed(messages);
    for (const failAfter of [0, 1, 2]) {
      const file = new RecordingFile();
      file.failAfter = failAfter;
      await expect(write(job, DEFAULT_BLOCK_SIZE, file)).rejects.toThrow('the disk is full');
      expect([file.inFlight, file.chunkCounts.length]).toEqual([0, failAfter + 1]);
    }
  });

  it('stops when its signal aborts, once no append is under way', async () => {
    const messages = Array.from({ length: 3_000 }, (_, i) => set(1, i, 'k', 'x'.repeat(5_000)));
    const file = new RecordingFile();
    file.delay = 100;
    const controller = new AbortController();
    const writing = writeLogFile(file, await routed(messages), {
      blockSize: DEFAULT_BLOCK_SIZE,
      pool: new BufferPool(),
      clock: new StillClock(),
      signal: controller.signal,
    });
    controller.abort(new Error('stop'));
    await expect(writing).rejects.toThrow('stop');
    expect(file.inFlight).toBe(0);
    expect(file.chunkCounts.length).toBe(1);
  });

  describe('the checksums', () => {
    const options = { blockSize: DEFAULT_BLOCK_SIZE, pool: new BufferPool(), clock: new StillClock() };
    const many = () => Array.from({ length: 3_000 }, (_, i) => set(1, i, 'k', 'x'.repeat(5_000)));

    it('are those of the bytes that were appended, block by block', async () => {
      for (const blockSize of [64, 300, 512, 1_000, DEFAULT_BLOCK_SIZE]) {
        const file = new RecordingFile();
        const given: FileSums[] = [];
        const messages = Array.from({ length: 400 }, (_, i) => set(1, i, 'k', 'v'.repeat(i % 30)));
        await writeLogFile(file, await routed(messages), {
          ...options,
          blockSize,
          onSums: async (sums) => void given.push(sums),
        });
        const [sums] = given;
        expect(given.length).toBe(1);
        expect(sums?.size).toBe(file.contents.length);
        expect((sums?.blockSize ?? 0) % blockSize).toBe(0);
        checkBlocks(sums as FileSums, file.name, 0, file.contents);
        const flipped = Buffer.from(file.contents);
        flipped.writeUInt8(flipped.readUInt8(0) ^ 1, 0);
        expect(() => checkBlocks(sums as FileSums, file.name, 0, flipped)).toThrow(/the block at offset 0/);
      }
    });

    it('are there while the last append is under way', async () => {
      const file = new RecordingFile();
      file.delay = 300;
      let inFlight: number | undefined;
      const onSums = async () => void (inFlight = file.inFlight);
      await writeLogFile(file, await routed(many()), { ...options, onSums });
      expect(inFlight).toBe(1);
      expect(file.inFlight).toBe(0);
    });

    it('are not made of an empty file', async () => {
      const job = await routed([set(1, 0, 'z')], [{ begin: latin1('a'), end: latin1('b') }]);
      const onSums = () => Promise.reject(new Error('there is nothing to sum up'));
      await expect(writeLogFile(new RecordingFile(), job, { ...options, onSums })).resolves.toMatchObject({ bytes: 0 });
    });

    it('that cannot be stored fail the write, once no append is under way', async () => {
      const file = new RecordingFile();
      file.delay = 300;
      const onSums = () => Promise.reject(new Error('no room for checksums'));
      const writing = writeLogFile(file, await routed(many()), { ...options, onSums });
      await expect(writing).rejects.toThrow('no room for checksums');
      expect(file.inFlight).toBe(0);
    });

    it('are joined: a write whose last append fails ends after onSums has', async () => {
      const file = new RecordingFile();
      file.failAfter = 0;
      let isOver = false;
      const onSums = async () => {
        for (let turn = 0; turn < 500; turn++) await Promise.resolve();
        isOver = true;
      };
      const writing = writeLogFile(file, await routed([set(1, 0, 'a')]), { ...options, onSums });
      await expect(writing).rejects.toThrow('the disk is full');
      expect(isOver).toBe(true);
    });

    it('are not asked for once the signal has aborted', async () => {
      const controller = new AbortController();
      const file = new RecordingFile();
      const clock = new StillClock();
      clock.yieldToHost = async () => {
        controller.abort(new Error('stop'));
        await Promise.resolve();
      };
      let isCalled = false;
      const onSums = async () => void (isCalled = true);
      const job = await routed([set(1, 0, 'a')]);
      const writing = writeLogFile(file, job, { ...options, clock, signal: controller.signal, onSums });
      await expect(writing).rejects.toThrow('stop');
      expect(isCalled).toBe(false);
    });
  });

  it('keeps every record, in order and whole, for any sizes of records, blocks and runs', async () => {
    const sizes = fc.array(
      fc.oneof({ weight: 9, arbitrary: fc.integer({ min: 0, max: 300 }) }, fc.integer({ min: 0, max: 9_000 })),
      { maxLength: 120 },
    );
    await fc.assert(
      fc.asyncProperty(
        sizes,
        fc.integer({ min: 0, max: 12_000 }),
        fc.integer({ min: 1, max: 5 }),
        async (lengths, extra, period) => {
          const messages = lengths.map((length, i) => set(1 + i, i, i % period === 0 ? 'z' : 'a', 'x'.repeat(length)));
          const mine = messages.filter((m) => m[3] === 'a');
          if (messages.length === 0) return;
          const job = await routed(messages, [{ begin: latin1('a'), end: latin1('b') }]);
          const blockSize = blockSizeFor(job.maxRecordBytes, 40) + extra;
          const { contents, bytes } = await write(job, blockSize);
          expect(decodeLogFile(contents, blockSize)).toEqual(expected(mine));
          expect(bytes).toBe(contents.length);
        },
      ),
      { numRuns: 200 },
    );
  });

  it('refuses block sizes that cannot hold a record or that a name cannot say', () => {
    for (const blockSize of [0, 28, 1.5, 2 ** 31]) {
      expect(() => new LogFileEncoder(blockSize, new BufferPool())).toThrow(BackupError);
      expect(() => new LogFileEncoder(blockSize, new BufferPool())).toThrow(
        `blockSize must be a whole number from 29 to 1073741824, got ${blockSize}`,
      );
    }
  });
});
