// A restore from a snapshot, step by step: what is applied, in which order, with which checkpoint, and what is not.

import { describe, expect, it } from 'vitest';
import type { MemoryContainer } from '../../src/container/memory-container.js';
import type { KeyRange } from '../../src/core/key-range.js';
import type { Mutation } from '../../src/core/mutation.js';
import { FileSumsBuilder, encodeFileSums, sumsFileName } from '../../src/format/fdb/file-sums.js';
import type { BackupContainer } from '../../src/ports/backup-container.js';
import type { RestoreCheckpoint, RestoreOperation } from '../../src/ports/restore-target.js';
import { describeBackup } from '../../src/restore/describe.js';
import type { RestoreProgress } from '../../src/restore/restore.js';
import { restore } from '../../src/restore/restore.js';
import { ManualClock } from '../../src/testing/manual-clock.js';
import { MemoryRestoreTarget } from '../../src/testing/memory-restore-target.js';
import { add, clear, set } from '../format/encode-log-file.js';
import { newContainer, put, putLog, putMarker } from './container-builder.js';
import type { RangePart } from './snapshot-model.js';
import { putSnapshotOf } from './snapshot-model.js';

const bytes = (text: string) => Buffer.from(text, 'latin1');
const range = (begin: string, end: string): KeyRange => ({ begin: bytes(begin), end: bytes(end) });
const all = range('', '\xff');

function part(keys: KeyRange, version: bigint, rows: Record<string, string> = {}, blockSize = 64): RangePart {
  return { range: keys, version, blockSize, rows: Object.entries(rows).map(([k, v]) => [bytes(k), bytes(v)] as const) };
}

type Log = readonly (readonly [version: bigint, mutation: Mutation])[];

async function backup(parts: readonly RangePart[], log: Log = [], end = 100n) {
  const container = await newContainer();
  await putMarker(container, { logOnly: false });
  const snapshot = await putSnapshotOf(container, parts);
  const records = log.map(([version, mutation], i) => ({ version, subsequence: i + 1, mutation }));
  const logName = await putLog(container, { begin: 1n, end, tag: 0, totalTags: 1 }, records);
  return { container, snapshot, logName };
}

const rowsOf = (target: MemoryRestoreTarget) =>
  [...target.rows()].map(({ key, value }) => `${Buffer.from(key).toString()}=${Buffer.from(value).toString('latin1')}`);
const show = (operations: readonly RestoreOperation[]) =>
  operations.map((operation) =>
    operation.type === 'set'
      ? `${Buffer.from(operation.key).toString()}=${Buffer.from(operation.value).toString('latin1')}`
      : `clear ${Buffer.from(operation.begin).toString()}-${Buffer.from(operation.end).toString('latin1')}`,
  );

class Recording extends MemoryRestoreTarget {
  readonly log: (readonly [checkpoint: string, operations: readonly string[]])[];

  constructor(die: (checkpoint: RestoreCheckpoint) => void = () => undefined) {
    const log: (readonly [string, readonly string[]])[] = [];
    super({
      beforeApply: (operations, checkpoint) => {
        const { phase, version, cursor } = checkpoint;
        log.push([`${phase} ${version}${cursor === undefined ? '' : ` ${cursor}`}`, show(operations)]);
      },
      afterApply: die,
    });
    this.log = log;
  }
}

