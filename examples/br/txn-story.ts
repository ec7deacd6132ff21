// The second part: a transactional database. A full backup and an incremental one after it, encrypted; each restored at its timestamp, also after the database itself has forgotten how it was.

import { createHash } from 'node:crypto';
import { BackupError } from 'tidemark';
import { takeBrBackup, type BrBackupResult, type BrChainLink, type BrCipher } from 'tidemark/br';
import { number } from '../level-host/display.js';
import type { ModelRows } from '../level-host/history.js';
import { Bank, moneyIn, TOTAL_MONEY } from './bank.js';
import { checkRestore, countRows, filesOf, type RestoreCheck } from './checks.js';
import { MvccRangeSource } from './mvcc-range-source.js';
import type { BackupName, Stage } from './stage.js';

/** A demo's key: a real one is made at random, and kept somewhere else than the backup. */
const CIPHER: BrCipher = { method: 'aes256-ctr', key: createHash('sha256').update('a demo').digest() };

export interface TxnStory {
  readonly full: BrBackupResult;
  readonly incremental: BrBackupResult;
  /** Rows that sst_dump finds in the files of the full one, records of writes and long values; undefined without the tool. */
  readonly dumped: number | undefined;
  readonly restored: readonly RestoreCheck[];
}

export async function playTxn(stage: Stage): Promise<TxnStory> {
  const { options, signal } = stage;
  const bank = new Bank(options.seed);
  const part = Math.floor(options.transactions / 3);

  stage.scene('a bank moves money in transactions; a full backup is taken at one timestamp');
  await bank.run(part, signal);
  const [full] = await Promise.all([backUp(stage, bank, 'full'), bank.run(part, signal)]);
  stage.scene('and an incremental one of what was written since, deletes too; this one is encrypted');
  await bank.run(part, signal);
  const incremental = await backUp(stage, bank, 'incremental', full.endTs);
  stage.tell(`${number(bank.committed)} transactions were committed, ${number(bank.conflicts)} lost a conflict`);

  const dumped = stage.hasTools ? await dump(stage) : undefined;
  bank.store.collectGarbage(bank.store.currentTs);
  await mustBeForgotten(stage, bank, full.endTs);
  const links = { full: { container: stage.container('full') }, incremental: { container: stage.container('incremental'), cipher: CIPHER } }; // prettier-ignore
  return {
    full,
    incremental,
    dumped,
    restored: [
      await restore(stage, bank, 'full', [links.full], full.endTs),
      await restore(stage, bank, 'incremental', [links.full, links.incremental], incremental.endTs),
    ],
  };
}

async function backUp(stage: Stage, bank: Bank, name: BackupName, startTs = 0n): Promise<BrBackupResult> {
  const backup = await takeBrBackup({
    kind: 'txn',
    source: new MvccRangeSource(bank.store, bank.splitKeys),
    startTs,
    container: stage.container(name),
    ranges: [],
    threads: stage.threads,
    ...(startTs > 0n && { cipher: CIPHER }),
    signal: stage.signal,
  });
  const which =
    startTs > 0n ? `changes in (${number(startTs)}, ${number(backup.endTs)}]` : `rows at ${number(backup.endTs)}`;
  stage.tell(`${number(backup.rows)} ${which} in ${backup.files.length} files`);
  return backup;
}

/** Each row is one record in the files of `write`; what is too long for it is in those of `default`. */
async function dump(stage: Stage): Promise<number> {
  const files = await filesOf(stage, 'full');
  const writes = await countRows(
    stage,
    'full',
    files.filter((file) => file.endsWith('_write.sst')),
  );
  const values = await countRows(
    stage,
    'full',
    files.filter((file) => file.endsWith('_default.sst')),
  );
  stage.tell(`sst_dump, in the full one: ${number(writes)} write records, ${number(values)} long values`);
  return writes;
}

/** Else the demo would show nothing that the database cannot do by itself. */
async function mustBeForgotten(stage: Stage, bank: Bank, ts: bigint): Promise<void> {
  const source = new MvccRangeSource(bank.store);
  const range = { begin: new Uint8Array(0), end: Uint8Array.of(0xff) };
  try {
    for await (const region of source.regions({ range, signal: stage.signal }))
      for await (const _ of source.scan({ region, range, startTs: 0n, endTs: ts, signal: stage.signal }));
  } catch (error) {
    if (!BackupError.is(error, 'VERSION_TOO_OLD')) throw error;
    stage.tell('the bank itself has forgotten how things were then');
    return;
  }
  throw new Error(`the bank still knows what was at ${ts}`);
}

async function restore(
  stage: Stage,
  bank: Bank,
  name: BackupName,
  chain: readonly BrChainLink[],
  ts: bigint,
): Promise<RestoreCheck> {
  const expected = bank.rowsAt(ts);
  checkMoney(expected);
  await stage.keepRows(name, expected);
  stage.scene(`restored at ${number(ts)}, from ${chain.length === 1 ? 'the full backup' : 'both'}`);
  const check = await checkRestore(stage, `The bank at ${ts}`, chain, expected);
  if (check.version !== ts) throw new Error(`${check.version} was restored instead of ${ts}`);
  return check;
}

/** Of one moment: no transfer is there by half. */
function checkMoney(rows: ModelRows): void {
  const money = moneyIn(rows);
  if (money !== TOTAL_MONEY) throw new Error(`The bank has ${money}, it should have ${TOTAL_MONEY}`);
}
