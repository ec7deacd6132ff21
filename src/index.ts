// The public face: nothing but re-exports.

export * from './core/errors.js';
export * from './core/version.js';
export * from './core/check-version.js';
export * from './core/key-range.js';
export * from './core/range-map.js';
export * from './core/mutation.js';
export * from './core/message-batch.js';
export * from './core/message-batch-builder.js';
export * from './core/buffer-pool.js';
export * from './core/clock.js';
export * from './core/atomic.js';
export { compareBytes, equalBytes, fromHex, keyAfter, toHex } from './core/bytes.js';

export * from './ports/index.js';

export * from './pipeline/flow-lock.js';
export * from './pipeline/message-queue.js';
export * from './pipeline/mutation-router.js';
export { RoutedJob } from './pipeline/routed-job.js';

export { BackupWorker, type WorkerResult } from './worker/backup-worker.js';
export type { BackupWorkerOptions, WorkerKnobs } from './worker/options.js';
export type { FileWritten, WorkerEvents, WorkerMetrics, WorkerState } from './worker/events.js';
export { recruit, type RecruitOptions, type WorkerListener } from './worker/recruit.js';

export * from './job/operator.js';
export * from './job/plan.js';
export { announceEpoch, planFromStore, readDone } from './job/recruiter-transactions.js';
export type { EpochRecord, JobFailure, JobState } from './job/records.js';
export type { TagOfEpoch } from './job/store-access.js';

export * from './container/memory-container.js';
export * from './container/directory-container.js';
export { checkFileName, compareFileNames, isUnfinishedName } from './container/file-name.js';
export type { CleanTemporaryFilesOptions } from './container/clean-temporary-files.js';
export * from './progress/memory-progress-store.js';
export * from './progress/file-progress-store.js';

export * from './format/fdb/names.js';
export * from './format/fdb/properties.js';
export { decodeLogFile, type DecodedLogFile, type DecodedRecord } from './format/fdb/log-file-decoder.js';

export type * from './restore/description.js';
export * from './restore/describe.js';
export * from './restore/restore-set.js';
export * from './restore/log-merge.js';
export * from './restore/restore.js';
export { listCatalog, type CatalogListing, type ContainerProperties, type SnapshotFile } from './restore/catalog.js';
export { renderCoverage } from './restore/render-coverage.js';
