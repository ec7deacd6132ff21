import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import type { KeyRange } from '../../src/core/key-range.js';
import type { MessageBatch } from '../../src/core/message-batch.js';
import { MutationType } from '../../src/core/mutation.js';
import { MessageQueue } from '../../src/pipeline/message-queue.js';
import { MutationRouter, type RouterJob } from '../../src/pipeline/mutation-router.js';
import type { RoutedJob } from '../../src/pipeline/routed-job.js';
import { StillClock, batchOf, clear, latin1, set, type Message } from './helpers.js';

function range(begin: string, end: string): KeyRange {
  return { begin: latin1(begin), end: latin1(end) };
}

/** The routed records as they would lie in a file, one after the other. */
function bytesOf(routed: RoutedJob): Buffer {
  const pieces = Array.from({ length: routed.runCount }, (_, i) => {
    const { bytes, recordStarts, firstRecord, endRecord } = routed.run(i);
    return bytes.subarray(recordStarts[firstRecord], recordStarts[endRecord]);
  });
  return Buffer.concat(pieces);
}

/** `version:subsequence type param1 param2` of each record, params as stored. */
function recordsOf(routed: RoutedJob): string[] {
  const bytes = bytesOf(routed);
  const records: string[] = [];
  for (let at = 0; at < bytes.length; at += 16 + bytes.readUInt32BE(at + 12)) {
    const length1 = bytes.readUInt32LE(at + 17);
    const length2 = bytes.readUInt32LE(at + 21 + length1);
    const param1 = bytes.toString('latin1', at + 21, at + 21 + length1);
    const param2 = bytes.toString('latin1', at + 25 + length1, at + 25 + length1 + length2);
    records.push(`${bytes.readBigInt64BE(at)}:${bytes.readUInt32BE(at + 8)} ${bytes[at + 16]} ${param1} ${param2}`);
  }
  return records;
}

interface Setup {
  readonly batches: readonly MessageBatch[];
  readonly jobs: readonly (RouterJob & { begin?: bigint })[];
  readonly cutAt?: bigint;
  readonly clock?: StillClock;
  readonly gatherBytes?: number;
}

async function route({
  batches,
  jobs,
  cutAt,
  clock = new StillClock(),
  gatherBytes,
}: Setup): Promise<Map<string, RoutedJob>> {
  const queue = new MessageQueue({ nextVersion: 0n });
  for (const batch of batches) queue.push(batch, (batch.lastVersion ?? queue.end - 1n) + 1n);
  const router = new MutationRouter(gatherBytes === undefined ? {} : { gatherBytes });
  router.setJobs(jobs);
  const requests = jobs.map(({ uid, begin }) => ({ uid, begin: begin ?? 0n }));
  return router.route(queue.cut(cutAt ?? queue.end - 1n), requests, { clock });
}

async function routeOne(ranges: readonly KeyRange[], messages: readonly Message[], begin = 0n): Promise<RoutedJob> {
  const routed = await route({ batches: [batchOf(messages)], jobs: [{ uid: 'job', ranges, begin }] });
  return routed.get('job') as RoutedJob;
}

