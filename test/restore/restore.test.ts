import { describe, expect, it } from 'vitest';
import type { BackupError } from '../../src/core/errors.js';
import { fromHex, keyAfter, toHex } from '../../src/core/bytes.js';
import type { KeyRange } from '../../src/core/key-range.js';
import { METADATA_VERSION_KEY, rangeContains } from '../../src/core/key-range.js';
import type { Mutation } from '../../src/core/mutation.js';
import type { RestoreOptions, RestoreProgress } from '../../src/restore/restore.js';
import { restore } from '../../src/restore/restore.js';
import { MemoryRestoreTarget } from '../../src/testing/memory-restore-target.js';
import { add, clear, set } from '../format/encode-log-file.js';
import { hanging, newContainer, put, putLog, putMarker } from './container-builder.js';
import type { ModelRecord } from './log-model.js';
import { SeededRandom, randomHistory, randomLimits, rowsAt, writeHistory } from './log-model.js';

const epochs = [
  { begin: 1n, end: 60n, totalTags: 3 },
  { begin: 60n, end: 120n, totalTags: 2 },
];

const rowsOf = (target: MemoryRestoreTarget) =>
  new Map([...target.rows()].map(({ key, value }) => [toHex(key), toHex(value)]));

async function withHistory(seed: number, marker: Parameters<typeof putMarker>[1] = {}) {
  const random = new SeededRandom(seed);
  const container = await newContainer();
  await putMarker(container, marker);
  const history = randomHistory(random, epochs, 25);
  await writeHistory(container, random, epochs, history);
  return { random, container, history };
}

/** A container with one tag and one file; version 10, 11, … of one list of mutations each. */
async function withVersions(...versions: readonly (readonly (Mutation | Uint8Array)[])[]) {
  const container = await newContainer();
  await putMarker(container);
  const records = versions.flatMap((mutations, v) =>
    mutations.map((mutation, i) => ({ version: BigInt(10 + v), subsequence: i + 1, mutation })),
  );
  const name = await putLog(container, { begin: 1n, end: 100n, tag: 0, totalTags: 1 }, records);
  return { container, name };
}

const full = { baseline: 'empty' as const };
const text = (target: MemoryRestoreTarget) =>
  [...target.rows()].map(({ key, value }) => `${Buffer.from(key).toString()}=${Buffer.from(value).toString()}`);

