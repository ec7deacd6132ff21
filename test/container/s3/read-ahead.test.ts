import { beforeEach, describe, expect, it } from 'vitest';
import type { ReadBytes } from '../../../src/container/s3/object-reader.js';
import { ReadAhead } from '../../../src/container/s3/read-ahead.js';
import { BackupError } from '../../../src/core/errors.js';
import { ManualClock } from '../../../src/testing/manual-clock.js';

const KIB = 1024;

describe('ReadAhead', () => {
  let clock: ManualClock;
  let files: Map<string, Uint8Array>;
  let fetches: string[];
  let ahead: ReadAhead;
  beforeEach(() => {
    clock = new ManualClock();
    files = new Map([['a', numbered(100 * KIB)]]);
    fetches = [];
    ahead = new ReadAhead(64 * KIB, clock);
  });

  const fetch = (file: string) => (offset: number, length: number) => {
    fetches.push(`${file} ${offset} ${length}`);
    const all = files.get(file);
    if (all === undefined) return Promise.reject(new BackupError('FILE_NOT_FOUND', file));
    const bytes = all.slice(offset, offset + length);
    return Promise.resolve<ReadBytes>({ bytes, isEnd: offset + bytes.length >= all.length });
  };
  const read = (offset: number, length: number, file = 'a') => ahead.read(file, offset, length, fetch(file));

  it('reads ahead only where the last read ended, and gives every byte', async () => {
    const parts: Uint8Array[] = [];
    for (let offset = 0; offset < 100 * KIB; offset += 4 * KIB) parts.push(await read(offset, 4 * KIB));
    expect(Buffer.concat(parts).equals(Buffer.from(files.get('a') as Uint8Array))).toBe(true);
    expect(fetches).toEqual(['a 0 4096', 'a 4096 65536', 'a 69632 65536']);
    expect(await read(100 * KIB, 10)).toEqual(new Uint8Array(0));
  });

  it('never serves a read that begins anywhere else', async () => {
    await read(0, 10);
    await read(10, 10);
    await read(0, 10);
    await read(5, 10);
    await read(100, 10);
    expect(fetches).toEqual(['a 0 10', 'a 10 65536', 'a 0 10', 'a 5 10', 'a 100 10']);
  });

  it('gives memory that is the reader’s own', async () => {
    await read(0, 10);
    (await read(10, 10)).fill(0);
    (await read(20, 10)).fill(0);
    expect(await read(30, 10)).toEqual(files.get('a')?.slice(30, 40));
  });

  it('uses nothing that was read before the file was written or deleted', async () => {
    await read(0, 10);
    await read(10, 10);
    ahead.forget('a');
    files.set('a', numbered(50).fill(7));
    expect(await read(20, 10)).toEqual(new Uint8Array(10).fill(7));
    files.delete('a');
    ahead.forget('a');
    await expect(read(30, 10)).rejects.toMatchObject({ code: 'FILE_NOT_FOUND' });
  });

  it('remembers nothing of a read that was under way meanwhile', async () => {
    await read(0, 10);
    let answer: ((value: ReadBytes) => void) | undefined;
    const slow = ahead.read('a', 10, 10, () => new Promise<ReadBytes>((resolve) => (answer = resolve)));
    ahead.forget('a');
    answer?.({ bytes: numbered(1000), isEnd: false });
    await slow;
    fetches = [];
    await read(20, 10);
    expect(fetches).toEqual(['a 20 10']);
    expect(ahead.bytes).toBe(0);
  });

  it('uses nothing that is older than a moment', async () => {
    await read(0, 10);
    await read(10, 10);
    await clock.advance(2_001);
    files.set('a', numbered(100 * KIB).fill(9));
    expect(await read(20, 10)).toEqual(new Uint8Array(10).fill(9));
  });

  it('holds no more than its limit, whatever the number of files', async () => {
    for (let i = 0; i < 600; i++) {
      const file = `f${i}`;
      files.set(file, numbered(100 * KIB));
      await read(0, 10, file);
      await read(10, 10, file);
      expect(ahead.bytes).toBeLessThanOrEqual(64 * KIB);
    }
  });

  it('reads nothing ahead with a limit of 0', async () => {
    ahead = new ReadAhead(0, clock);
    for (const offset of [0, 10, 20]) await read(offset, 10);
    expect(fetches).toEqual(['a 0 10', 'a 10 10', 'a 20 10']);
  });
});

function numbered(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 31 + (i >> 8)) & 0xff);
}
