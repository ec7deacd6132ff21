// Leases of the two stores: what the conformance suite does not see.

import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { utf8 } from '../../src/core/bytes.js';
import { machineTime } from '../../src/core/clock.js';
import type { FileProgressStoreOptions } from '../../src/progress/file-progress-store.js';
import { FileProgressStore } from '../../src/progress/file-progress-store.js';
import { decodeLease, encodeLease } from '../../src/progress/lease-record.js';
import { MemoryProgressStore } from '../../src/progress/memory-progress-store.js';
import type { ProgressStore } from '../../src/ports/progress-store.js';
import { ManualClock } from '../../src/testing/manual-clock.js';
import { read, readIn, write } from '../../src/testing/store-tools.js';

const KEY = 'lease/task';
const take = (store: ProgressStore, holder: string, ttl = 1000) =>
  store.acquireLease({ key: KEY, value: utf8(holder), ttl });

/** Renewals are no changes: work under a lease is not run again because of them. */
async function expectUndisturbedByRenewal(store: ProgressStore): Promise<void> {
  const lease = await take(store, 'a');
  let runs = 0;
  await store.transact(async (tx) => {
    runs++;
    expect(await readIn(tx, KEY)).toBe('a');
    await lease?.renew();
    tx.set('x', utf8('1'));
  });
  expect(runs).toBe(1);
}

/** Values should differ, but a store does not rely on it. */
async function expectOwnLeaseOnly(store: ProgressStore, pass: (ms: number) => Promise<void> | void): Promise<void> {
  const first = await take(store, 'same');
  await pass(1000);
  const second = await take(store, 'same');
  await expect(first?.renew()).rejects.toMatchObject({ code: 'LEASE_LOST' });
  await first?.release();
  expect(await read(store, KEY)).toBe('same');
  await second?.renew();
}

describe('MemoryProgressStore', () => {
  let clock: ManualClock;
  let store: MemoryProgressStore;
  beforeEach(() => {
    clock = new ManualClock();
    store = new MemoryProgressStore({ clock });
  });

  it('does not run a body again because a lease that it read was renewed', () => expectUndisturbedByRenewal(store));

  it('tells a lease from a later one of the same value', () => expectOwnLeaseOnly(store, (ms) => clock.advance(ms)));

  it('does not end a lease because of how a clock that counts parts of a millisecond is rounded', async () => {
    // One at which (now + 30000) - now is more than 30000.
    let now = 0.1;
    while (now + 30_000 - now <= 30_000) now += 0.1;
    await clock.advance(now);
    const lease = await take(store, 'a', 30_000);
    expect(await read(store, KEY)).toBe('a');
    await lease?.renew();
  });

  it('ends a lease in the very millisecond, and not before', async () => {
    await take(store, 'a', 500);
    await clock.advance(499);
    expect(await read(store, KEY)).toBe('a');
    await clock.advance(1);
    expect(await read(store, KEY)).toBeUndefined();
    expect(store.entries()).toEqual([]);
  });

  it('waits for the end of a lease only while somebody watches', async () => {
    const stop = new AbortController();
    await take(store, 'a', 500);
    expect(clock.pendingTimers).toBe(0);
    const watching = store.watch(KEY, utf8('a'), stop.signal);
    const ended = expect(watching).rejects.toThrow('enough');
    expect(clock.pendingTimers).toBe(1);
    stop.abort(new Error('enough'));
    await ended;
    expect(clock.pendingTimers).toBe(0);
  });

  it('tells a watch in time, also of a lease that is taken, prolonged or given another end after it has begun', async () => {
    const { signal } = new AbortController();
    const lease = await take(store, 'a', 500);
    const other = await store.acquireLease({ key: 'lease/other', value: utf8('o'), ttl: 100 });
    let resolvedAt: number | undefined;
    const watching = store.watch(KEY, utf8('a'), signal).then(() => (resolvedAt = clock.now()));
    await clock.advance(300);
    await lease?.renew();
    await expect(other?.renew()).rejects.toMatchObject({ code: 'LEASE_LOST' });
    await clock.advance(499);
    expect(resolvedAt).toBeUndefined();
    await clock.advance(1);
    await watching;
    expect(resolvedAt).toBe(800);
    expect(clock.pendingTimers).toBe(0);
  });
});

