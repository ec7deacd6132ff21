// An encrypted container over one that does not answer: what it throws comes through, and is never taken for a wrong key, an empty container or a file that is not there.

import { describe, expect, it } from 'vitest';
import { MemoryContainer } from '../../src/container/memory-container.js';
import { openContainer, openEncryptedContainer } from '../../src/container/encrypted-container.js';
import type { BackupContainer } from '../../src/ports/backup-container.js';
import { Crash, CrashingContainer, contentOf } from '../care/crashing-container.js';
import { KEY, LOG, OTHER_KEY, get, listed, pattern, put } from './encrypted-tools.js';

/** Two empty files first, which prove nothing about a key. */
async function filled(): Promise<MemoryContainer> {
  const inner = new MemoryContainer();
  const container = await openEncryptedContainer(inner, { key: KEY });
  await container.create();
  await put(container, LOG.replace('log,10,20', 'log,05,06'), new Uint8Array(0));
  await put(container, LOG, pattern(5_000));
  return inner;
}

const calls: Record<string, (container: BackupContainer) => Promise<unknown>> = {
  'opening it': (container) => openEncryptedContainer(container, { key: KEY }),
  'opening what may be encrypted': (container) => openContainer(container, { key: KEY }),
  'opening it without the key check': async (container) => {
    await container.deleteFile('properties/tidemark_key_check');
    return openEncryptedContainer(container, { key: KEY });
  },
  'making it': async (container) => {
    for (const name of [LOG, LOG.replace('log,10,20', 'log,05,06')]) await container.deleteFile(name);
    await container.deleteFile('properties/encryption_metadata');
    await (await openEncryptedContainer(container, { key: KEY })).create();
  },
  'reading, listing and writing': async (container) => {
    const opened = await openEncryptedContainer(container, { key: KEY });
    await get(opened, LOG);
    await listed(opened);
    await put(opened, LOG.replace('log,10,20', 'log,30,40'), pattern(10));
  },
};

describe('a call that fails for good', () => {
  it.each(Object.entries(calls))('ends %s with its own error, whichever it is', async (_, run) => {
    for (let at = 1; ; at++) {
      const container = new CrashingContainer(await filled(), at, 'before');
      const outcome = await run(container).then(
        () => 'done',
        (error: unknown) => error,
      );
      if (!container.crashed) {
        expect(outcome).toBe('done');
        return;
      }
      expect(outcome, `call ${at}`).toBeInstanceOf(Crash);
    }
  });
});

describe('odd containers', () => {
  it('with blocks that are larger than any are refused', async () => {
    const inner = await filled();
    const text = '{"is_encryption_enabled":true,"encryption_block_size":4294967295}';
    await inner.deleteFile('properties/encryption_metadata');
    await put(inner, 'properties/encryption_metadata', Buffer.from(text));
    await expect(openEncryptedContainer(inner, { key: KEY })).rejects.toMatchObject({
      code: 'UNSUPPORTED_FORMAT',
      file: 'properties/encryption_metadata',
    });
  });

  it('without a key check, and with empty files alone, take any key: nothing is wrong yet', async () => {
    const inner = await filled();
    await inner.deleteFile('properties/tidemark_key_check');
    await inner.deleteFile(LOG);
    await openEncryptedContainer(inner, { key: OTHER_KEY });
    expect((await contentOf(inner)).size).toBe(2);
  });

  it('that is made twice is made once', async () => {
    const inner = new MemoryContainer();
    const container = await openEncryptedContainer(inner, { key: KEY });
    await container.create();
    const before = await contentOf(inner);
    await container.create();
    expect(await contentOf(inner)).toEqual(before);
  });

  it('says what it got instead of a key', async () => {
    // @ts-expect-error -- A caller without a compiler may pass it.
    await expect(openEncryptedContainer(new MemoryContainer(), { key: 'secret' })).rejects.toMatchObject({
      code: 'INVALID_OPTION',
      message: expect.stringContaining('a string') as string,
    });
  });

  it('reads nothing beyond where any file can reach', async () => {
    const container = await openEncryptedContainer(await filled(), { key: KEY });
    expect(await container.readFile(LOG, Number.MAX_SAFE_INTEGER - 5, 5)).toHaveLength(0);
    const missing = LOG.replace('log,10,20', 'log,70,80');
    await expect(container.readFile(missing, Number.MAX_SAFE_INTEGER - 5, 5)).rejects.toMatchObject({
      code: 'FILE_NOT_FOUND',
    });
  });
});