describe('restore', () => {
  it('rebuilds the rows of any version, exactly', async () => {
    for (let seed = 1; seed <= 30; seed++) {
      const { random, container, history } = await withHistory(seed);
      const version = 1n + BigInt(random.below(119));
      const target = new MemoryRestoreTarget({ limits: randomLimits(random) });
      const applyBytes = random.pick([1, 60, 1000, 1 << 20]);
      const result = await restore({
        ...full,
        container,
        target,
        version,
        applyBytes,
        readBytes: random.pick([1, 300, 1 << 20]),
      });
      expect(rowsOf(target), `seed ${seed}, version ${version}`).toEqual(rowsAt(history, version));
      expect(result).toMatchObject({ version, resumedAfter: undefined });
      expect(await target.checkpoint()).toMatchObject({ phase: 'done', version });
    }
  });

  it('restores the wanted ranges only, of those that the job backed up', async () => {
    const ranges: KeyRange[] = [
      { begin: Buffer.from([0, 3]), end: Buffer.from([1, 2]) },
      { begin: Buffer.from([2]), end: Buffer.from([3, 5]) },
    ];
    for (let seed = 1; seed <= 20; seed++) {
      const { container, history } = await withHistory(seed, { ranges });
      const all = new MemoryRestoreTarget();
      await restore({ ...full, container, target: all, version: 119n, applyBytes: 200 });
      expect(rowsOf(all), `seed ${seed}`).toEqual(
        rowsAt(history, 119n, (key) => ranges.some((range) => rangeContains(range, key))),
      );
      const part = new MemoryRestoreTarget();
      const wanted = { begin: Buffer.from([1]), end: Buffer.from([3]) };
      const { ranges: restored } = await restore({ ...full, container, target: part, version: 119n, ranges: [wanted] });
      expect(restored.map((range) => [toHex(range.begin), toHex(range.end)])).toEqual([
        ['01', '0102'],
        ['02', '03'],
      ]);
      expect(rowsOf(part)).toEqual(rowsAt(history, 119n, (key) => restored.some((range) => rangeContains(range, key))));
    }
  });

  it('ignores the metadata version key, which every job stores', async () => {
    const { container } = await withVersions(
      [{ type: 0, param1: METADATA_VERSION_KEY, param2: Buffer.from('1') }, set('a', '1')],
      [{ type: 1, param1: METADATA_VERSION_KEY, param2: keyAfter(METADATA_VERSION_KEY) }],
    );
    const target = new MemoryRestoreTarget();
    await restore({ ...full, container, target, version: 99n });
    expect(text(target)).toEqual(['a=1']);
  });

  it('evaluates atomic operations over the target, over the batch, and over clears in the batch', async () => {
    const { container } = await withVersions(
      [add('n', 5), set('m', '')],
      [add('n', 2), clear('a', 'z'), add('n', 9), add('m', 1)],
      [add('n', 1)],
    );
    for (const applyBytes of [1, 1 << 20]) {
      const target = new MemoryRestoreTarget();
      await restore({ ...full, container, target, version: 99n, applyBytes });
      expect([...target.rows()].map(({ value }) => value[0])).toEqual([1, 10]);
    }
  });

  it('reads the target once per apply, and not at all without atomic operations', async () => {
    const reads: number[] = [];
    class CountingTarget extends MemoryRestoreTarget {
      override read(keys: readonly Uint8Array[]) {
        reads.push(keys.length);
        return super.read(keys);
      }
    }
    const plain = await withVersions([set('a', '1'), clear('b', 'c')]);
    await restore({ ...full, container: plain.container, target: new CountingTarget(), version: 99n });
    expect(reads).toEqual([]);
    const atomic = await withVersions([add('a', 1), add('a', 1), add('b', 1)], [add('a', 1)]);
    await restore({ ...full, container: atomic.container, target: new CountingTarget(), version: 99n });
    expect(reads).toEqual([2]);
  });

  it('ends batches with versions: the checkpoint says exactly what is applied', async () => {
    const { container, history } = await withHistory(11);
    const target = new MemoryRestoreTarget({
      afterApply: (checkpoint) => {
        expect(checkpoint.cursor).toBeUndefined();
        expect(rowsOf(target)).toEqual(rowsAt(history, checkpoint.version));
      },
    });
    await restore({ ...full, container, target, version: 119n, applyBytes: 200 });
    expect(target.applies).toBeGreaterThan(10);
  });

  it('applies now and then even if hardly anything concerns the ranges: kept values hold on to whole blocks', async () => {
    const mutations = Array.from({ length: 400 }, (_, i) => set(i % 100 === 0 ? `a${i}` : `z${i}`, 'v'.repeat(50)));
    const { container } = await withVersions(...mutations.map((mutation) => [mutation]).slice(0, 89));
    const target = new MemoryRestoreTarget();
    const ranges = [{ begin: Buffer.from('a'), end: Buffer.from('b') }];
    await restore({ ...full, container, target, version: 99n, ranges, applyBytes: 100 });
    expect(target.size).toBe(1);
    // 89 records of some 80 bytes, 16 x 100 bytes at a time.
    expect(target.applies).toBeGreaterThanOrEqual(4);
    expect(target.applies).toBeLessThan(10);
  });

  it('reports progress after each apply', async () => {
    const { container } = await withHistory(11);
    const seen: RestoreProgress[] = [];
    const target = new MemoryRestoreTarget();
    await restore({
      ...full,
      container,
      target,
      version: 119n,
      applyBytes: 500,
      readBytes: 128,
      onProgress: (progress) => seen.push(progress),
    });
    expect(seen).toHaveLength(target.applies);
    expect(seen.at(-1)).toMatchObject({ phase: 'done', version: 119n });
    for (const [i, progress] of seen.entries()) {
      expect(progress.bytesRead).toBeLessThanOrEqual(progress.bytesTotal);
      if (i > 0) expect(progress.version).toBeGreaterThan(seen[i - 1]!.version);
    }
  });
});

