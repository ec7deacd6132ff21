// Random histories, regions, faults and ends of the process: whatever happens, a manifest is of exactly what the database held.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MemoryContainer } from '../../src/container/memory-container.js';
import { keyAfter, utf8 } from '../../src/core/bytes.js';
import type { KeyRange } from '../../src/core/key-range.js';
import { NORMAL_KEYS, intersectRanges } from '../../src/core/key-range.js';
import { parseSnapshotManifest } from '../../src/format/fdb/snapshot-manifest.js';
import { SNAPSHOT_PART_PREFIX, parseSnapshotPartName } from '../../src/format/fdb/snapshot-part.js';
import { parseSnapshotSums } from '../../src/format/fdb/snapshot-sums.js';
import type { ScanRequest } from '../../src/ports/range-source.js';
import { listOrphanRangeFiles } from '../../src/snapshot/abandoned.js';
import type { SnapshotResult } from '../../src/snapshot/take-snapshot.js';
import { takeSnapshot } from '../../src/snapshot/take-snapshot.js';
import { seededRandom } from '../../src/testing/conformance.js';
import { MemoryRangeSource } from '../../src/testing/memory-range-source.js';
import { Crash, HastyClock, MortalProcess } from './faulty.js';
import { checkSnapshot, clear, fileNames, readAll, set } from './world.js';

interface Plan {
  readonly seed: number;
  readonly rows: number;
  readonly borders: number;
  readonly batchRows: number;
  readonly unrest: number;
  readonly faultRate: number;
  readonly deaths: readonly number[];
  readonly ranges: readonly (readonly [number, number])[];
  readonly knobs: {
    readonly numThreads: number;
    readonly batchSize: number;
    readonly ioThreadSize: number;
    readonly channelBytes: number;
    readonly blockSize: number;
    readonly maxFileSize: number;
  };
}

const plans = fc.record<Plan>({
  seed: fc.nat(),
  rows: fc.nat({ max: 120 }),
  borders: fc.nat({ max: 12 }),
  batchRows: fc.integer({ min: 1, max: 20 }),
  unrest: fc.constantFrom(0, 0.02, 0.1, 0.3),
  faultRate: fc.constantFrom(0, 0.01, 0.05),
  deaths: fc.array(fc.integer({ min: 1, max: 120 }), { maxLength: 6 }),
  ranges: fc.array(fc.tuple(fc.nat({ max: 99 }), fc.integer({ min: 1, max: 40 })), { maxLength: 3 }),
  knobs: fc.record({
    numThreads: fc.integer({ min: 1, max: 4 }),
    batchSize: fc.integer({ min: 1, max: 5 }),
    ioThreadSize: fc.integer({ min: 1, max: 3 }),
    channelBytes: fc.constantFrom(1, 1000, 1 << 20),
    blockSize: fc.constantFrom(512, 1024, 1 << 20),
    maxFileSize: fc.constantFrom(1, 700, 4000, 1 << 20),
  }),
});

const keyOf = (n: number) => `k${String(n).padStart(2, '0')}`;

/** A database that does not keep still while it is read. */
class Database {
  readonly source: MemoryRangeSource;
  /** Batches that were asked for at a version that had been released. */
  readReleased = 0;
  readonly #random: () => number;
  readonly #unrest: number;

