// The container suite's cases for reading, listing, names and deletion.

import assert from 'node:assert/strict';
import { utf8 } from '../core/bytes.js';
import type { BackupContainer } from '../ports/backup-container.js';
import { rejectsWith } from './conformance.js';
import type { ContainerCase } from './container-tools.js';
import { exclusively, list, made, names, put, text } from './container-tools.js';

const REFUSED_NAMES = [
  '',
  '/',
  '/absolute',
  '.',
  '..',
  './a',
  '../a',
  'a/..',
  'a/../b',
  'a/./b',
  'a//b',
  'a/',
  'a\0b',
  'a\\b',
  '..\\a',
  'a.temp',
  'a/b.part',
  '\ud800',
];

const ALLOWED_NAMES = [
  'a',
  '..a',
  'a..',
  '...',
  '.hidden',
  'with space',
  'with%2Fpercent',
  'a?b#c&d=e',
  'plogs/0000/0000/log,1,5,0123456789abcdef0123456789abcdef,0-of-4,1048576',
  'temp',
  'a.temp.b',
  'ä/é/漢字',
  `long/${'x'.repeat(180)}`,
];

export const readingCases: readonly ContainerCase[] = [
  [
    'readFile returns what lies in the range, shorter only at the end of the file, and nothing beyond it',
    made(async (container) => {
      const content = Uint8Array.from({ length: 1000 }, (_, i) => i % 251);
      const file = await container.writeFile('a');
      await file.append([content]);
      await file.finish();
      const ranges = [
        [0, 1000],
        [0, 0],
        [0, 1],
        [999, 1],
        [100, 200],
        [900, 500],
        [0, 1 << 30],
        [1000, 1],
        [1001, 10],
        [1 << 30, 10],
      ] as const;
      for (const [offset, length] of ranges) {
        const got = await container.readFile('a', offset, length);
        assert.deepEqual([...got], [...content.subarray(offset, offset + length)], `readFile(${offset}, ${length})`);
      }
    }),
  ],
  [
    'the memory that readFile returns belongs to the caller',
    made(async (container) => {
      await put(container, 'a', 'unchanged');
      (await container.readFile('a', 0, 100)).fill(0);
      assert.equal(await text(container, 'a'), 'unchanged');
    }),
  ],
  [
    'what readFile has given stays as it is, whatever is read next',
    made(async (container) => {
      await put(container, 'a', 'first');
      await put(container, 'b', 'other');
      const kept = await Promise.all(['a', 'b', 'a'].map((name) => container.readFile(name, 0, 100)));
      await container.readFile('b', 1, 3);
      assert.deepEqual(
        kept.map((bytes) => new TextDecoder().decode(bytes)),
        ['first', 'other', 'first'],
      );
    }),
  ],
  [
    'a listing that runs while a file is finished shows it whole or not at all',
    made(async (container, reopen) => {
      const other = await reopen();
      const size = 3 << 20;
      for (const name of ['logs/a', 'logs/b', 'logs/c']) {
        const file = await container.writeFile(name);
        for (let i = 0; i < 3; i++) await file.append([new Uint8Array(1 << 20).fill(7)]);
        let done = false;
        const finished = file.finish().finally(() => (done = true));
        // The bound is for a container that is slow; what is listed afterwards is looked at in any case.
        for (let looks = 0; looks < 50 && !done; looks++) await isWholeOrMissing(other, name, size);
        await finished;
        assert.equal(await isWholeOrMissing(other, name, size), true);
      }
    }),
  ],
  [
    'reading a file that is not there is FILE_NOT_FOUND, a folder is no file',
    made(async (container) => {
      await put(container, 'logs/a', 'x');
      for (const name of ['a', 'logs', 'logs/b', 'logs/a/b']) {
        const error = await rejectsWith('FILE_NOT_FOUND', container.readFile(name, 0, 1), `reading ${name}`);
        assert.equal(error.file, name);
      }
    }),
  ],
  [
    'files are listed in the byte order of their names',
    made(async (container) => {
      const all = [
        'a',
        'a,b',
        'a-/x',
        'a/b',
        'a/b,c',
        'a/b/c',
        'a0',
        'B',
        'ab',
        'a b',
        'b/a',
        '~',
        'é',
        '\ufffd',
        '\u{1f600}',
        '漢',
      ];
      const usable = all.filter((name) => !all.some((other) => other.startsWith(`${name}/`)));
      for (const name of [...usable].reverse()) await put(container, name, name);
      const expected = [...usable].sort((x, y) => Buffer.compare(utf8(x), utf8(y)));
      assert.deepEqual(await names(container, ''), expected);
      assert.deepEqual(
        await list(container, ''),
        expected.map((name) => ({ name, size: utf8(name).length })),
      );
    }),
  ],
  [
    'a prefix is a mere string, not only a folder',
    made(async (container) => {
      const all = ['logs/a', 'logs/a/1', 'logs/ab', 'logs/b', 'logs2/a', 'log'].filter((name) => name !== 'logs/a');
      for (const name of all) await put(container, name, 'x');
      const expectations: [string, string[]][] = [
        ['', ['log', 'logs/a/1', 'logs/ab', 'logs/b', 'logs2/a']],
        ['log', ['log', 'logs/a/1', 'logs/ab', 'logs/b', 'logs2/a']],
        ['logs', ['logs/a/1', 'logs/ab', 'logs/b', 'logs2/a']],
        ['logs/', ['logs/a/1', 'logs/ab', 'logs/b']],
        ['logs/a', ['logs/a/1', 'logs/ab']],
        ['logs/a/', ['logs/a/1']],
        ['logs/ab', ['logs/ab']],
        ['logs/abc', []],
        ['none/', []],
        ['/', []],
        ['../', []],
        ['logs/../logs/', []],
      ];
      for (const [prefix, expected] of expectations) {
        assert.deepEqual(await names(container, prefix), expected, `prefix ${JSON.stringify(prefix)}`);
      }
    }),
  ],
  [
    'what is finished or deleted is read as it is at once, whatever a listing shows',
    made(async (container, reopen) => {
      const other = await reopen();
      await put(container, 'logs/a', 'first');
      assert.equal(await text(other, 'logs/a'), 'first');
      await put(other, 'logs/a', 'second');
      assert.equal(await text(container, 'logs/a'), 'second');
      await other.deleteFile('logs/a');
      await rejectsWith('FILE_NOT_FOUND', container.readFile('logs/a', 0, 1), 'reading a deleted file');
      await exclusively(container, 'logs/a', 'third');
      await rejectsWith('FILE_EXISTS', exclusively(other, 'logs/a', 'fourth'), 'an exclusive write');
    }),
  ],
  [
    'a listing that is left early, or while files are deleted, does no harm',
    made(async (container) => {
      const all = Array.from({ length: 200 }, (_, i) => `f/${String(i).padStart(3, '0')}`);
      await Promise.all(all.map((name) => put(container, name, 'x')));
      for await (const { name } of container.listFiles('f/')) {
        assert.equal(name, 'f/000');
        break;
      }
      const seen: string[] = [];
      for await (const { name } of container.listFiles('f/')) {
        seen.push(name);
        if (name !== 'f/010') continue;
        await Promise.all(all.slice(100).map((each) => container.deleteFile(each)));
      }
      assert.deepEqual(seen.slice(0, 100), all.slice(0, 100));
      assert.deepEqual(await names(container, ''), all.slice(0, 100));
    }),
  ],
  [
    'names that leave the container, or that not every container can hold, are refused with INVALID_NAME',
    made(async (container) => {
      for (const name of REFUSED_NAMES) {
        const shown = JSON.stringify(name);
        await rejectsWith('INVALID_NAME', container.writeFile(name), `writing ${shown}`);
        await rejectsWith('INVALID_NAME', container.readFile(name, 0, 1), `reading ${shown}`);
        await rejectsWith('INVALID_NAME', container.deleteFile(name), `deleting ${shown}`);
      }
      assert.deepEqual(await names(container, ''), []);
    }),
  ],
  [
    'every other name is taken as it is',
    made(async (container) => {
      for (const name of ALLOWED_NAMES) await put(container, name, name);
      for (const name of ALLOWED_NAMES) assert.equal(await text(container, name), name);
      assert.deepEqual((await names(container, '')).sort(), [...ALLOWED_NAMES].sort());
    }),
  ],
  [
    'a deleted file is gone, and its name is free again',
    made(async (container, reopen) => {
      await put(container, 'logs/a', 'first');
      await put(container, 'logs/b', 'stays');
      await (await reopen()).deleteFile('logs/a');
      assert.deepEqual(await names(container, ''), ['logs/b']);
      await rejectsWith('FILE_NOT_FOUND', container.readFile('logs/a', 0, 1), 'reading a deleted file');
      await container.deleteFile('logs/a');
      await container.deleteFile('never/was');
      await exclusively(container, 'logs/a', 'second');
      assert.equal(await text(container, 'logs/a'), 'second');
    }),
  ],
];

/** Whether it is listed, and then with all its bytes. */
async function isWholeOrMissing(container: BackupContainer, name: string, size: number): Promise<boolean> {
  const listed = (await list(container, name)).find((file) => file.name === name);
  if (listed === undefined) return false;
  assert.equal(listed.size, size, `${name} is listed`);
  const { length } = await container.readFile(name, 0, size + 1);
  assert.equal(length, size, `${name} is listed and is read`);
  return true;
}