describe('an interrupted restore', () => {
  it.each(['before', 'after'] as const)(
    'goes on from its checkpoint when the process dies %s any of its applies',
    async (when) => {
      for (let seed = 1; seed <= 8; seed++) {
        const { random, container, history } = await withHistory(seed);
        const applyBytes = random.pick([1, 100, 600]);
        let left = 0;
        const die = () => {
          if (--left < 0) throw new Error('killed');
        };
        const limits = randomLimits(random);
        const target = new MemoryRestoreTarget({ limits, [when === 'before' ? 'beforeApply' : 'afterApply']: die });
        for (let runs = 0; ; runs++) {
          expect(runs).toBeLessThan(2000);
          left = random.below(4);
          try {
            await restore({ ...full, container, target, version: 119n, applyBytes });
            break;
          } catch (error) {
            expect((error as Error).message, `seed ${seed}`).toBe('killed');
          }
        }
        expect(rowsOf(target), `seed ${seed}`).toEqual(rowsAt(history, 119n));
      }
    },
  );

  it('goes on within a version that is larger than a batch, without applying an atomic operation twice', async () => {
    const many = Array.from({ length: 50 }, () => add('n', 1));
    const { container } = await withVersions([add('n', 100)], many, [add('n', 1000)]);
    const cursors: (string | undefined)[] = [];
    let left = 1;
    const target = new MemoryRestoreTarget({
      afterApply: (checkpoint) => {
        cursors.push(checkpoint.cursor);
        if (--left < 0) throw new Error('killed');
      },
    });
    for (let runs = 0; runs < 100; runs++) {
      left = 1;
      try {
        await restore({ ...full, container, target, version: 99n, applyBytes: 30 });
        break;
      } catch (error) {
        expect((error as Error).message).toBe('killed');
      }
    }
    expect(cursors.filter((cursor) => cursor?.startsWith('11:')).length).toBeGreaterThan(5);
    expect(Buffer.from(target.get(Buffer.from('n'))!).readBigInt64LE()).toBe(1150n);
  });

  it('stops at the signal and goes on with the next call', async () => {
    const { container, history } = await withHistory(5);
    const target = new MemoryRestoreTarget();
    const controller = new AbortController();
    const stop = (progress: RestoreProgress) => {
      if (progress.version > 40n) controller.abort(new Error('enough'));
    };
    const options = { ...full, container, target, version: 119n, applyBytes: 1, readBytes: 1 };
    await expect(restore({ ...options, onProgress: stop, signal: controller.signal })).rejects.toThrow('enough');
    const { resumedAfter } = await restore(options);
    expect(resumedAfter).toBeGreaterThan(40n);
    expect(rowsOf(target)).toEqual(rowsAt(history, 119n));
  });

  it.each(['exists', 'properties', 'listing', 'log files'])(
    'stops at the signal although the container hangs (%s)',
    async (what) => {
      const { container } = await withHistory(5);
      let hung = 0;
      const silent = hanging(container, (call, name) => {
        const isIt = {
          exists: call === 'exists',
          properties: call === 'readFile' && name.startsWith('properties/'),
          listing: call === 'listFiles',
          'log files': call === 'readFile' && name.startsWith('plogs/'),
        }[what];
        if (isIt === true) hung++;
        return isIt ?? false;
      });
      const controller = new AbortController();
      const target = new MemoryRestoreTarget();
      const over = restore({ ...full, container: silent, target, version: 119n, signal: controller.signal });
      const settled = Promise.allSettled([over]);
      while (hung === 0) await new Promise((resolve) => setImmediate(resolve));
      controller.abort(new Error('enough'));
      expect(await settled).toMatchObject([{ status: 'rejected', reason: { message: 'enough' } }]);
      expect(text(target)).toEqual([]);
    },
  );

  it('is done once: the next call says so and writes nothing', async () => {
    const { container, history } = await withHistory(5);
    const target = new MemoryRestoreTarget();
    const options = { ...full, container, target, version: 119n };
    await restore(options);
    const applies = target.applies;
    expect(await restore(options)).toMatchObject({ resumedAfter: 119n, operations: 0 });
    expect(target.applies).toBe(applies);
    target.put(Buffer.from([1]), Buffer.from('changed since'));
    await restore({ ...options, clearTarget: true });
    expect(rowsOf(target)).toEqual(rowsAt(history, 119n));
  });

  it('of another version, or of other ranges, is not continued', async () => {
    const { container } = await withHistory(5);
    const target = new MemoryRestoreTarget();
    await restore({ ...full, container, target, version: 60n });
    const refused = {
      code: 'TARGET_NOT_EMPTY',
      message: expect.stringMatching(/another restore, which is done/) as string,
    };
    await expect(restore({ ...full, container, target, version: 119n })).rejects.toMatchObject(refused);
    await expect(
      restore({ ...full, container, target, version: 60n, ranges: [{ begin: fromHex('00'), end: fromHex('fe') }] }),
    ).rejects.toMatchObject(refused);
  });

  it.each([
    ['beyond the wanted version', { version: 500n, phase: 'log' as const }],
    ['with an unknown cursor', { version: 50n, phase: 'log' as const, cursor: 'somewhere' }],
    ['with more records of a version than there are', { version: 9n, phase: 'log' as const, cursor: '10:77' }],
    ['with a part of a version that is not next', { version: 9n, phase: 'log' as const, cursor: '12:1' }],
  ])('refuses a checkpoint that cannot be its own: %s', async (_, place) => {
    const { container } = await withVersions([set('a', '1')], [set('b', '1')]);
    const target = new MemoryRestoreTarget();
    await restore({ ...full, container, target, version: 99n });
    const { restoreId } = (await target.checkpoint())!;
    await target.apply([], { restoreId, ...place });
    await expect(restore({ ...full, container, target, version: 99n })).rejects.toMatchObject({
      code: 'ADAPTER_CONTRACT',
    });
  });
});