describe('rows, then what the log adds to them', () => {
  it('an atomic operation that a row contains already is never applied to it again', async () => {
    // Keys below m were read at 20, after the addition at 15; those from m on at 10, before it.
    const { container } = await backup(
      [
        part(range('', 'm'), 20n, { a: '\x05\0\0\0\0\0\0\0' }),
        part(range('m', '\xff'), 10n, { n: '\x02\0\0\0\0\0\0\0' }),
      ],
      [
        [15n, add('a', 3)],
        [15n, add('n', 3)],
        [20n, add('a', 100)],
        [21n, add('a', 1)],
      ],
    );
    const target = new MemoryRestoreTarget();
    await restore({ container, target, version: 30n });
    expect([...target.rows()].map(({ value }) => value[0])).toEqual([6, 5]);
  });

  it('a clear only clears what was read before it', async () => {
    const { container } = await backup(
      [
        part(range('', 'h'), 20n, { c: 'new' }),
        part(range('h', 'q'), 10n, { k: 'old' }),
        part(range('q', '\xff'), 20n, { s: 'new' }),
      ],
      [
        [15n, clear('b', 'z')],
        [15n, set('d', 'too old')],
      ],
    );
    const target = new Recording();
    await restore({ container, target, version: 30n });
    expect(rowsOf(target)).toEqual(['c=new', 's=new']);
    expect(target.log.flatMap(([, operations]) => operations).filter((text) => text.startsWith('clear'))).toEqual([
      'clear h-q',
    ]);
  });

  it('a clear of keys under a prefix ends where the prefix does, in its new place too', async () => {
    const { container } = await backup(
      [part(all, 10n, { 'p/a': '1', 'p/b': '2', q: '3' })],
      [
        [11n, clear('a', 'p/aa')],
        [12n, clear('p/b', 'z')],
        [13n, set('p/c', '4')],
        [14n, set('r', 'no prefix')],
        [15n, clear('q', 'z')],
      ],
    );
    const target = new Recording();
    target.put(bytes('x/0'), bytes('mine'));
    const result = await restore({
      container,
      target,
      version: 30n,
      removePrefix: bytes('p/'),
      addPrefix: bytes('y/'),
    });
    expect(rowsOf(target)).toEqual(['x/0=mine', 'y/c=4']);
    expect(target.log.flatMap(([, operations]) => operations)).toEqual([
      'y/a=1',
      'y/b=2',
      'clear y/-y/aa',
      'clear y/b-y0',
      'y/c=4',
    ]);
    expect(result).toMatchObject({ rows: 2, mutations: 3 });
    expect(result.ranges).toHaveLength(1);
  });

  it('the ranges of the target that are looked at and cleared are those under the new prefix', async () => {
    const { container } = await backup([part(all, 10n, { 'p/a': '1' })]);
    const target = new MemoryRestoreTarget();
    target.put(bytes('y/old'), bytes(''));
    target.put(bytes('p/a'), bytes('mine'));
    const options = { container, target, version: 10n, removePrefix: bytes('p/'), addPrefix: bytes('y/') };
    await expect(restore(options)).rejects.toMatchObject({
      code: 'TARGET_NOT_EMPTY',
      message: expect.stringMatching(/\["y\/", "y0"\)/) as string,
    });
    await restore({ ...options, clearTarget: true });
    expect(rowsOf(target)).toEqual(['p/a=mine', 'y/a=1']);
  });
});

