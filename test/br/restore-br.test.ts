// restoreBrBackup over backups that were made by hand.

import { describe, expect, it } from 'vitest';
import { restoreBrBackup } from '../../src/br/restore-br.js';
import { MemoryRestoreTarget } from '../../src/testing/memory-restore-target.js';
import { bytes, newContainer, putTxnBackup } from './restore-backups.js';

export function rowsOf(target: MemoryRestoreTarget): Record<string, string> {
  const entries = [...target.rows()].map(({ key, value }) => [text(key), text(value)] as const);
  return Object.fromEntries(entries);
}

function text(value: Uint8Array): string {
  return Buffer.from(value).toString('latin1');
}

describe('restoreBrBackup', () => {
  it('gives the newest state of each key', async () => {
    const container = await newContainer();
    const long = 'x'.repeat(300);
    await putTxnBackup({
      container,
      endTs: 100n,
      rows: [
        { key: bytes('a'), value: bytes('1'), commitTs: 10n },
        { key: bytes('b'), value: bytes(long), commitTs: 20n },
      ],
    });
    const target = new MemoryRestoreTarget();
    const result = await restoreBrBackup({ chain: [{ container }], target });
    expect(rowsOf(target)).toEqual({ a: '1', b: long });
    expect(result).toMatchObject({ version: 100n, rows: 2, links: 1, resumed: false, files: 2 });
  });
});