describe('a target that is not empty', () => {
  it('is refused, and left alone', async () => {
    const { container } = await withVersions([set('a', '1')]);
    const target = new MemoryRestoreTarget();
    target.put(Buffer.from('z'), Buffer.from('mine'));
    await expect(restore({ ...full, container, target, version: 99n })).rejects.toMatchObject({
      code: 'TARGET_NOT_EMPTY',
    });
    expect(text(target)).toEqual(['z=mine']);
  });

  it('is cleared if that was asked for, in the restored ranges only', async () => {
    const { container } = await withVersions([set('a', '1'), set('x', '1')]);
    const target = new MemoryRestoreTarget();
    target.put(Buffer.from('b'), Buffer.from('old'));
    target.put(Buffer.from('z'), Buffer.from('mine'));
    const ranges = [{ begin: Buffer.from('a'), end: Buffer.from('m') }];
    await restore({ ...full, container, target, version: 99n, ranges, clearTarget: true });
    expect(text(target)).toEqual(['a=1', 'z=mine']);
  });

  it('is cleared again when the process died right after clearing it', async () => {
    const { container } = await withVersions([set('a', '1')]);
    const target = new MemoryRestoreTarget({
      afterApply: ({ phase }) => {
        if (phase === 'clearing') throw new Error('killed');
      },
    });
    target.put(Buffer.from('b'), Buffer.from('old'));
    await expect(restore({ ...full, container, target, version: 99n, clearTarget: true })).rejects.toThrow('killed');
    await restore({ ...full, container, target, version: 99n });
    expect(text(target)).toEqual(['a=1']);
  });

  it('may hold keys outside of the restored ranges', async () => {
    const { container } = await withVersions([set('a', '1')]);
    const target = new MemoryRestoreTarget();
    target.put(Uint8Array.of(0xff, 0x02), Buffer.from('the host’s own'));
    await restore({ ...full, container, target, version: 99n });
    expect(target.size).toBe(2);
  });
});

