// Scheduled snapshots with everything real but time: the log worker, two or three snapshot runners, `takeSnapshot`, and restores of what they have left.

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { toHex, utf8 } from '../../src/core/bytes.js';
import type { Version } from '../../src/core/version.js';
import { parseSnapshotManifest } from '../../src/format/fdb/snapshot-manifest.js';
import { restore } from '../../src/restore/restore.js';
import { verifyBackup } from '../../src/restore/verify.js';
import { ManualClock } from '../../src/testing/manual-clock.js';
import { MemoryRangeSource } from '../../src/testing/memory-range-source.js';
import { MemoryRestoreTarget } from '../../src/testing/memory-restore-target.js';
import type { RunSnapshotsOptions } from '../../src/worker/snapshot-options.js';
import { Gate, GatedStore } from './gates.js';
import type { RunningSnapshots } from './snapshot-fakes.js';
import { startSnapshots } from './snapshot-fakes.js';
import { World, set } from './world.js';

const INTERVAL = 100_000;
const letters = Array.from('abcdefghijklmnopqrstuvwxyz');

describe('scheduled snapshots, restored from', () => {
  let world: World;
  let runners: RunningSnapshots[];
  beforeEach(async () => {
    world = new World();
    runners = [];
    sources.length = 0;
    await world.announce();
    world.start(0, { uploadDelay: 1_000, versionTimeInterval: 1_000 });
  });
  afterEach(async () => {
    for (const runner of runners) await runner.stop();
    await world.end();
  });

  /** The same database for a runner: each sees it through a source of its own. */
  const sources: MemoryRangeSource[] = [];
  const sourceOf = (beforeBatch?: () => Promise<void>) => {
    const borders = letters.map((letter) => utf8(letter));
    const source = new MemoryRangeSource({ borders, clock: world.clock, ...(beforeBatch && { beforeBatch }) });
    sources.push(source);
    return source;
  };
  const start = (rangeSource: MemoryRangeSource, options: Partial<RunSnapshotsOptions> = {}) => {
    const snapshot = { maxFileSize: 1, batchSize: 1, numThreads: 1, ioThreadSize: 1 };
    const runner = startSnapshots(world, undefined, { rangeSource, snapshot, ...options });
    runners.push(runner);
    return runner;
  };
  const put = (...pairs: string[]): Version => {
    const version = world.put(0, ...pairs);
    for (const source of sources) {
      source.commit(
        pairs.map((pair) => ({ mutation: set(pair) })),
        { version },
      );
    }
    return version;
  };
  const fill = (value: string) => put(...letters.map((letter) => `${letter}=${value}`));
  const manifests = () => world.names('memory:job', 'snapshots/');

  /** A restore gives exactly the database's rows; `empty`: without the log, nothing is there. */
  const expectRestored = async (source: MemoryRangeSource, version: Version, options: { timestamp?: number } = {}) => {
    const target = new MemoryRestoreTarget();
    const wanted = options.timestamp === undefined ? { version } : { timestamp: options.timestamp };
    await restore({ container: world.container('memory:job'), target, ...wanted, clock: world.clock });
    const rows = [...target.rows()].map(({ key, value }) => `${toHex(key)}=${toHex(value)}`);
    expect(rows).toEqual(source.rowsAt(version).map(([key, value]) => `${toHex(key)}=${toHex(value)}`));
    expect(rows.length).toBeGreaterThan(0);
  };
  /** No manifest names a file that is not there, or not what it should be. */
  const expectWhole = async () => {
    const container = world.container('memory:job');
    for (const name of await manifests()) {
      const bytes = await container.readFile(name, 0, 1 << 24);
      const present = await world.names('memory:job', 'kvranges/');
      for (const file of parseSnapshotManifest(bytes, name).files) expect(present).toContain(file);
    }
    const report = await verifyBackup(container, { deep: true, clock: world.clock });
    // What a frozen process has written beside the one that took over is of no use and no harm.
    expect(report.problems.filter(({ harmless }) => !harmless)).toEqual([]);
  };

  it('every interval a snapshot, each restorable to, and everything between them', async () => {
    const source = sourceOf();
    start(source);
    fill('before');
    await world.submit('job', { snapshotInterval: INTERVAL });
    const versions: Version[] = [];
    for (let i = 0; i < 28; i++) {
      versions.push(put(`a=${i}`, `z=${i}`));
      await world.clock.advance(10_000);
    }
    expect((await manifests()).length).toBe(3);
    await expectWhole();
    const last = versions.at(-1) ?? 0n;
    await world.clock.advance(70_000);
    expect((await world.operator.status('job')).restorable).toBe(true);
    for (const version of [versions[5] ?? 0n, versions[17] ?? 0n, last]) await expectRestored(source, version);
    // The last moment at which the 15th version was the newest.
    const timestamp = world.clock.wallTime() - 70_000 - 13 * 10_000 - 1;
    await expectRestored(source, versions[14] ?? 0n, { timestamp });
  });

  it('a process that dies in the middle: another goes on with what it has stored, and scans only the rest', async () => {
    let batches = 0;
    const gate = new Gate();
    const first = sourceOf(async () => {
      batches++;
      if (batches > 20) await gate.pass();
    });
    const second = sourceOf();
    fill('before');
    const dying = start(first, { name: 'dying' });
    await world.submit('job', { snapshotInterval: INTERVAL });
    await world.clock.advance(2_000);
    expect(gate.isReached).toBe(true);
    expect(await manifests()).toEqual([]);
    await dying.stop();
    const next = start(second, { name: 'next' });
    await world.clock.advance(3_000);
    const finished = next.events.find((event) => event.kind === 'finished');
    expect(next.events[0]).toEqual({ kind: 'started', jobUid: 'job', isResumed: true });
    expect(finished?.snapshot.resumedFiles).toBeGreaterThan(5);
    expect(second.scans.length).toBeLessThan(letters.length);
    await world.clock.advance(60_000);
    await expectRestored(second, 1n);
    await expectWhole();
    gate.open();
  });

  it('a frozen process goes on after another has completed the same snapshot: neither harms the other', async () => {
    // A database that stands still: both read the same version, and their snapshots have the same name.
    for (const thawAt of [3, 10, 20, 27]) {
      await world.end();
      world = new World();
      sources.length = 0;
      await world.announce();
      world.start(0, { uploadDelay: 1_000 });
      const frozenClock = new ManualClock();
      let batches = 0;
      const gate = new Gate();
      const first = sourceOf(async () => {
        batches++;
        if (batches === thawAt) await gate.pass();
      });
      const second = sourceOf();
      fill('still');
      const store = new GatedStore(world.store);
      store.hold('watch', { count: 1_000 });
      const frozen = start(first, { name: 'frozen', clock: frozenClock, progressStore: store });
      await world.submit('job', { snapshotInterval: INTERVAL });
      await frozenClock.advance(1_500);
      expect(gate.isReached).toBe(true);
      const next = start(second, { name: 'next' });
      await world.clock.advance(6_000);
      expect(next.kinds).toEqual(['started job', 'finished job']);
      await expectWhole();
      const before = await manifests();
      // Its timers have not fired, and nobody has told it.
      gate.open();
      for (let i = 0; i < 50; i++) await world.clock.settle();
      expect(batches).toBeGreaterThan(letters.length);
      expect(frozen.kinds).not.toContain('finished job');
      expect(await manifests()).toEqual(before);
      await world.clock.advance(60_000);
      await expectWhole();
      await expectRestored(second, 1n);
      await frozenClock.advance(60_000);
      await frozen.stop();
      await frozenClock.advance(1_000);
      await expectWhole();
      expect((await world.operator.status('job')).snapshot.last).toMatchObject({ by: 'next' });
    }
  });

  it('a discontinued job keeps the snapshots that it has, and gets no more', async () => {
    const source = sourceOf();
    start(source);
    const version = fill('before');
    await world.submit('job', { snapshotInterval: INTERVAL });
    await world.clock.advance(5_000);
    put('a=after');
    await world.operator.discontinue('job');
    await world.clock.advance(3 * INTERVAL);
    expect((await world.operator.status('job')).state).toBe('Completed');
    expect((await manifests()).length).toBe(1);
    await expectRestored(source, version + 1n);
  });
});
