// Takes one whole BR backup: the lock first, then the files, asking again for what failed, and `backupmeta` when nothing is missing any more.
// Must never write a `backupmeta` of files that leave a hole, overlap, are gone, or are of another timestamp.

import { AbortScope, abortable } from '../../core/abort.js';
import { BackupError } from '../../core/errors.js';
import type { KeyRange } from '../../core/key-range.js';
import { lingerFor } from '../../core/linger.js';
import type { Version } from '../../core/version.js';
import type { BrMessages } from '../../format/br/message-codec.js';
import type { BrFile } from '../../format/br/messages.js';
import { BACKUP_META_NAME } from '../../format/br/meta-tree.js';
import { loadBrMessages } from '../../format/br/proto/load.js';
import { loadCodec } from '../../format/sst/codecs/load-codec.js';
import { type Pending, askAgain, mostAttempts, rangeErrors } from '../../snapshot/ask-again.js';
import { backOff, isTransient, retrying } from '../../snapshot/backoff.js';
import { byKey, assertCovered, missingRanges } from '../../snapshot/coverage.js';
import { EntryLog } from '../../snapshot/entry-log.js';
import { findGone } from '../../snapshot/half-snapshot.js';
import { type Access, deleteAll, listAll, writeNew } from '../../snapshot/small-files.js';
import { SnapshotVersions } from '../../snapshot/versions.js';
import { checkpointName, encodeCheckpoint, readCheckpoints } from './backup-checkpoint.js';
import { type BackupLock, checkLock, planText, readLock, removeLock, takeLock, takeLockOver } from './backup-lock.js';
import { checkNoBackup } from '../meta/backup-meta-writer.js';
import type { ResolvedBrBackup, TakeBrBackupOptions } from './br-backup-options.js';
import { resolveBrBackup } from './br-backup-options.js';
import { BrEndpoint } from './br-endpoint.js';
import type { BrRangeFailed, BrRangeResponse, BrRangeStored } from './br-range-response.js';
import { writeBackupMeta } from '../meta/write-backup-meta.js';

export interface BrBackupResult {
  readonly startTs: Version;
  /** What a restore of it gives, and an incremental backup that follows has as its startTs. */
  readonly endTs: Version;
  readonly ranges: readonly KeyRange[];
  /** In key order; those of one range together. */
  readonly files: readonly BrFile[];
  /** Of those files, as they are stored. */
  readonly bytes: number;
  readonly rows: number;
  /** Of user keys and values. */
  readonly rowBytes: number;
  /** How many of the files an earlier run had stored. */
  readonly resumedFiles: number;
  /** Hex, of `backupmeta` as it is stored. */
  readonly metaSha256: string;
}

/**
 * Stores the rows of the ranges, all of one timestamp, as the files of a TiKV backup, and then `backupmeta`, which makes them one. The container is for this backup alone: FILE_EXISTS when it holds a backup already, CONTAINER_IN_USE when
 * one is being taken there, or was cut off (see `resume`).
 *
 * Other errors: INVALID_OPTION, also for a `resume` that asks for something else than what was cut off; PACKAGE_MISSING; SNAPSHOT_INCOMPLETE when some ranges could not be stored (its `cause` is an AggregateError with one error for each; what
 * was stored is kept for `resume`), or files of it have gone meanwhile; VERSION_TOO_OLD when the source can no longer read at the timestamp: what was stored is of no use then; ENCRYPTION_KEY_WRONG; what source and container throw when they are
 * asked for a timestamp, and for small files, and go on failing; the signal's reason.
 */
export async function takeBrBackup(options: TakeBrBackupOptions): Promise<BrBackupResult> {
  const resolved = resolveBrBackup(options);
  using scope = new AbortScope(options.signal);
  scope.signal.throwIfAborted();
  const messages = await loadBrMessages();
  // A package that is missing is told before anything is written.
  const { compression = 'zstd', compressionLevel: level } = options;
  await loadCodec(compression, { level });
  return await new BrBackupRun(resolved, messages, scope.signal).run();
}

class BrBackupRun {
  readonly #options: ResolvedBrBackup;
  readonly #messages: BrMessages;
  readonly #signal: AbortSignal;
  readonly #access: Access;
  readonly #answers: BrRangeStored[] = [];
  #totals = { files: 0, bytes: 0, rows: 0, rowBytes: 0 };
  #resumedFiles = 0;

  constructor(options: ResolvedBrBackup, messages: BrMessages, signal: AbortSignal) {
    this.#options = options;
    this.#messages = messages;
    this.#signal = signal;
    this.#access = { policy: options, signal };
  }

