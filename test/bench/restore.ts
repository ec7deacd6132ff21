// A restore into LevelDB, rows and mutations each by themselves, against batch() of the same operations in the same portions, already in memory.
// --size is in MiB of keys and values; the default is 64.

import { join } from 'node:path';
import { openLevel } from '../../examples/level-host/level.js';
import { LevelRestoreTarget } from '../../examples/level-host/restore-target.js';
import type { BackupContainer } from '../../src/ports/backup-container.js';
import type { RestoreCheckpoint, RestoreOperation, RestoreTarget } from '../../src/ports/restore-target.js';
import { restore, type RestoreOptions } from '../../src/restore/restore.js';
import { takeSnapshot } from '../../src/snapshot/take-snapshot.js';
import { backUp, directoryJob, inFreshFolder, inSubfolder, logOf, MIB, prebuild } from './backup.js';
import { DEFAULT_PAIRS, atLeast, inTurn, type BenchOptions, type Figure, type Figures } from './bench.js';
import { RECORD_BYTES } from './messages.js';
import { ROW_BYTES, Rows, RowsSource } from './rows.js';

const DEFAULT_SIZE_MIB = 64;
const GOAL = 0.7;

type What = Pick<RestoreOptions, 'container' | 'version' | 'baseline'>;

export function bench(options: BenchOptions): Promise<Figures> {
  return inFreshFolder(options.directory, async (directory) => {
    const sizeMiB = options.sizeMiB ?? DEFAULT_SIZE_MIB;
    options.log?.('  rows of a snapshot');
    const rows = await compare(options, directory, await snapshotOnly(directory, sizeMiB), 'rows');
    options.log?.('  mutations of a log');
    const log = await compare(options, directory, await logOnly(directory, sizeMiB), 'mutations');
    return { 'restore.rows': rows, 'restore.log': log };
  });
}

/** A snapshot at the last version of a log, which has nothing to add to it. */
async function snapshotOnly(directory: string, sizeMiB: number): Promise<What> {
  const log = logOf(prebuild(100 * RECORD_BYTES));
  const job = directoryJob(directory, 'rows');
  await backUp(log, [job]);
  const source = new RowsSource(new Rows(sizeMiB * MIB), log.lastVersion);
  await takeSnapshot({ source, container: job.container, ranges: [] });
  return { container: job.container, version: log.lastVersion };
}

async function logOnly(directory: string, sizeMiB: number): Promise<What> {
  const log = logOf(prebuild((sizeMiB * MIB * RECORD_BYTES) / ROW_BYTES));
  const job = directoryJob(directory, 'log');
  await backUp(log, [job]);
  return { container: job.container, version: log.lastVersion, baseline: 'empty' };
}

async function compare(options: BenchOptions, parent: string, what: What, unit: string): Promise<Figure> {
  const recording = new RecordingTarget();
  await restore({ ...what, target: recording });
  let count = 0;
  const restoreAll = () =>
    inSubfolder(parent, async (directory) => {
      const target = await LevelRestoreTarget.open(join(directory, 'level'));
      const ms = await time(async () => {
        count = (await restore({ ...what, target })).operations;
      });
      await target.close();
      return ms;
    });
  const writeAll = () =>
    inSubfolder(parent, (directory) => writePortions(join(directory, 'level'), recording.portions));
  const { ratio, a, b } = await inTurn(writeAll, restoreAll, options.pairs ?? DEFAULT_PAIRS, options.log);
  const rate = (ms: number) => `${Math.round(count / ms)}k ${unit}/s`;
  const bytes = await sizeOf(what.container);
  const detail =
    `${count} ${unit} of 16 + 100 bytes from ${Math.round(bytes / MIB)} MiB of files, in ${recording.portions.length} portions: restored ${rate(b)}, ` +
    `batch() ${rate(a)}; both sync each portion`;
  return atLeast(ratio, GOAL, 'ratio to batch()', detail);
}

async function sizeOf(container: BackupContainer): Promise<number> {
  let bytes = 0;
  for await (const { size } of container.listFiles('')) bytes += size;
  return bytes;
}

/** A chained batch: classic-level takes several times as long for an array of operations. */
async function writePortions(location: string, portions: readonly Portion[]): Promise<number> {
  const level = await openLevel(location);
  const ms = await time(async () => {
    for (const { keys, values } of portions) {
      const batch = level.batch();
      for (let i = 0; i < keys.length; i++) batch.put(keys[i] as Uint8Array, values[i] as Uint8Array);
      await batch.write({ sync: true });
    }
  });
  await level.close();
  return ms;
}

async function time(body: () => Promise<void>): Promise<number> {
  const began = performance.now();
  await body();
  return performance.now() - began;
}

interface Portion {
  readonly keys: readonly Uint8Array[];
  readonly values: readonly Uint8Array[];
}

/** Keeps what it is given, for sets over an empty target. */
class RecordingTarget implements RestoreTarget {
  readonly portions: Portion[] = [];
  #checkpoint: RestoreCheckpoint | undefined;

  read(): Promise<never> {
    return Promise.reject(new Error('sets need nothing read'));
  }

  apply(operations: readonly RestoreOperation[], checkpoint: RestoreCheckpoint): Promise<void> {
    this.#checkpoint = checkpoint;
    const sets = operations.filter((operation) => operation.type === 'set');
    if (sets.length < operations.length) return Promise.reject(new Error('there is nothing to clear'));
    if (sets.length === 0) return Promise.resolve();
    this.portions.push({
      keys: sets.map(({ key }) => Buffer.from(key)),
      values: sets.map(({ value }) => Buffer.from(value)),
    });
    return Promise.resolve();
  }

  checkpoint(): Promise<RestoreCheckpoint | undefined> {
    return Promise.resolve(this.#checkpoint);
  }

  isEmpty(): Promise<boolean> {
    return Promise.resolve(true);
  }
}