describe('checkpoints', () => {
  const rows = { a: '1', b: '2', c: '3' };

  it('name the last row that is in, then the version', async () => {
    const { container } = await backup(
      [part(range('', 'm'), 10n, rows), part(range('m', '\xff'), 12n, { z: '9' })],
      [[20n, set('b', 'x')]],
    );
    const target = new Recording();
    await restore({ container, target, version: 30n, applyBytes: 1, shards: 1 });
    expect(target.log).toEqual([
      ['rows 0 row:61', ['a=1']],
      ['rows 0 row:62', ['b=2']],
      ['rows 0 row:63', ['c=3']],
      ['rows 0 row:7a', ['z=9']],
      ['log 10', []],
      ['done 30', ['b=x']],
    ]);
  });

  it('a newer snapshot, or more log, that came in between changes nothing for a restore that has begun', async () => {
    for (const request of [{ version: 50n }, { version: 'latest' as const }]) {
      const { container } = await backup([part(all, 10n, rows)], [[20n, set('b', 'x')]]);
      let left = 2;
      const target = new MemoryRestoreTarget({
        afterApply: () => {
          if (--left < 0) throw new Error('killed');
        },
      });
      await expect(restore({ container, target, ...request, applyBytes: 1 })).rejects.toThrow('killed');
      await putSnapshotOf(container, [part(all, 40n, { a: 'not this' })]);
      await putLog(container, { begin: 100n, end: 200n, tag: 0, totalTags: 1 });
      left = 100;
      const result = await restore({ container, target, ...request, applyBytes: 1 });
      expect(result).toMatchObject({ version: request.version === 'latest' ? 99n : 50n, resumed: true });
      expect(result.snapshot).toMatch(/snapshot,10,10,/);
      expect(rowsOf(target)).toEqual(['a=1', 'b=x', 'c=3']);
      // Once it is done the same call is a new restore if there is a later version.
      const again = restore({ container, target, ...request, applyBytes: 1 });
      if (request.version === 'latest') await expect(again).rejects.toMatchObject({ code: 'TARGET_NOT_EMPTY' });
      else expect(await again).toMatchObject({ resumedAfter: 50n, operations: 0 });
    }
  });

  it('of a snapshot that is gone are of no use: the target is refused', async () => {
    const { container, snapshot } = await backup([part(all, 40n, rows)]);
    await putSnapshotOf(container, [part(all, 10n, rows)]);
    const target = new MemoryRestoreTarget({
      afterApply: () => {
        throw new Error('killed');
      },
    });
    await expect(restore({ container, target, version: 50n, applyBytes: 1 })).rejects.toThrow('killed');
    await container.deleteFile(snapshot.name);
    await expect(restore({ container, target, version: 50n })).rejects.toThrow(/another restore, which is not done/);
  });

  it.each([
    ['rows without a cursor', { phase: 'rows' as const, version: 0n }],
    ['rows with another cursor', { phase: 'rows' as const, version: 0n, cursor: 'row:xyz' }],
    ['shards that there are not', { phase: 'rows' as const, version: 0n, cursor: 'shards:3' }],
    ['shards that have no checkpoint', { phase: 'rows' as const, version: 0n, cursor: 'shards:2' }],
    ['log before the snapshot', { phase: 'log' as const, version: 8n }],
  ])('that cannot be its own are refused: %s', async (_, place) => {
    const { container } = await backup([part(range('', 'm'), 10n, rows), part(range('m', '\xff'), 10n)]);
    const target = new MemoryRestoreTarget();
    await restore({ container, target, version: 30n, shards: 1 });
    const { restoreId } = (await target.checkpoint())!;
    await target.apply([], { restoreId, ...place });
    await expect(restore({ container, target, version: 30n })).rejects.toMatchObject({ code: 'ADAPTER_CONTRACT' });
  });
});

