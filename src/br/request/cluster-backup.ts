// A backup of a cluster made one that can be restored: the lock before anything is stored, and `backupmeta` when every range is answered and every file is where it was said to be. As BR.
// Must never write a `backupmeta` of files that are not there.

import { AbortScope } from '../../core/abort.js';
import { checkMethods, checkWholeNumber } from '../../core/check-option.js';
import { systemClock, systemRandom } from '../../core/clock.js';
import { BackupError } from '../../core/errors.js';
import type { BrInit, BrSchema } from '../../format/br/messages.js';
import { loadBrMessages } from '../../format/br/proto/load.js';
import { tableOfSchema } from '../../format/br/tidb-schema.js';
import type { BackupContainer } from '../../ports/backup-container.js';
import { retrying } from '../../snapshot/backoff.js';
import type { RetryPolicy } from '../../snapshot/backoff.js';
import { findGone } from '../../snapshot/half-snapshot.js';
import type { Access } from '../../snapshot/small-files.js';
import { checkLock, planText, removeLock, takeLock } from '../backup/backup-lock.js';
import type { BackupLock } from '../backup/backup-lock.js';
import { BackupMetaWriter, checkNoBackup, defaultMetaVersion } from '../meta/backup-meta-writer.js';
import type { WrittenBackupMeta } from '../meta/backup-meta-writer.js';
import type { BackupRequest } from './backup-request.js';
import type { BackupStore } from './backup-store.js';
import { gatherBackup } from './gather-backup.js';
import { coalesceBrRanges } from './answered-ranges.js';
import type { GatherOptions, GatheredBackup } from './gather-backup.js';

/** Where `backupmeta` goes, and what of it only the caller knows. */
export interface ClusterBackupMeta {
  /** The place that the request's storage names, as this process reaches it. For this backup alone. */
  readonly container: BackupContainer;
  /** As TiDB or TiKV says it. */
  readonly clusterVersion?: string;
  /** Of what took the backup. Default `tidemark`. */
  readonly brVersion?: string;
  /** Databases and tables, as TiDB's JSON: without them the backup is one of bare keys (`isTxnKv`). */
  readonly schemas?: readonly BrInit<BrSchema>[];
  /** JSON of the DDL jobs that an incremental backup spans, in order. */
  readonly ddls?: readonly Uint8Array[];
  /** As takeBrBackup's. Default: 1 with `schemas`, 0 without. */
  readonly metaVersion?: 0 | 1;
  /** Whether each file must be in the container, with its size, before `backupmeta` names it. Default true: stores that write to their own disks, say, are found out. */
  readonly checkFiles?: boolean;
}

export interface ClusterBackup extends GatheredBackup {
  readonly meta: WrittenBackupMeta;
}

/**
 * gatherBackup, with its errors, and what makes a backup of its files. Besides: INVALID_OPTION for `meta` that cannot be written, FILE_EXISTS when the container holds a backup already, CONTAINER_IN_USE when one is being taken there or was cut off (discardBrBackup removes it),
 * SNAPSHOT_INCOMPLETE for files that are not there; what the container fails with. A backup that fails leaves the lock, and what the stores have stored.
 */
export async function backUpCluster(
  request: BackupRequest,
  stores: readonly BackupStore[],
  options: GatherOptions,
  meta: ClusterBackupMeta,
): Promise<ClusterBackup> {
  const { container, checkFiles = true } = meta;
  await checkMeta(meta);
  using scope = new AbortScope(options.signal);
  const access: Access = { policy: policyOf(options), signal: scope.signal };
  await retrying(access.policy, scope.signal, () => container.create());
  await retrying(access.policy, scope.signal, () => checkNoBackup(container));
  const lock = lockOf(request, access.policy);
  await takeLock(container, lock, access);
  let hasFiles = false;
  const onAnswer: GatherOptions['onAnswer'] = (answer) => {
    if (answer.range !== undefined && answer.range.files.length > 0) hasFiles = true;
    options.onAnswer?.(answer);
  };
  let gathered: GatheredBackup;
  try {
    gathered = await gatherBackup(request, stores, { ...options, signal: scope.signal, onAnswer });
  } catch (error) {
    // Nothing was stored as far as anybody knows: the container is as it was.
    if (!hasFiles && !scope.signal.aborted) await removeLock(container, access);
    throw error;
  }
  if (checkFiles) await checkThere(container, gathered, access);
  await checkLock(container, lock, access);
  const written = await writeMeta(request, gathered, meta, access);
  await removeLock(container, access);
  return { ...gathered, meta: written };
}