  async run(): Promise<BrBackupResult> {
    const { container, asked } = this.#options;
    await this.#calling(() => container.create());
    await this.#calling(() => checkNoBackup(container));
    const before = asked.resume === true ? await readLock(container, this.#access) : undefined;
    return before === undefined ? await this.#begin() : await this.#resume(before);
  }

  async #begin(): Promise<BrBackupResult> {
    const { kind, source, endTs: version } = this.#options.asked;
    const { container, startTs, random } = this.#options;
    const atLeast = kind === 'txn' ? startTs + 1n : 0n;
    const versions = await SnapshotVersions.open({ source, policy: this.#options, atLeast, version }, this.#signal);
    try {
      const lock = { id: random.uid(), run: random.uid(), endTs: versions.current, plan: this.#plan() };
      await takeLock(container, lock, this.#access);
      try {
        return await this.#complete(lock, []);
      } catch (error) {
        // Nothing stored, nothing to go on with: the container is as it was.
        if (this.#answers.length === 0) await lingerFor(this.#withdraw(lock), this.#options.clock);
        throw error;
      }
    } finally {
      await versions.close();
    }
  }

  /** Also after an abort: then once is enough. */
  async #withdraw(lock: BackupLock): Promise<void> {
    const access = { policy: { ...this.#options, maxAttempts: 1 }, signal: new AbortController().signal };
    await checkLock(this.#options.container, lock, access);
    await removeLock(this.#options.container, access);
  }

  async #resume(before: BackupLock): Promise<BrBackupResult> {
    const { container, asked, ranges, random } = this.#options;
    if (before.plan !== this.#plan() || (asked.endTs !== undefined && asked.endTs !== before.endTs))
      throw new BackupError(
        'INVALID_OPTION',
        `resume must ask for what was cut off in ${container.url}: the same kind, startTs, ranges, storage, storeId, cf, apiVersion and cipher method, and endTs ${before.endTs}`,
        { container: container.url, version: before.endTs },
      );
    const lock = { ...before, run: random.uid() };
    await takeLockOver(container, lock, this.#access);
    await this.#dropMetaNodes();
    const { cipher } = asked;
    const of = { backupId: lock.id, ranges, cipher };
    const { answers, entries } = await readCheckpoints(container, this.#messages, of, this.#access);
    for (const answer of answers) this.#count(answer);
    this.#resumedFiles = this.#totals.files;
    return this.#complete(lock, entries);
  }

  /**
   * Of the run that was cut off: beside a `backupmeta` that names no nodes of their kind they would make it look cut. Only once the lock is ours, and there is no `backupmeta` still: whoever writes one from now on finds
   * that the lock is not theirs.
   */
  async #dropMetaNodes(): Promise<void> {
    const { container } = this.#options;
    await this.#calling(() => checkNoBackup(container));
    const nodes = await listAll(container, `${BACKUP_META_NAME}.`, this.#access);
    await deleteAll(
      container,
      nodes.map(({ name }) => name),
      this.#access,
    );
  }

  async #complete(lock: BackupLock, entries: readonly string[]): Promise<BrBackupResult> {
    const { container, ranges, random } = this.#options;
    // Another run may have completed a backup since the first look.
    await this.#calling(() => checkNoBackup(container));
    const log = new EntryLog<BrRangeStored>({
      entries,
      newName: () => checkpointName(lock.id, random.uid()),
      write: (name, answers) => writeNew(container, name, encodeCheckpoint(this.#messages, answers), this.#access),
    });
    let failed: readonly BrRangeFailed[];
    try {
      failed = await this.#requestAll(missingRanges(this.#answers.sort(byKey), ranges), lock.endTs, log);
    } finally {
      await log.settled();
    }
    if (failed.length > 0) {
      // Nor can what the source said before be relied on: nothing goes on from it.
      const isKept = !failed.some(({ error }) => BackupError.is(error, 'ADAPTER_CONTRACT'));
      if (!isKept) await deleteAll(container, log.entries, this.#access);
      throw incomplete(failed, isKept, lock.endTs, this.#options);
    }
    return await this.#publish(lock, log.entries);
  }

  /** Asks for the ranges, and for those that failed again, until none is left that may yet succeed. Returns the others. */
  async #requestAll(
    missing: readonly KeyRange[],
    endTs: Version,
    log: EntryLog<BrRangeStored>,
  ): Promise<BrRangeFailed[]> {
    const { asked, container, batchSize, maxAttempts } = this.#options;
    const { kind, source, startTs, compression, compressionLevel, cipher, storage, cf, apiVersion } = asked;
    const endpoint = new BrEndpoint({ ...asked, ...(kind === 'txn' ? { txn: source } : { raw: source }) });
    const file = { compression, compressionLevel, cipher, storage, cf, apiVersion };
    const givenUp: BrRangeFailed[] = [];
    let pending: Pending[] = missing.map((range) => ({ range, attempts: 0 }));
    for (let isFirst = true; pending.length > 0; isFirst = false) {
      const failed: BrRangeFailed[] = [];
      const responses = endpoint.request({
        ...file,
        kind,
        container,
        startTs,
        endTs,
        ranges: pending.map(({ range }) => range),
        // Fine grain: what failed once is not to take its neighbours along.
        batchSize: isFirst ? batchSize : 1,
        signal: this.#signal,
      });
      for await (const response of responses) this.#take(response, failed, log);
      pending = askAgain(failed, pending, { maxAttempts, isWorthIt }, givenUp);
      if (pending.length > 0) await backOff(this.#options, mostAttempts(pending), this.#signal);
    }
    return givenUp;
  }

  #take(response: BrRangeResponse, failed: BrRangeFailed[], log: EntryLog<BrRangeStored>): void {
    const { asked } = this.#options;
    if (response.files === undefined) failed.push(response);
    else {
      this.#count(response);
      log.add(response);
    }
    asked.onResponse?.(response);
    const { files, bytes, rows } = this.#totals;
    asked.onProgress?.({ files, bytes, rows, retrying: failed.length });
  }

  #count(answer: BrRangeStored): void {
    this.#answers.push(answer);
    for (const file of answer.files) {
      this.#totals = {
        files: this.#totals.files + 1,
        bytes: this.#totals.bytes + Number(file.size),
        rows: this.#totals.rows + Number(file.totalKvs),
        rowBytes: this.#totals.rowBytes + Number(file.totalBytes),
      };
    }
  }

  async #publish(lock: BackupLock, entries: readonly string[]): Promise<BrBackupResult> {
    const { container, ranges, startTs } = this.#options;
    const { endTs } = lock;
    const answers = this.#answers.sort(byKey);
    assertCovered(answers, ranges);
    const files = answers.flatMap((answer) => answer.files);
    await this.#checkThere(files);
    await checkLock(container, lock, this.#access);
    const { bytes, rows, rowBytes } = this.#totals;
    const result = `${files.length} files with ${rows} rows, stored by run ${lock.run}`;
    const { sha256: metaSha256 } = await writeBackupMeta(this.#options, { endTs, files, result }, this.#signal);
    try {
      // Whoever has taken over since the last look may have replaced, or removed, what the meta data names.
      await checkLock(container, lock, this.#access);
    } catch (error) {
      if (BackupError.is(error, 'CONTAINER_IN_USE')) await deleteAll(container, [BACKUP_META_NAME], this.#access);
      throw error;
    }
    await deleteAll(container, entries, this.#access);
    await removeLock(container, this.#access);
    return { startTs, endTs, ranges, files, bytes, rows, rowBytes, resumedFiles: this.#resumedFiles, metaSha256 };
  }

  /** Hours may have passed since a file was stored. */
  async #checkThere(files: readonly BrFile[]): Promise<void> {
    const { container } = this.#options;
    const asListed = files.map(({ name, size }) => ({ name, size: Number(size) }));
    const [first, ...others] = await findGone(container, asListed, this.#access);
    if (first === undefined) return;
    throw new BackupError(
      'SNAPSHOT_INCOMPLETE',
      `${1 + others.length} files of the backup are gone or cut since they were stored, the first is ${first.name}: go on with it (resume: true), and only what is missing is scanned`,
      { container: container.url, file: first.name, retryable: true },
    );
  }

  #calling<T>(body: () => Promise<T>): Promise<T> {
    return retrying(this.#options, this.#signal, () => abortable(body(), this.#signal));
  }

  #plan(): string {
    const { asked, startTs, ranges, storeId } = this.#options;
    const { kind, storage = 'local', cf = 'default', apiVersion = 'v1', cipher } = asked;
    return planText({ kind, startTs, ranges, storage, storeId, cf, apiVersion, cipher: cipher?.method ?? 'plaintext' });
  }
}

/** At the backup's one timestamp a version that is too old stays too old. */
function isWorthIt(error: unknown): boolean {
  return isTransient(error) && !BackupError.is(error, 'VERSION_TOO_OLD');
}

function incomplete(
  failed: readonly BrRangeFailed[],
  isKept: boolean,
  endTs: Version,
  { container }: ResolvedBrBackup,
): BackupError {
  const errors = rangeErrors(failed);
  const cause = new AggregateError(errors, 'the ranges that could not be stored');
  const what = `${failed.length} ranges of the backup could not be stored, the first is ${errors[0].message}`;
  const facts = { container: container.url, version: endTs, cause };
  if (failed.some(({ error }) => BackupError.is(error, 'VERSION_TOO_OLD')))
    return new BackupError(
      'VERSION_TOO_OLD',
      `${what}. The source can no longer read at ${endTs}, and a BR backup is of one timestamp: what was stored is of no use, discardBrBackup removes it. Take another one, and keep the source from forgetting its timestamp`,
      facts,
    );
  const retryable = failed.every(({ error }) => isTransient(error));
  return new BackupError(
    'SNAPSHOT_INCOMPLETE',
    `${what}. ${isKept ? 'What was stored is kept: go on with it (resume: true), and only what is missing is scanned' : 'The source breaks its contract: nothing of it is used'}`,
    { ...facts, retryable },
  );
}
