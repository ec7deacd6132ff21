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
export { LISTING_LAG } from './ports/backup-container.js';

export * from './pipeline/flow-lock.js';
export * from './pipeline/message-queue.js';
export * from './pipeline/mutation-router.js';
export { RoutedJob } from './pipeline/routed-job.js';

export { BackupWorker, type WorkerResult } from './worker/backup-worker.js';
export type { BackupWorkerOptions, WorkerKnobs } from './worker/options.js';
export type { FileWritten, WorkerEvents, WorkerMetrics, WorkerState } from './worker/events.js';
export { recruit, type RecruitOptions, type WorkerListener } from './worker/recruit.js';
export { BackupFleet } from './worker/fleet.js';
export type { BackupFleetOptions, FleetEvents, GiveBackReason } from './worker/fleet-options.js';
export type { FleetMember } from './job/fleet-records.js';
export { fleetStatus, type FleetStatus } from './job/fleet-status.js';
export { runSnapshots } from './worker/snapshot-runner.js';
export type { RunSnapshotsOptions, ScheduledSnapshotKnobs, SnapshotEvent } from './worker/snapshot-options.js';

export { takeSnapshot, type SnapshotResult } from './snapshot/take-snapshot.js';
export { SnapshotEndpoint, type BackupRequest } from './snapshot/endpoint.js';
export type { RangeFailed, RangeResponse, RangeStored } from './snapshot/range-response.js';
export type {
  EndpointOptions,
  SnapshotKnobs,
  SnapshotProgress,
  TakeSnapshotOptions,
} from './snapshot/snapshot-options.js';
export { isTransient, type RetryPolicy } from './snapshot/backoff.js';
export { SnapshotVersions, type VersionHold, type VersionsOptions } from './snapshot/versions.js';
export * from './snapshot/abandoned.js';
export type { HalfSnapshot } from './snapshot/half-snapshot.js';

export { MultilevelQueue, type MultilevelQueueOptions } from './schedule/multilevel-queue.js';
export { PriorityTaskQueue, type PriorityTaskQueueOptions } from './schedule/priority-task-queue.js';
export { SingleLevelQueue } from './schedule/single-level-queue.js';
export { TaskQueue, type TaskQueueOptions } from './schedule/task-queue.js';
export type { SliceOptions } from './schedule/slice.js';
export type { Level, TaskId } from './schedule/task-time.js';
export * from './schedule/task-pool.js';
export type { Task, TaskHandle } from './schedule/task.js';
export * from './schedule/worker.js';
export { Scheduler } from './schedule/scheduler.js';
export * from './schedule/lazy-worker.js';
export type { Runnable, RunnableWithTimer } from './schedule/runnable.js';
export * from './schedule/soft-limit.js';
export * from './schedule/soft-limit-keeper.js';
export * from './schedule/host-load.js';
export * from './schedule/backup-settings.js';

export * from './job/operator.js';
export * from './job/plan.js';
export { announceEpoch, planFromStore, readDone } from './job/recruiter-transactions.js';
export type { SnapshotFailure, SnapshotSummary } from './job/snapshot-record.js';
export type { EpochRecord, JobFailure, JobState } from './job/records.js';
export type { TagOfEpoch } from './job/store-access.js';

export * from './container/memory-container.js';
export * from './container/directory-container.js';
export * from './container/open-container.js';
export type { OpenS3Options, S3ContainerOptions, S3Credentials } from './container/s3-options.js';
export { redactUrl } from './core/redact-url.js';
export { checkFileName, compareFileNames, isUnfinishedName } from './core/file-name.js';
export type { CleanTemporaryFilesOptions } from './container/clean-temporary-files.js';
export * from './progress/memory-progress-store.js';
export * from './progress/file-progress-store.js';

export * from './format/fdb/names.js';
export * from './format/fdb/properties.js';
export type { FileSums } from './format/fdb/file-sums.js';
export type { RangeFileSums, SnapshotSums } from './format/fdb/snapshot-sums.js';
export { parseSnapshotManifest, type SnapshotManifest } from './format/fdb/snapshot-manifest.js';
export { decodeRangeFile } from './format/fdb/range-file-decoder.js';
export { versionTimeName, type VersionTime } from './format/fdb/version-times.js';
export { decodeLogFile, type DecodedLogFile, type DecodedRecord } from './format/fdb/log-file-decoder.js';

export type * from './restore/description.js';
export * from './restore/describe.js';
export * from './restore/restore-set.js';
export { versionAt } from './restore/wanted-version.js';
export * from './restore/log-merge.js';
export * from './restore/restore.js';
export { listCatalog, type CatalogListing, type ContainerProperties, type SnapshotFile } from './restore/catalog.js';
export { verifyBackup, type VerifyBackupOptions } from './restore/verify.js';
export type { VerifyProgress } from './restore/verify-context.js';
export type { VerifyProblem, VerifyProblemKind, VerifyReport, VerifyTotals } from './restore/verify-report.js';
export * from './restore/expire.js';
export * from './restore/compact.js';
export * from './restore/record-checksums.js';
export * from './restore/delete-container.js';
export { renderCoverage } from './restore/render-coverage.js';
