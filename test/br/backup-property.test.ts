// Random histories, regions, faults, cancels and ends of the process: whatever happens, a `backupmeta` is of exactly what the database held, and nothing else ever is one.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readBackupMeta } from '../../src/br/meta/backup-meta.js';
import { takeBrBackup } from '../../src/br/backup/take-br-backup.js';
import { MemoryContainer } from '../../src/container/memory-container.js';
import { keyAfter, utf8 } from '../../src/core/bytes.js';
import { BackupError } from '../../src/core/errors.js';
import type { KeyRange } from '../../src/core/key-range.js';
import { NORMAL_KEYS, coalesceRanges } from '../../src/core/key-range.js';
import type { TxnRangeSource } from '../../src/ports/txn-range-source.js';
import { seededRandom } from '../../src/testing/conformance.js';
import { MemoryRangeSource } from '../../src/testing/memory-range-source.js';
import { MemoryTxnSource } from '../../src/testing/memory-txn-source.js';
import { Crash, HastyClock, MortalProcess } from '../snapshot/faulty.js';
import { fileNames, hexRows, manyRows } from '../snapshot/world.js';
import { shown } from './backup-world.js';
import { rawRowsOf, txnRowsOf } from './read-br-backup.js';

interface Plan {
  readonly seed: number;
  readonly commits: number;
  readonly borders: number;
  readonly batchRows: number;
  readonly unrest: number;
  readonly faultRate: number;
  /** At which calls lives end, by a crash or by a cancel. */
  readonly ends: readonly number[];
  readonly isCancelled: boolean;
  readonly isIncremental: boolean;
  readonly isEncrypted: boolean;
  readonly ranges: readonly (readonly [number, number])[];
  readonly knobs: {
    readonly numThreads: number;
    readonly batchSize: number;
    readonly ioThreadSize: number;
    readonly sstMaxSize: number;
    readonly metaVersion: 0 | 1;
  };
}

const plans = fc.record<Plan>({
  seed: fc.nat(),
  commits: fc.nat({ max: 60 }),
  borders: fc.nat({ max: 12 }),
  batchRows: fc.integer({ min: 1, max: 20 }),
  unrest: fc.constantFrom(0, 0.02, 0.1, 0.3),
  faultRate: fc.constantFrom(0, 0.01, 0.04),
  ends: fc.array(fc.integer({ min: 1, max: 120 }), { maxLength: 5 }),
  isCancelled: fc.boolean(),
  isIncremental: fc.boolean(),
  isEncrypted: fc.boolean(),
  ranges: fc.array(fc.tuple(fc.nat({ max: 99 }), fc.integer({ min: 1, max: 40 })), { maxLength: 3 }),
  knobs: fc.record({
    numThreads: fc.integer({ min: 1, max: 4 }),
    batchSize: fc.integer({ min: 1, max: 5 }),
    ioThreadSize: fc.integer({ min: 1, max: 3 }),
    sstMaxSize: fc.constantFrom(1, 500, 4000, 1 << 20),
    metaVersion: fc.constantFrom(0, 1),
  }),
});

const cipher = { method: 'aes128-ctr', key: new Uint8Array(16).fill(3) } as const;
const keyOf = (n: number) => utf8(`k${String(n).padStart(2, '0')}`);

/** A database that does not keep still while it is read. */
class Database {
  readonly source: MemoryTxnSource;
  readonly #random: () => number;