describe('shards', () => {
  const parts = [
    part(range('', 'g'), 10n, { a: '1', b: '2' }),
    part(range('g', 'n'), 10n, { h: '3' }),
    part(range('n', '\xff'), 12n, { p: '4', q: '5' }),
  ];

  it('each have a checkpoint of their own, and the target’s says how many there are', async () => {
    const { container } = await backup(parts, [
      [20n, clear('b', 'p')],
      [21n, set('h', 'x')],
    ]);
    const target = new Recording();
    await restore({ container, target, version: 30n, shards: 3 });
    expect(target.log.slice(0, 4).map(([place]) => place)).toEqual([
      'clearing 0',
      'clearing 0',
      'clearing 0',
      'rows 0 shards:3',
    ]);
    expect(target.log.at(-1)).toEqual(['done 30', []]);
    expect(rowsOf(target)).toEqual(['a=1', 'h=x', 'p=4', 'q=5']);
    const clears = target.log.flatMap(([, operations]) => operations).filter((text) => text.startsWith('clear'));
    expect(clears.sort()).toEqual(['clear b-g', 'clear g-n', 'clear n-p']);
    for (const name of ['shard-0', 'shard-1', 'shard-2'])
      expect(await target.shard(name).checkpoint()).toMatchObject({ phase: 'done', version: 30n });
  });

  it('work at the same time, each of them one call at a time', async () => {
    const { container } = await backup(
      parts,
      Array.from({ length: 60 }, (_, i) => [BigInt(20 + i), set('ahp'[i % 3]!, `${i}`)] as const),
    );
    let running = 0;
    let most = 0;
    const busy = new Set<string>();
    class Slow extends MemoryRestoreTarget {
      override shard(name: string) {
        const shard = super.shard(name);
        return {
          ...shard,
          apply: async (operations: readonly RestoreOperation[], checkpoint: RestoreCheckpoint) => {
            expect(busy.has(name)).toBe(false);
            busy.add(name);
            most = Math.max(most, ++running);
            for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
            running--;
            busy.delete(name);
            return shard.apply(operations, checkpoint);
          },
        };
      }
    }
    const target = new Slow();
    await restore({ container, target, version: 90n, shards: 3, applyBytes: 1 });
    expect(most).toBe(3);
    expect(rowsOf(target)).toEqual(['a=57', 'b=2', 'h=58', 'p=59', 'q=5']);
  });

  it('one that fails stops the others, and no apply is left running', async () => {
    const { container } = await backup(parts);
    let running = 0;
    class Failing extends MemoryRestoreTarget {
      override shard(name: string) {
        const shard = super.shard(name);
        return {
          ...shard,
          apply: async (operations: readonly RestoreOperation[], checkpoint: RestoreCheckpoint) => {
            running++;
            for (let i = 0; i < 8; i++) await new Promise((resolve) => setImmediate(resolve));
            running--;
            if (name === 'shard-1' && checkpoint.phase === 'log') throw new Error('the disk is full');
            return shard.apply(operations, checkpoint);
          },
        };
      }
    }
    await expect(restore({ container, target: new Failing(), version: 30n, shards: 3, applyBytes: 1 })).rejects.toThrow(
      'the disk is full',
    );
    expect(running).toBe(0);
  });

  it('checkpoints that an earlier restore of the same kind left in them are not believed', async () => {
    const { container } = await backup(parts, [[20n, set('h', 'x')]]);
    const target = new MemoryRestoreTarget();
    const options = { container, target, version: 30n, shards: 3 };
    await restore(options);
    await restore({ ...options, clearTarget: true });
    expect(rowsOf(target)).toEqual(['a=1', 'b=2', 'h=x', 'p=4', 'q=5']);
    for (let crashAt = 0; crashAt < 12; crashAt++) {
      let left = crashAt;
      const dying = new MemoryRestoreTarget({
        afterApply: () => {
          if (--left === -1) throw new Error('killed');
        },
      });
      left = 1000;
      await restore({ ...options, target: dying });
      left = crashAt;
      await restore({ ...options, target: dying, clearTarget: true }).catch(() => undefined);
      left = 1000;
      await restore({ ...options, target: dying, clearTarget: (await dying.checkpoint())?.phase === 'clearing' });
      expect(rowsOf(dying), `killed after apply ${crashAt}`).toEqual(['a=1', 'b=2', 'h=x', 'p=4', 'q=5']);
    }
  });

  it('are not for a target that has none; a half-done restore in shards cannot go on without', async () => {
    const { container } = await backup(parts);
    const plain = (target: MemoryRestoreTarget) => ({
      read: target.read.bind(target),
      apply: target.apply.bind(target),
      checkpoint: target.checkpoint.bind(target),
      isEmpty: target.isEmpty.bind(target),
    });
    const target = new Recording();
    await restore({ container, target: plain(target), version: 30n, shards: 3 });
    expect(target.log.map(([place]) => place)).toEqual(['log 10', 'done 30']);
    let left = 5;
    const dying = new MemoryRestoreTarget({
      afterApply: () => {
        if (--left < 0) throw new Error('killed');
      },
    });
    await expect(restore({ container, target: dying, version: 30n, shards: 3 })).rejects.toThrow('killed');
    await expect(restore({ container, target: plain(dying), version: 30n })).rejects.toMatchObject({
      code: 'ADAPTER_CONTRACT',
    });
  });

  it.each([0, 1.5, 257])('%s of them are refused', async (shards) => {
    const { container } = await backup(parts);
    const target = new MemoryRestoreTarget();
    await expect(restore({ container, target, version: 30n, shards })).rejects.toMatchObject({
      code: 'INVALID_OPTION',
    });
  });
});

