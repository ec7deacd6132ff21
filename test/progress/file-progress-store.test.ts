import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { utf8 } from '../../src/core/bytes.js';
import { systemClock } from '../../src/core/clock.js';
import type { FileProgressStoreOptions } from '../../src/progress/file-progress-store.js';
import { FileProgressStore } from '../../src/progress/file-progress-store.js';
import { increment, read, write } from '../../src/testing/store-tools.js';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'tidemark-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

function open(options: Partial<FileProgressStoreOptions> = {}): FileProgressStore {
  return new FileProgressStore({ directory, ...options });
}

/** The newest generation's folder. */
function generation(): string {
  const name = readdirSync(directory).find((each) => each.startsWith('log-'));
  return join(directory, name ?? 'none');
}

describe('damage', () => {
  const damages: [string, string, (file: string) => void][] = [
    ['a truncated commit', 'commit-2', (file) => truncateSync(file, 20)],
    ['an empty commit', 'commit-3', (file) => truncateSync(file, 0)],
    ['a commit with a wrong byte', 'commit-1', (file) => writeFileSync(file, flip(readFileSync(file)))],
    ['a commit with something behind it', 'commit-1', (file) => appendFileSync(file, 'x')],
    ['a commit under another number', 'commit-2', (file) => writeFileSync(file, readFileSync(file.replace(/2$/, '1')))],
    ['a commit that is lost', 'commit-2', (file) => rmSync(file)],
    ['a truncated state', 'state', (file) => truncateSync(file, 30)],
    ['a state that is lost', 'state', (file) => rmSync(file)],
  ];

  it.each(damages)('%s is STORE_CORRUPT, with the name of the file', async (_what, name, damage) => {
    const store = open();
    for (let i = 0; i < 3; i++) await increment(store, 'counter');
    const file = join(generation(), name);
    damage(file);
    await expect(read(open(), 'counter')).rejects.toMatchObject({ code: 'STORE_CORRUPT', file, retryable: false });
    // Nothing was made of it either.
    await expect(increment(open(), 'counter')).rejects.toMatchObject({ code: 'STORE_CORRUPT' });
  });

  it('a folder that disappears is STORE_UNAVAILABLE for those who had it open, not an empty store', async () => {
    const store = open();
    await increment(store, 'counter');
    rmSync(directory, { recursive: true });
    await expect(increment(store, 'counter')).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE', retryable: true });
  });

  it('a folder that cannot be made is STORE_UNAVAILABLE, with the cause', async () => {
    const store = open({ directory: '/proc/tidemark' });
    await expect(increment(store, 'counter')).rejects.toMatchObject({
      code: 'STORE_UNAVAILABLE',
      retryable: true,
      cause: { code: 'ENOENT' },
    });
  });
});

describe('the folder', () => {
  it('holds one commit after the other, and one state instead of many commits', async () => {
    const store = open({ generationCommits: 4 });
    for (let i = 0; i < 11; i++) await write(store, { [`key/${i}`]: 'x'.repeat(100) });
    expect(readdirSync(directory).sort()).toEqual(['genesis', expect.stringMatching(/^log-3-[0-9a-f]{32}$/)]);
    expect(readdirSync(generation()).sort()).toEqual(['commit-10', 'commit-11', 'commit-9', 'state']);
    expect(await open().transact(async (tx) => (await tx.getRange('key/', 'key0')).length)).toBe(11);
  });

  it('is not written to by transactions that only read', async () => {
    const store = open();
    await increment(store, 'counter');
    const before = readdirSync(generation());
    await read(open(), 'counter');
    await store.transact((tx) => tx.getRange('a', 'z'));
    expect(readdirSync(generation())).toEqual(before);
  });
});

describe('conflicts', () => {
  it('end with STORE_CONFLICT after maxAttempts', async () => {
    const store = open({ maxAttempts: 3 });
    const rival = open();
    let runs = 0;
    const losing = store.transact(async (tx) => {
      runs++;
      await tx.get('counter');
      await increment(rival, 'counter');
      tx.set('counter', utf8('0'));
    });
    await expect(losing).rejects.toMatchObject({ code: 'STORE_CONFLICT', retryable: true });
    expect(runs).toBe(3);
    expect(await read(store, 'counter')).toBe('3');
  });

  it('do not run a body again whose reads are all as they were', async () => {
    const store = open();
    let runs = 0;
    await store.transact(async (tx) => {
      runs++;
      await tx.get('mine');
      await write(open(), { other: 'x' });
      tx.set('mine', utf8('1'));
    });
    expect(runs).toBe(1);
    expect(await read(open(), 'mine')).toBe('1');
  });
});

describe('watching', () => {
  const watchersOf = () => process.getActiveResourcesInfo().filter((kind) => kind.startsWith('FSEvent')).length;

  it('lets go of everything when nobody watches any more', async () => {
    const store = open();
    await increment(store, 'counter');
    const stop = new AbortController();
    const watching = store.watch('a', undefined, stop.signal);
    while (watchersOf() === 0) await systemClock.yieldToHost();
    stop.abort(new Error('enough'));
    await expect(watching).rejects.toThrow('enough');
    while (watchersOf() > 0) await systemClock.yieldToHost();
    // And begins anew for the next one.
    const again = store.watch('a', undefined, new AbortController().signal);
    await write(open(), { a: '1' });
    await again;
    while (watchersOf() > 0) await systemClock.yieldToHost();
  });

  it('goes on over generations', async () => {
    const store = open({ generationCommits: 2 });
    const writer = open({ generationCommits: 2 });
    const { signal } = new AbortController();
    const watching = store.watch('last', undefined, signal);
    for (let i = 0; i < 9; i++) await write(writer, { [`key/${i}`]: 'x' });
    await write(writer, { last: 'yes' });
    await watching;
  });

  it('ends with INVALID_STATE when the store is closed, like every later call', async () => {
    const store = open();
    const watching = store.watch('a', undefined, new AbortController().signal);
    const ended = expect(watching).rejects.toMatchObject({ code: 'INVALID_STATE' });
    await increment(store, 'counter');
    await store.close();
    await ended;
    await expect(increment(store, 'counter')).rejects.toMatchObject({ code: 'INVALID_STATE' });
    while (watchersOf() > 0) await systemClock.yieldToHost();
    await store.close();
  });

  it('fails with the store, so that the caller can try again', async () => {
    const store = open({ pollInterval: 1 });
    await increment(store, 'counter');
    const watching = store.watch('a', undefined, new AbortController().signal);
    rmSync(generation(), { recursive: true });
    await expect(watching).rejects.toMatchObject({ code: 'STORE_CORRUPT', file: join(directory, 'genesis') });
  });
});

describe('options', () => {
  it.each([
    ['directory', ''],
    ['pollInterval', 0],
    ['maxAttempts', 1.5],
    ['generationCommits', -1],
  ])('%s = %j is refused', (option, value) => {
    expect(() => open({ [option]: value })).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }) as Error);
  });

  it('keys must be printable ASCII', async () => {
    for (const key of ['', 'ä', 'a\n']) {
      await expect(open().transact((tx) => tx.get(key))).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    }
  });
});

function flip(bytes: Uint8Array): Uint8Array {
  const copy = new Uint8Array(bytes);
  const middle = copy.length >> 1;
  copy[middle] = (copy[middle] as number) ^ 1;
  return copy;
}
