// The container suite's cases for making a container and writing files.

import assert from 'node:assert/strict';
import { utf8 } from '../core/bytes.js';
import { BackupError } from '../core/errors.js';
import { rejectsWith, seededRandom } from './conformance.js';
import type { ContainerCase } from './container-tools.js';
import { bytes, exclusively, list, made, names, put, text } from './container-tools.js';

export const writingCases: readonly ContainerCase[] = [
  [
    'create makes the container and is fine when it exists',
    async (container, reopen) => {
      assert.equal(await container.exists(), false);
      await container.create();
      assert.equal(await container.exists(), true);
      await put(container, 'a', 'kept');
      await (await reopen()).create();
      assert.equal(await text(container, 'a'), 'kept');
    },
  ],
  [
    'a container that was never made lists nothing, has no file, and deletes nothing',
    async (container) => {
      assert.deepEqual(await names(container, ''), []);
      assert.deepEqual(await names(container, 'logs/'), []);
      await rejectsWith('FILE_NOT_FOUND', container.readFile('a', 0, 1), 'reading');
      await container.deleteFile('a');
    },
  ],
  [
    'every adapter for the place has the same URL and sees what was finished',
    made(async (container, reopen) => {
      const other = await reopen();
      assert.equal(other.url, container.url);
      await put(container, 'logs/a', 'hello');
      assert.equal(await other.exists(), true);
      assert.equal(await text(other, 'logs/a'), 'hello');
      assert.deepEqual(await list(other, ''), [{ name: 'logs/a', size: 5 }]);
    }),
  ],
  [
    'chunks are stored in the order in which they were appended',
    made(async (container) => {
      const file = await container.writeFile('a');
      assert.equal(file.name, 'a');
      await file.append([utf8('one '), utf8('two ')]);
      await file.append([]);
      await file.append([new Uint8Array(0), utf8('three '), new Uint8Array(0)]);
      await file.append([utf8('four')]);
      await file.finish();
      assert.equal(await text(container, 'a'), 'one two three four');
    }),
  ],
  [
    'a file without bytes exists all the same',
    made(async (container) => {
      await (await container.writeFile('none')).finish();
      const file = await container.writeFile('nothing');
      await file.append([]);
      await file.append([new Uint8Array(0)]);
      await file.finish();
      assert.deepEqual(await list(container, ''), [
        { name: 'none', size: 0 },
        { name: 'nothing', size: 0 },
      ]);
      assert.equal((await container.readFile('none', 0, 10)).length, 0);
    }),
  ],
  [
    'a file is invisible until finish has resolved',
    made(async (container, reopen) => {
      const other = await reopen();
      const file = await container.writeFile('logs/a');
      await file.append([utf8('x'.repeat(100_000))]);
      assert.deepEqual(await names(other, ''), []);
      assert.deepEqual(await names(container, 'logs/a'), []);
      await rejectsWith('FILE_NOT_FOUND', other.readFile('logs/a', 0, 1), 'reading an unfinished file');
      await file.finish();
      assert.deepEqual(await list(other, ''), [{ name: 'logs/a', size: 100_000 }]);
    }),
  ],
  [
    'abort discards the file, at any moment and more than once',
    made(async (container) => {
      const untouched = await container.writeFile('a');
      await untouched.abort();
      await untouched.abort();
      const written = await container.writeFile('a');
      await written.append([utf8('gone')]);
      await Promise.all([written.abort(), written.abort()]);
      const writing = await container.writeFile('a');
      const append = writing.append([new Uint8Array(1 << 20)]).catch(() => undefined);
      await writing.abort();
      await append;
      assert.deepEqual(await names(container, ''), []);
    }),
  ],
  [
    'abort after finish leaves the finished file',
    made(async (container) => {
      const file = await container.writeFile('a');
      await file.append([utf8('kept')]);
      await file.finish();
      await file.abort();
      assert.equal(await text(container, 'a'), 'kept');
    }),
  ],
  [
    'a finish that runs while abort is called ends with the whole file or with none',
    made(async (container) => {
      const file = await container.writeFile('a');
      await file.append([utf8('whole')]);
      const finished = file.finish().then(
        () => true,
        () => false,
      );
      await file.abort();
      assert.deepEqual(await names(container, ''), (await finished) ? ['a'] : []);
      if (await finished) assert.equal(await text(container, 'a'), 'whole');
    }),
  ],
  [
    'append and finish on a file that was finished or aborted are INVALID_STATE',
    made(async (container) => {
      const finished = await container.writeFile('a');
      await finished.finish();
      await rejectsWith('INVALID_STATE', finished.append([utf8('x')]), 'append after finish');
      await rejectsWith('INVALID_STATE', finished.finish(), 'finish after finish');
      const aborted = await container.writeFile('b');
      await aborted.abort();
      await rejectsWith('INVALID_STATE', aborted.append([utf8('x')]), 'append after abort');
      await rejectsWith('INVALID_STATE', aborted.finish(), 'finish after abort');
      assert.deepEqual(await names(container, ''), ['a']);
    }),
  ],
  [
    'a write replaces a file of that name at the moment of finish, not before',
    made(async (container) => {
      await put(container, 'a', 'the old content, which is longer');
      const file = await container.writeFile('a');
      await file.append([utf8('new')]);
      assert.equal(await text(container, 'a'), 'the old content, which is longer');
      await file.finish();
      assert.equal(await text(container, 'a'), 'new');
      assert.deepEqual(await list(container, ''), [{ name: 'a', size: 3 }]);
    }),
  ],
  [
    'an aborted write leaves the file that it would have replaced',
    made(async (container) => {
      await put(container, 'a', 'old');
      const file = await container.writeFile('a');
      await file.append([utf8('new')]);
      await file.abort();
      assert.equal(await text(container, 'a'), 'old');
    }),
  ],
  [
    'an exclusive write fails with FILE_EXISTS when the name is taken, and leaves what is there',
    made(async (container) => {
      await put(container, 'a', 'first');
      await rejectsWith('FILE_EXISTS', exclusively(container, 'a', 'second'), 'an exclusive write');
      assert.equal(await text(container, 'a'), 'first');
      await exclusively(container, 'b', 'free');
      assert.equal(await text(container, 'b'), 'free');
    }),
  ],
  [
    'of several exclusive writers of one name exactly one wins',
    made(async (container, reopen) => {
      const containers = [container, await reopen(), container, await reopen(), container];
      const files = await Promise.all(containers.map((each) => each.writeFile('a', { exclusive: true })));
      const races = files.map(async (file, i) => {
        await file.append([utf8(`writer ${i}`)]);
        try {
          await file.finish();
          return i;
        } catch (error) {
          await file.abort();
          assert.ok(BackupError.is(error, 'FILE_EXISTS'), `a loser must get FILE_EXISTS, but it was ${String(error)}`);
          return undefined;
        }
      });
      const winners = (await Promise.all(races)).filter((winner) => winner !== undefined);
      assert.equal(winners.length, 1);
      assert.equal(await text(container, 'a'), `writer ${winners[0]}`);
    }),
  ],
  [
    'of several writers of one name the last to finish stays, whole',
    made(async (container, reopen) => {
      const other = await reopen();
      const [a, b] = [await container.writeFile('a'), await other.writeFile('a')];
      await a.append([utf8('aaaa')]);
      await b.append([utf8('bb')]);
      await a.append([utf8('aaaa')]);
      await b.finish();
      assert.equal(await text(container, 'a'), 'bb');
      await a.finish();
      assert.equal(await text(other, 'a'), 'aaaaaaaa');
    }),
  ],
  [
    'many files are written at once, each with its own bytes',
    made(async (container) => {
      const all = Array.from({ length: 40 }, (_, i) => `many/${i % 4}/${i}`);
      await Promise.all(all.map((name) => put(container, name, `content of ${name}`)));
      for (const name of all) assert.equal(await text(container, name), `content of ${name}`);
      assert.equal((await names(container, 'many/')).length, 40);
    }),
  ],
  [
    'a file of many chunks comes back byte for byte',
    made(async (container) => {
      const random = seededRandom(7);
      const file = await container.writeFile('big');
      const all: Uint8Array[] = [];
      // More pieces than one writev takes, of sizes from nothing to a few MiB.
      for (const count of [3000, 1, 1025, 7]) {
        const chunks = Array.from({ length: count }, (_, i) =>
          bytes(i % 97 === 0 ? 0 : Math.floor(random() * 900), random),
        );
        chunks.push(bytes(count === 7 ? 3 << 20 : 4096, random));
        await file.append(chunks);
        all.push(...chunks);
      }
      await file.finish();
      const expected = Buffer.concat(all);
      const got = await container.readFile('big', 0, expected.length);
      assert.ok(Buffer.from(got).equals(expected), 'the bytes differ');
      assert.deepEqual(await list(container, 'big'), [{ name: 'big', size: expected.length }]);
    }),
  ],
  [
    "the chunks' memory may be reused as soon as append has resolved",
    made(async (container) => {
      const memory = new Uint8Array(50_000);
      const file = await container.writeFile('a');
      for (const value of [1, 2, 3]) {
        memory.fill(value);
        await file.append([memory.subarray(0, 20_000), memory.subarray(20_000)]);
      }
      memory.fill(9);
      await file.finish();
      const got = await container.readFile('a', 0, 150_000);
      assert.equal(got.length, 150_000);
      for (const [i, value] of got.entries()) assert.equal(value, Math.floor(i / 50_000) + 1);
    }),
  ],
];
