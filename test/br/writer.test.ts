import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseBrFileName, startKeyHash } from '../../src/format/br/file-name.js';
import { checkTxnDataKey, tsOf, userKeyOf } from '../../src/format/br/engine-key.js';
import { WriteRecordReader } from '../../src/format/br/write-record.js';
import { SstReader } from '../../src/format/sst/sst-reader.js';
import type { BrCipher } from '../../src/format/br/messages.js';
import type { SstCompression } from '../../src/format/sst/codec.js';
import { MemoryContainer } from '../../src/container/memory-container.js';
import { compareBytes, toHex, utf8 } from '../../src/core/bytes.js';
import type { BrPieceAnswer } from '../../src/br/backup/br-snapshot-writer.js';
import { toolMissing } from '../servers/judges.js';
import type { TxnRow, WriterOptions } from './writer-world.js';
import {
  TurningClock,
  batchOf,
  batchesOf,
  checkCover,
  checkTxnFiles,
  namesIn,
  namesOf,
  newWriter,
  row,
  rowsIn,
  storedBytes,
  totalsOf,
  writeRows,
} from './writer-world.js';

const missing = toolMissing('sst_dump');
const AES = [
  { method: 'aes128-ctr', key: new Uint8Array(16).fill(3) },
  { method: 'aes192-ctr', key: new Uint8Array(24).fill(4) },
  { method: 'aes256-ctr', key: new Uint8Array(32).fill(5) },
] as const satisfies readonly BrCipher[];

/** Rows of every kind: short and long values, at the borders too, of one commit and of many. */
function manyRows(count: number, withDeletes = false): TxnRow[] {
  const lengths = [0, 1, 20, 100, 254, 255, 256, 257, 1000];
  return Array.from({ length: count }, (_, i) => {
    const length = lengths[i % lengths.length] as number;
    const value = withDeletes && i % 5 === 2 ? undefined : new Uint8Array(length).fill(i);
    const startTs = BigInt(11 + (i % 300));
    return row(`k${String(i).padStart(5, '0')}`, value, startTs, startTs + BigInt(1 + (i % 7)));
  });
}

async function written(rows: readonly TxnRow[], options: WriterOptions = {}, batchSize = 100) {
  const container = new MemoryContainer();
  const writer = await newWriter({ ...options, container });
  for (const batch of batchesOf(rows, batchSize)) await writer.addTxn(batch);
  return { container, answers: await writer.finish() };
}

