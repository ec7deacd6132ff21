// The messages of a backup's meta data (kvproto: brpb), as plain values: every field of the original is here or, where a newer release has added one, kept in `unknown` and written again.
// Numbers that may exceed 2^53 are bigints: there are a few of each per file, never per row. Requests, answers and errors: request-messages.ts, error-messages.ts.

/** Fields that this release does not know, as they were read: encoded, in order. */
export type UnknownFields = Uint8Array;

/** An enum of the protocol: a name, or the number of a value that this release does not know. */
export type BrEnum<Name extends string> = Name | number;

/** brpb.File: one SST file of a backup, or one leaf of its meta data. */
export interface BrFile {
  readonly name: string;
  /**
   * 32 bytes. Of an SST file: of the file as it is stored, after encryption. Of a file of meta data: of its content before encryption, as BR computes it.
   */
  readonly sha256: Uint8Array;
  /** Raw user keys, begin inclusive, end exclusive (empty: no bound). */
  readonly startKey: Uint8Array;
  readonly endKey: Uint8Array;
  /** Timestamps: the file holds changes of (startVersion, endVersion]; of a full backup startVersion is 0 here. */
  readonly startVersion: bigint;
  readonly endVersion: bigint;
  /** XOR over rows of CRC-64/XZ of user key, then value. */
  readonly crc64xor: bigint;
  readonly totalKvs: bigint;
  readonly totalBytes: bigint;
  /** Per table, where the rows of several tables share the file. */
  readonly tableMetas: readonly BrTableMeta[];
  readonly cf: string;
  /** Bytes, as stored. */
  readonly size: bigint;
  /** 16 bytes. Of an SST file TiKV says one even where nothing is encrypted: only the cipher tells. Empty for a file of meta data that is not encrypted. */
  readonly cipherIv: Uint8Array;
  readonly unknown?: UnknownFields | undefined;
}

export interface BrTableMeta {
  /** Of a table or a partition. */
  readonly physicalId: bigint;
  readonly crc64xor: bigint;
  readonly totalKvs: bigint;
  readonly totalBytes: bigint;
  readonly unknown?: UnknownFields | undefined;
}

/** A key range of a raw backup, and its column family. */
export interface BrRawRange {
  readonly startKey: Uint8Array;
  readonly endKey: Uint8Array;
  readonly cf: string;
  readonly unknown?: UnknownFields | undefined;
}

/** kvrpcpb.KeyRange: begin inclusive, end exclusive (empty: no bound). */
export interface BrKeyRange {
  readonly startKey: Uint8Array;
  readonly endKey: Uint8Array;
  readonly unknown?: UnknownFields | undefined;
}

/** A range and its files, of a backup that copied files (BackupMode 'file'). */
export interface BrBackupRange {
  readonly startKey: Uint8Array;
  readonly endKey: Uint8Array;
  readonly files: readonly BrFile[];
  readonly unknown?: UnknownFields | undefined;
}

/** A node of the index of a newer backup: either names the files with the next nodes (`metaFiles`), or is a leaf with the things themselves. */
export interface BrMetaFile {
  readonly metaFiles: readonly BrFile[];
  readonly dataFiles: readonly BrFile[];
  readonly schemas: readonly BrSchema[];
  readonly rawRanges: readonly BrRawRange[];
  readonly backupRanges: readonly BrBackupRange[];
  /** JSON of one DDL job (TiDB's model.Job) each. */
  readonly ddls: readonly Uint8Array[];
  readonly unknown?: UnknownFields | undefined;
}

/** A file with a part of a table's statistics. */
export interface BrStatsFileIndex {
  readonly name: string;
  readonly sha256: Uint8Array;
  /** Bytes, as stored (encrypted) and before encryption. */
  readonly sizeEnc: bigint;
  readonly sizeOri: bigint;
  readonly cipherIv: Uint8Array;
  /** Instead of a file, where it is small. */
  readonly inlineData: Uint8Array;
  readonly unknown?: UnknownFields | undefined;
}

