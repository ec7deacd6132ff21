// What a backup says of itself, for people and scripts: the job of mbr (github.com/jansu-dev/mbr, `mbr parse backupmeta`), for both schemas. Nothing of the rows is read.

import type { BrFile, BrRawRange } from '../../format/br/messages.js';
import type { TidbTable } from '../../format/br/tidb-schema.js';
import type { BackupContainer } from '../../ports/backup-container.js';
import {
  readBackupMeta,
  type BackupMetaReader,
  type BrBackupMetaHead,
  type ReadBackupMetaOptions,
} from './backup-meta.js';

export interface BackupMetaDescription {
  /** The file that was read, and the sha256 of it as it is stored (hex). */
  readonly file: string;
  readonly sha256: string;
  readonly meta: BrBackupMetaHead;
  /** Tables and databases without tables; asked for and read as the files are. */
  tables(): AsyncIterable<TidbTable>;
  rawRanges(): AsyncIterable<BrRawRange>;
  /** All files of rows, one by one: a backup may have millions. They fail as BackupMetaReader's methods do. */
  files(): AsyncIterable<BrFile>;
}

/** As readBackupMeta, and throws what it does. */
export async function inspectBackupMeta(
  container: BackupContainer,
  options: ReadBackupMetaOptions = {},
): Promise<BackupMetaDescription> {
  const reader = await readBackupMeta(container, options);
  return {
    file: reader.name,
    sha256: reader.sha256,
    meta: reader.meta,
    tables: () => reader.tables(),
    rawRanges: () => reader.rawRanges(),
    files: () => allFiles(reader),
  };
}

/** Those of a backup that copied files, too, which lists them by range. */
async function* allFiles(reader: BackupMetaReader): AsyncGenerator<BrFile, void, undefined> {
  yield* reader.files();
  for await (const { files } of reader.ranges()) yield* files;
}

const RULE = '  ---------------------';

/** As mbr prints it: the backup, then a block per file; behind them blocks for tables and raw ranges, which mbr leaves out. Lines with their ends. */
export async function* renderBackupMeta(description: BackupMetaDescription): AsyncGenerator<string, void, undefined> {
  const { meta } = description;
  yield lines([
    // TiDB's own version text has quotes around it, and often the end of a line.
    `cluster_version: ${meta.clusterVersion.trimEnd()}`,
    `cluster_id: ${meta.clusterId}`,
    `version: ${meta.version}`,
    `start_version: ${meta.startVersion}`,
    `end_version: ${meta.endVersion}`,
    `is_raw_kv: ${meta.isRawKv}`,
    `backup_result: ${meta.backupResult}`,
    `new_collations_enabled: ${meta.newCollationsEnabled}`,
  ]);
  for await (const file of description.files()) yield lines([RULE, ...fileLines(file)]);
  for await (const table of description.tables()) yield lines([RULE, ...tableLines(table)]);
  for await (const range of description.rawRanges()) yield lines([RULE, ...rangeLines(range)]);
}

function fileLines(file: BrFile): string[] {
  return [
    `    "filename": ${file.name}`,
    `    "sha256": ${hex(file.sha256)}`,
    `    "start_key": ${hex(file.startKey)}`,
    `    "end_key": ${hex(file.endKey)}`,
    `    "start_version": ${file.startVersion}`,
    `    "end_version": ${file.endVersion}`,
    `    "crc64xor": ${file.crc64xor}`,
    `    "total_kvs": ${file.totalKvs}`,
    `    "cf": ${file.cf}`,
    `    "size": ${file.size}`,
    `    "cipher_iv": ${hex(file.cipherIv)}`,
  ];
}

function tableLines({ database, table, crc64xor, totalKvs, totalBytes }: TidbTable): string[] {
  const ofDatabase = [`    "db": ${database.name}`, `    "db_id": ${database.id}`];
  if (table === undefined) return ofDatabase;
  return [
    ...ofDatabase,
    `    "table": ${table.name}`,
    `    "table_id": ${table.id}`,
    ...table.partitions.flatMap(({ id, name }) => [`    "partition": ${name}`, `    "partition_id": ${id}`]),
    `    "crc64xor": ${crc64xor}`,
    `    "total_kvs": ${totalKvs}`,
    `    "total_bytes": ${totalBytes}`,
  ];
}

