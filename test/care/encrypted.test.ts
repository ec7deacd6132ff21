// Care of a container that a real database has encrypted, through the wrapper that holds the key.

import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { openEncryptedContainer } from '../../src/container/encrypted-container.js';
import type { MemoryContainer } from '../../src/container/memory-container.js';
import { compactLogs } from '../../src/restore/compact.js';
import { deleteContainer } from '../../src/restore/delete-container.js';
import { expireBackup } from '../../src/restore/expire.js';
import { recordChecksums } from '../../src/restore/record-checksums.js';
import { verifyBackup } from '../../src/restore/verify.js';
import { filesBelow, goldenContainer, goldenFolder } from '../format/golden.js';
import { newContainer, put } from '../restore/container-builder.js';
import { contentOf } from './crashing-container.js';

async function encrypted(): Promise<{ inner: MemoryContainer; open: () => ReturnType<typeof openEncryptedContainer> }> {
  const root = goldenContainer('plogenc')!;
  const inner = await newContainer();
  for (const file of filesBelow(root)) await put(inner, file, readFileSync(path.join(root, file)));
  const key = new Uint8Array(readFileSync(path.join(goldenFolder('plogenc')!, 'enc.key')));
  return { inner, open: () => openEncryptedContainer(inner, { key }) };
}

describe.skipIf(goldenFolder('plogenc') === undefined)(
  'an encrypted backup (skipped where ../shared/golden is absent)',
  () => {
    it('is verified, compacted, expired and deleted as any other', async () => {
      const { inner, open } = await encrypted();
      const container = await open();
      expect((await recordChecksums(container)).problems).toEqual([]);
      const sound = { ok: true, problems: [], unchecked: [], leftovers: [] };
      expect(await verifyBackup(container, { deep: true })).toMatchObject(sound);
      const { merged } = await compactLogs(container, { graceMs: 0, keepNewest: 0, minFiles: 2 });
      expect(merged.length).toBeGreaterThan(0);
      expect(await verifyBackup(await open(), { deep: true })).toMatchObject(sound);
      const snapshots = [...(await contentOf(inner)).keys()].filter((name) => name.startsWith('snapshots/'));
      const newest = snapshots.map((name) => BigInt(name.split(',')[1]!)).reduce((a, b) => (a > b ? a : b));
      expect((await expireBackup(container, { before: newest })).deleted.snapshots).toBeGreaterThanOrEqual(0);
      expect(await verifyBackup(await open(), { deep: true })).toMatchObject(sound);
      await deleteContainer(container);
      expect((await contentOf(inner)).size).toBe(0);
    });

    it('names the file and the place of a bit that was flipped', async () => {
      const { inner, open } = await encrypted();
      await recordChecksums(await open());
      const content = await contentOf(inner);
      const names = [...content.keys()].filter(
        (name) => /^(plogs|kvranges|snapshots)\//.test(name) && content.get(name)!.length > 0,
      );
      for (const name of names) {
        const bytes = content.get(name)!.slice();
        bytes[bytes.length >> 1]! ^= 8;
        await put(inner, name, bytes);
        const report = await verifyBackup(await open(), { deep: true });
        expect(report.ok).toBe(false);
        expect(report.problems.filter(({ file }) => file === name)).toContainEqual(
          expect.objectContaining({
            kind: name.startsWith('snapshots/') ? 'manifest' : 'corrupt',
            code: 'DECRYPTION_FAILED',
          }),
        );
        await put(inner, name, content.get(name)!);
      }
    }, 60_000);
  },
);
