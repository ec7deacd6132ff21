// `tidemark/br`: TiKV's backup on disk.

export type { BrCipher, BrCipherMethod, BrFile, BrKeyRange, BrRawRange, BrTableMeta } from '../format/br/messages.js';

// The meta data of a backup.
export { readBackupMeta } from './meta/backup-meta.js';
export type { BackupMetaReader, BrBackupMetaHead, ReadBackupMetaOptions } from './meta/backup-meta.js';
export { BackupMetaWriter } from './meta/backup-meta-writer.js';
export type { BackupMetaFacts, BackupMetaWriterOptions, WrittenBackupMeta } from './meta/backup-meta-writer.js';
export { inspectBackupMeta, renderBackupMeta, renderBackupMetaJson } from './meta/inspect-backup-meta.js';
export type { BackupMetaDescription } from './meta/inspect-backup-meta.js';
export type {
  TidbColumn,
  TidbDatabase,
  TidbIndex,
  TidbPartition,
  TidbTable,
  TidbTableInfo,
} from '../format/br/tidb-schema.js';
export { loadBrMessages } from '../format/br/proto/load.js';
export type {
  BrDecodeOptions,
  BrLists,
  BrMessages,
  BrMessageType,
  BrMessageTypes,
} from '../format/br/message-codec.js';
export type {
  BrApiVersion,
  BrBackupMeta,
  BrBackupMode,
  BrBackupRange,
  BrEnum,
  BrIdMap,
  BrInit,
  BrMetaFile,
  BrPitrDbMap,
  BrPitrTableMap,
  BrPlacementPolicy,
  BrSchema,
  BrStatsFileIndex,
  UnknownFields,
} from '../format/br/messages.js';

// Threads that compress.
export { BlockPool } from './threads/block-pool.js';
export type { BlockPoolOptions, BlockPressOptions } from './threads/block-pool.js';
export type { TxnBatch, TxnRangeSource, TxnScanRequest } from '../ports/txn-range-source.js';
export { takeBrBackup, type BrBackupResult } from './backup/take-br-backup.js';
export { discardBrBackup, type DiscardBrBackupOptions } from './backup/discard-br-backup.js';
export type {
  BrBackupProgress,
  BrBackupSchema,
  BrBackupSource,
  TakeBrBackupOptions,
} from './backup/br-backup-options.js';
export { BrEndpoint } from './backup/br-endpoint.js';
export type { BrEndpointOptions, BrFileSettings, BrKnobs, BrRangesRequest } from './backup/br-endpoint-options.js';
export type { BrRangeFailed, BrRangeResponse, BrRangeStored } from './backup/br-range-response.js';

// Rows as the files of a backup.
export { BrSnapshotWriter, DEFAULT_SST_MAX_SIZE } from './backup/br-snapshot-writer.js';
export type { BrPieceAnswer, BrRawRows, BrSnapshotWriterOptions, BrTxnRows } from './backup/br-snapshot-writer.js';
export type { BrFileFacts, BytePace } from './backup/br-file-writer.js';
export { BrFileNames } from './backup/br-file-names.js';
export type { BrFileNamesOptions, BrFileRegion, BrNameParts, BrPieceName } from './backup/br-file-names.js';
export { brFileName, parseBrFileName } from '../format/br/file-name.js';
export type { BrFileDescriptor, BrStorageName } from '../format/br/file-name.js';
export {
  tableIdOf,
  tableIndexPrefix,
  tableKeyKind,
  tableRange,
  tableRecordPrefixRange,
  tableRecordRange,
  tableRowKey,
} from '../format/br/table-key.js';
export type { TableKeyKind, TableKeyRange } from '../format/br/table-key.js';

// Keys and values as they stand in the files.
export { decodeTxnDataKey, encodeTxnDataKey } from '../format/br/engine-key.js';
export { encodeWriteRecord, parseWriteRecord } from '../format/br/write-record.js';
export type { WriteRecord, WriteType } from '../format/br/write-record.js';
export { decodeRawRow } from '../format/br/raw-kv.js';
export type { RawApiVersion, RawRow } from '../format/br/raw-kv.js';

// SST files.
export { SstWriter } from '../format/sst/sst-writer.js';
export type { SstSink, SstSummary, SstWriterOptions } from '../format/sst/sst-writer.js';
export { inlinePress } from '../format/sst/inline-press.js';
export type { BlockPress } from '../format/sst/block-press.js';
export type { BlockCodec, SstCompression } from '../format/sst/codec.js';
export type { SstFormatVersion } from '../format/sst/footer.js';
export { SstReader, type SstScanOptions } from '../format/sst/sst-reader.js';
export type { SstRange, SstReaderOptions } from '../format/sst/sst-table.js';
export type { SstBatch, SstPlaces } from '../format/sst/sst-batch.js';
export type { SstEntryType } from '../format/sst/entry-types.js';
export type { SstFile } from '../format/sst/sst-file.js';
export type { SstChecksumType, SstFooter } from '../format/sst/read-footer.js';
export type { SstCounters, SstProperties } from '../format/sst/sst-properties.js';
export type { SstRangeDeletion } from '../format/sst/range-deletions.js';
export type { VerifiedSst } from '../format/sst/verify-sst.js';
export { loadCodec, type CodecOptions } from '../format/sst/codecs/load-codec.js';

// Restore and verify.
export { restoreBrBackup } from './restore/restore-br.js';
export type {
  BrChainLink,
  BrTableRewrite,
  RestoreBrOptions,
  RestoreBrProgress,
  RestoreBrResult,
  RestoredBrTable,
} from './restore/options.js';
export { verifyBrBackup } from './restore/verify.js';
export type { VerifyBrOptions } from './restore/verify.js';
export type { BrVerifyProblem, BrVerifyProgress, BrVerifyReport, BrVerifyTotals } from './restore/verify-report.js';

// Asking a cluster of TiKV for a backup, and being asked like one.
export { BackupRequestBuilder } from './request/backup-request-builder.js';
export type { TableIds, TablePart } from './request/backup-request-builder.js';
export { BackupRequest } from './request/backup-request.js';
export type { BackupRequestFacts, RequestApiVersion } from './request/backup-request.js';
export { StorageBackend, azureCustomerKey } from './request/storage-backend.js';
export type { StorageKind } from './request/storage-backend.js';
export { storageFromUrl } from './request/storage-url.js';
export { TikvBackupClient } from './grpc/tikv-backup-client.js';
export type { TikvBackupClientOptions, TikvBackupOptions } from './grpc/tikv-backup-client.js';
export { backUpCluster } from './request/cluster-backup.js';
export type { ClusterBackup, ClusterBackupMeta } from './request/cluster-backup.js';
export { gatherBackup } from './request/gather-backup.js';
export type { GatherOptions, GatheredBackup, StoreAnswer } from './request/gather-backup.js';
export type { AnsweredRange } from './request/answered-ranges.js';
export type { BackupStore } from './request/backup-store.js';
export { BackupServer, serveBackup } from './grpc/serve-backup.js';
export type { ServeBackupOptions } from './grpc/serve-backup.js';
export { localFolders, type OpenStorage } from './grpc/request-storage.js';
export type {
  BrBackupRequest,
  BrBackupResponse,
  BrBackend,
  BrCompression,
  BrContext,
  BrStorageBackend,
} from '../format/br/request-messages.js';
export type { BrError, BrErrorDetail, BrKeyError, BrLockInfo, BrRegionError } from '../format/br/error-messages.js';