function rangeLines({ startKey, endKey, cf }: BrRawRange): string[] {
  return [
    `    "raw_range_start_key": ${hex(startKey)}`,
    `    "raw_range_end_key": ${hex(endKey)}`,
    `    "raw_range_cf": ${cf}`,
  ];
}

/** What a backup names may hold anything: nothing of it becomes a line of its own or steers a terminal. */
function lines(texts: readonly string[]): string {
  return texts.map((text) => `${text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, escaped)}\n`).join('');
}

function escaped(character: string): string {
  return `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`;
}

/**
 * One JSON object, in pieces: a line per file, table and raw range. Names as in the protocol; numbers of 64 bits are strings, as in protobuf's JSON, since many readers of JSON would round them; bytes are hex.
 */
export async function* renderBackupMetaJson(
  description: BackupMetaDescription,
): AsyncGenerator<string, void, undefined> {
  const { meta, file, sha256 } = description;
  const head = JSON.stringify({
    file,
    sha256: sha256.toUpperCase(),
    cluster_version: meta.clusterVersion,
    cluster_id: String(meta.clusterId),
    br_version: meta.brVersion,
    version: meta.version,
    start_version: String(meta.startVersion),
    end_version: String(meta.endVersion),
    is_raw_kv: meta.isRawKv,
    is_txn_kv: meta.isTxnKv,
    api_version: meta.apiVersion,
    mode: meta.mode,
    backup_result: meta.backupResult,
    new_collations_enabled: meta.newCollationsEnabled,
    backup_size: String(meta.backupSize),
  });
  yield head.slice(0, -1);
  yield* jsonList('files', description.files(), fileJson);
  yield* jsonList('tables', description.tables(), tableJson);
  yield* jsonList('raw_ranges', description.rawRanges(), rangeJson);
  yield '\n}\n';
}

async function* jsonList<T>(
  name: string,
  items: AsyncIterable<T>,
  json: (item: T) => object,
): AsyncGenerator<string, void, undefined> {
  yield `,\n"${name}":[`;
  let separator = '\n';
  for await (const item of items) {
    yield separator + JSON.stringify(json(item));
    separator = ',\n';
  }
  yield ']';
}

function fileJson(file: BrFile): object {
  return {
    filename: file.name,
    sha256: hex(file.sha256),
    start_key: hex(file.startKey),
    end_key: hex(file.endKey),
    start_version: String(file.startVersion),
    end_version: String(file.endVersion),
    crc64xor: String(file.crc64xor),
    total_kvs: String(file.totalKvs),
    total_bytes: String(file.totalBytes),
    cf: file.cf,
    size: String(file.size),
    cipher_iv: hex(file.cipherIv),
    table_metas: file.tableMetas.map((one) => ({
      physical_id: String(one.physicalId),
      crc64xor: String(one.crc64xor),
      total_kvs: String(one.totalKvs),
      total_bytes: String(one.totalBytes),
    })),
  };
}

function tableJson({ database, table, crc64xor, totalKvs, totalBytes }: TidbTable): object {
  return {
    db: { id: String(database.id), name: database.name },
    ...(table !== undefined && {
      table: {
        id: String(table.id),
        name: table.name,
        columns: table.columns.map(({ id, name }) => ({ id: String(id), name })),
        indexes: table.indexes.map(({ id, name, columns, isUnique, isPrimary }) => ({
          id: String(id),
          name,
          columns,
          is_unique: isUnique,
          is_primary: isPrimary,
        })),
        partitions: table.partitions.map(({ id, name }) => ({ id: String(id), name })),
      },
    }),
    crc64xor: String(crc64xor),
    total_kvs: String(totalKvs),
    total_bytes: String(totalBytes),
  };
}

function rangeJson({ startKey, endKey, cf }: BrRawRange): object {
  return { start_key: hex(startKey), end_key: hex(endKey), cf };
}

/** Upper case, as mbr. */
function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex').toUpperCase();
}