/** INVALID_OPTION for what cannot be written: at the door, and not after hours. */
async function checkMeta(meta: ClusterBackupMeta): Promise<void> {
  const { container, clusterVersion, brVersion, schemas = [], ddls, metaVersion = 1 } = meta;
  checkMethods('container', container, 'BackupContainer', ['writeFile', 'readFile', 'listFiles', 'deleteFile']);
  checkWholeNumber('metaVersion', metaVersion, 0, 1);
  const messages = await loadBrMessages();
  messages.encode('BackupMeta', { clusterVersion, brVersion, fileIndex: { ddls } });
  for (const [index, schema] of schemas.entries()) {
    try {
      tableOfSchema(messages.decode('Schema', messages.encode('Schema', schema)));
    } catch (cause) {
      if (!BackupError.is(cause)) throw cause;
      throw new BackupError('INVALID_OPTION', `schemas[${index}] must be TiDB's JSON: ${cause.message}`, { cause });
    }
  }
}

async function checkThere(container: BackupContainer, { files }: GatheredBackup, access: Access): Promise<void> {
  const asListed = files.map(({ name, size }) => ({ name, size: Number(size) }));
  const [first, ...others] = await findGone(container, asListed, access);
  if (first === undefined) return;
  throw new BackupError(
    'SNAPSHOT_INCOMPLETE',
    `${1 + others.length} of ${files.length} files that the stores say they stored are not in ${container.url}, or have another size; the first is ${first.name}. Is it the place that the request names, and one that all stores share?`,
    { container: container.url, file: first.name },
  );
}

async function writeMeta(
  request: BackupRequest,
  { files }: GatheredBackup,
  meta: ClusterBackupMeta,
  { policy, signal }: Access,
): Promise<WrittenBackupMeta> {
  const { container, clusterVersion = '', brVersion = 'tidemark', schemas = [], ddls = [] } = meta;
  const { metaVersion = defaultMetaVersion(schemas) } = meta;
  const { clusterId, ranges, isRawKv, cf, startVersion, endVersion, apiVersion } = request.facts;
  const { cipher } = request;
  const opening = { ...policy, container, version: metaVersion, cipher, signal };
  // Hours of work would be lost to one failure that passes.
  const writer = await retrying(policy, signal, () => BackupMetaWriter.open(opening));
  await writer.addFiles(files);
  for (const schema of schemas) await writer.addSchema(schema);
  for (const job of ddls) await writer.addDdl(job);
  // As takeBrBackup.
  for (const { startKey, endKey } of coalesceBrRanges(ranges)) await writer.addRawRange({ startKey, endKey, cf });
  const isTxnKv = !isRawKv && schemas.length === 0;
  const facts = { clusterId, clusterVersion, brVersion, startVersion, endVersion, isRawKv, isTxnKv, apiVersion };
  return await writer.finish(facts);
}

function policyOf(options: GatherOptions): RetryPolicy {
  const { clock = systemClock, random = systemRandom, maxAttempts = 8 } = options;
  const { retryMinDelay = 1000, retryMaxDelay = 20_000 } = options;
  return { clock, random, maxAttempts, retryMinDelay, retryMaxDelay };
}

function lockOf({ facts, storage, cipher }: BackupRequest, { random }: RetryPolicy): BackupLock {
  const { isRawKv, startVersion, endVersion, ranges, cf, apiVersion } = facts;
  const plan = planText({
    kind: isRawKv ? 'raw' : 'txn',
    startTs: startVersion,
    ranges: ranges.map(({ startKey, endKey }) => ({ begin: startKey, end: endKey })),
    storage: storage.kind,
    // The files are of many stores.
    storeId: 0n,
    cf,
    apiVersion,
    cipher: cipher?.method ?? 'plaintext',
  });
  return { id: random.uid(), run: random.uid(), endTs: endVersion, plan };
}