describe('MutationRouter', () => {
  it('gives a job the batches inside its ranges as whole spans, and nothing of those outside', async () => {
    const inside = batchOf([set(1, 0, 'b'), clear(1, 1, 'c', 'd'), set(2, 0, 'b')]);
    const outside = batchOf([set(3, 0, 'x'), set(3, 1, 'y')]);
    const routed = await route({ batches: [inside, outside], jobs: [{ uid: 'job', ranges: [range('a', 'm')] }] });
    const job = routed.get('job') as RoutedJob;
    expect(job.runCount).toBe(1);
    expect(job.run(0)).toMatchObject({ bytes: inside.bytes, firstRecord: 0, endRecord: 3 });
    expect([job.messages, job.bytes, job.maxRecordBytes]).toEqual([3, inside.byteLength, inside.maxRecordBytes]);
  });

  it('looks at a batch that crosses an edge message by message, in runs that are not copied', async () => {
    const batch = batchOf([set(1, 0, 'b'), set(1, 1, 'c'), set(1, 2, 'x'), set(2, 0, 'd'), set(2, 1, 'z')]);
    const routed = await route({ batches: [batch], jobs: [{ uid: 'job', ranges: [range('a', 'm')] }] });
    const job = routed.get('job') as RoutedJob;
    expect(recordsOf(job)).toEqual(['1:0 0 b v', '1:1 0 c v', '2:0 0 d v']);
    expect(Array.from({ length: job.runCount }, (_, i) => job.run(i))).toMatchObject([
      { bytes: batch.bytes, firstRecord: 0, endRecord: 2 },
      { bytes: batch.bytes, firstRecord: 3, endRecord: 4 },
    ]);
  });

  it('backs up the normal keys and the metadata version key for a job without ranges, and no other system key', async () => {
    const messages = [
      set(1, 0, ''),
      set(1, 1, '\xfe\xff'),
      set(1, 2, '\xff'),
      set(1, 3, '\xff/metadataVersion'),
      set(1, 4, '\xff/metadataVersion\x00'),
    ];
    expect(recordsOf(await routeOne([], messages))).toEqual([
      '1:0 0  v',
      '1:1 0 \xfe\xff v',
      '1:3 0 \xff/metadataVersion v',
    ]);
  });

  it('gives the metadata version key to every job', async () => {
    const job = await routeOne([range('a', 'b')], [set(1, 0, 'x'), set(2, 0, '\xff/metadataVersion', 'm')]);
    expect(recordsOf(job)).toEqual(['2:0 0 \xff/metadataVersion m']);
  });

  it('leaves out messages below the begin of the job, in spans and at edges', async () => {
    const messages = [set(1, 0, 'b'), set(5, 0, 'b'), set(5, 1, 'c'), set(9, 0, 'b')];
    expect(recordsOf(await routeOne([range('a', 'm')], messages, 5n))).toEqual(['5:0 0 b v', '5:1 0 c v', '9:0 0 b v']);
    const crossing = [...messages, set(9, 1, 'z')];
    expect(recordsOf(await routeOne([range('a', 'm')], crossing, 6n))).toEqual(['9:0 0 b v']);
    expect((await routeOne([range('a', 'm')], crossing, 10n)).messages).toBe(0);
  });

  it('routes only what was cut', async () => {
    const batch = batchOf([set(1, 0, 'b'), set(2, 0, 'z'), set(2, 1, 'b'), set(3, 0, 'b')]);
    const routed = await route({ batches: [batch], jobs: [{ uid: 'job', ranges: [range('a', 'm')] }], cutAt: 2n });
    expect(recordsOf(routed.get('job') as RoutedJob)).toEqual(['1:0 0 b v', '2:1 0 b v']);
  });

  it('P18: cuts a clear into one record per coalesced range it touches, all with its version and subsequence', async () => {
    // The first two ranges touch, so that they are one.
    const ranges = [range('b', 'd'), range('d', 'f'), range('h', 'k'), range('m', 'p'), range('x', 'z')];
    const job = await routeOne(ranges, [set(7, 1, 'c'), clear(7, 2, 'c', 'n'), set(7, 3, 'c')]);
    expect(recordsOf(job)).toEqual(['7:1 0 c v', '7:2 1 c f', '7:2 1 h k', '7:2 1 m n', '7:3 0 c v']);
    expect(job.messages).toBe(5);
    expect(job.bytes).toBe(bytesOf(job).length);
  });

  it('P18: stores a clear short when clipping leaves it one key', async () => {
    const job = await routeOne([range('b', 'd')], [clear(1, 0, 'a', 'b\x00'), clear(1, 1, 'a', 'c')]);
    expect(recordsOf(job)).toEqual(['1:0 1 b\x00 ', '1:1 1 b c']);
  });

  it('P18: a clear that one range holds whole is stored as it came', async () => {
    const job = await routeOne([range('b', 'd')], [clear(1, 0, 'b', 'd'), clear(1, 1, 'c', 'c\x00'), set(1, 2, 'z')]);
    expect(recordsOf(job)).toEqual(['1:0 1 b d', '1:1 1 c\x00 ']);
  });

  it('P19: a set of the last key of a range lies inside, one of its end outside', async () => {
    const ranges = [range('b', 'd')];
    // The interval of this batch is ['b', 'c\xff\x00'), within the range: a whole span.
    const inside = batchOf([set(1, 0, 'b'), set(1, 1, 'c\xff')]);
    expect([inside.minKey, inside.endKey]).toEqual([latin1('b'), latin1('c\xff\x00')]);
    for (const whole of [range('b', 'd'), range('b', 'c\xff\x00')]) {
      const clock = new StillClock();
      const routed = await route({ batches: [inside], jobs: [{ uid: 'job', ranges: [whole] }], clock });
      expect([routed.get('job')?.messages, clock.yields]).toEqual([2, 0]); // No look at single messages.
    }
    expect(recordsOf(await routeOne(ranges, [set(1, 0, 'b'), set(1, 1, 'c\xff')]))).toHaveLength(2);
    expect(recordsOf(await routeOne(ranges, [set(1, 0, 'c'), set(1, 1, 'd')]))).toEqual(['1:0 0 c v']);
    expect(recordsOf(await routeOne(ranges, [set(1, 0, 'd')]))).toEqual([]);
    // The single key of the range [k, k + 0x00).
    expect(recordsOf(await routeOne([range('k', 'k\x00')], [set(1, 0, 'k')]))).toEqual(['1:0 0 k v']);
    expect(recordsOf(await routeOne([range('k', 'k\x00')], [set(1, 0, 'k'), set(1, 1, 'k\x00')]))).toEqual([
      '1:0 0 k v',
    ]);
  });

  it('P19: short clears are expanded before they are compared', async () => {
    const ranges = [range('b', 'd')];
    // Stored as 'c\xff\x00': by its bytes alone it would end at 'c\xff\x00\x00'.
    expect(
      recordsOf(await routeOne([range('b', 'c\x00')], [clear(1, 0, 'c', 'c\x00'), clear(1, 1, 'b', 'b\x00')])),
    ).toEqual(['1:0 1 c\x00 ', '1:1 1 b\x00 ']);
    // Stored as 'd\x00', whose bytes lie beyond the range, as does the key.
    expect(recordsOf(await routeOne(ranges, [clear(1, 0, 'd', 'd\x00'), set(1, 1, 'c')]))).toEqual(['1:1 0 c v']);
    // The clear of the empty key.
    expect(recordsOf(await routeOne([range('', 'b')], [clear(1, 0, '', '\x00'), set(1, 1, 'z')]))).toEqual([
      '1:0 1 \x00 ',
    ]);
    const batch = batchOf([clear(1, 0, 'd', 'd\x00')]);
    expect([batch.minKey, batch.endKey]).toEqual([latin1('d'), latin1('d\x00')]);
  });

  it('P19: what is no mutation is dropped when the batch is built', async () => {
    const batch = batchOf([
      ...[3, 4, 5, 10, 11, 21, 22, 23].map((type): Message => [1, 0, type, 'z', '']),
      set(2, 0, 'b'),
      clear(2, 1, 'z', 'z'),
    ]);
    expect([batch.recordCount, batch.firstVersion, batch.endKey]).toEqual([1, 2n, latin1('b\x00')]);
  });

  it('P20: slices by version, with the longest record of each slice', async () => {
    const messages = [
      set(1, 0, 'b', 'long value'),
      set(1, 1, 'z'),
      clear(3, 0, 'a', 'zz'),
      set(3, 1, 'c'),
      set(8, 0, 'b'),
      set(8, 1, 'z'),
      set(9, 0, 'b'),
    ];
    const job = await routeOne([range('b', 'd'), range('f', 'h')], messages);
    const expected = ['1:0 0 b long value', '3:0 1 b d', '3:0 1 f h', '3:1 0 c v', '8:0 0 b v', '9:0 0 b v'];
    expect(recordsOf(job)).toEqual(expected);
    const versionOf = (record: string) => Number(record.split(':')[0]);
    for (let begin = 0; begin <= 11; begin++) {
      for (let end = begin; end <= 11; end++) {
        const slice = job.slice(BigInt(begin), BigInt(end));
        const wanted = expected.filter((r) => versionOf(r) >= begin && versionOf(r) < end);
        expect(recordsOf(slice)).toEqual(wanted);
        expect([slice.messages, slice.bytes]).toEqual([wanted.length, bytesOf(slice).length]);
        expect(slice.maxRecordBytes).toBe(wanted.length === 0 ? 0 : begin <= 1 ? 16 + 9 + 1 + 10 : 16 + 9 + 2);
      }
    }
    expect(job.slice(0n, 100n)).toBe(job);
  });

  it('gives the host a turn now and then, and stops when told to', async () => {
    const many = Array.from({ length: 50_000 }, (_, i) => set(1, i, i % 2 === 0 ? 'b' : 'z'));
    const queue = new MessageQueue({ nextVersion: 0n });
    queue.push(batchOf(many), 2n);
    const router = new MutationRouter();
    router.setJobs([{ uid: 'job', ranges: [range('a', 'm')] }]);
    const clock = new StillClock();
    await router.route(queue.cut(1n), [{ uid: 'job', begin: 0n }], { clock });
    expect(clock.yields).toBeGreaterThan(2);
    const signal = AbortSignal.abort(new Error('stop'));
    await expect(router.route(queue.cut(1n), [{ uid: 'job', begin: 0n }], { clock, signal })).rejects.toThrow('stop');
  });

  it('P18: a job gets the same bytes whether its short runs are gathered or not', async () => {
    let state = 7;
    const random = (below: number) => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return (state >>> 8) % below;
    };
    const letter = () => String.fromCharCode(0x61 + random(26));
    const messages = Array.from({ length: 40_000 }, (_, i): Message => {
      const version = 1 + (i >> 3);
      const key = letter() + letter() + letter();
      if (random(2_000) === 0) return clear(version, i, key, `${key}zz`);
      // Long runs, long values, and now and then a record longer than a slice.
      const first = i % 10_000 < 2_000 ? 'b' : key[0];
      const size = random(5_000) === 0 ? 200_000 : random(100) === 0 ? 3_000 : random(150);
      return set(version, i, `${first}${key}`, 'v'.repeat(size));
    });
    const jobs = [
      { uid: 'b to n', ranges: [range('b', 'n')], begin: 700n },
      { uid: 'overlaps', ranges: [range('a', 'aq'), range('c', 'dd'), range('m', 'zb')] },
      { uid: 'rare', ranges: [range('qa', 'qb'), range('tt', 'tu')] },
      { uid: 'nearly all', ranges: [range('a', 'zy')] },
    ];
    const batches = chop(messages, 9_000);
    const plain = await route({ batches, jobs, gatherBytes: 0 });
    const runsOf = (routed: Map<string, RoutedJob>) => [...routed.values()].map((job) => job.runCount);
    for (const gatherBytes of [2 << 20, 4 << 20, 1 << 30]) {
      const gathered = await route({ batches, jobs, gatherBytes });
      for (const { uid } of jobs) {
        const [one, other] = [plain.get(uid) as RoutedJob, gathered.get(uid) as RoutedJob];
        expect(bytesOf(other).equals(bytesOf(one))).toBe(true);
        expect([other.messages, other.bytes, other.maxRecordBytes]).toEqual([
          one.messages,
          one.bytes,
          one.maxRecordBytes,
        ]);
        const [half, otherHalf] = [one.slice(1_234n, 3_210n), other.slice(1_234n, 3_210n)];
        expect(bytesOf(otherHalf).equals(bytesOf(half))).toBe(true);
      }
      expect(Math.max(...runsOf(gathered))).toBeLessThan(Math.max(...runsOf(plain)));
    }
  });

  it('P18: a job gets the same bytes whatever else runs, whatever the batches, whole spans or message by message', async () => {
    // Short keys over few letters, so that equal keys, prefixes and edges are common.
    const key = fc
      .array(fc.constantFrom('\x00', 'a', 'b', '\xfe', '\xff'), { maxLength: 3 })
      .map((letters) => letters.join(''));
    const keyRange = fc
      .tuple(key, key)
      .filter(([a, b]) => a !== b)
      .map(([a, b]) => (Buffer.compare(latin1(a), latin1(b)) < 0 ? range(a, b) : range(b, a)));
    const change = fc.record({
      gap: fc.integer({ min: 0, max: 2 }),
      type: fc.constantFrom(
        MutationType.SetValue,
        MutationType.ClearRange,
        MutationType.ClearRange,
        MutationType.AddValue,
      ),
      keys: fc.tuple(key, key),
      short: fc.boolean(),
    });
    const job = fc.record({ ranges: fc.array(keyRange, { maxLength: 4 }), begin: fc.integer({ min: 0, max: 12 }) });
    await fc.assert(
      fc.asyncProperty(
        fc.array(change, { maxLength: 25 }),
        fc.array(job, { minLength: 1, maxLength: 4 }),
        fc.nat(8),
        async (changes, jobs, perBatch) => {
          let version = 1;
          const messages = changes.map(({ gap, type, keys: [a, b], short }, i): Message => {
            version += gap;
            const [low, high] = Buffer.compare(latin1(a), latin1(b)) <= 0 ? [a, b] : [b, a];
            return [
              version,
              i,
              type,
              type === MutationType.ClearRange ? low : a,
              type === MutationType.ClearRange && short ? `${low}\x00` : high,
            ];
          });
          const routers = jobs.map(({ ranges, begin }, i) => ({ uid: `job ${i}`, ranges, begin: BigInt(begin) }));
          const whole = await route({ batches: [batchOf(messages)], jobs: routers });
          const chopped = await route({ batches: chop(messages, perBatch + 1), jobs: routers });
          for (const [i, one] of routers.entries()) {
            const expected = naiveRecords(messages, jobs[i]?.ranges ?? [], jobs[i]?.begin ?? 0);
            const alone = await route({ batches: [batchOf(messages)], jobs: [one] });
            for (const routed of [whole, chopped, alone]) {
              const got = routed.get(one.uid) as RoutedJob;
              expect(recordsOf(got)).toEqual(expected);
              expect(bytesOf(got)).toEqual(bytesOf(whole.get(one.uid) as RoutedJob));
              expect([got.messages, got.bytes]).toEqual([expected.length, bytesOf(got).length]);
              expect(got.maxRecordBytes).toBe(longest(bytesOf(got)));
            }
          }
        },
      ),
      { numRuns: 400 },
    );
  });
});

