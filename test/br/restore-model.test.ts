// Random histories of transactional keys, backed up in full and then incrementally: what is restored is what the model says, at the end of each backup, wherever it is interrupted.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compareBytes, toHex } from '../../src/core/bytes.js';
import type { RestoreCheckpoint } from '../../src/ports/restore-target.js';
import type { BrChainLink, RestoreBrOptions } from '../../src/br/restore/options.js';
import { restoreBrBackup } from '../../src/br/restore/restore-br.js';
import { MemoryRestoreTarget } from '../../src/testing/memory-restore-target.js';
import type { TxnRow } from './restore-backups.js';
import { newContainer, putTxnBackup } from './restore-backups.js';

interface Change {
  readonly key: Uint8Array;
  readonly value: Uint8Array | undefined;
}

/** Change i is committed at 10 * (i + 1). */
interface History {
  readonly changes: readonly Change[];
  /** How many changes are in each backup, and at which keys its files are cut. */
  readonly backups: readonly {
    readonly changes: number;
    readonly splits: readonly Uint8Array[];
    readonly indexed: boolean;
  }[];
}

const keys = fc.uint8Array({ minLength: 1, maxLength: 10 }).map((key) => key.map((byte) => byte % 3));
const values = fc.oneof(
  { weight: 5, arbitrary: fc.uint8Array({ maxLength: 20 }) },
  { weight: 2, arbitrary: fc.integer({ min: 254, max: 400 }).map((length) => new Uint8Array(length).fill(length)) },
  { weight: 3, arbitrary: fc.constant(undefined) },
);
const histories: fc.Arbitrary<History> = fc.record({
  changes: fc.array(fc.record({ key: keys, value: values }), { maxLength: 60 }),
  backups: fc.array(
    fc.record({ changes: fc.nat(25), splits: fc.array(keys, { maxLength: 3 }), indexed: fc.boolean() }),
    { minLength: 1, maxLength: 4 },
  ),
});

interface Built {
  readonly chain: readonly BrChainLink[];
  /** The end of each backup, and what the database held then. */
  readonly states: readonly { readonly version: bigint; readonly rows: ReadonlyMap<string, string> }[];
}

async function build({ changes, backups }: History): Promise<Built> {
  const chain: BrChainLink[] = [];
  const states: { version: bigint; rows: ReadonlyMap<string, string> }[] = [];
  let taken = 0;
  let startTs = 0n;
  for (const { changes: count, splits, indexed } of backups) {
    const from = startTs === 0n ? 0 : taken;
    taken = Math.min(changes.length, taken + count);
    const endTs = BigInt(taken * 10 + 5 + chain.length);
    const container = await newContainer();
    const sorted = [...new Map(splits.map((split) => [toHex(split), split])).values()].sort(compareBytes);
    const rows = newestOf(changes, from, taken, startTs === 0n);
    await putTxnBackup({ container, startTs, endTs, rows, splits: sorted, indexed });
    chain.push({ container });
    states.push({ version: endTs, rows: stateAfter(changes.slice(0, taken)) });
    startTs = endTs;
  }
  return { chain, states };
}

function newestOf(changes: readonly Change[], from: number, to: number, isFull: boolean): TxnRow[] {
  const newest = new Map<string, TxnRow>();
  for (const [i, { key, value }] of changes.slice(from, to).entries()) {
    const commitTs = BigInt((from + i + 1) * 10);
    newest.set(toHex(key), { key, value, commitTs, startTs: commitTs - 3n });
  }
  return [...newest.values()].filter(({ value }) => !isFull || value !== undefined);
}

function stateAfter(changes: readonly Change[]): Map<string, string> {
  const rows = new Map<string, string>();
  for (const { key, value } of changes) {
    if (value === undefined) rows.delete(toHex(key));
    else rows.set(toHex(key), toHex(value));
  }
  return rows;
}

function held(target: MemoryRestoreTarget): Map<string, string> {
  return new Map([...target.rows()].map(({ key, value }) => [toHex(key), toHex(value)]));
}

describe('a chain of backups', () => {
  it('restores, at the end of each backup, what the database held then', async () => {
    await fc.assert(
      fc.asyncProperty(histories, async (history) => {
        const { chain, states } = await build(history);
        for (const { version, rows } of states) {
          const target = new MemoryRestoreTarget();
          const result = await restoreBrBackup({ chain, target, version });
          expect(held(target)).toEqual(rows);
          expect(result.rows).toBe(rows.size);
        }
      }),
      { numRuns: 60 },
    );
  });

  it('restores the wanted key ranges alone', async () => {
    await fc.assert(
      fc.asyncProperty(histories, keys, keys, async (history, a, b) => {
        const [begin, end] = compareBytes(a, b) <= 0 ? [a, b] : [b, a];
        if (compareBytes(begin, end) === 0) return;
        const { chain, states } = await build(history);
        const target = new MemoryRestoreTarget();
        await restoreBrBackup({ chain, target, ranges: [{ begin, end }] });
        const expected = [...(states.at(-1)?.rows ?? [])].filter(([key]) => toHex(begin) <= key && key < toHex(end));
        expect(held(target)).toEqual(new Map(expected));
      }),
      { numRuns: 40 },
    );
  });

  it('goes on exactly where it was, after a crash at any apply, before it or after it', async () => {
    await fc.assert(
      fc.asyncProperty(
        histories,
        fc.integer({ min: 1, max: 300 }),
        fc.boolean(),
        async (history, applyBytes, limited) => {
          const { chain, states } = await build(history);
          const crashes = new CrashingTarget(limited ? { operations: 3, bytes: 1000 } : undefined);
          const options = { chain, target: crashes.target, applyBytes };
          const runs = await restoreThroughCrashes(options, crashes);
          expect(held(crashes.target)).toEqual(states.at(-1)?.rows);
          expect(runs).toBeGreaterThan(crashes.applies);
          expect((await crashes.target.checkpoint())?.phase).toBe('done');
        },
      ),
      { numRuns: 30 },
    );
  });
});

/** Crashes before each apply that it is given for the first time, and after each that comes then. */
class CrashingTarget {
  readonly target: MemoryRestoreTarget;
  applies = 0;
  #crashed = new Set<string>();

  constructor(limits: { operations: number; bytes: number } | undefined) {
    this.target = new MemoryRestoreTarget({
      limits,
      beforeApply: (_operations, checkpoint) => this.#crash('before', checkpoint),
      afterApply: (checkpoint) => {
        this.applies++;
        this.#crash('after', checkpoint);
      },
    });
  }

  #crash(when: string, { phase, cursor }: RestoreCheckpoint): void {
    const place = `${when} ${phase} ${cursor ?? ''}`;
    if (this.#crashed.has(place)) return;
    this.#crashed.add(place);
    throw new Crash();
  }
}

class Crash extends Error {}

async function restoreThroughCrashes(options: RestoreBrOptions, { target }: CrashingTarget): Promise<number> {
  for (let runs = 1; runs < 1000; runs++) {
    const before = await target.checkpoint();
    try {
      const result = await restoreBrBackup(options);
      expect(result.resumed).toBe(before !== undefined);
      return runs;
    } catch (error) {
      if (!(error instanceof Crash)) throw error;
    }
  }
  throw new Error('the restore does not come to an end');
}
