import { describe, expect, it } from 'vitest';

import { BufferPool } from '../../src/core/buffer-pool.js';

describe('BufferPool', () => {
  it('hands out buffers of at least the size asked for, at most a quarter larger from 1 KiB on', () => {
    const pool = new BufferPool();
    for (const bytes of [0, 1, 1_024, 1_025, 70_000, 1 << 20, (1 << 20) + 1]) {
      const buffer = pool.take(bytes);
      expect(buffer.length).toBeGreaterThanOrEqual(bytes);
      expect(buffer.length).toBeLessThanOrEqual(Math.max(1_024, bytes * 1.25));
      expect([buffer.byteOffset, buffer.buffer.byteLength]).toEqual([0, buffer.length]);
    }
  });

  it('uses a buffer again once it was given back', () => {
    const pool = new BufferPool();
    const buffer = pool.take(5_000);
    expect(pool.take(5_000)).not.toBe(buffer);
    pool.give(buffer);
    expect(pool.idleBytes).toBe(buffer.length);
    expect(pool.take(4_900)).toBe(buffer);
    expect(pool.idleBytes).toBe(0);
  });

  it('prefers an idle buffer of up to twice the size to a fresh one, not a larger one', () => {
    const pool = new BufferPool();
    const buffer = pool.take(16_384);
    pool.give(buffer);
    expect(pool.take(7_000)).not.toBe(buffer);
    expect(pool.take(8_192)).toBe(buffer);
  });

  it('keeps no more than its bound', () => {
    const pool = new BufferPool({ maxIdleBytes: 10_000 });
    const buffers = Array.from({ length: 5 }, () => pool.take(4_096));
    for (const buffer of buffers) pool.give(buffer);
    expect(pool.idleBytes).toBe(8_192);
  });

  it('refuses a buffer given back twice, through whatever view, and one that is not its own', () => {
    const pool = new BufferPool();
    const buffer = pool.take(2_000);
    pool.give(buffer);
    expect(() => pool.give(buffer)).toThrow(/twice/);
    expect(() => pool.give(new Uint8Array(buffer.buffer))).toThrow(/twice/);
    expect(() => pool.give(new Uint8Array(1_000))).toThrow(/must come from a pool/);
    expect(() => pool.give(new Uint8Array(4_096).subarray(0, 1_024))).toThrow(/must come from a pool/);
  });

  it('refuses a bound that is no whole number, by name and value', () => {
    expect(() => new BufferPool({ maxIdleBytes: -1 })).toThrow('maxIdleBytes must be a whole number >= 0, got -1');
  });
});