/** Batches of about `size` messages, whole versions each. */
function chop(messages: readonly Message[], size: number): MessageBatch[] {
  const groups: Message[][] = [];
  for (const message of messages) {
    const last = groups.at(-1);
    if (last === undefined || (last.length >= size && last.at(-1)?.[0] !== message[0])) groups.push([message]);
    else last.push(message);
  }
  return groups.map(batchOf).filter((batch) => !batch.isEmpty);
}

function longest(bytes: Buffer): number {
  let most = 0;
  for (let at = 0; at < bytes.length; at += 16 + bytes.readUInt32BE(at + 12))
    most = Math.max(most, 16 + bytes.readUInt32BE(at + 12));
  return most;
}

/** What a job should get, by the words of the rules alone. Keys are compared as latin1 strings, which order like bytes. */
function naiveRecords(messages: readonly Message[], ranges: readonly KeyRange[], begin: number): string[] {
  const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1');
  const wanted = (ranges.length === 0 ? [range('', '\xff')] : ranges).map(
    (r) => [text(r.begin), text(r.end)] as [string, string],
  );
  wanted.push(['\xff/metadataVersion', '\xff/metadataVersion\x00']);
  wanted.sort((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0));
  const coalesced: [string, string][] = [];
  for (const [from, to] of wanted) {
    const last = coalesced.at(-1);
    if (last !== undefined && from <= last[1]) last[1] = to > last[1] ? to : last[1];
    else coalesced.push([from, to]);
  }
  return messages.flatMap(([version, subsequence, type, param1, param2]) => {
    if (version < begin) return [];
    const place = `${version}:${subsequence} ${type}`;
    if (type !== MutationType.ClearRange) {
      return coalesced.some(([from, to]) => from <= param1 && param1 < to) ? [`${place} ${param1} ${param2}`] : [];
    }
    return coalesced.flatMap(([from, to]) => {
      const low = from > param1 ? from : param1;
      const high = to < param2 ? to : param2;
      if (low >= high) return [];
      return high === `${low}\x00` ? [`${place} ${high} `] : [`${place} ${low} ${high}`];
    });
  });
}