describe.skipIf(missing !== undefined)(`before RocksDB's tool${missing === undefined ? '' : `: ${missing}`}`, () => {
  it.each<SstCompression>(['none', 'snappy', 'zlib', 'lz4', 'zstd'])(
    'the files of a range are its rows as TiKV stores them: %s',
    async (compression) => {
      const rows = manyRows(700);
      const { container, answers } = await written(rows, { compression, blockSize: 4096 });
      checkCover(answers, utf8(''), utf8(''));
      expect(answers).toHaveLength(1);
      await checkTxnFiles(container, rows, answers);
    },
  );

  it.each(AES)('encrypted files are what OpenSSL decrypts, each with an IV of its own: $method', async (cipher) => {
    const rows = manyRows(300);
    const { container, answers } = await written(rows, { cipher, compression: 'zstd', sstMaxSize: 20_000 });
    expect(answers.length).toBeGreaterThan(2);
    await checkTxnFiles(container, rows, answers, cipher);
    const ivs = answers.flatMap(({ files }) => files.map(({ cipherIv }) => toHex(cipherIv)));
    expect(new Set(ivs).size).toBe(ivs.length);
  });

  it('an incremental backup holds deletes, which count with their keys', async () => {
    const rows = manyRows(200, true);
    const options: WriterOptions = { rows: { kind: 'txn', startTs: 10n, endTs: 400n } };
    const { container, answers } = await written(rows, options);
    await checkTxnFiles(container, rows, answers);
    for (const { files } of answers) {
      for (const file of files) expect(file).toMatchObject({ startVersion: 10n, endVersion: 400n });
    }
  });

  it('deletes alone make a write file that is counted', async () => {
    const rows = [row('a', undefined, 11n, 12n), row('b', undefined, 11n, 12n)];
    const { container, answers } = await written(rows, { rows: { kind: 'txn', startTs: 10n, endTs: 12n } });
    await checkTxnFiles(container, rows, answers);
    expect(answers[0]?.files).toMatchObject([{ cf: 'write', totalKvs: 2n, totalBytes: 2n }]);
  });

  it('where all values are long the write file has rows that do not count in it', async () => {
    const rows = [row('a', new Uint8Array(256), 11n, 12n), row('b', new Uint8Array(300), 11n, 12n)];
    const { container, answers } = await written(rows);
    await checkTxnFiles(container, rows, answers);
    expect(answers[0]?.files).toMatchObject([
      { cf: 'default', totalKvs: 2n, totalBytes: 558n },
      { cf: 'write', totalKvs: 0n, totalBytes: 0n, crc64xor: 0n },
    ]);
  });

  it('large timestamps, long keys and empty ones', async () => {
    const rows = [
      row('', 'empty key', 1n, 2n),
      row('\u0000', 'zero', (1n << 63n) + 1n, (1n << 64n) - 2n),
      row('\u0000\u0000\u0000\u0000\u0000\u0000\u0000\u0000', 'eight', 1n << 32n, (1n << 32n) + 1n),
      row('k'.repeat(40_000), 'long', 0xffff_ffffn, 1n << 40n),
    ];
    const options: WriterOptions = { rows: { kind: 'txn', startTs: 0n, endTs: (1n << 64n) - 1n } };
    const { container, answers } = await written(rows, options);
    await checkTxnFiles(container, rows, answers);
  });

  it('whatever the rows, batches and splits are', async () => {
    const values = fc.oneof(
      fc.uint8Array({ maxLength: 20 }),
      fc.nat({ max: 600 }).map((length) => new Uint8Array(length).fill(length)),
      fc.constant(undefined),
    );
    const cases = fc.record({
      rows: fc.uniqueArray(
        fc.record({
          key: fc.uint8Array({ maxLength: 18 }),
          value: values,
          startTs: fc.bigInt(1n, 1n << 40n),
          commitTs: fc.bigInt(1n, 1000n),
        }),
        { selector: ({ key }) => toHex(key), maxLength: 60 },
      ),
      batchSize: fc.integer({ min: 1, max: 20 }),
      sstMaxSize: fc.constantFrom(1, 100, 700, 1 << 20),
      blockSize: fc.constantFrom(64, 300, 1 << 16),
      cipher: fc.constantFrom(undefined, ...AES),
      compression: fc.constantFrom<SstCompression>('none', 'lz4', 'zstd'),
    });
    await fc.assert(
      fc.asyncProperty(cases, async ({ rows: drawn, batchSize, ...options }) => {
        const rows = drawn
          .map((each): TxnRow => ({ ...each, commitTs: each.startTs + each.commitTs }))
          .sort((a, b) => compareBytes(a.key, b.key));
        const endTs = 1n << 41n;
        const { container, answers } = await written(
          rows,
          { ...options, rows: { kind: 'txn', startTs: 1n, endTs } },
          batchSize,
        );
        checkCover(answers, utf8(''), utf8(''));
        await checkTxnFiles(container, rows, answers, options.cipher);
      }),
      { numRuns: 25 },
    );
  });
});