/** A table and its database; a database alone where `table` is empty. */
export interface BrSchema {
  /** JSON of TiDB's model.DBInfo and model.TableInfo: tidb-schema.ts reads them. */
  readonly db: Uint8Array;
  readonly table: Uint8Array;
  readonly crc64xor: bigint;
  readonly totalKvs: bigint;
  readonly totalBytes: bigint;
  readonly tiflashReplicas: number;
  /** JSON of the statistics, of older backups. */
  readonly stats: Uint8Array;
  readonly statsIndex: readonly BrStatsFileIndex[];
  readonly isMergeOptionAllowed: boolean;
  /** By partition name. */
  readonly partitionMergeOptionAllowed: ReadonlyMap<string, boolean>;
  readonly unknown?: UnknownFields | undefined;
}

/** JSON of a placement policy. */
export interface BrPlacementPolicy {
  readonly info: Uint8Array;
  readonly unknown?: UnknownFields | undefined;
}

export interface BrIdMap {
  readonly upstreamId: bigint;
  readonly downstreamId: bigint;
  readonly unknown?: UnknownFields | undefined;
}

export interface BrPitrTableMap {
  readonly name: string;
  readonly idMap?: BrIdMap | undefined;
  readonly partitions: readonly BrIdMap[];
  readonly filteredOut: boolean;
  readonly unknown?: UnknownFields | undefined;
}

export interface BrPitrDbMap {
  readonly name: string;
  readonly idMap?: BrIdMap | undefined;
  readonly tables: readonly BrPitrTableMap[];
  readonly filteredOut: boolean;
  readonly reused: boolean;
  readonly unknown?: UnknownFields | undefined;
}

/** kvrpcpb.APIVersion: how keys and values of raw KV are made. */
export type BrApiVersion = BrEnum<'v1' | 'v1ttl' | 'v2' | 'v3'>;

/** Scanned rows, or copied files. */
export type BrBackupMode = BrEnum<'scan' | 'file'>;

/** brpb.BackupMeta: what the file `backupmeta` holds. */
export interface BrBackupMeta {
  readonly clusterId: bigint;
  /** TiDB's or TiKV's version, a text as it came: often with quotes around it. */
  readonly clusterVersion: string;
  readonly brVersion: string;
  /** 0: everything is in this message. 1: in the files that the indexes name. */
  readonly version: number;
  readonly files: readonly BrFile[];
  readonly fileIndex?: BrMetaFile | undefined;
  /** Timestamps: (startVersion, endVersion] of an incremental backup; a full one has startVersion 0, or the same as endVersion. */
  readonly startVersion: bigint;
  readonly endVersion: bigint;
  readonly schemas: readonly BrSchema[];
  readonly schemaIndex?: BrMetaFile | undefined;
  readonly backupSchemaVersion: number;
  readonly isRawKv: boolean;
  readonly rawRanges: readonly BrRawRange[];
  readonly rawRangeIndex?: BrMetaFile | undefined;
  /** JSON: a list of DDL jobs. */
  readonly ddls: Uint8Array;
  readonly ddlIndexes?: BrMetaFile | undefined;
  readonly backupResult: string;
  readonly apiVersion: BrApiVersion;
  readonly policies: readonly BrPlacementPolicy[];
  /** 'True' or 'False', or empty, as TiDB keeps it. */
  readonly newCollationsEnabled: string;
  readonly isTxnKv: boolean;
  readonly dbMaps: readonly BrPitrDbMap[];
  readonly mode: BrBackupMode;
  readonly ranges: readonly BrBackupRange[];
  /** Bytes of all files of the backup. */
  readonly backupSize: bigint;
  readonly unknown?: UnknownFields | undefined;
}

export type BrCipherMethod = 'plaintext' | 'aes128-ctr' | 'aes192-ctr' | 'aes256-ctr';

export interface BrCipher {
  readonly method: BrCipherMethod;
  /** 16, 24 or 32 bytes. Never in an error or a description. */
  readonly key: Uint8Array;
}

/**
 * What `encode` takes for a message: fields that are left out have their defaults (zero, empty, none), in messages inside of it too. `kind` says which alternative an object is and is never left out.
 */
export type BrInit<T> = T extends
  Uint8Array | bigint | number | string | boolean | undefined | ReadonlyMap<string, unknown>
  ? T
  : T extends readonly (infer Item)[]
    ? readonly BrInit<Item>[]
    : { readonly [K in keyof T as K extends 'kind' ? K : never]: T[K] } & {
        readonly [K in keyof T as K extends 'kind' ? never : K]?: BrInit<T[K]> | undefined;
      };
