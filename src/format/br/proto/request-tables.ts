// The numbers and kinds of the fields of requests and answers (kvproto: brpb.proto, kvrpcpb.proto).

import type {
  BrAzureBlobStorage,
  BrAzureCustomerKey,
  BrBackend,
  BrBackupRequest,
  BrBackupResponse,
  BrBucket,
  BrCipherInfo,
  BrCloudDynamic,
  BrContext,
  BrGcs,
  BrHdfs,
  BrLocal,
  BrNoop,
  BrResourceControl,
  BrS3,
  BrSortedSubRanges,
  BrStorageBackend,
} from '../request-messages.js';
import { error, peer, regionEpoch } from './error-tables.js';
import { bool, bytes, enumeration, int32, list, one, oneOf, stringMap, text, uint32, uint64 } from './fields.js';
import { message } from './message.js';
import { apiVersion, backupMode, file, keyRange } from './meta-tables.js';

const s3 = message<BrS3>('backup.S3', {
  endpoint: text(1),
  region: text(2),
  bucket: text(3),
  prefix: text(4),
  storageClass: text(5),
  sse: text(6),
  acl: text(7),
  accessKey: text(8),
  secretAccessKey: text(9),
  forcePathStyle: bool(10),
  sseKmsKeyId: text(11),
  roleArn: text(12),
  externalId: text(13),
  objectLockEnabled: bool(14),
  sessionToken: text(15),
  provider: text(16),
  profile: text(17),
});

const gcs = message<BrGcs>('backup.GCS', {
  endpoint: text(1),
  bucket: text(2),
  prefix: text(3),
  storageClass: text(4),
  predefinedAcl: text(5),
  credentialsBlob: text(6),
});

const azureCustomerKey = message<BrAzureCustomerKey>('backup.AzureCustomerKey', {
  encryptionKey: text(1),
  encryptionKeySha256: text(2),
});

const azureBlobStorage = message<BrAzureBlobStorage>('backup.AzureBlobStorage', {
  endpoint: text(1),
  bucket: text(2),
  prefix: text(3),
  storageClass: text(4),
  accountName: text(5),
  sharedKey: text(6),
  accessSig: text(8),
  encryptionScope: text(9),
  encryptionKey: one(10, azureCustomerKey),
});

const bucket = message<BrBucket>('backup.Bucket', {
  endpoint: text(1),
  region: text(3),
  bucket: text(4),
  prefix: text(5),
  storageClass: text(6),
});

const cloudDynamic = message<BrCloudDynamic>('backup.CloudDynamic', {
  bucket: one(1, bucket),
  providerName: text(2),
  attrs: stringMap(3),
});

export const storageBackend = message<BrStorageBackend>('backup.StorageBackend', {
  backend: oneOf<BrBackend>({
    noop: [1, message<BrNoop>('backup.Noop', {})],
    local: [2, message<BrLocal>('backup.Local', { path: text(1) })],
    s3: [3, s3],
    gcs: [4, gcs],
    'cloud-dynamic': [5, cloudDynamic],
    hdfs: [6, message<BrHdfs>('backup.HDFS', { remote: text(1) })],
    'azure-blob-storage': [7, azureBlobStorage],
  }),
});

const cipherInfo = message<BrCipherInfo>('backup.CipherInfo', {
  cipherType: enumeration(1, ['unknown', 'plaintext', 'aes128-ctr', 'aes192-ctr', 'aes256-ctr', 'sm4-ctr']),
  cipherKey: bytes(2),
});

const sortedSubRanges = message<BrSortedSubRanges>('backup.SortedSubRanges', { subRanges: list(1, keyRange) });

const resourceControl = message<BrResourceControl>('kvrpcpb.ResourceControlContext', {
  resourceGroupName: text(1),
  overridePriority: uint64(3),
});

const context = message<BrContext>('kvrpcpb.Context', {
  regionId: uint64(1),
  regionEpoch: one(2, regionEpoch),
  peer: one(3, peer),
  term: uint64(5),
  priority: enumeration(6, ['normal', 'low', 'high']),
  notFillCache: bool(8),
  replicaRead: bool(12),
  apiVersion: apiVersion(21),
  requestSource: text(24),
  resourceControlContext: one(28, resourceControl),
  clusterId: uint64(35),
});

export const backupRequest = message<BrBackupRequest>('backup.BackupRequest', {
  clusterId: uint64(1),
  startKey: bytes(2),
  endKey: bytes(3),
  startVersion: uint64(4),
  endVersion: uint64(5),
  rateLimit: uint64(7),
  concurrency: uint32(8),
  storageBackend: one(9, storageBackend),
  isRawKv: bool(10),
  cf: text(11),
  compressionType: enumeration(12, ['unknown', 'lz4', 'snappy', 'zstd']),
  compressionLevel: int32(13),
  cipherInfo: one(14, cipherInfo),
  dstApiVersion: apiVersion(15),
  subRanges: list(16, keyRange),
  replicaRead: bool(17),
  mode: backupMode(18),
  uniqueId: text(19),
  context: one(20, context),
  sortedSubRangesGroups: list(21, sortedSubRanges),
});

export const backupResponse = message<BrBackupResponse>('backup.BackupResponse', {
  error: one(1, error),
  startKey: bytes(2),
  endKey: bytes(3),
  files: list(4, file),
  apiVersion: apiVersion(5),
});