describe('progress', () => {
  it('counts bytes, rows and mutations, and estimates the time that is left', async () => {
    const rows = Object.fromEntries(
      Array.from({ length: 20 }, (_, i) => [`r${String(i).padStart(2, '0')}`, 'v'.repeat(20)]),
    );
    const log = Array.from({ length: 30 }, (_, i) => [BigInt(20 + i), set(`m${i}`, 'w'.repeat(20))] as const);
    const { container } = await backup([part(all, 10n, rows, 128)], log);
    const clock = new ManualClock();
    const seen: RestoreProgress[] = [];
    const target = new MemoryRestoreTarget({ beforeApply: () => clock.advance(10) });
    await restore({
      container,
      target,
      version: 90n,
      applyBytes: 100,
      readBytes: 1,
      clock,
      onProgress: (progress) => seen.push(progress),
    });
    expect(seen).toHaveLength(target.applies);
    const last = seen.at(-1)!;
    expect(last).toMatchObject({ phase: 'done', version: 90n, rows: 20, mutations: 30, estimatedMsLeft: 0 });
    expect(last.bytesRead).toBe(last.bytesTotal);
    seen.slice(1).forEach((progress, i) => {
      expect(progress.bytesRead).toBeGreaterThanOrEqual(seen[i]!.bytesRead);
      expect(progress.rows).toBeGreaterThanOrEqual(seen[i]!.rows);
      expect(progress.bytesTotal).toBe(last.bytesTotal);
    });
    seen.slice(0, -1).forEach(({ bytesRead, bytesTotal, estimatedMsLeft }, i) => {
      const elapsed = (i + 1) * 10;
      const left = bytesRead === 0 ? undefined : Math.round((elapsed * (bytesTotal - bytesRead)) / bytesRead);
      expect(estimatedMsLeft).toBe(left);
    });
    expect(
      seen.filter(({ phase, estimatedMsLeft }) => phase === 'rows' && estimatedMsLeft! > 0).length,
    ).toBeGreaterThan(2);
  });
});

