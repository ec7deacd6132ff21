import { describe, expect, it } from 'vitest';
import type { RawApiVersion } from '../../src/format/br/raw-kv.js';
import { MemoryContainer } from '../../src/container/memory-container.js';
import { fromHex, toHex, utf8 } from '../../src/core/bytes.js';
import type { BrPieceAnswer } from '../../src/br/backup/br-snapshot-writer.js';
import { toolMissing } from '../servers/judges.js';
import type { WriterOptions } from './writer-world.js';
import { batchOf, checkCover, dumped, namesIn, newWriter, rowsIn, storedBytes, totalsOf } from './writer-world.js';

interface RawRow {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

const plain = (count: number): RawRow[] =>
  Array.from({ length: count }, (_, i) => ({
    key: utf8(`raw${String(i).padStart(4, '0')}`),
    value: new Uint8Array((i * 37) % 700).fill(i),
  }));

const hex = (bytes: Uint8Array) => toHex(bytes).toUpperCase();

async function written(rows: readonly RawRow[], options: WriterOptions = {}) {
  const container = new MemoryContainer();
  const writer = await newWriter({ rows: { kind: 'raw' }, ...options, container });
  for (let at = 0; at < rows.length; at += 50) {
    await writer.addRaw(rows.slice(at, at + 50).map(({ key, value }) => [key, value] as const));
  }
  return { container, answers: await writer.finish() };
}

const missing = toolMissing('sst_dump');

describe.skipIf(missing !== undefined)(
  `raw rows before RocksDB's tool${missing === undefined ? '' : `: ${missing}`}`,
  () => {
    async function check(container: MemoryContainer, rows: readonly RawRow[], answers: readonly BrPieceAnswer[]) {
      const files = answers.flatMap((answer) => answer.files.map((file) => ({ file, answer })));
      const found = await dumped(await Promise.all(files.map(({ file }) => storedBytes(container, file))));
      for (const [i, { file, answer }] of files.entries()) {
        const mine = rowsIn(rows, answer);
        expect(found[i]).toEqual(mine.map(({ key, value }) => ({ key: `7A${hex(key)}`, value: hex(value) })));
        expect(file).toMatchObject({ ...totalsOf(mine), startVersion: 0n, endVersion: 0n });
        expect(file).toMatchObject({ startKey: answer.startKey, endKey: answer.endKey });
      }
    }

    it('keys and values are stored as they are, under z', async () => {
      const rows = plain(300);
      const { container, answers } = await written(rows, { compression: 'zstd' });
      checkCover(answers, utf8(''), utf8(''));
      await check(container, rows, answers);
    });

    it('in the column family that was asked for, in pieces', async () => {
      const rows = plain(300);
      const options: WriterOptions = { rows: { kind: 'raw', cf: 'lock' }, sstMaxSize: 20_000 };
      const { container, answers } = await written(rows, options);
      expect(answers.length).toBeGreaterThan(3);
      checkCover(answers, utf8(''), utf8(''));
      await check(container, rows, answers);
      for (const { files } of answers) {
        expect(files).toHaveLength(1);
        expect(files[0]).toMatchObject({ cf: 'lock' });
      }
      const [first, ...others] = answers.flatMap(({ files }) => files.map(({ name }) => name));
      expect(first).toBe('1/2_3_lock.sst');
      for (const name of others) expect(name).toMatch(/^1\/2_3_[0-9a-f]{64}_\d+_lock\.sst$/);
    });

    it.each<[RawApiVersion, string, string, string, string, string]>([
      // A key and a value as stored, what counts of both, and the range's begin as the users know it.
      ['v1ttl', '61', '626364' + '0000000000000000', '61', '626364', '61'],
      ['v1ttl', '61', '0000000065000000', '61', '', '61'],
      ['v2', '7200000061000000fc' + 'fffffffffffffffa', '626300', '7200000061', '6263', '72000000'],
      ['v2', '7200000061000000fc' + 'fffffffffffffffa', '6263' + '0000000065000000' + '01', '7200000061', '6263', '72'],
    ])('of API %s only the part of the users counts', async (apiVersion, key, value, userKey, userValue, startKey) => {
      const range = { startKey: fromHex(startKey), endKey: fromHex('73') };
      const options: WriterOptions = { rows: { kind: 'raw', apiVersion }, range };
      const { container, answers } = await written([{ key: fromHex(key), value: fromHex(value) }], options);
      const file = answers[0]?.files[0];
      if (file === undefined) throw new Error('no file');
      expect(file).toMatchObject(totalsOf([{ key: fromHex(userKey), value: fromHex(userValue) }]));
      const [found] = await dumped([await storedBytes(container, file)]);
      expect(found).toEqual([{ key: `7A${key.toUpperCase()}`, value: value.toUpperCase() }]);
    });
  },
);

describe('raw rows that a backup cannot hold', () => {
  const a = utf8('a');
  const b = utf8('b');
  it.each<[string, readonly (readonly [Uint8Array, Uint8Array])[], WriterOptions?]>([
    [
      'a key twice',
      [
        [a, a],
        [a, b],
      ],
    ],
    [
      'keys backward',
      [
        [b, a],
        [a, b],
      ],
    ],
    ['a key before the range', [[a, a]], { range: { startKey: b, endKey: utf8('c') } }],
    ['a key behind the range', [[b, a]], { range: { startKey: a, endKey: b } }],
    ['a value of v1ttl without its time', [[a, b]], { rows: { kind: 'raw', apiVersion: 'v1ttl' } }],
    ['a key that is not of v2', [[a, b]], { rows: { kind: 'raw', apiVersion: 'v2' } }],
    [
      'one key of v2 at two times',
      [
        [fromHex('7200000061000000fc' + 'fffffffffffffffa'), fromHex('00')],
        [fromHex('7200000061000000fc' + 'fffffffffffffffb'), fromHex('00')],
      ],
      { rows: { kind: 'raw', apiVersion: 'v2' } },
    ],
  ])('%s: refused, and nothing is left', async (_what, batch, options) => {
    const container = new MemoryContainer();
    const writer = await newWriter({ rows: { kind: 'raw' }, ...options, container });
    await expect(writer.addRaw(batch)).rejects.toMatchObject({ code: 'ADAPTER_CONTRACT' });
    await expect(writer.finish()).rejects.toMatchObject({ code: 'INVALID_STATE' });
    expect(await namesIn(container)).toEqual([]);
  });

  it('a store that has the piece without a start key already keeps its name: the last one stays', async () => {
    const container = new MemoryContainer();
    for (const value of ['1', '2']) {
      const writer = await newWriter({ rows: { kind: 'raw' }, container });
      await writer.addRaw([[a, utf8(value)]]);
      await writer.finish();
    }
    expect(await namesIn(container)).toEqual(['1/2_3_default.sst']);
  });

  it('rows of the other kind are refused', async () => {
    const raw = await newWriter({ rows: { kind: 'raw' } });
    await expect(raw.addTxn(batchOf([]))).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    const txn = await newWriter();
    await expect(txn.addRaw([])).rejects.toMatchObject({ code: 'INVALID_OPTION' });
  });
});
