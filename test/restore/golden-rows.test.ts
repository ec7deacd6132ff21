// Whole restores of backups that a real FoundationDB wrote: what comes out is what the database itself returned at that version.

import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { DirectoryContainer } from '../../src/container/directory-container.js';
import { restore } from '../../src/restore/restore.js';
import { MemoryRestoreTarget } from '../../src/testing/memory-restore-target.js';
import { GOLDEN_NAMES, digestRows, goldenContainer, goldenFolder, goldenRows } from '../format/golden.js';

interface Expected {
  readonly A: number;
  readonly B: number;
}

function rowsText(target: MemoryRestoreTarget): string {
  let text = '';
  for (const { key, value } of target.rows())
    text += `${Buffer.from(key).toString('hex')} ${Buffer.from(value).toString('hex')}\n`;
  return text;
}

describe.each(GOLDEN_NAMES.filter((name) => name !== 'plogenc'))('golden container %s', (name) => {
  const folder = goldenFolder(name);

  it.skipIf(folder === undefined).each(['A', 'B'] as const)(
    'restores to the database’s own rows at version %s (skipped where ../shared/golden is absent)',
    async (which) => {
      const expected = JSON.parse(readFileSync(path.join(folder!, 'expected.json'), 'utf8')) as Expected;
      const target = new MemoryRestoreTarget();
      const container = new DirectoryContainer(goldenContainer(name)!);
      const version = BigInt(expected[which]);
      const result = await restore({ container, target, version, applyBytes: 10_000 });
      expect(result.snapshot).toBeDefined();
      expect(result.rows).toBeGreaterThan(100);
      expect(digestRows(rowsText(target))).toEqual(goldenRows(name, which));
    },
  );
});
