// The request of a backup and its answers (kvproto: brpb.BackupRequest, BackupResponse, StorageBackend; kvrpcpb.Context), as plain values.
// They hold secrets (cipher keys, credentials of storages): nothing here may be printed as it is.

import type { BrError, BrPeer, BrRegionEpoch } from './error-messages.js';
import type { BrApiVersion, BrBackupMode, BrEnum, BrFile, BrKeyRange, UnknownFields } from './messages.js';

/** 'unknown' leaves the choice to TiKV (zstd). */
export type BrCompression = BrEnum<'unknown' | 'lz4' | 'snappy' | 'zstd'>;

/** encryptionpb.EncryptionMethod. */
export type BrEncryptionMethod = BrEnum<
  'unknown' | 'plaintext' | 'aes128-ctr' | 'aes192-ctr' | 'aes256-ctr' | 'sm4-ctr'
>;

export interface BrCipherInfo {
  readonly cipherType: BrEncryptionMethod;
  /** Secret. */
  readonly cipherKey: Uint8Array;
  readonly unknown?: UnknownFields | undefined;
}

/** Ranges in ascending order whose rows may share an SST file. */
export interface BrSortedSubRanges {
  readonly subRanges: readonly BrKeyRange[];
  readonly unknown?: UnknownFields | undefined;
}

/** brpb.BackupRequest. */
export interface BrBackupRequest {
  readonly clusterId: bigint;
  /** Raw keys, begin inclusive, end exclusive (empty: no bound). */
  readonly startKey: Uint8Array;
  readonly endKey: Uint8Array;
  /** Timestamps: changes of (startVersion, endVersion]; a full backup has startVersion 0. */
  readonly startVersion: bigint;
  readonly endVersion: bigint;
  /** Bytes per second; 0: none. */
  readonly rateLimit: bigint;
  readonly concurrency: number;
  readonly storageBackend?: BrStorageBackend | undefined;
  readonly isRawKv: boolean;
  /** Of raw KV. */
  readonly cf: string;
  readonly compressionType: BrCompression;
  /** Some codecs have negative levels; 0: the codec's default. */
  readonly compressionLevel: number;
  readonly cipherInfo?: BrCipherInfo | undefined;
  /** Of the files that are made. */
  readonly dstApiVersion: BrApiVersion;
  /** Where not the whole range is wanted: its parts. */
  readonly subRanges: readonly BrKeyRange[];
  readonly sortedSubRangesGroups: readonly BrSortedSubRanges[];
  readonly replicaRead: boolean;
  readonly mode: BrBackupMode;
  readonly uniqueId: string;
  readonly context?: BrContext | undefined;
  readonly unknown?: UnknownFields | undefined;
}

/** brpb.BackupResponse: a range that is done (its files), or that failed (`error`). */
export interface BrBackupResponse {
  readonly error?: BrError | undefined;
  readonly startKey: Uint8Array;
  readonly endKey: Uint8Array;
  readonly files: readonly BrFile[];
  readonly apiVersion: BrApiVersion;
  readonly unknown?: UnknownFields | undefined;
}

/** kvrpcpb.ResourceControlContext; what it has beyond this is kept in `unknown`. */
export interface BrResourceControl {
  readonly resourceGroupName: string;
  readonly overridePriority: bigint;
  readonly unknown?: UnknownFields | undefined;
}

/** kvrpcpb.Context, as far as a backup has a use for it; the rest is kept in `unknown`. */
export interface BrContext {
  readonly regionId: bigint;
  readonly regionEpoch?: BrRegionEpoch | undefined;
  readonly peer?: BrPeer | undefined;
  readonly term: bigint;
  readonly priority: BrEnum<'normal' | 'low' | 'high'>;
  readonly notFillCache: boolean;
  readonly replicaRead: boolean;
  readonly apiVersion: BrApiVersion;
  readonly requestSource: string;
  readonly resourceControlContext?: BrResourceControl | undefined;
  readonly clusterId: bigint;
  readonly unknown?: UnknownFields | undefined;
}

/** Writes into nothing. */
export interface BrNoop {
  readonly unknown?: UnknownFields | undefined;
}

export interface BrLocal {
  readonly path: string;
  readonly unknown?: UnknownFields | undefined;
}

export interface BrS3 {
  /** Empty: AWS. */
  readonly endpoint: string;
  readonly region: string;
  readonly bucket: string;
  readonly prefix: string;
  readonly storageClass: string;
  /** Server-side encryption. */
  readonly sse: string;
  readonly acl: string;
  /** Secret, as are the next and the session token. */
  readonly accessKey: string;
  readonly secretAccessKey: string;
  readonly forcePathStyle: boolean;
  readonly sseKmsKeyId: string;
  readonly roleArn: string;
  readonly externalId: string;
  readonly objectLockEnabled: boolean;
  readonly sessionToken: string;
  readonly provider: string;
  readonly profile: string;
  readonly unknown?: UnknownFields | undefined;
}

export interface BrGcs {
  readonly endpoint: string;
  readonly bucket: string;
  readonly prefix: string;
  readonly storageClass: string;
  readonly predefinedAcl: string;
  /** Secret: the JSON of a service account. */
  readonly credentialsBlob: string;
  readonly unknown?: UnknownFields | undefined;
}

export interface BrAzureCustomerKey {
  /** Secret, base64. */
  readonly encryptionKey: string;
  readonly encryptionKeySha256: string;
  readonly unknown?: UnknownFields | undefined;
}

export interface BrAzureBlobStorage {
  readonly endpoint: string;
  /** The container. */
  readonly bucket: string;
  readonly prefix: string;
  readonly storageClass: string;
  readonly accountName: string;
  /** Secret, as is the next. */
  readonly sharedKey: string;
  readonly accessSig: string;
  readonly encryptionScope: string;
  readonly encryptionKey?: BrAzureCustomerKey | undefined;
  readonly unknown?: UnknownFields | undefined;
}

export interface BrBucket {
  readonly endpoint: string;
  readonly region: string;
  readonly bucket: string;
  readonly prefix: string;
  readonly storageClass: string;
  readonly unknown?: UnknownFields | undefined;
}

export interface BrCloudDynamic {
  readonly bucket?: BrBucket | undefined;
  readonly providerName: string;
  /** May hold secrets. */
  readonly attrs: ReadonlyMap<string, string>;
  readonly unknown?: UnknownFields | undefined;
}

export interface BrHdfs {
  /** `hdfs:///path` or `hdfs://host:port/path`. */
  readonly remote: string;
  readonly unknown?: UnknownFields | undefined;
}

/** Which storage, by `kind`. */
export type BrBackend =
  | ({ readonly kind: 'noop' } & BrNoop)
  | ({ readonly kind: 'local' } & BrLocal)
  | ({ readonly kind: 's3' } & BrS3)
  | ({ readonly kind: 'gcs' } & BrGcs)
  | ({ readonly kind: 'cloud-dynamic' } & BrCloudDynamic)
  | ({ readonly kind: 'hdfs' } & BrHdfs)
  | ({ readonly kind: 'azure-blob-storage' } & BrAzureBlobStorage);

/** brpb.StorageBackend. */
export interface BrStorageBackend {
  readonly backend?: BrBackend | undefined;
  readonly unknown?: UnknownFields | undefined;
}
