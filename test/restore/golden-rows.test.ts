// Whole restores of backups that a real FoundationDB wrote: what comes out is what the database itself returned at that version.

import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { DirectoryContainer } from '../../src/container/directory-container.js';
import { openEncryptedContainer } from '../../src/container/encrypted-container.js';
import type { BackupContainer } from '../../src/ports/backup-container.js';
import { describeBackup } from '../../src/restore/describe.js';
import { restore } from '../../src/restore/restore.js';
import { MemoryRestoreTarget } from '../../src/testing/memory-restore-target.js';
import type { GoldenName } from '../format/golden.js';
import { GOLDEN_NAMES, digestRows, goldenContainer, goldenFolder, goldenRows } from '../format/golden.js';

interface Expected {
  readonly A: number;
  readonly B: number;
}

async function openGolden(name: GoldenName): Promise<BackupContainer> {
  const container = new DirectoryContainer(goldenContainer(name)!);
  if (name !== 'plogenc') return container;
  return openEncryptedContainer(container, { keyFile: path.join(goldenFolder(name)!, 'enc.key') });
}

function rowsText(target: MemoryRestoreTarget): string {
  let text = '';
  for (const { key, value } of target.rows())
    text += `${Buffer.from(key).toString('hex')} ${Buffer.from(value).toString('hex')}\n`;
  return text;
}

describe.each(GOLDEN_NAMES)('golden container %s', (name) => {
  const folder = goldenFolder(name);

  it.skipIf(folder === undefined).each(['A', 'B'] as const)(
    'restores to the database’s own rows at version %s (skipped where ../shared/golden is absent)',
    async (which) => {
      const expected = JSON.parse(readFileSync(path.join(folder!, 'expected.json'), 'utf8')) as Expected;
      const target = new MemoryRestoreTarget();
      const container = await openGolden(name);
      const version = BigInt(expected[which]);
      const result = await restore({ container, target, version, applyBytes: 10_000 });
      expect(result.snapshot).toBeDefined();
      expect(result.rows).toBeGreaterThan(100);
      expect(digestRows(rowsText(target))).toEqual(goldenRows(name, which));
    },
  );

  it.skipIf(folder === undefined)(
    'restores in shards, in small steps, with other keys, and is sound when looked at whole (skipped where ../shared/golden is absent)',
    async () => {
      const expected = JSON.parse(readFileSync(path.join(folder!, 'expected.json'), 'utf8')) as Expected;
      const container = await openGolden(name);
      const description = await describeBackup(container, { deep: true });
      expect(description).toMatchObject({ deep: true, problems: [], encrypted: false, unsupported: undefined });
      const target = new MemoryRestoreTarget();
      const version = BigInt(expected.B);
      const prefix = Buffer.from('copy/');
      await restore({ container, target, version, addPrefix: prefix, shards: 8, applyBytes: 3000, readBytes: 20_000 });
      const rows = rowsText(target).replaceAll(new RegExp(`^${prefix.toString('hex')}`, 'gm'), '');
      expect(digestRows(rows)).toEqual(goldenRows(name, 'B'));
    },
  );
});
