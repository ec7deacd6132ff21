// What somebody may do to the files of an encrypted container without the key, and what is found of it.

import { beforeEach, describe, expect, it } from 'vitest';
import { openEncryptedContainer } from '../../src/container/encrypted-container.js';
import { MemoryContainer } from '../../src/container/memory-container.js';
import { FileSumsBuilder, encodeFileSums, parseFileSums, sumsFileName } from '../../src/format/fdb/file-sums.js';
import type { BackupContainer } from '../../src/ports/backup-container.js';
import { KEY, LOG, get, listed, pattern, put } from './encrypted-tools.js';

const BLOCK = 512;
const STORED = BLOCK + 16;
const OTHER = LOG.replace('log,10', 'log,11');
const CONTENT = pattern(2 * BLOCK + 200);

let inner: MemoryContainer;
let container: BackupContainer;
beforeEach(async () => {
  inner = new MemoryContainer();
  container = await openEncryptedContainer(inner, { key: KEY, blockSize: BLOCK });
  await put(container, LOG, CONTENT);
  await put(container, OTHER, pattern(2 * BLOCK + 200, 7));
});

/** As a reader does: by the listed size. */
async function readAll(name = LOG): Promise<Uint8Array> {
  const [file] = await listed(container, name);
  return container.readFile(name, 0, file?.size ?? 0);
}

async function expectFound(offset: number, name = LOG): Promise<void> {
  await expect(readAll(name)).rejects.toMatchObject({
    code: 'DECRYPTION_FAILED',
    file: name,
    offset,
    retryable: false,
  });
}

it('nothing done, nothing found', async () => {
  expect(await readAll()).toEqual(CONTENT);
});

it('every flipped byte is found, in its block, and the other blocks can still be read', async () => {
  const stored = await get(inner, LOG);
  for (let at = 0; at < stored.length; at++) {
    const damaged = stored.slice();
    damaged[at] = (damaged[at] as number) ^ (1 << (at % 8));
    await put(inner, LOG, damaged);
    const block = Math.floor(at / STORED);
    await expectFound(block * BLOCK);
    const intact = (block + 1) % 3;
    const bytes = await container.readFile(LOG, intact * BLOCK, 100);
    expect(Buffer.from(bytes).equals(CONTENT.subarray(intact * BLOCK, intact * BLOCK + 100))).toBe(true);
  }
});

it('two blocks that were swapped are found, within a file and between files', async () => {
  const [a, b] = [await get(inner, LOG), await get(inner, OTHER)];
  const swapped = Buffer.concat([a.subarray(STORED, 2 * STORED), a.subarray(0, STORED), a.subarray(2 * STORED)]);
  await put(inner, LOG, swapped);
  await expectFound(0);
  await put(inner, LOG, Buffer.concat([a.subarray(0, STORED), b.subarray(STORED, 2 * STORED), a.subarray(2 * STORED)]));
  await expectFound(BLOCK);
});

it('two files that were swapped are found, and one that was renamed', async () => {
  const [a, b] = [await get(inner, LOG), await get(inner, OTHER)];
  await put(inner, LOG, b);
  await put(inner, OTHER, a);
  await expectFound(0);
  await expectFound(0, OTHER);
  const renamed = LOG.replace('log,10', 'log,12');
  await put(inner, renamed, a);
  await expectFound(0, renamed);
});

it('bytes that were added are found', async () => {
  const stored = await get(inner, LOG);
  for (const extra of [1, 16, 17, 311, 312, 313, 1000]) {
    await put(inner, LOG, Buffer.concat([stored, pattern(extra)]));
    await expectFound(2 * BLOCK);
  }
  // A last block that is whole: what is added makes a block of its own.
  const whole = LOG.replace('log,10', 'log,13');
  await put(container, whole, pattern(2 * BLOCK));
  const two = await get(inner, whole);
  for (const extra of [1, 15, 16, 17, 500, STORED]) {
    await put(inner, whole, Buffer.concat([two, pattern(extra)]));
    await expectFound(2 * BLOCK, whole);
  }
});

describe('a cut', () => {
  it('is found at every place but between two blocks', async () => {
    const stored = await get(inner, LOG);
    for (let length = 0; length < stored.length; length++) {
      await put(inner, LOG, stored.subarray(0, length));
      if (length % STORED !== 0) await expectFound(Math.floor(length / STORED) * BLOCK);
      else expect(await readAll()).toEqual(CONTENT.subarray(0, (length / STORED) * BLOCK));
    }
  });

  it('between two blocks is seen by the size that the checksums have', async () => {
    const builder = new FileSumsBuilder(BLOCK);
    builder.update(CONTENT);
    await put(container, sumsFileName(LOG), encodeFileSums(builder.build()));
    const stored = await get(inner, LOG);
    await put(inner, LOG, stored.subarray(0, 2 * STORED));
    const sums = parseFileSums(await get(container, sumsFileName(LOG)), sumsFileName(LOG));
    expect((await listed(container, LOG))[0]?.size).toBe(2 * BLOCK);
    expect(sums.size).toBe(CONTENT.length);
  });
});
