// Backups that takeBrBackup has taken, restored: what is restored is what the source held.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { restoreBrBackup } from '../../src/br/restore/restore-br.js';
import type { BrChainLink } from '../../src/br/restore/options.js';
import { verifyBrBackup } from '../../src/br/restore/verify.js';
import { takeBrBackup } from '../../src/br/backup/take-br-backup.js';
import { compareBytes, toHex } from '../../src/core/bytes.js';
import { MutationType } from '../../src/core/mutation.js';
import type { BrCipher } from '../../src/format/br/messages.js';
import { MemoryRangeSource } from '../../src/testing/memory-range-source.js';
import { MemoryRestoreTarget } from '../../src/testing/memory-restore-target.js';
import { MemoryTxnSource } from '../../src/testing/memory-txn-source.js';
import { bytes, newContainer } from './restore-backups.js';

const keys = fc.uint8Array({ minLength: 1, maxLength: 10 }).map((key) => key.map((byte) => byte % 4));
const values = fc.oneof(
  fc.uint8Array({ maxLength: 20 }),
  fc.integer({ min: 250, max: 2000 }).map((length) => new Uint8Array(length).fill(length)),
  fc.constant(undefined),
);
const commits = fc.array(fc.array(fc.record({ key: keys, value: values }), { minLength: 1, maxLength: 6 }), {
  maxLength: 10,
});

const CIPHERS: (BrCipher | undefined)[] = [
  undefined,
  { method: 'aes128-ctr', key: new Uint8Array(16).fill(1) },
  { method: 'aes256-ctr', key: new Uint8Array(32).fill(2) },
];

function held(target: MemoryRestoreTarget): [string, string][] {
  return [...target.rows()].map(({ key, value }) => [toHex(key), toHex(value)]);
}

describe('a restore of what takeBrBackup has taken', () => {
  it('gives what the source held at the end of each backup of a chain', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.record({ commits, borders: fc.array(keys, { maxLength: 2 }), cipher: fc.constantFrom(...CIPHERS) }),
          {
            minLength: 1,
            maxLength: 3,
          },
        ),
        fc.constantFrom('none' as const, 'lz4' as const, 'zstd' as const),
        async (rounds, compression) => {
          const source = new MemoryTxnSource();
          const chain: BrChainLink[] = [];
          const ends: bigint[] = [];
          let now = 1n;
          for (const round of rounds) {
            for (const changes of round.commits) {
              const once = new Map(changes.map((change) => [toHex(change.key), change]));
              now = source.commit([...once.values()]);
            }
            for (const border of round.borders)
              if (!source.borders.some((each) => compareBytes(each, border) === 0)) source.split(border);
            now += 5n;
            source.advance(now);
            const { cipher } = round;
            const container = await newContainer();
            await takeBrBackup({
              kind: 'txn',
              source,
              container,
              ranges: [],
              startTs: ends.at(-1) ?? 0n,
              endTs: now,
              compression,
              cipher,
              sstMaxSize: 3000,
            });
            expect(await verifyBrBackup({ container, cipher })).toMatchObject({
              ok: true,
              problems: [],
              leftovers: [],
            });
            chain.push({ container, cipher });
            ends.push(now);
          }
          for (const version of ends) {
            const target = new MemoryRestoreTarget();
            const result = await restoreBrBackup({ chain, target, version });
            const rows = source.rowsAt(version);
            expect(held(target)).toEqual(rows.map(({ key, value }) => [toHex(key), toHex(value ?? bytes('?'))]));
            expect(result.rows).toBe(rows.length);
          }
        },
      ),
      { numRuns: 25 },
    );
  });

  it('gives the rows of a raw backup', async () => {
    const source = new MemoryRangeSource({ borders: [bytes('k5')] });
    const rows = Array.from({ length: 50 }, (_, i) => ({ key: bytes(`k${i}`), value: bytes('v'.repeat(i * 20)) }));
    const version = source.commit(
      rows.map(({ key, value }) => ({ mutation: { type: MutationType.SetValue, param1: key, param2: value } })),
    );
    const container = await newContainer();
    await takeBrBackup({ kind: 'raw', source, container, ranges: [], endTs: version, compression: 'snappy' });
    expect(await verifyBrBackup({ container })).toMatchObject({ ok: true, problems: [] });
    const target = new MemoryRestoreTarget();
    await restoreBrBackup({ chain: [{ container }], target });
    const expected = rows.map(({ key, value }) => [toHex(key), toHex(value)] as [string, string]);
    expect(held(target)).toEqual(expected.sort(([a], [b]) => (a < b ? -1 : 1)));
  });
});
