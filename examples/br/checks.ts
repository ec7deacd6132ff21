// Is what the backups give back what was put in? Row by row, by three readers: RocksDB's sst_dump, a RocksDB that has ingested the files, and Tidemark's own restore.

import { join } from 'node:path';
import { readBackupMeta, restoreBrBackup, type BrChainLink } from 'tidemark/br';
import { compareRows } from '../level-host/checks.js';
import { Differences } from '../level-host/differences.js';
import type { ModelRows } from '../level-host/history.js';
import { LevelRestoreTarget } from '../level-host/restore-target.js';
import { dumpRows, ingest, scanRows, type HexRow } from './rocksdb-tools.js';
import type { BackupName, Stage } from './stage.js';

/** TiKV puts it in front of every key. */
const DATA_PREFIX = Buffer.from('z').toString('hex');

export interface RestoreCheck {
  readonly version: bigint;
  readonly rows: number;
  readonly milliseconds: number;
}

/** The backup's SST files, as its meta data lists them. */
export async function filesOf(stage: Stage, name: BackupName): Promise<string[]> {
  const meta = await readBackupMeta(stage.container(name), { signal: stage.signal });
  const files: string[] = [];
  for await (const file of meta.files()) files.push(file.name);
  return files;
}

/** How many rows sst_dump finds in these files. */
export async function countRows(stage: Stage, name: BackupName, files: readonly string[]): Promise<number> {
  let rows = 0;
  for (const file of files) for await (const _ of dumpRows(join(stage.backupFolder(name), file), stage.signal)) rows++;
  return rows;
}

/** A new RocksDB takes the files as they are; then it has the rows, and no others. */
export async function checkIngested(
  stage: Stage,
  name: BackupName,
  files: readonly string[],
  expected: ModelRows,
): Promise<number> {
  const database = join(stage.folder, `rocksdb-${name}`);
  const paths = files.map((file) => join(stage.backupFolder(name), file));
  await ingest(database, paths, stage.signal);
  return compareHexRows('The RocksDB that took the files', scanRows(database, stage.signal), expected);
}

/** Restores into a LevelDB of its own, and compares every row. */
export async function checkRestore(
  stage: Stage,
  what: string,
  chain: readonly BrChainLink[],
  expected: ModelRows,
): Promise<RestoreCheck> {
  const target = await LevelRestoreTarget.open(await stage.freshFolder(`restored-${what.replaceAll(/\W+/g, '-')}`));
  try {
    const started = performance.now();
    const { version } = await restoreBrBackup({ chain, target, signal: stage.signal });
    const milliseconds = performance.now() - started;
    return { version, rows: await compareRows(what, target, expected), milliseconds };
  } finally {
    await target.close();
  }
}

async function compareHexRows(what: string, rows: AsyncIterable<HexRow>, expected: ModelRows): Promise<number> {
  const differences = new Differences(what);
  let count = 0;
  for await (const [key, value] of rows) {
    count++;
    const wanted = key.startsWith(DATA_PREFIX) ? expected.get(key.slice(DATA_PREFIX.length)) : undefined;
    if (wanted === undefined) differences.add(`key ${key} should not be there`);
    else if (wanted !== value) differences.add(`key ${key} should be ${wanted}, is ${value}`);
  }
  if (count < expected.size) differences.add(`${expected.size} rows should be there, ${count} are`);
  differences.throwIfAny();
  return count;
}
