import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { BufferPool } from '../../src/core/buffer-pool.js';
import { compareBytes, keyAfter } from '../../src/core/bytes.js';
import { MessageBatchBuilder } from '../../src/core/message-batch-builder.js';
import { MutationType, encodeMutation } from '../../src/core/mutation.js';

function latin1(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'latin1'));
}

const refusal = (code: string) => expect.objectContaining({ code }) as Error;

describe('MessageBatchBuilder', () => {
  it('frames every message as the log file does', () => {
    const builder = new MessageBatchBuilder();
    builder.beginVersion(0x0102030405060708n);
    expect(builder.add(9, MutationType.SetValue, latin1('key'), latin1('value'))).toBe(true);
    const batch = builder.build();
    const hex = '0102030405060708' + '00000009' + '00000011' + '00' + '03000000' + '6b6579' + '05000000' + '76616c7565';
    expect(Buffer.from(batch.bytes.subarray(0, batch.byteLength)).toString('hex')).toBe(hex);
    expect([batch.byteLength, batch.recordCount, batch.maxRecordBytes]).toEqual([33, 1, 33]);
  });

  it('has one entry per version that has messages, none for one without', () => {
    const builder = new MessageBatchBuilder();
    for (const version of [3n, 5n, 8n]) {
      builder.beginVersion(version);
      builder.add(0, version === 5n ? 11 : 0, latin1('k'), latin1(''));
      if (version === 8n) builder.add(1, 0, latin1('k'), latin1(''));
    }
    const batch = builder.build();
    expect([...batch.versions.subarray(0, batch.versionCount)]).toEqual([3n, 8n]);
    expect([...batch.versionRecords.subarray(0, batch.versionCount + 1)]).toEqual([0, 1, 3]);
    expect([2n, 3n, 7n, 8n, 9n].map((version) => batch.recordsThrough(version))).toEqual([0, 1, 1, 3, 3]);
  });

  it('starts over after build, with a batch of its own', () => {
    const builder = new MessageBatchBuilder({ initialBytes: 1 });
    builder.beginVersion(9n);
    builder.add(4, 0, latin1('k'), latin1('first'));
    const first = builder.build();
    expect([builder.byteLength, builder.recordCount]).toEqual([0, 0]);
    expect(builder.build().isEmpty).toBe(true);
    builder.beginVersion(2n); // Below the last batch's: batches are independent.
    builder.add(0, 0, latin1('a'), latin1('second'));
    const second = builder.build();
    expect([...first].map((m) => Buffer.from(m.mutation.param2).toString())).toEqual(['first']);
    expect([...second].map((m) => Buffer.from(m.mutation.param2).toString())).toEqual(['second']);
    expect([second.minKey, second.firstVersion]).toEqual([latin1('a'), 2n]);
  });

  it('accepts a clear in its stored short form too', () => {
    const builder = new MessageBatchBuilder();
    builder.beginVersion(1n);
    builder.add(0, 1, latin1('k\x00'), latin1(''));
    builder.add(1, 1, latin1('k'), latin1('k\x00'));
    const batch = builder.build();
    const [one, two] = [...batch];
    expect(one?.mutation).toEqual(two?.mutation);
    expect([batch.minKey, batch.endKey]).toEqual([latin1('k'), latin1('k\x00')]);
  });

  it('refuses what is out of order or no mutation, and is none the worse for it', () => {
    const builder = new MessageBatchBuilder();
    expect(() => builder.add(0, 0, latin1('k'), latin1('v'))).toThrow(refusal('INVALID_STATE'));
    expect(() => builder.addJoined(0, 0, latin1('kv'), 1)).toThrow(refusal('INVALID_STATE'));
    expect(() => builder.beginVersion(-1n)).toThrow(refusal('ADAPTER_CONTRACT'));
    for (const version of [2n ** 63n, 2n ** 64n + 1n, -(2n ** 64n) + 1n]) {
      expect(() => builder.beginVersion(version)).toThrow(refusal('ADAPTER_CONTRACT'));
    }
    builder.beginVersion(5n);
    expect(() => builder.beginVersion(5n)).toThrow(refusal('ADAPTER_CONTRACT'));
    builder.add(3, 0, latin1('k'), latin1('v'));
    for (const subsequence of [2, -1, 3.5, 2 ** 32]) {
      expect(() => builder.add(subsequence, 0, latin1('k'), latin1('v'))).toThrow(refusal('ADAPTER_CONTRACT'));
    }
    for (const length1 of [-1, 0.5, 3, NaN]) {
      expect(() => builder.addJoined(4, 0, latin1('kv'), length1)).toThrow(refusal('ADAPTER_CONTRACT'));
    }
    expect(() => builder.addJoined(2, 0, latin1('kv'), 1)).toThrow(refusal('ADAPTER_CONTRACT'));
    expect(() => builder.add(4, 24, latin1('k'), latin1('v'))).toThrow(refusal('INVALID_MUTATION'));
    expect(() => builder.add(4, 1, latin1('b'), latin1('a'))).toThrow(refusal('INVALID_MUTATION'));
    expect(() => builder.add(4, 1, latin1('b'), latin1(''))).toThrow(refusal('INVALID_MUTATION'));
    expect(builder.build().recordCount).toBe(1);
  });

  it('refuses options that make no sense, by name and value', () => {
    expect(() => new MessageBatchBuilder({ initialBytes: 0 })).toThrow(
      'initialBytes must be a whole number from 1 to 2^32 - 1, got 0',
    );
  });

  it('takes buffers from the pool and gives them back when the batch is released, once', () => {
    const pool = new BufferPool();
    const builder = new MessageBatchBuilder({ pool });
    const build = () => {
      for (let version = 1; version <= 500; version++) {
        builder.beginVersion(BigInt(version));
        for (let i = 0; i < 10; i++) builder.add(i, 0, latin1(`key ${version}`), latin1('v'.repeat(i)));
      }
      return builder.build();
    };
    const first = build();
    const { buffer } = first.bytes;
    const idle = pool.idleBytes;
    first.release();
    const given = pool.idleBytes;
    expect(given).toBeGreaterThan(idle + first.byteLength);
    first.release();
    expect(pool.idleBytes).toBe(given);
    const second = build();
    expect(second.bytes.buffer).toBe(buffer);
    expect([...second].length).toBe(5_000);
  });

  it('P19: lays out any messages in order, with the half-open interval of the keys they touch', () => {
    const key = fc.array(fc.constantFrom(0, 1, 0x61, 0xff), { maxLength: 4 }).map((bytes) => Uint8Array.from(bytes));
    const message = fc.record({
      gap: fc.constantFrom(0, 0, 1, 2 ** 33),
      type: fc.constantFrom(0, 1, 1, 2, 15, 20),
      params: fc.tuple(key, key),
      short: fc.boolean(),
      long: fc.nat(60),
      lead: fc.constantFrom(0, 0, 0, 3, 9, 14, 30, 70),
      joined: fc.boolean(),
    });
    fc.assert(
      fc.property(
        fc.array(message, { minLength: 1, maxLength: 40 }),
        fc.constantFrom(1, 100, 65_536),
        fc.boolean(),
        (messages, initialBytes, pooled) => {
          const builder = new MessageBatchBuilder({ initialBytes, pool: pooled ? new BufferPool() : undefined });
          let version = 7n;
          builder.beginVersion(version);
          const expected: {
            version: bigint;
            subsequence: number;
            encoded: Uint8Array;
            begin: Uint8Array;
            end: Uint8Array;
          }[] = [];
          messages.forEach(({ gap, type, params, short, long, lead, joined }, subsequence) => {
            const [a, b] = params.map((end) => Uint8Array.from([...new Array<number>(lead).fill(0x61), ...end])) as [
              Uint8Array,
              Uint8Array,
            ];
            if (gap > 0) builder.beginVersion((version += BigInt(gap)));
            const isClear = type === MutationType.ClearRange;
            const param1 = isClear && compareBytes(a, b) > 0 ? b : a;
            const param2 = !isClear
              ? Uint8Array.from([...b, ...new Array<number>(long).fill(7)])
              : short
                ? keyAfter(param1)
                : param1 === a
                  ? b
                  : a;
            const isEmpty = isClear && compareBytes(param1, param2) === 0;
            const added = joined
              ? builder.addJoined(subsequence, type, Uint8Array.from([...param1, ...param2]), param1.length)
              : builder.add(subsequence, type, param1, param2);
            expect(added).toBe(!isEmpty);
            if (isEmpty) return;
            const encoded = encodeMutation({ type, param1, param2 });
            expected.push({ version, subsequence, encoded, begin: param1, end: isClear ? param2 : keyAfter(param1) });
          });
          expect(builder.recordCount).toBe(expected.length);
          const batch = builder.build();
          const pieces = expected.map(({ version: v, subsequence, encoded }) => {
            const header = Buffer.alloc(16);
            header.writeBigInt64BE(v);
            header.writeUInt32BE(subsequence, 8);
            header.writeUInt32BE(encoded.length, 12);
            return Buffer.concat([header, encoded]);
          });
          expect(Buffer.from(batch.bytes.subarray(0, batch.byteLength))).toEqual(Buffer.concat(pieces));
          let at = 0;
          const starts = [0, ...pieces.map((piece) => (at += piece.length))];
          expect([...batch.recordStarts.subarray(0, batch.recordCount + 1)]).toEqual(starts);
          expect(batch.maxRecordBytes).toBe(Math.max(0, ...pieces.map((piece) => piece.length)));
          const versions = [...new Set(expected.map((e) => e.version))];
          expect([...batch.versions.subarray(0, batch.versionCount)]).toEqual(versions);
          for (const v of versions) expect(batch.recordsThrough(v)).toBe(expected.filter((e) => e.version <= v).length);
          const begins = expected.map((e) => e.begin).sort(compareBytes);
          const ends = expected.map((e) => e.end).sort(compareBytes);
          expect([batch.minKey, batch.endKey]).toEqual([begins[0], ends.at(-1)]);
        },
      ),
      { numRuns: 500 },
    );
  });
});