describe('FileProgressStore', () => {
  let directory: string;
  let now: number;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'tidemark-'));
    now = 1_000_000;
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  const open = (options: Partial<FileProgressStoreOptions> = {}) =>
    new FileProgressStore({ directory, leaseTime: () => now, ...options });
  const commits = () =>
    readdirSync(join(directory, readdirSync(directory).find((name) => name.startsWith('log-')) ?? ''));

  it('does not run a body again because a lease that it read was renewed', () => expectUndisturbedByRenewal(open()));

  it('tells a lease from a later one of the same value', () => expectOwnLeaseOnly(open(), (ms) => void (now += ms)));

  it('keeps leases over generations of commits, with their ends', async () => {
    const lease = await take(open(), 'a');
    const store = open({ generationCommits: 2 });
    for (let i = 0; i < 7; i++) await write(store, { [`key/${i}`]: 'x' });
    now += 900;
    await lease?.renew();
    for (let i = 0; i < 7; i++) await write(store, { [`key/${i}`]: 'y' });
    now += 999;
    expect(await read(open(), KEY)).toBe('a');
    now += 1;
    expect(await read(open(), KEY)).toBeUndefined();
  });

  it('removes a lease that has ended once, whoever looks, and leaves nothing of it in the next state', async () => {
    await take(open(), 'a');
    now += 1000;
    const before = commits().length;
    for (let i = 0; i < 5; i++) expect(await read(open(), KEY)).toBeUndefined();
    expect(commits().length).toBe(before + 1);
    const states: number[] = [];
    const store = open({ generationCommits: 2 });
    for (let i = 0; i < 50; i++) {
      await store.acquireLease({ key: `lease/${i}`, value: utf8('a'.repeat(1000)), ttl: 1 });
      now += 1;
      const folder = readdirSync(directory).find((name) => name.startsWith('log-')) ?? '';
      states.push(readdirSync(join(directory, folder)).length);
    }
    expect(Math.max(...states.slice(5))).toBeLessThan(6);
    expect(await store.transact((tx) => tx.getRange(' ', '~'))).toEqual([]);
  });

  it('has no leases of before the machine was started anew', async () => {
    const lease = await take(open(), 'a');
    now = 500;
    expect(await read(open(), KEY)).toBeUndefined();
    await expect(lease?.renew()).rejects.toMatchObject({ code: 'LEASE_LOST' });
    expect(await take(open(), 'b')).toBeDefined();
  });

  it('refuses a renewal that took so long that the renewed lease has ended too', async () => {
    let reads = 0;
    let slow = false;
    // The time runs between the moment that the renewal counts from and its end.
    const store = open({ leaseTime: () => (slow && ++reads > 1 ? now + 1000 : now) });
    const lease = await take(store, 'a');
    slow = true;
    await expect(lease?.renew()).rejects.toMatchObject({ code: 'LEASE_LOST' });
  });

  it('does not commit what read a lease that ended between body and commit, when nobody else has looked', async () => {
    const store = open();
    await take(store, 'a');
    const seen: (string | undefined)[] = [];
    await store.transact(async (tx) => {
      seen.push(await readIn(tx, KEY));
      tx.set('x', utf8('1'));
      now += 1000;
    });
    expect(seen).toEqual(['a', undefined]);
  });
});

describe('machineTime', () => {
  it('runs on like every other clock', async () => {
    const before = machineTime();
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(machineTime()).toBeGreaterThan(before);
  });
});

describe('the record of a lease', () => {
  it('comes back as it was', () => {
    const lease = { id: '00112233445566778899aabbccddeeff', ttl: 30_000, endsAt: 12_345.678, value: utf8('holder') };
    expect(decodeLease(encodeLease(lease))).toEqual(lease);
    expect(decodeLease(encodeLease({ ...lease, value: utf8('') })).value).toEqual(utf8(''));
  });
});
