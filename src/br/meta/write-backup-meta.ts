// The meta data of a backup whose files are all stored: what takeBrBackup knows, as BR writes it.

import { compareBytes } from '../../core/bytes.js';
import { coalesceRanges } from '../../core/key-range.js';
import type { Version } from '../../core/version.js';
import type { BrFile, BrInit, BrSchema } from '../../format/br/messages.js';
import { tableRange } from '../../format/br/table-key.js';
import { parseTidbTable } from '../../format/br/tidb-schema.js';
import { retrying } from '../../snapshot/backoff.js';
import type { WrittenBackupMeta } from './backup-meta-writer.js';
import { BackupMetaWriter } from './backup-meta-writer.js';
import type { BrBackupSchema, ResolvedBrBackup } from '../backup/br-backup-options.js';

export interface MetaOf {
  readonly endTs: Version;
  /** In key order. */
  readonly files: readonly BrFile[];
  /** A text for people. It tells this run from others: no two write the same `backupmeta`, so that each knows whether the one that is there is its own. */
  readonly result: string;
}

/** FILE_EXISTS when another run has completed a backup here. */
export async function writeBackupMeta(
  options: ResolvedBrBackup,
  { endTs, files, result }: MetaOf,
  signal: AbortSignal,
): Promise<WrittenBackupMeta> {
  const { asked, container, clock, random, maxAttempts, retryMinDelay, retryMaxDelay, metaVersion } = options;
  const { kind, cipher, cf = 'default', apiVersion = 'v1', clusterId, clusterVersion, brVersion = 'tidemark' } = asked;
  const isRaw = kind === 'raw';
  const policy = { maxAttempts, retryMinDelay, retryMaxDelay, clock, random };
  const opening = { ...policy, container, version: metaVersion, cipher, signal };
  const writer = await retrying(policy, signal, () => BackupMetaWriter.open(opening));
  await writer.addFiles(files);
  for (const schema of options.schemas) await writer.addSchema(withSums(schema, files, options.startTs === 0n));
  for (const job of asked.ddls ?? []) await writer.addDdl(job);
  // BR reads them for raw KV alone, and restores only what lies in one of them: those that touch are one. For transactional rows they tell a restore which keys have no rows, which no file says.
  for (const { begin, end } of coalesceRanges(options.ranges))
    await writer.addRawRange({ startKey: begin, endKey: end, cf: isRaw ? cf : '' });
  return await writer.finish({
    clusterId,
    clusterVersion,
    brVersion,
    backupResult: result,
    startVersion: isRaw ? 0n : options.startTs,
    endVersion: isRaw ? 0n : endTs,
    isRawKv: isRaw,
    isTxnKv: !isRaw && options.schemas.length === 0,
    apiVersion,
  });
}

/** With the sums over the table's rows, as a checksum of TiDB gives them, where its files hold nothing else; without in an incremental backup, as BR. */
function withSums(schema: BrBackupSchema, files: readonly BrFile[], isFull: boolean): BrInit<BrSchema> {
  const { db, table } = schema;
  if (table === undefined || !isFull) return { db, table };
  const { id, partitions } = parseTidbTable(table, 'schemas');
  let [crc64xor, totalKvs, totalBytes] = [0n, 0n, 0n];
  for (const tableId of [id, ...partitions.map((partition) => partition.id)]) {
    const { startKey, endKey } = tableRange(tableId);
    for (const file of overlapping(files, startKey, endKey)) {
      if (compareBytes(file.startKey, startKey) < 0 || compareBytes(file.endKey, endKey) > 0) return { db, table };
      crc64xor ^= file.crc64xor;
      totalKvs += file.totalKvs;
      totalBytes += file.totalBytes;
    }
  }
  return { db, table, crc64xor, totalKvs, totalBytes };
}

/** Files are in key order, and those of one range lie behind one another. */
function* overlapping(files: readonly BrFile[], startKey: Uint8Array, endKey: Uint8Array): Iterable<BrFile> {
  let low = 0;
  let high = files.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareBytes((files[middle] as BrFile).endKey, startKey) <= 0) low = middle + 1;
    else high = middle;
  }
  for (let file = files[low]; file !== undefined && compareBytes(file.startKey, endKey) < 0; file = files[++low])
    yield file;
}
