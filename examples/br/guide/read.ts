// read.ts: what is in a backup of TiKV or TiDB, whether it is whole, and rows out of its files, without a cluster.

import type { BackupContainer } from 'tidemark';
import { decodeTxnDataKey, parseWriteRecord, readBackupMeta, SstReader, verifyBrBackup } from 'tidemark/br';

/** What the backup says of itself. */
export async function describe(container: BackupContainer): Promise<string[]> {
  const backup = await readBackupMeta(container);
  const { clusterVersion, startVersion, endVersion, isRawKv } = backup.meta;
  const lines = [`${isRawKv ? 'raw keys' : 'transactions'} of ${clusterVersion}, (${startVersion}, ${endVersion}]`];
  for await (const { database, table, totalKvs } of backup.tables())
    if (table !== undefined)
      lines.push(`${database.name}.${table.name} (${table.id}): ${totalKvs} rows and index entries`);
  for await (const { name, cf, totalKvs } of backup.files()) lines.push(`${name}: ${totalKvs} rows in ${cf}`);
  return lines;
}

/** Reads all of it: checksums of files and blocks, and the totals that the backup has recorded. */
export async function check(container: BackupContainer): Promise<void> {
  const { ok, problems } = await verifyBrBackup({ container });
  if (!ok)
    throw new AggregateError(
      problems.map(({ message }) => message),
      'the backup is damaged',
    );
}

/** The records of one SST file of the `write` column family: a backup that is not encrypted can be read file by file. */
export async function* records(container: BackupContainer, name: string, size: number) {
  const read = (offset: number, length: number) => container.readFile(name, offset, length);
  const sst = await SstReader.open({ name, size, read });
  for await (const batch of sst.rows()) {
    for (let i = 0; i < batch.count; i++) {
      const { userKey, ts } = decodeTxnDataKey(batch.key(i), name);
      const { type, shortValue } = parseWriteRecord(batch.value(i));
      yield { key: userKey, committedAt: ts, isDelete: type === 'delete', shortValue };
    }
  }
}
