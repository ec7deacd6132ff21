// Is what the backup gives back what was put in? Rows are compared with the workload's model, records with its history; nothing is left out.

import { mkdtemp, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  decodeLogFile,
  describeBackup,
  DirectoryContainer,
  intersectRanges,
  MutationType,
  restore,
  type BackupContainer,
  type DecodedRecord,
  type KeyRange,
  type Version,
  type VersionedMessage,
} from 'tidemark';
import { Differences } from './differences.js';
import { number } from './display.js';
import { formatRows, Replay, type CommittedTransaction, type ModelRows } from './history.js';
import { LevelRestoreTarget } from './restore-target.js';
import { urlOf, type Stage } from './stage.js';

export interface RestoreCheck {
  readonly version: Version;
  readonly rows: number;
  readonly milliseconds: number;
}

export function openContainer(folder: string): DirectoryContainer {
  return new DirectoryContainer(fileURLToPath(urlOf(folder)));
}

/** A backup, as it is to be restored. */
export interface CheckedBackup {
  readonly container: BackupContainer;
  /** Without it from a snapshot. */
  readonly baseline?: 'empty';
  /** Where the rows of each version are kept, as they must be; undefined: nowhere. */
  readonly rowsFolder: string | undefined;
}

/** Restores the backup at each version into a LevelDB of its own. Versions ascend. */
export async function checkRestores(
  stage: Stage,
  backup: CheckedBackup,
  versions: readonly Version[],
): Promise<RestoreCheck[]> {
  const replay = new Replay(stage.workload.history);
  const checks: RestoreCheck[] = [];
  for (const version of versions) {
    const expected = replay.advanceTo(version);
    checks.push(await checkRestore(stage, backup, version, expected));
    if (backup.rowsFolder !== undefined)
      await writeFile(join(backup.rowsFolder, `rows-${version}.txt`), formatRows(expected));
  }
  return checks;
}

async function checkRestore(
  stage: Stage,
  { container, baseline }: CheckedBackup,
  version: Version,
  expected: ModelRows,
): Promise<RestoreCheck> {
  const target = await LevelRestoreTarget.open(await mkdtemp(join(stage.folder, 'restored-')));
  try {
    const started = performance.now();
    await restore({
      container,
      target,
      version,
      ...(baseline && { baseline }),
      signal: stage.signal,
      onProgress: ({ bytesRead, bytesTotal }) =>
        stage.restoreBar.update(bytesRead, bytesTotal, `to version ${number(version)}`),
    });
    const milliseconds = performance.now() - started;
    const rows = await compareRows(`Version ${version}`, target, expected);
    return { version, rows, milliseconds };
  } finally {
    await target.close();
  }
}

/** Throws an error that names the first differences; returns how many rows there are. */
export async function compareRows(what: string, target: LevelRestoreTarget, expected: ModelRows): Promise<number> {
  const differences = new Differences(what);
  let rows = 0;
  for await (const [keyBytes, valueBytes] of target.rows()) {
    rows++;
    const [key, value] = [hex(keyBytes), hex(valueBytes)];
    if (!expected.has(key)) differences.add(`key ${key} should not be there`);
    else if (expected.get(key) !== value) differences.add(`key ${key} should be ${expected.get(key)}, is ${value}`);
  }
  if (rows < expected.size) differences.add(`${expected.size} rows should be there, ${rows} are`);
  differences.throwIfAny();
  return rows;
}

/** The second job began in mid-stream: from `completeFrom` on its container holds exactly what the database committed in its range. */
export async function checkRecords(
  stage: Stage,
  range: KeyRange,
  completeFrom: Version,
  stopVersion: Version,
): Promise<number> {
  const within = ({ version }: { version: Version }) => version >= completeFrom && version <= stopVersion;
  const committed = stage.workload.history.transactions.filter(within);
  const stored = (await readRecords(openContainer(stage.secondContainer))).filter(within);
  compareRecords('The second job', stored, committed, range);
  return stored.length;
}

/** Throws an error that names the first differences. Both in the order of their commits. */
export function compareRecords(
  what: string,
  stored: readonly VersionedMessage[],
  committed: readonly CommittedTransaction[],
  range: KeyRange,
): void {
  const expected = committed.flatMap((transaction) => clip(transaction, range));
  const differences = new Differences(what);
  for (let i = 0; i < Math.max(stored.length, expected.length); i++) {
    const [is, should] = [stored[i], expected[i]].map(describeRecord);
    if (is !== should) differences.add(`record ${i} should be "${should}", is "${is}"`);
  }
  differences.throwIfAny();
}

/** Everything in a container, in the order in which it was committed. */
async function readRecords(container: BackupContainer): Promise<DecodedRecord[]> {
  const records: DecodedRecord[] = [];
  for (const { files } of (await describeBackup(container)).tags) {
    let covered: Version = 0n;
    for (const file of files) {
      const bytes = await container.readFile(file.name, 0, file.size);
      // A worker that was killed leaves files that its replacement writes again: each version is taken once.
      for (const record of decodeLogFile(bytes, file)) if (record.version >= covered) records.push(record);
      covered = file.end;
    }
  }
  return records.sort((a, b) =>
    a.version === b.version ? a.subsequence - b.subsequence : a.version < b.version ? -1 : 1,
  );
}

/** What a job on `range` should store of a transaction. */
function clip({ version, mutations }: CommittedTransaction, range: KeyRange): VersionedMessage[] {
  return mutations.flatMap((mutation, i) => {
    const subsequence = i + 1;
    if (mutation.type === MutationType.ClearRange) {
      const part = intersectRanges({ begin: mutation.param1, end: mutation.param2 }, range);
      if (part === undefined) return [];
      return [{ version, subsequence, mutation: { ...mutation, param1: part.begin, param2: part.end } }];
    }
    const inside = Buffer.compare(mutation.param1, range.begin) >= 0 && Buffer.compare(mutation.param1, range.end) < 0;
    return inside ? [{ version, subsequence, mutation }] : [];
  });
}

function describeRecord(record: VersionedMessage | undefined): string {
  if (record === undefined) return 'missing';
  const { version, subsequence, mutation } = record;
  return `${version} ${subsequence} ${mutation.type} ${hex(mutation.param1)} ${hex(mutation.param2)}`;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}