describe('what restore refuses', () => {
  it('a version that cannot be rebuilt, before it touches the target', async () => {
    const { container } = await withVersions([set('a', '1')]);
    const target = new MemoryRestoreTarget();
    await expect(restore({ ...full, container, target, version: 100n })).rejects.toMatchObject({
      code: 'NOT_RESTORABLE',
      message: expect.stringMatching(/ends at 100/) as string,
    });
    expect(target.applies).toBe(0);
  });

  it.each([14, 15])(
    'a versionstamped operation (type %i), whose stamp the log does not have, with file and offset',
    async (type) => {
      const mutation = { type, param1: Buffer.from('key'), param2: Buffer.from('value') } as Mutation;
      const { container, name } = await withVersions([set('a', '1')], [mutation]);
      const promise = restore({ ...full, container, target: new MemoryRestoreTarget(), version: 99n });
      await expect(promise).rejects.toMatchObject({
        code: 'INVALID_MUTATION',
        file: name,
        offset: 4 + 16 + 9 + 2,
        version: 11n,
      });
    },
  );

  it('a corrupt file, with file and offset; the target keeps a checkpoint that is not done', async () => {
    const container = await newContainer();
    await putMarker(container);
    await putLog(container, { begin: 1n, end: 10n, tag: 0, totalTags: 1 }, [
      { version: 2n, subsequence: 1, mutation: set('a', '1') },
    ]);
    const name = await putLog(container, { begin: 10n, end: 20n, tag: 0, totalTags: 1 }, Buffer.from('not a log file'));
    const target = new MemoryRestoreTarget();
    await expect(restore({ ...full, container, target, version: 19n, applyBytes: 1 })).rejects.toMatchObject({
      code: 'UNSUPPORTED_FORMAT',
      file: name,
      offset: 0,
    });
    expect((await target.checkpoint())?.phase).not.toBe('done');
    // Below the damage everything can still be had.
    const earlier = new MemoryRestoreTarget();
    await restore({ ...full, container, target: earlier, version: 9n });
    expect(text(earlier)).toEqual(['a=1']);
  });

  it('an encrypted container', async () => {
    const { container } = await withVersions([set('a', '1')]);
    await put(
      container,
      'properties/encryption_metadata',
      '{"is_encryption_enabled":true,"encryption_block_size":4096}',
    );
    await expect(
      restore({ ...full, container, target: new MemoryRestoreTarget(), version: 50n }),
    ).rejects.toMatchObject({ code: 'ENCRYPTION_KEY_MISSING' });
  });

  it.each<[string, Partial<RestoreOptions>]>([
    ['a version that is none', { version: -1n }],
    ['a backward range', { ranges: [{ begin: Uint8Array.of(2), end: Uint8Array.of(1) }] }],
    ['an empty list of ranges', { ranges: [] }],
    ['ranges that the backup does not have', { ranges: [{ begin: Uint8Array.of(0xff), end: Uint8Array.of(0xff, 1) }] }],
    ['no bytes per apply', { applyBytes: 0 }],
    ['half a byte per read', { readBytes: 0.5 }],
  ])('%s', async (_, part) => {
    const { container } = await withVersions([set('a', '1')]);
    const promise = restore({ ...full, container, target: new MemoryRestoreTarget(), version: 50n, ...part });
    await expect(promise).rejects.toMatchObject({ code: 'INVALID_OPTION' });
  });

  it('a target that answers a read with too few values', async () => {
    const { container } = await withVersions([add('a', 1)]);
    class BadTarget extends MemoryRestoreTarget {
      override read() {
        return Promise.resolve([]);
      }
    }
    await expect(restore({ ...full, container, target: new BadTarget(), version: 50n })).rejects.toThrow(
      expect.objectContaining({ code: 'ADAPTER_CONTRACT' }) as BackupError,
    );
  });
});

describe('the model of these tests', () => {
  it('has every kind of mutation', () => {
    const history: ModelRecord[] = randomHistory(new SeededRandom(1), epochs, 60);
    expect(new Set(history.map((record) => record.mutation.type)).size).toBe(14);
  });
});
