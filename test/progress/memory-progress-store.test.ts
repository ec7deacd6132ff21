import { describe, expect, it } from 'vitest';
import { utf8 } from '../../src/core/bytes.js';
import { MemoryProgressStore } from '../../src/progress/memory-progress-store.js';
import { increment, read, write } from '../../src/testing/store-tools.js';

describe('MemoryProgressStore', () => {
  it('counts the bodies that it had to run again, and gives up after maxAttempts', async () => {
    const store = new MemoryProgressStore({ maxAttempts: 4 });
    const losing = store.transact(async (tx) => {
      await tx.get('counter');
      await increment(store, 'counter');
      tx.set('counter', utf8('0'));
    });
    await expect(losing).rejects.toMatchObject({ code: 'STORE_CONFLICT', retryable: true });
    expect(store.conflicts).toBe(4);
    expect(await read(store, 'counter')).toBe('4');
    expect(() => new MemoryProgressStore({ maxAttempts: 0 })).toThrow('maxAttempts');
  });

  it('keeps no watch that has ended', async () => {
    const store = new MemoryProgressStore();
    const stop = new AbortController();
    const watches = ['a', 'a', 'b'].map((key) => store.watch(key, undefined, stop.signal));
    const ended = Promise.allSettled(watches);
    expect(store.watches).toBe(3);
    await write(store, { a: '1' });
    expect(store.watches).toBe(1);
    stop.abort();
    await ended;
    expect(store.watches).toBe(0);
  });

  it('refuses what is done with a transaction after its end', async () => {
    const store = new MemoryProgressStore();
    const tx = await store.transact(async (each) => each);
    expect(() => tx.set('a', utf8('lost'))).toThrow(expect.objectContaining({ code: 'INVALID_STATE' }) as Error);
    await expect(tx.get('a')).rejects.toMatchObject({ code: 'INVALID_STATE' });
  });

  it('shows its entries in order', async () => {
    const store = new MemoryProgressStore();
    await write(store, { b: '2', a: '1', c: '3' });
    await write(store, { b: undefined });
    expect(store.entries()).toEqual([
      { key: 'a', value: utf8('1') },
      { key: 'c', value: utf8('3') },
    ]);
  });
});
