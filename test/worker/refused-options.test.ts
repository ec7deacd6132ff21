// What the types rule out and a caller without a compiler may pass all the same: refused where it enters, by name and value.

import { describe, expect, it } from 'vitest';
import { checkMethods } from '../../src/core/check-option.js';
import { checkRange } from '../../src/core/key-range.js';
import { encodeMutation } from '../../src/core/mutation.js';
import { decodeLease, encodeLease } from '../../src/progress/lease-record.js';
import { MemoryProgressStore } from '../../src/progress/memory-progress-store.js';
import { TaskPool } from '../../src/schedule/task-pool.js';
import { MemoryLog } from '../../src/testing/memory-log.js';
import { recruit } from '../../src/worker/recruit.js';
import { runSnapshots } from '../../src/worker/snapshot-runner.js';
import { MemoryContainer } from '../../src/container/memory-container.js';

/** A value of another type than the compiler knows. */
const wrong = <T>(value: unknown): T => value as T;
const refused = (message: RegExp) => ({
  code: 'INVALID_OPTION',
  message: expect.stringMatching(message) as string,
});

describe('an option of the wrong type', () => {
  it('is refused in ranges, adapters and mutations', () => {
    expect(() => checkRange(wrong({ begin: 'a', end: 'b' }), 'ranges[3]')).toThrow(
      expect.objectContaining(refused(/ranges\[3\]/)),
    );
    expect(() => checkMethods('container', null, 'BackupContainer', ['readFile'])).toThrow(
      expect.objectContaining(refused(/container .* \(got null\)/)),
    );
    const mutation = { type: wrong<0>(200), param1: new Uint8Array(1), param2: new Uint8Array(1) };
    expect(() => encodeMutation(mutation)).toThrow(expect.objectContaining({ code: 'INVALID_MUTATION' }));
  });

  it('is refused in values of the progress store', async () => {
    const store = new MemoryProgressStore();
    await expect(store.transact(async (tx) => tx.set('key', wrong('text')))).rejects.toMatchObject(refused(/key/));
    const lease = { key: 'lease/a', value: wrong<Uint8Array>('me'), ttl: 5 };
    await expect(store.acquireLease(lease)).rejects.toMatchObject(refused(/value .* got string/));
    const record = { id: 'ab'.repeat(16), ttl: 5, endsAt: 7, value: new Uint8Array(0) };
    expect(decodeLease(encodeLease(record))).toEqual(record);
  });

  it('is refused by a task pool', async () => {
    expect(() => new TaskPool({ concurrency: 2, queue: wrong('round-robin') })).toThrow(
      expect.objectContaining(refused(/queue .* got round-robin/)),
    );
    const pool = new TaskPool({ concurrency: 2 });
    expect(pool.concurrency).toBe(2);
    await expect(pool.run<undefined>(wrong(5))).rejects.toMatchObject(refused(/task .* got number/));
  });

  it('is refused by the loops, before they start anything', async () => {
    const { signal } = new AbortController();
    const progressStore = new MemoryProgressStore();
    const openContainer = () => Promise.resolve(new MemoryContainer());
    const logSource = new MemoryLog({ totalTags: 1 });
    for (const planInterval of [0, -1, NaN, 2 ** 31])
      await expect(recruit({ signal, logSource, progressStore, openContainer, planInterval })).rejects.toMatchObject(
        refused(/planInterval/),
      );
    const rangeSource = wrong<Parameters<typeof runSnapshots>[0]['rangeSource']>({});
    const options = { signal, progressStore, openContainer, rangeSource };
    await expect(runSnapshots(options)).rejects.toMatchObject(refused(/rangeSource/));
    const scan = { scan: () => [], regions: () => [], readVersion: () => Promise.resolve(1n) };
    const unstoppable = { ...options, rangeSource: wrong<typeof rangeSource>(scan), signal: wrong<AbortSignal>({}) };
    await expect(runSnapshots(unstoppable)).rejects.toMatchObject(refused(/signal/));
  });
});
