// Everything together: whatever care does to a backup, the library's own restore gives the database's rows.

import { describe, expect, it } from 'vitest';
import type { MemoryContainer } from '../../src/container/memory-container.js';
import { toHex } from '../../src/core/bytes.js';
import { BackupError } from '../../src/core/errors.js';
import { compactLogs } from '../../src/restore/compact.js';
import { describeBackup } from '../../src/restore/describe.js';
import { expireBackup } from '../../src/restore/expire.js';
import { recordChecksums } from '../../src/restore/record-checksums.js';
import { restore } from '../../src/restore/restore.js';
import { verifyBackup } from '../../src/restore/verify.js';
import { MemoryRestoreTarget } from '../../src/testing/memory-restore-target.js';
import type { ModelRecord } from '../restore/log-model.js';
import { SeededRandom, rowsAt } from '../restore/log-model.js';
import { LAST, sampleBackup } from './sample-backups.js';

async function checkRestores(
  container: MemoryContainer,
  records: readonly ModelRecord[],
  random: SeededRandom,
): Promise<number> {
  let restored = 0;
  for (const { min, max } of (await describeBackup(container)).windows) {
    for (const version of new Set([min, max, min + BigInt(random.below(Number(max - min) + 1))])) {
      const target = new MemoryRestoreTarget();
      await restore({ container, target, version });
      const rows = new Map([...target.rows()].map(({ key, value }) => [toHex(key), toHex(value)]));
      expect(rows).toEqual(rowsAt(records, version));
      restored++;
    }
  }
  return restored;
}

describe('restore', () => {
  it('gives the same rows after checksums were recorded, logs compacted and old data expired, in any order', async () => {
    let restored = 0;
    for (let seed = 1; seed <= 30; seed++) {
      const random = new SeededRandom(seed);
      const { container, records } = await sampleBackup(random);
      const steps = [
        () => recordChecksums(container),
        () =>
          compactLogs(container, {
            graceMs: 0,
            keepNewest: random.below(3),
            minFiles: 2,
            targetBytes: 500 + random.below(3000),
          }),
        () => expireBackup(container, { before: BigInt(random.below(LAST)) }),
      ];
      for (let i = 0; i < 4; i++) {
        await random
          .pick(steps)()
          .catch((error: unknown) => expect(BackupError.is(error, 'EXPIRE_REFUSED')).toBe(true));
        restored += await checkRestores(container, records, random);
        const { problems } = await verifyBackup(container, { deep: true });
        expect(problems.filter(({ harmless }) => !harmless)).toEqual([]);
      }
    }
    expect(restored).toBeGreaterThan(100);
  }, 60_000);
});
