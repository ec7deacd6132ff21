// A manifest that cannot be decrypted: what it says is lost, and nothing else.

import { describe, expect, it } from 'vitest';
import { openEncryptedContainer } from '../../src/container/encrypted-container.js';
import { NORMAL_KEYS } from '../../src/core/key-range.js';
import { describeBackup } from '../../src/restore/describe.js';
import { expireBackup } from '../../src/restore/expire.js';
import { restore } from '../../src/restore/restore.js';
import { MemoryContainer } from '../../src/container/memory-container.js';
import { MemoryRestoreTarget } from '../../src/testing/memory-restore-target.js';
import { newContainer, put, putLog, putMarker } from './container-builder.js';
import { putSnapshotOf } from './snapshot-model.js';
import { contentOf } from '../care/crashing-container.js';

/** Snapshots at 10, 20 and 30, encrypted; a bit of the manifest of `damaged` is flipped. */
async function backup(damaged: bigint) {
  const plain = await newContainer();
  await putMarker(plain, { logOnly: false });
  const names = new Map<bigint, string>();
  for (const version of [10n, 20n, 30n]) {
    const rows = [[Buffer.from('a'), Buffer.from([Number(version)])] as const];
    names.set(version, (await putSnapshotOf(plain, [{ range: NORMAL_KEYS, version, rows }])).name);
  }
  await putLog(plain, { begin: 1n, end: 100n, tag: 0, totalTags: 1 });
  const inner = new MemoryContainer();
  const container = await openEncryptedContainer(inner, { key: new Uint8Array(32) });
  await container.create();
  for (const [name, bytes] of await contentOf(plain)) {
    const file = await container.writeFile(name);
    if (bytes.length > 0) await file.append([bytes]);
    await file.finish();
  }
  const name = names.get(damaged)!;
  const bytes = (await contentOf(inner)).get(name)!;
  bytes[3]! ^= 1;
  await put(inner, name, bytes);
  return { container, name };
}

describe('a manifest that cannot be decrypted', () => {
  it('makes its own snapshot unusable, with the reason, and no other', async () => {
    for (const damaged of [10n, 30n]) {
      const { container, name } = await backup(damaged);
      const { snapshots, problems, windows } = await describeBackup(container);
      const first = damaged === 10n ? 20n : 10n;
      expect(windows).toMatchObject([{ min: first, max: 99n }]);
      expect(problems).toMatchObject([{ kind: 'snapshot', file: name }]);
      for (const { name: other, restorable, reason } of snapshots) {
        expect(restorable).toBe(other !== name);
        if (other === name) expect(reason).toMatch(/is damaged/);
      }
      const target = new MemoryRestoreTarget();
      expect((await restore({ container, target, version: 50n })).snapshot).not.toBe(name);
      expect(target.size).toBe(1);
    }
  });

  it('is no snapshot that an expiry could leave as the only one', async () => {
    const { container } = await backup(30n);
    await expect(expireBackup(container, { before: 25n })).rejects.toMatchObject({ code: 'EXPIRE_REFUSED' });
    expect((await expireBackup(container, { before: 15n })).deleted.snapshots).toBe(1);
  });
});