  constructor(plan: Plan, random: () => number) {
    this.#random = random;
    this.source = new MemoryTxnSource({
      borders: Array.from({ length: plan.borders }, () => keyOf(this.#nat(100))),
      batchRows: plan.batchRows,
      beforeBatch: () => {
        if (random() < plan.unrest) this.#stir();
      },
    });
    for (let i = 0; i <= plan.commits; i++) this.write();
  }

  write(): void {
    const changes = Array.from({ length: 1 + this.#nat(4) }, () => {
      const length = this.#random() < 0.2 ? this.#nat(900) : this.#nat(40);
      return { key: keyOf(this.#nat(100)), value: this.#random() < 0.2 ? undefined : utf8('x'.repeat(length)) };
    });
    this.source.commit(changes);
  }

  #stir(): void {
    const { borders } = this.source;
    const border = borders[this.#nat(borders.length)];
    const what = this.#nat(4);
    if (what === 0) this.source.split(keyOf(this.#nat(100)));
    else if (what === 1 && border !== undefined) this.source.merge(border);
    else if (what === 2) this.source.move(keyOf(this.#nat(100)));
    else this.write();
  }

  #nat(below: number): number {
    return Math.floor(this.#random() * below);
  }
}

/** The source as a process sees it. */
function mortal(process: MortalProcess, inner: TxnRangeSource): TxnRangeSource {
  async function* stream<T>(items: AsyncIterable<T>): AsyncIterable<T> {
    for await (const item of items) yield await process.call(async () => item);
  }
  return {
    readVersion: async (request) => {
      await process.call(async () => undefined);
      return inner.readVersion(request);
    },
    releaseVersion: async (version) => {
      if (!process.isDead) await inner.releaseVersion?.(version);
    },
    regions: (request) => stream(inner.regions(request)),
    scan: (request) => stream(inner.scan(request)),
  };
}

interface Outcome {
  readonly lives: number;
  readonly resumedFiles: number;
}

async function run(plan: Plan): Promise<Outcome> {
  const random = seededRandom(plan.seed);
  const uid = () => Array.from({ length: 32 }, () => Math.floor(random() * 16).toString(16)).join('');
  const database = new Database(plan, random);
  const { source } = database;
  const startTs = plan.isIncremental ? source.committed >> 1n : 0n;
  const container = new MemoryContainer();
  const clock = new HastyClock();
  const ranges = plan.ranges.map(([from, width]) => ({
    begin: keyOf(from),
    end: keyAfter(keyOf(Math.min(99, from + width))),
  }));
  const check = () => checkBackup(container, source, plan, startTs, ranges);
  for (let life = 0; ; life++) {
    const end = plan.ends[life] ?? Infinity;
    const dieAt = plan.isCancelled ? Infinity : end;
    const process = new MortalProcess({ random, faultRate: plan.faultRate, dieAt });
    const cancel = new AbortController();
    let calls = 0;
    const seen = cancelling(process.container(container), () => {
      if (plan.isCancelled && ++calls === end) cancel.abort(new Crash('cancelled'));
    });
    const heldBefore = source.heldVersions.length;
    const isTidy = () => {
      expect([...process.openFiles]).toEqual([]);
      expect(source.heldVersions.length).toBe(heldBefore);
    };
    try {
      const { resumedFiles } = await takeBrBackup({
        ...plan.knobs,
        kind: 'txn',
        source: mortal(process, source),
        container: seen,
        ranges,
        startTs,
        cipher: plan.isEncrypted ? cipher : undefined,
        compression: 'none',
        resume: true,
        clock,
        random: { next: random, uid },
        maxAttempts: 30,
        signal: plan.isCancelled ? cancel.signal : process.signal,
      });
      isTidy();
      await check();
      const others = (await fileNames(container)).filter((name) => !/\.sst$|^backupmeta/.test(name));
      expect(others).toEqual([]);
      return { lives: life + 1, resumedFiles };
    } catch (error) {
      if (BackupError.is(error, 'FILE_EXISTS')) {
        // It was whole already: the end had come after `backupmeta`.
        expect(life).toBeGreaterThan(0);
        await check();
        return { lives: life + 1, resumedFiles: 0 };
      }
      if (!(error instanceof Crash)) throw error;
      if (plan.isCancelled) isTidy();
      expect(clock.pendingTimers).toBe(0);
      if ((await fileNames(container, 'backupmeta')).includes('backupmeta')) await check();
      if (random() < 0.5) database.write();
    }
  }
}

/** Counts the calls that write or read. */
function cancelling(inner: ReturnType<MortalProcess['container']>, onCall: () => void): typeof inner {
  const counted = <T>(call: () => T): T => {
    onCall();
    return call();
  };
  return {
    ...inner,
    writeFile: async (name, options) => {
      const file = await counted(() => inner.writeFile(name, options));
      return {
        name,
        append: (chunks) => counted(() => file.append(chunks)),
        finish: () => counted(() => file.finish()),
        abort: () => file.abort(),
      };
    },
    readFile: (name, offset, length) => counted(() => inner.readFile(name, offset, length)),
    deleteFile: (name) => counted(() => inner.deleteFile(name)),
  };
}

async function checkBackup(
  container: MemoryContainer,
  source: MemoryTxnSource,
  plan: Plan,
  startTs: bigint,
  ranges: readonly KeyRange[],
): Promise<void> {
  const key = plan.isEncrypted ? cipher : undefined;
  const { meta } = await readBackupMeta(container, { cipher: key });
  expect(meta.startVersion).toBe(startTs);
  const wanted = coalesceRanges(ranges.length === 0 ? [NORMAL_KEYS] : ranges);
  const model = wanted.flatMap((range) => source.rowsAt(meta.endVersion, startTs, range));
  expect(shown(await txnRowsOf(container, key))).toEqual(shown(model));
}

describe('a BR backup', () => {
  it('is exact, whatever the database, the source, the container and the process do', async () => {
    let [lives, resumed] = [0, 0];
    await fc.assert(
      fc.asyncProperty(plans, async (plan) => {
        const outcome = await run(plan);
        lives += outcome.lives;
        if (outcome.resumedFiles > 0) resumed++;
      }),
      { numRuns: 120 },
    );
    // The cases that matter did come up.
    expect(lives).toBeGreaterThan(180);
    expect(resumed).toBeGreaterThan(10);
  }, 120_000);

  it('of raw rows is exact wherever its process ends, and whatever its region becomes', async () => {
    for (let dieAt = 1; dieAt < 70; dieAt++) {
      const source: MemoryRangeSource = new MemoryRangeSource({
        batchRows: 10,
        beforeBatch: (_, index) => {
          if (index === 2) source.split(utf8('k000025'));
        },
      });
      const version = source.commit(manyRows(60, 30));
      const container = new MemoryContainer();
      const clock = new HastyClock();
      for (let life = 0; ; life++) {
        const ends = life === 0 ? dieAt : Infinity;
        const process = new MortalProcess({ random: seededRandom(dieAt), faultRate: 0.02, dieAt: ends });
        try {
          await takeBrBackup({
            ...{ kind: 'raw', source: process.source(source), container: process.container(container), clock },
            ...{ ranges: [], endTs: version, compression: 'none', sstMaxSize: 700, resume: true, maxAttempts: 30 },
            signal: process.signal,
          });
          break;
        } catch (error) {
          if (BackupError.is(error, 'FILE_EXISTS') && life > 0) break;
          if (!(error instanceof Crash)) throw error;
        }
      }
      expect(hexRows(await rawRowsOf(container))).toEqual(hexRows(source.rowsAt(version)));
    }
  });
});
