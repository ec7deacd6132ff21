// An encrypted backup that a real FoundationDB wrote: decrypted, and encrypted again to the same bytes.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { DirectoryContainer } from '../../src/container/directory-container.js';
import { isEncrypted, openContainer, openEncryptedContainer } from '../../src/container/encrypted-container.js';
import { isEncryptedName } from '../../src/container/encrypted-names.js';
import { MemoryContainer } from '../../src/container/memory-container.js';
import { goldenContainer, goldenFolder } from '../format/golden.js';
import { OTHER_KEY, get, listed, put } from './encrypted-tools.js';

const folder = goldenFolder('plogenc');

describe.skipIf(folder === undefined)('the encrypted golden container', () => {
  const inner = () => new DirectoryContainer(goldenContainer('plogenc') ?? '');
  const keyFile = join(folder ?? '', 'enc.key');

  it('decrypts, every file of it', async () => {
    const container = await openContainer(inner(), { keyFile });
    const kinds = new Map<string, number>();
    for (const { name, size } of await listed(container)) {
      if (!isEncryptedName(name)) continue;
      const plaintext = Buffer.from(await get(container, name));
      expect(plaintext.length, name).toBe(size);
      const kind = name.slice(0, name.indexOf('/'));
      kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
      if (kind === 'snapshots') expect(JSON.parse(plaintext.toString())).toHaveProperty('files');
      else if (size > 0) expect(plaintext.readUInt32LE(0), name).toBe(kind === 'plogs' ? 4110 : 1001);
    }
    expect([...kinds.keys()].sort()).toEqual(['kvranges', 'plogs', 'snapshots']);
    expect(kinds.get('plogs')).toBeGreaterThan(20);
  });

  it('is encrypted again to the same bytes', async () => {
    const golden = inner();
    const container = await openEncryptedContainer(golden, { keyFile });
    const copy = new MemoryContainer();
    const encrypted = await openEncryptedContainer(copy, { keyFile, blockSize: 4096 });
    let compared = 0;
    for (const { name } of await listed(container)) {
      if (!isEncryptedName(name)) continue;
      await put(encrypted, name, await get(container, name));
      expect(Buffer.from(await get(copy, name)).equals(await get(golden, name)), name).toBe(true);
      compared++;
    }
    expect(compared).toBeGreaterThan(25);
    const metadata = 'properties/encryption_metadata';
    expect(await get(copy, metadata)).toEqual(await get(golden, metadata));
  });

  it('has no key check, and still tells a wrong key and a missing one', async () => {
    expect(await isEncrypted(inner())).toBe(true);
    await expect(openContainer(inner())).rejects.toMatchObject({ code: 'ENCRYPTION_KEY_MISSING' });
    await expect(openContainer(inner(), { key: OTHER_KEY })).rejects.toMatchObject({ code: 'ENCRYPTION_KEY_WRONG' });
    const almost = readFileSync(keyFile);
    almost.writeUInt8(almost.readUInt8(31) ^ 0x80, 31);
    await expect(openContainer(inner(), { key: almost })).rejects.toMatchObject({ code: 'ENCRYPTION_KEY_WRONG' });
  });
});
