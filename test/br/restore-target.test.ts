// What a restore from a TiKV backup does to its target, and how it is interrupted and continued.

import { describe, expect, it } from 'vitest';
import { restoreBrBackup } from '../../src/br/restore/restore-br.js';
import type { RestoreBrOptions } from '../../src/br/restore/options.js';
import type { BackupContainer } from '../../src/ports/backup-container.js';
import { BackupError } from '../../src/core/errors.js';
import { ManualClock } from '../../src/testing/manual-clock.js';
import { MemoryRestoreTarget } from '../../src/testing/memory-restore-target.js';
import { bytes, newContainer, putTxnBackup } from './restore-backups.js';
import { FULL, LONG, SECOND, errorOf, rowsOf, txnBackup } from './restore-tools.js';

async function fullAndSecond(): Promise<RestoreBrOptions['chain']> {
  return [{ container: await txnBackup(FULL) }, { container: await txnBackup(SECOND) }];
}

const AFTER = { b: LONG, c: `${LONG}y`, d: '4' };

describe('the target', () => {
  it('must be empty in the restored ranges, or is cleared there', async () => {
    const chain = await fullAndSecond();
    const target = new MemoryRestoreTarget();
    target.put(bytes('bb'), bytes('before'));
    expect(await errorOf(restoreBrBackup({ chain, target }))).toMatchObject({ code: 'TARGET_NOT_EMPTY' });
    expect(target.applies).toBe(0);
    await restoreBrBackup({ chain, target, clearTarget: true });
    expect(rowsOf(target)).toEqual(AFTER);
  });

  it('is not cleared for a backup that is damaged', async () => {
    const container = await newContainer();
    const [file] = await putTxnBackup({ container, ...FULL });
    await container.deleteFile(file?.name ?? '');
    const target = new MemoryRestoreTarget();
    target.put(bytes('bb'), bytes('before'));
    await errorOf(restoreBrBackup({ chain: [{ container }], target, clearTarget: true }));
    expect(rowsOf(target)).toEqual({ bb: 'before' });
  });

  it('keeps what lies outside of the ranges', async () => {
    const chain = await fullAndSecond();
    const target = new MemoryRestoreTarget();
    for (const key of ['a', 'bz', 'd']) target.put(bytes(key), bytes('before'));
    const ranges = [{ begin: bytes('b'), end: bytes('d') }];
    const result = await restoreBrBackup({ chain, target, ranges, clearTarget: true });
    expect(rowsOf(target)).toEqual({ a: 'before', b: LONG, c: `${LONG}y`, d: 'before' });
    expect(result).toMatchObject({ ranges, rows: 2, deletes: 0 });
  });

  it('is given no more at once than it takes', async () => {
    const chain = await fullAndSecond();
    for (const limits of [
      { operations: 1, bytes: 1_000_000 },
      { operations: 1000, bytes: 302 },
      { operations: 2, bytes: 400 },
    ]) {
      const target = new MemoryRestoreTarget({ limits });
      await restoreBrBackup({ chain, target });
      expect(rowsOf(target)).toEqual(AFTER);
    }
    const small = new MemoryRestoreTarget({ limits: { operations: 10, bytes: 301 } });
    const error = await errorOf(restoreBrBackup({ chain, target: small }));
    expect(error.code).toBe('OPERATION_TOO_LARGE');
    expect((await small.checkpoint())?.phase).not.toBe('done');
  });

  it('is done once: the same call returns, until it is to be cleared', async () => {
    const chain = await fullAndSecond();
    const target = new MemoryRestoreTarget();
    await restoreBrBackup({ chain, target });
    const { applies } = target;
    expect(await restoreBrBackup({ chain, target })).toMatchObject({ resumed: true, rows: 0, files: 0 });
    expect(target.applies).toBe(applies);
    expect(await restoreBrBackup({ chain, target, clearTarget: true })).toMatchObject({ resumed: false, rows: 3 });
    expect(rowsOf(target)).toEqual(AFTER);
  });

  it('holds the checkpoint of another restore: it is not continued', async () => {
    const chain = await fullAndSecond();
    const target = new MemoryRestoreTarget({
      afterApply: ({ cursor }) => {
        if (cursor !== undefined) throw new Error('crash');
      },
    });
    await expect(restoreBrBackup({ chain, target, applyBytes: 1 })).rejects.toThrow('crash');
    expect(target.size).toBe(1);
    for (const other of [{ version: 100n }, { ranges: [{ begin: bytes('a'), end: bytes('c') }] }]) {
      const error = await errorOf(restoreBrBackup({ chain, target, ...other }));
      expect(error).toMatchObject({ code: 'TARGET_NOT_EMPTY' });
      expect(error.message).toMatch(/another restore, which is not done/);
    }
  });

  it('is not believed when it gives a checkpoint that was never stored', async () => {
    const chain = await fullAndSecond();
    const target = new MemoryRestoreTarget();
    await restoreBrBackup({ chain, target });
    const { restoreId } = (await target.checkpoint()) ?? { restoreId: '' };
    for (const checkpoint of [
      { restoreId, phase: 'rows', version: 0n },
      { restoreId, phase: 'rows', version: 0n, cursor: 'shards:4' },
      { restoreId, phase: 'log', version: 5n },
    ] as const) {
      await target.apply([], checkpoint);
      expect(await errorOf(restoreBrBackup({ chain, target }))).toMatchObject({ code: 'ADAPTER_CONTRACT' });
    }
  });

  it('is found out when it does not keep its checkpoint', async () => {
    const chain = await fullAndSecond();
    const inner = new MemoryRestoreTarget();
    const target = {
      read: (keys: readonly Uint8Array[]) => inner.read(keys),
      apply: (...args: Parameters<typeof inner.apply>) => inner.apply(...args),
      checkpoint: () => Promise.resolve(undefined),
      isEmpty: (...args: Parameters<typeof inner.isEmpty>) => inner.isEmpty(...args),
    };
    expect(await errorOf(restoreBrBackup({ chain, target }))).toMatchObject({ code: 'ADAPTER_CONTRACT' });
  });
});

