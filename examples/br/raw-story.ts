// The first part: the level host's rows as they are (raw KV). The backup is taken while clients keep the database busy, and judged by RocksDB itself.

import { join } from 'node:path';
import { takeBrBackup, type BrBackupResult } from 'tidemark/br';
import { number } from '../level-host/display.js';
import { LevelDatabase } from '../level-host/level-database.js';
import { SeededRandom } from '../level-host/random.js';
import { LevelRangeSource } from '../level-host/range-source.js';
import { Workload } from '../level-host/workload.js';
import { checkIngested, checkRestore, countRows, filesOf, type RestoreCheck } from './checks.js';
import type { Stage } from './stage.js';

/** Transactions per second. */
const RATE = 3_000;
/** Small ones, so that a demo has several. */
const REGION_BYTES = 1 << 20;

export interface RawStory {
  /** Its `endTs` is the version of the database at which all of its rows were read. */
  readonly backup: BrBackupResult;
  readonly restored: RestoreCheck;
  /** Rows that sst_dump finds in the files; undefined without the tool. */
  readonly dumped: number | undefined;
  /** Rows of a RocksDB that has ingested the files. */
  readonly ingested: number | undefined;
}

export async function playRaw(stage: Stage): Promise<RawStory> {
  const { options, signal } = stage;
  const location = join(stage.folder, 'level-host');
  const database = await LevelDatabase.open(location, { random: new SeededRandom(options.seed + 1) });
  try {
    stage.scene('a LevelDB is busy; meanwhile its rows are backed up as TiKV would store them');
    const workload = new Workload(database, { seed: options.seed, rate: RATE });
    await workload.run(Math.ceil(options.transactions / 2), signal);
    const backup = await whileBusy(stage, workload, () => backUp(stage, database));
    return { backup, ...(await judge(stage, workload, backup)) };
  } finally {
    await database.close();
  }
}

/** The other half of the workload goes on while `action` is at work. Whichever fails first, the other is waited for. */
async function whileBusy<T>(stage: Stage, workload: Workload, action: () => Promise<T>): Promise<T> {
  const before = workload.committed;
  const [done, ran] = await Promise.allSettled([
    action(),
    workload.run(Math.floor(stage.options.transactions / 2), stage.signal),
  ]);
  if (done.status === 'rejected') throw done.reason;
  if (ran.status === 'rejected') throw ran.reason;
  stage.tell(`${number(workload.committed - before)} transactions went on meanwhile, and are not in it`);
  return done.value;
}

async function backUp(stage: Stage, database: LevelDatabase): Promise<BrBackupResult> {
  const source = new LevelRangeSource(database, { regionBytes: REGION_BYTES });
  try {
    const backup = await takeBrBackup({
      kind: 'raw',
      source,
      container: stage.container('raw'),
      ranges: [],
      threads: stage.threads,
      signal: stage.signal,
    });
    stage.tell(
      `${number(backup.rows)} rows of version ${number(backup.endTs)} in SST files, ${backup.files.length} of them`,
    );
    return backup;
  } finally {
    await source.close();
  }
}

async function judge(stage: Stage, workload: Workload, { endTs }: BrBackupResult): Promise<Omit<RawStory, 'backup'>> {
  const expected = workload.history.rowsAt(endTs);
  await stage.keepRows('raw', expected);
  const files = await filesOf(stage, 'raw');
  let [dumped, ingested]: (number | undefined)[] = [];
  if (stage.hasTools) {
    stage.scene('RocksDB looks at the files: sst_dump reads them, and a new RocksDB takes them in as they are');
    dumped = await countRows(stage, 'raw', files);
    if (dumped !== expected.size) throw new Error(`sst_dump finds ${dumped} rows, there were ${expected.size}`);
    stage.tell(`sst_dump: ${number(dumped)} rows, all checksums right`);
    ingested = await checkIngested(stage, 'raw', files, expected);
    stage.tell(`ldb: ingested, and a scan gives ${number(ingested)} rows, all as they should be`);
  }
  stage.scene('the backup is restored into a new LevelDB');
  const chain = [{ container: stage.container('raw') }];
  const restored = await checkRestore(stage, 'The LevelDB', chain, expected);
  return { restored, dumped, ingested };
}