describe('the pieces of a range', () => {
  it('end at the next row once they have sstMaxSize bytes of keys and values', async () => {
    const rows = manyRows(500);
    const sstMaxSize = 10_000;
    const { answers } = await written(rows, { sstMaxSize });
    checkCover(answers, utf8(''), utf8(''));
    for (const answer of answers.slice(0, -1)) {
      const mine = rowsIn(rows, answer);
      expect(totalsOf(mine).totalBytes).toBeGreaterThanOrEqual(sstMaxSize);
      expect(totalsOf(mine.slice(0, -1)).totalBytes).toBeLessThan(sstMaxSize);
    }
    expect(answers.reduce((sum, answer) => sum + rowsIn(rows, answer).length, 0)).toBe(rows.length);
    const counted = answers.flatMap(({ files }) => files).reduce((sum, { totalKvs }) => sum + totalKvs, 0n);
    expect(counted).toBe(500n);
  });

  it('have names that differ, within one millisecond and when a range is stored again', async () => {
    const container = new MemoryContainer();
    const rows = manyRows(60);
    const clock = new TurningClock();
    const options: WriterOptions = { container, clock, names: namesOf(clock), sstMaxSize: 3_000 };
    const all: string[] = [];
    for (let again = 0; again < 3; again++) {
      const writer = await newWriter(options);
      await writer.addTxn(batchOf(rows));
      const answers = await writer.finish();
      all.push(...answers.flatMap(({ files }) => files.map(({ name }) => name)));
      for (const { startKey, files } of answers) {
        for (const file of files) {
          const parsed = parseBrFileName(file.name);
          expect(parsed).toMatchObject({ storeId: 1n, regionId: 2n, epochVersion: 3n, cf: file.cf });
          expect(parsed?.startKeyHash).toBe(startKeyHash(startKey));
          expect(parsed?.unixMs).toBe(clock.wallTime() + again);
        }
      }
    }
    expect(new Set(all).size).toBe(all.length);
    expect(await namesIn(container)).toEqual([...all].sort());
  });

  it('without rows are answered, and store nothing', async () => {
    const container = new MemoryContainer();
    const range = { startKey: utf8('a'), endKey: utf8('m') };
    const told: BrPieceAnswer[] = [];
    const writer = await newWriter({ container, range, onAnswer: (answer) => void told.push(answer) });
    await writer.addTxn(batchOf([]));
    const answers = await writer.finish();
    expect(answers).toEqual([{ startKey: utf8('a'), endKey: utf8('m'), files: [] }]);
    expect(told).toEqual(answers);
    expect(await namesIn(container)).toEqual([]);
  });

  it('reach as far as the caller says that there are no more rows', async () => {
    const range = { startKey: utf8('a'), endKey: utf8('m') };
    const writer = await newWriter({ range });
    await writer.addTxn(batchOf([row('b', '1', 1n, 2n), row('c', '2', 1n, 2n)]));
    expect(writer.at).toEqual(utf8('c\0'));
    const answers = await writer.finish(writer.at);
    checkCover(answers, utf8('a'), utf8('c\0'));
    expect(answers[0]?.files[0]).toMatchObject({ endKey: utf8('c\0'), startVersion: 0n, endVersion: 1000n });
  });

  it('do not end before the last row, nor beyond the range', async () => {
    const range = { startKey: utf8('a'), endKey: utf8('m') };
    const writer = await newWriter({ range });
    await writer.addTxn(batchOf([row('c', '1', 1n, 2n)]));
    for (const endKey of ['c', 'b', 'm\0', '']) {
      await expect(writer.finish(utf8(endKey))).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    }
    checkCover(await writer.finish(), utf8('a'), utf8('m'));
  });

  it('there is none where nothing was scanned', async () => {
    const writer = await newWriter({ range: { startKey: utf8('a'), endKey: utf8('m') } });
    expect(await writer.finish(utf8('a'))).toEqual([]);
  });

  it('are told as they are stored', async () => {
    const container = new MemoryContainer();
    const seen: number[] = [];
    const onAnswer = async ({ files }: BrPieceAnswer) => {
      const names = await namesIn(container);
      for (const { name } of files) expect(names).toContain(name);
      seen.push(files.length);
    };
    const writer = await newWriter({ container, sstMaxSize: 1, onAnswer });
    await writer.addTxn(batchOf([row('b', '1', 1n, 2n), row('c', '2', 1n, 2n), row('d', '3', 1n, 2n)]));
    expect(seen).toEqual([1, 1]);
    expect(writer.answeredTo).toEqual(utf8('d'));
    expect(writer.countedBytes).toBe(6);
    const answers = await writer.finish();
    expect(seen).toEqual([1, 1, 1]);
    checkCover(answers, utf8(''), utf8(''));
  });

  it('are the same bytes for the same rows, however they come', async () => {
    const rows = manyRows(400);
    const shas = new Set<string>();
    for (const batchSize of [1, 7, 400]) {
      const { answers } = await written(rows, { compression: 'zstd' }, batchSize);
      const all = createHash('sha256');
      for (const { files } of answers) for (const { sha256 } of files) all.update(sha256);
      shas.add(all.digest('hex'));
    }
    expect(shas.size).toBe(1);
  });

  it('come back through our own readers', async () => {
    const rows = manyRows(900, true);
    const options: WriterOptions = { compression: 'zstd', rows: { kind: 'txn', startTs: 10n, endTs: 400n } };
    const { container, answers } = await written(rows, { ...options, sstMaxSize: 60_000 });
    const longValues = new Map<string, Uint8Array>();
    const found: TxnRow[] = [];
    const record = new WriteRecordReader();
    for (const file of answers.flatMap(({ files }) => files)) {
      const bytes = await storedBytes(container, file);
      const read = (offset: number, length: number) => Promise.resolve(bytes.slice(offset, offset + length));
      const reader = await SstReader.open({ name: file.name, size: bytes.length, read });
      await reader.verify();
      for await (const batch of reader.rows()) {
        for (let i = 0; i < batch.count; i++) {
          const key = batch.key(i);
          checkTxnDataKey(key, file.name);
          const userKey = userKeyOf(key);
          if (file.cf === 'default') {
            longValues.set(`${toHex(userKey)} ${tsOf(key)}`, batch.value(i).slice());
            continue;
          }
          const { type, startTs, shortValue } = record.read(batch.value(i), file.name);
          const value = shortValue?.slice() ?? longValues.get(`${toHex(userKey)} ${startTs}`);
          expect(type).toBe(value === undefined ? 'delete' : 'put');
          found.push({ key: userKey, value, startTs, commitTs: tsOf(key) });
        }
      }
    }
    expect(found).toEqual(rows);
  });

  it('count the time of their synchronous work where it is asked for', async () => {
    let measured = 0;
    const measure = <R>(work: () => R): R => {
      measured++;
      return work();
    };
    const writer = await newWriter({ measure });
    await writer.addTxn(batchOf(manyRows(10)));
    expect(measured).toBe(1);
  });

  it('the encoding of this test is the format definition', () => {
    expect(writeRows([row('abc', 'v', 300n, 5n)])).toEqual([
      { key: '7A6162630000000000FAFFFFFFFFFFFFFFFA', value: '50AC02760176' },
    ]);
  });
});