/** The container, whose reads go through `read`. */
function reading(
  container: BackupContainer,
  read: (name: string, offset: number, next: () => Promise<Uint8Array>) => Promise<Uint8Array>,
): BackupContainer {
  return new Proxy(container, {
    get: (target, property) => {
      if (property === 'readFile') {
        return (name: string, offset: number, length: number) =>
          read(name, offset, () => target.readFile(name, offset, length));
      }
      const value: unknown = Reflect.get(target, property, target);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
}

describe('a restore that is interrupted', () => {
  it('ends when it is aborted, wherever it is, and goes on from there', async () => {
    const inner = await txnBackup({ ...FULL, splits: [bytes('b'), bytes('c')] });
    let reads = 0;
    const count = reading(inner, (_name, _offset, next) => {
      reads++;
      return next();
    });
    await restoreBrBackup({ chain: [{ container: count }], target: new MemoryRestoreTarget() });
    const target = new MemoryRestoreTarget();
    for (let stop = 1; stop <= reads; stop++) {
      const abort = new AbortController();
      let done = 0;
      const container = reading(inner, (_name, _offset, next) => {
        if (++done === stop) abort.abort(new Error('enough'));
        return next();
      });
      const options = { chain: [{ container }], target, applyBytes: 1, signal: abort.signal };
      if ((await target.checkpoint())?.phase === 'done') break;
      await restoreBrBackup(options).catch((error: unknown) => {
        expect(error).toMatchObject({ message: 'enough' });
      });
    }
    await restoreBrBackup({ chain: [{ container: inner }], target });
    expect(rowsOf(target)).toEqual({ a: '1', b: LONG, c: '3' });
  });

  it('does not wait for a container that hangs when it is aborted', async () => {
    const inner = await txnBackup(FULL);
    for (const hangs of ['backupmeta', '1/0_1_default.sst', '1/0_1_write.sst']) {
      const abort = new AbortController();
      const container = reading(inner, (name, _offset, next) => {
        if (name !== hangs) return next();
        queueMicrotask(() => abort.abort(new Error('enough')));
        return new Promise(() => undefined);
      });
      const restoring = restoreBrBackup({
        chain: [{ container }],
        target: new MemoryRestoreTarget(),
        signal: abort.signal,
      });
      await expect(restoring).rejects.toThrow('enough');
    }
  });

  it('reads no file again that lies before the place where it goes on', async () => {
    const splits = [bytes('b'), bytes('c')];
    const names = new Set<string>();
    const container = reading(await txnBackup({ ...FULL, splits }), (name, _offset, next) => {
      names.add(name);
      return next();
    });
    let crash = true;
    const target = new MemoryRestoreTarget({
      afterApply: ({ cursor }) => {
        if (crash && cursor === `row:${Buffer.from('b').toString('hex')}`) throw new Error('crash');
      },
    });
    const options = { chain: [{ container }], target, applyBytes: 1 };
    await expect(restoreBrBackup(options)).rejects.toThrow('crash');
    crash = false;
    names.clear();
    const result = await restoreBrBackup(options);
    // The file that holds "b" has rows up to "c": its checksum is of all of them.
    expect([...names].sort()).toEqual(['1/1_1_default.sst', '1/1_1_write.sst', '1/2_1_write.sst', 'backupmeta']);
    expect(result).toMatchObject({ resumed: true, rows: 1, files: 3 });
    expect(rowsOf(target)).toEqual({ a: '1', b: LONG, c: '3' });
  });

  it('tries reads again that may succeed later, and says of others what they failed with', async () => {
    const clock = new ManualClock();
    const failed = new Set<string>();
    const container = reading(await txnBackup(FULL), async (name, offset, next) => {
      const place = `${name}:${offset}`;
      if (failed.has(place)) return next();
      failed.add(place);
      throw new BackupError('CONTAINER_UNAVAILABLE', 'away', { retryable: true });
    });
    const target = new MemoryRestoreTarget();
    let settled = false;
    const restoring = restoreBrBackup({ chain: [{ container }], target, clock }).finally(() => (settled = true));
    while (!settled) await clock.advance(100);
    await restoring;
    expect(rowsOf(target)).toEqual({ a: '1', b: LONG, c: '3' });
    const denied = reading(await txnBackup(FULL), () =>
      Promise.reject(new BackupError('CONTAINER_ACCESS_DENIED', 'no')),
    );
    const error = await errorOf(restoreBrBackup({ chain: [{ container: denied }], target: new MemoryRestoreTarget() }));
    expect(error.code).toBe('CONTAINER_ACCESS_DENIED');
  });
});