describe('damage', () => {
  const rows = Object.fromEntries(
    Array.from({ length: 60 }, (_, i) => [`r${String(i).padStart(2, '0')}`, 'v'.repeat(20)]),
  );

  async function flip(container: MemoryContainer, name: string, at: number): Promise<void> {
    const content = Uint8Array.from(await container.readFile(name, 0, 1 << 24));
    content[at]! ^= 4;
    await put(container, name, content);
  }

  it('in a value of a row: refused with file and offset; nothing of its run is applied', async () => {
    const { container, snapshot } = await backup([part(all, 10n, rows, 512)]);
    const name = snapshot.files[0]!;
    await flip(container, name, 3 * 512 + 100);
    const target = new MemoryRestoreTarget();
    const options = { container, target, version: 10n, applyBytes: 1, readBytes: 512 };
    await expect(restore(options)).rejects.toMatchObject({ code: 'CHECKSUM_MISMATCH', file: name, offset: 3 * 512 });
    expect(target.size).toBeGreaterThan(10);
    expect(target.size).toBeLessThan(60);
    for (const { value } of target.rows()) expect(Buffer.from(value).toString()).toBe('v'.repeat(20));
    // Mended, it goes on.
    await flip(container, name, 3 * 512 + 100);
    expect(await restore(options)).toMatchObject({ resumed: true });
    expect(target.size).toBe(60);
  });

  it('in a range file that has become shorter, or is another one', async () => {
    const { container, snapshot } = await backup([
      part(range('', 'm'), 10n, { a: '1' }),
      part(range('m', '\xff'), 10n, { n: '2' }),
    ]);
    const [first, second] = snapshot.files as [string, string];
    const content = Uint8Array.from(await container.readFile(first, 0, 1 << 20));
    const attempt = () => restore({ container, target: new MemoryRestoreTarget(), version: 10n });
    await put(container, first, content.subarray(0, content.length - 3));
    await expect(attempt()).rejects.toMatchObject({ code: 'CHECKSUM_MISMATCH', file: first });
    await put(container, first, await container.readFile(second, 0, 1 << 20));
    await expect(attempt()).rejects.toMatchObject({ code: 'CHECKSUM_MISMATCH', file: first });
    await put(container, first, '');
    await expect(attempt()).rejects.toMatchObject({ file: first });
  });

  it('in a range file without checksums: what its bytes can tell', async () => {
    const container = await newContainer();
    await putMarker(container, { logOnly: false });
    const parts = [part(range('', 'm'), 10n, { a: '1', b: '2' }), part(range('m', '\xff'), 10n, { n: '2' })];
    const { files } = await putSnapshotOf(container, parts, { sums: false });
    const content = Uint8Array.from(await container.readFile(files[0]!, 0, 1 << 20));
    const attempt = () => restore({ container, target: new MemoryRestoreTarget(), version: 10n });
    await put(container, files[0]!, await container.readFile(files[1]!, 0, 1 << 20));
    await expect(attempt()).rejects.toMatchObject({
      code: 'CORRUPT_FILE',
      file: files[0],
      message: expect.stringMatching(/begins at "m", it should at ""/) as string,
    });
    await put(container, files[0]!, content.subarray(0, content.length - 3));
    await expect(attempt()).rejects.toMatchObject({ code: 'CORRUPT_FILE', file: files[0] });
    await put(container, files[0]!, '');
    await expect(attempt()).rejects.toMatchObject({ code: 'CORRUPT_FILE', file: files[0], offset: 0 });
  });

  it('in a log file that has checksums, whatever their block size', async () => {
    for (const blockSize of [512, 700, 4096]) {
      const log = Array.from({ length: 50 }, (_, i) => [BigInt(20 + i), set(`k${i}`, 'v'.repeat(40))] as const);
      const { container, logName } = await backup([part(all, 10n)], log);
      const content = await container.readFile(logName, 0, 1 << 24);
      const sums = new FileSumsBuilder(blockSize);
      sums.update(content);
      await put(container, sumsFileName(logName), encodeFileSums(sums.build()));
      const sound = new MemoryRestoreTarget();
      await restore({ container, target: sound, version: 90n, readBytes: 300 });
      expect(sound.size).toBe(50);
      await flip(container, logName, 2000);
      const attempt = restore({ container, target: new MemoryRestoreTarget(), version: 90n, readBytes: 300 });
      await expect(attempt).rejects.toMatchObject({
        code: 'CHECKSUM_MISMATCH',
        file: logName,
        offset: 2000 - (2000 % blockSize),
      });
    }
  });
});

describe('an encrypted container', () => {
  const metadata = '{"is_encryption_enabled":true,"encryption_block_size":4096}';
  const withKey = (inner: BackupContainer): BackupContainer => ({
    url: inner.url,
    decrypts: true,
    create: () => inner.create(),
    exists: () => inner.exists(),
    writeFile: (name, options) => inner.writeFile(name, options),
    readFile: (name, offset, length) => inner.readFile(name, offset, length),
    listFiles: (prefix) => inner.listFiles(prefix),
    deleteFile: (name) => inner.deleteFile(name),
  });

  it('is restored through a wrapper that decrypts, and refused without', async () => {
    const { container } = await backup([part(all, 10n, { a: '1' })], [[20n, set('b', '2')]]);
    await put(container, 'properties/encryption_metadata', metadata);
    const target = new MemoryRestoreTarget();
    await expect(restore({ container, target, version: 30n })).rejects.toMatchObject({
      code: 'ENCRYPTION_KEY_MISSING',
    });
    await expect(describeBackup(container, { deep: true })).rejects.toMatchObject({ code: 'ENCRYPTION_KEY_MISSING' });
    expect(await describeBackup(container)).toMatchObject({ encrypted: true });
    const opened = withKey(container);
    expect(await describeBackup(opened, { deep: true })).toMatchObject({
      encrypted: false,
      encryption: { enabled: true },
      unsupported: undefined,
    });
    await restore({ container: opened, target, version: 30n });
    expect(rowsOf(target)).toEqual(['a=1', 'b=2']);
  });
});