  constructor(plan: Plan, random: () => number) {
    this.#random = random;
    this.#unrest = plan.unrest;
    const borders = Array.from({ length: plan.borders }, () => utf8(keyOf(this.#nat(100))));
    this.source = new MemoryRangeSource({
      borders,
      batchRows: plan.batchRows,
      beforeBatch: (request) => this.#stir(request),
    });
    for (let i = 0; i < plan.rows; i++) this.write();
  }

  write(): void {
    const from = this.#nat(100);
    const value = 'x'.repeat(this.#random() < 0.1 ? this.#nat(900) : this.#nat(40));
    const mutation = this.#random() < 0.15 ? clear(keyOf(from), keyOf(from + this.#nat(10))) : set(keyOf(from), value);
    this.source.commit([mutation], { version: this.source.committed + 1n + BigInt(this.#nat(5)) });
  }

  #stir({ version }: ScanRequest): void {
    if (!this.source.heldVersions.includes(version)) this.readReleased++;
    if (this.#random() >= this.#unrest) return;
    const key = utf8(keyOf(this.#nat(100)));
    const border = this.source.borders[this.#nat(this.source.borders.length)];
    const what = this.#nat(6);
    if (what === 0) this.source.split(key);
    else if (what === 1 && border !== undefined) this.source.merge(border);
    else if (what === 2) this.source.move(key);
    else if (what === 3) this.source.collectGarbage(this.source.committed);
    else this.write();
  }

  #nat(below: number): number {
    return Math.floor(this.#random() * below);
  }
}

/** What the half snapshots of a container have recorded. */
async function recordedFiles(container: MemoryContainer) {
  const files = [];
  for (const name of await fileNames(container, SNAPSHOT_PART_PREFIX)) {
    if (parseSnapshotPartName(name)?.uid === undefined) continue;
    files.push(...parseSnapshotSums(await readAll(container, name), name).files);
  }
  return files;
}

async function run(plan: Plan): Promise<{ result: SnapshotResult; lives: number }> {
  const random = seededRandom(plan.seed);
  const database = new Database(plan, random);
  const { source } = database;
  const container = new MemoryContainer();
  const ranges = plan.ranges.map(([from, width]) => ({
    begin: utf8(keyOf(from)),
    end: keyAfter(utf8(keyOf(Math.min(99, from + width)))),
  }));
  const clock = new HastyClock();
  for (let life = 0; ; life++) {
    const process = new MortalProcess({ random, faultRate: plan.faultRate, dieAt: plan.deaths[life] ?? Infinity });
    const recorded = await recordedFiles(container);
    const scannedBefore = source.scans.length;
    const heldBefore = source.heldVersions.length;
    try {
      const result = await takeSnapshot({
        ...plan.knobs,
        source: process.source(source),
        container: process.container(container),
        ranges,
        clock,
        random: { next: random, uid: () => uid(random) },
        maxAttempts: 30,
        signal: process.signal,
      });
      expect([...process.openFiles]).toEqual([]);
      expect(source.heldVersions.length).toBe(heldBefore);
      expect(clock.pendingTimers).toBe(0);
      expect(database.readReleased).toBe(0);
      if (result.resumedFiles > 0) checkResumed(recorded, result, source.scans.slice(scannedBefore));
      await checkContainer(container, source, result, ranges);
      return { result, lives: life + 1 };
    } catch (error) {
      if (!process.isDead || !(error instanceof Crash)) throw error;
      const manifests = await fileNames(container, 'snapshots/');
      // It died after the manifest: then that is whole.
      for (const name of manifests) parseSnapshotManifest(await readAll(container, name), name);
      expect(manifests.length).toBeLessThanOrEqual(life + 1);
      expect(clock.pendingTimers).toBe(0);
      if (random() < 0.5) database.write();
    }
  }
}

/** What was recorded stays as it is, and is not scanned again. */
function checkResumed(
  recorded: Awaited<ReturnType<typeof recordedFiles>>,
  result: SnapshotResult,
  scans: readonly { range: KeyRange }[],
): void {
  const kept = recorded.filter(({ name }) => result.files.some((file) => file.name === name));
  expect(kept.length).toBe(result.resumedFiles);
  for (const { range } of scans) expect(kept.some((file) => intersectRanges(file.range, range))).toBe(false);
  for (const file of kept) expect(result.files.find(({ name }) => name === file.name)).toEqual(file);
}

async function checkContainer(
  container: MemoryContainer,
  source: MemoryRangeSource,
  result: SnapshotResult,
  ranges: readonly KeyRange[],
): Promise<void> {
  const wanted = ranges.length === 0 ? [NORMAL_KEYS] : ranges;
  if (result.isNew) await checkSnapshot(container, source, result, wanted);
  const named = new Set<string>();
  for (const name of await fileNames(container, 'snapshots/')) {
    for (const file of parseSnapshotManifest(await readAll(container, name), name).files) named.add(file);
  }
  const rangeFiles = await fileNames(container, 'kvranges/');
  expect([...named].filter((name) => !rangeFiles.includes(name))).toEqual([]);
  const orphans = (await listOrphanRangeFiles(container, { listingLag: 0 })).map(({ name }) => name);
  expect(orphans).toEqual(rangeFiles.filter((name) => !named.has(name)));
}

function uid(random: () => number): string {
  return Array.from({ length: 32 }, () => Math.floor(random() * 16).toString(16)).join('');
}

describe('a snapshot', () => {
  it('is exact, whatever the database, the source, the container and the process do', async () => {
    let [lives, resumed, several] = [0, 0, 0];
    await fc.assert(
      fc.asyncProperty(plans, async (plan) => {
        const outcome = await run(plan);
        lives += outcome.lives;
        if (outcome.result.resumedFiles > 0) resumed++;
        if (outcome.result.beginVersion < outcome.result.endVersion) several++;
      }),
      { numRuns: 300 },
    );
    // The cases that matter did come up.
    expect(lives).toBeGreaterThan(400);
    expect(resumed).toBeGreaterThan(20);
    expect(several).toBeGreaterThan(20);
  }, 120_000);
});
