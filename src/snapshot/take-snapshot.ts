// Takes one whole snapshot: asks the endpoint for what is missing, asks again for what failed, and writes the manifest when nothing is missing any more.
// Must never write a manifest of files that leave a hole, overlap, or lie below the version that was asked for.

import { AbortScope, abortable } from '../core/abort.js';
import { BackupError, assert } from '../core/errors.js';
import type { KeyRange } from '../core/key-range.js';
import type { Version } from '../core/version.js';
import { maxVersion } from '../core/version.js';
import { MAX_PROPERTY_BYTES, PROPERTY, parseEncryptionMetadata } from '../format/fdb/properties.js';
import { snapshotPartName } from '../format/fdb/snapshot-part.js';
import type { RangeFileSums } from '../format/fdb/snapshot-sums.js';
import { encodeSnapshotSums } from '../format/fdb/snapshot-sums.js';
import type { BackupContainer } from '../ports/backup-container.js';
import { findOrphans } from './abandoned.js';
import { type Pending, askAgain, mostAttempts, rangeErrors } from './ask-again.js';
import { backOff, isTransient, retrying } from './backoff.js';
import { missingRanges } from './coverage.js';
import { SnapshotEndpoint } from './endpoint.js';
import { EntryLog } from './entry-log.js';
import type { HalfSnapshot } from './half-snapshot.js';
import {
  beginHalfSnapshot,
  expiredVersion,
  findGone,
  findResumable,
  isShared,
  joinHalfSnapshot,
  readHalfSnapshots,
  readStoredFiles,
} from './half-snapshot.js';
import { WholeSnapshot } from './publish.js';
import type { RangeFailed, RangeResponse } from './range-response.js';
import type { ResolvedSnapshot, TakeSnapshotOptions } from './snapshot-options.js';
import { resolveSnapshot } from './snapshot-options.js';
import { type Access, deleteAll, readWhole, writeNew } from './small-files.js';
import { SnapshotVersions } from './versions.js';

export interface SnapshotResult {
  /** Of its manifest. */
  readonly name: string;
  /** Both inclusive: the smallest and largest version of its files. It serves restores to endVersion and above, with the log from beginVersion on. */
  readonly beginVersion: Version;
  readonly endVersion: Version;
  readonly ranges: readonly KeyRange[];
  /** In key order. */
  readonly files: readonly RangeFileSums[];
  /** Of the range files. */
  readonly bytes: number;
  readonly rows: number;
  /** Keys and values. */
  readonly rowBytes: number;
  /** How many of the files an earlier run had stored: 0 for a snapshot that was not resumed. */
  readonly resumedFiles: number;
  /** False: the container had a snapshot of the same ranges, versions and size already, as it happens with a database that stands still. That one is `name`; `files` were deleted. */
  readonly isNew: boolean;
}

/**
 * Stores all rows of the ranges and then the manifest. Goes on from a snapshot of the same ranges that was cut off, if there is one that is not too old. One at a time for a container.
 *
 * Errors: INVALID_OPTION; ENCRYPTION_KEY_MISSING when the container is encrypted and was opened without its key; SNAPSHOT_INCOMPLETE when some ranges could not be stored (its `cause` is an AggregateError with one error for each; what was stored is kept for the next call, unless the source broke its contract), when files of it have
 * gone meanwhile, or when an expiry has passed the version at which it was begun; FILE_EXISTS when a snapshot of other ranges has its versions and size; what source and container throw when they are asked for a version, or for
 * small files, and go on failing; the signal's reason.
 */
export async function takeSnapshot(options: TakeSnapshotOptions): Promise<SnapshotResult> {
  const resolved = resolveSnapshot(options);
  using scope = new AbortScope(resolved.signal);
  return await new SnapshotRun(resolved, scope.signal).run();
}

class SnapshotRun {
  readonly #options: ResolvedSnapshot;
  readonly #signal: AbortSignal;
  readonly #access: Access;
  readonly #files: RangeFileSums[] = [];
  #totals = { files: 0, bytes: 0, rows: 0 };
  #resumedFiles = 0;

  constructor(options: ResolvedSnapshot, signal: AbortSignal) {
    this.#options = options;
    this.#signal = signal;
    this.#access = { policy: options, signal };
  }

  async run(): Promise<SnapshotResult> {
    const { container, ranges } = this.#options;
    await retrying(this.#options, this.#signal, () => abortable(container.create(), this.#signal));
    await checkKey(container, this.#access);
    const halves = await this.#halfSnapshots();
    const resumed = this.#options.resume ? await this.#resume(halves) : undefined;
    const missing = missingRanges(this.#files, ranges);
    const entries = missing.length === 0 ? (resumed?.entries ?? []) : await this.#store(resumed, missing);
    return this.#publish(entries);
  }

  /** Without those whose first entry is gone: they were completed or given up, only their other entries could not be removed any more. */
  async #halfSnapshots(): Promise<HalfSnapshot[]> {
    const { container } = this.#options;
    const halves = await readHalfSnapshots(container, this.#access);
    if (!halves.some(isOver)) return halves;
    // Unless it is only that the listing lags, and does not show the first entry yet.
    await this.#options.clock.sleep(this.#options.listingLag, this.#signal);
    const settled = await readHalfSnapshots(container, this.#access);
    for (const { entries } of settled.filter(isOver)) await deleteAll(container, entries, this.#access);
    return settled.filter((half) => !isOver(half));
  }

  /** Finds one to go on with, and takes over its files. */
  async #resume(halves: readonly HalfSnapshot[]): Promise<HalfSnapshot | undefined> {
    const { container } = this.#options;
    for (let left = halves; ;) {
      const found = await findResumable(left, this.#options, this.#access);
      if (found === undefined) return undefined;
      left = left.filter((other) => other !== found);
      const half = await joinHalfSnapshot(this.#options, found, this.#access);
      if (half === undefined) continue;
      const files = await readStoredFiles(this.#options, half, this.#access);
      if (missingRanges(files, this.#options.ranges).length > 0 || !(await this.#isComplete(files))) {
        for (const file of files) this.#count(file);
        this.#resumedFiles = files.length;
        return half;
      }
      // It was completed, and then its entries could not be removed any more: not the snapshot that is asked for now.
      await deleteAll(container, half.entries, this.#access);
    }
  }

  #isComplete(files: readonly RangeFileSums[]): Promise<boolean> {
    return new WholeSnapshot(files, this.#options.ranges).isPublished(this.#options.container, this.#access);
  }

  /** Stores what is missing; returns the names of the entries that are to be removed in the end. */
  async #store(resumed: HalfSnapshot | undefined, missing: readonly KeyRange[]): Promise<readonly string[]> {
    const { container, source, version, random } = this.#options;
    const atLeast = maxVersion(this.#options.atLeast, resumed?.snapshotBegin ?? 0n);
    const versions = await SnapshotVersions.open({ source, policy: this.#options, atLeast, version }, this.#signal);
    try {
      const half = resumed ?? (await beginHalfSnapshot(this.#options, versions.current, this.#access));
      const parts = new EntryLog<RangeFileSums>({
        entries: half.entries,
        newName: () => snapshotPartName({ snapshotBegin: half.snapshotBegin, id: half.id, uid: random.uid() }),
        write: (name, files) => writeNew(container, name, encodeSnapshotSums({ files }), this.#access),
      });
      let failed: readonly RangeFailed[];
      try {
        failed = await this.#requestAll(missing, half, versions, parts);
      } finally {
        await parts.settled();
      }
      if (failed.length === 0) return parts.entries;
      // Nor can what the source said before be relied on: nothing goes on from it.
      const isKept = !failed.some(({ error }) => BackupError.is(error, 'ADAPTER_CONTRACT'));
      if (!isKept) await deleteAll(container, parts.entries, this.#access);
      throw incomplete(failed, isKept, this.#options);
    } finally {
      await versions.close();
    }
  }

  /** Asks for the ranges, and for those that failed again, until none is left that may yet succeed. Returns the others. */
  async #requestAll(
    missing: readonly KeyRange[],
    half: HalfSnapshot,
    versions: SnapshotVersions,
    parts: EntryLog<RangeFileSums>,
  ): Promise<RangeFailed[]> {
    const { container, batchSize, maxAttempts } = this.#options;
    const endpoint = new SnapshotEndpoint(this.#options);
    const givenUp: RangeFailed[] = [];
    let pending: Pending[] = missing.map((range) => ({ range, attempts: 0 }));
    for (let isFirst = true; ; isFirst = false) {
      const failed: RangeFailed[] = [];
      const responses = endpoint.request({
        container,
        versions,
        ranges: pending.map(({ range }) => range),
        snapshotBegin: half.snapshotBegin,
        firstFile: this.#totals.files,
        // Fine grain: what failed once is not to take its neighbours along.
        batchSize: isFirst ? batchSize : 1,
        signal: this.#signal,
      });
      for await (const response of responses) this.#take(response, failed, parts, versions);
      pending = askAgain(failed, pending, { maxAttempts }, givenUp);
      if (pending.length === 0) return givenUp;
      await backOff(this.#options, mostAttempts(pending), this.#signal);
    }
  }

  #take(
    response: RangeResponse,
    failed: RangeFailed[],
    parts: EntryLog<RangeFileSums>,
    versions: SnapshotVersions,
  ): void {
    if (response.file === undefined) failed.push(response);
    else {
      this.#count(response.file);
      parts.add(response.file);
    }
    this.#options.onResponse?.(response);
    this.#options.onProgress?.({ ...this.#totals, retrying: failed.length, version: versions.current });
  }

  #count(file: RangeFileSums): void {
    this.#files.push(file);
    this.#totals = {
      files: this.#totals.files + 1,
      bytes: this.#totals.bytes + file.size,
      rows: this.#totals.rows + file.rows,
    };
  }

  async #publish(entries: readonly string[]): Promise<SnapshotResult> {
    const { container, ranges } = this.#options;
    const whole = new WholeSnapshot(this.#files, ranges);
    assert(whole.descriptor.beginVersion >= this.#options.atLeast, 'no row was read below the version asked for');
    await this.#refuseExpired(whole);
    await this.#checkThere(whole);
    const needed = await whole.publish(container, this.#access);
    // What an earlier run has stored may be in another snapshot by now: it is left to whoever looks for orphans.
    const own = this.#files.slice(this.#resumedFiles).map(({ name }) => name);
    const superfluous = own.filter((name) => !needed.has(name));
    const isNew = whole.files.every(({ name }) => needed.has(name));
    // An expiry that came in between has set its mark before it deleted anything.
    if (isNew) await this.#refuseExpired(whole, () => deleteAll(container, [whole.name], this.#access));
    await deleteAll(container, entries, this.#access);
    await this.#clearAway(superfluous, entries);
    const { beginVersion, endVersion } = whole.descriptor;
    const rowBytes = whole.files.reduce((sum, file) => sum + file.rowBytes, 0);
    const { bytes, rows } = this.#totals;
    const resumedFiles = this.#resumedFiles;
    const { name, files } = whole;
    return { name, beginVersion, endVersion, ranges, files, bytes, rows, rowBytes, resumedFiles, isNew };
  }

  /** Another process may have gone on with this snapshot meanwhile: then it has entries, or a manifest that names these files. The rest is left to whoever looks for orphans. */
  async #clearAway(superfluous: readonly string[], entries: readonly string[]): Promise<void> {
    const { container, listingLag } = this.#options;
    if (superfluous.length === 0) return;
    try {
      const orphans = await findOrphans(container, this.#access, { keepSince: -Infinity, listingLag });
      const names = new Set(orphans.map(({ name }) => name));
      // Nobody can have joined since its first entry has gone; by now a listing shows those who had.
      if (await isShared(container, entries, this.#access)) return;
      await deleteAll(
        container,
        superfluous.filter((name) => names.has(name)),
        this.#access,
      );
    } catch (error) {
      // Some manifest is damaged: nobody knows what it names.
      if (!BackupError.is(error, 'CORRUPT_FILE')) throw error;
    }
  }

  /** Hours may have passed since a file was stored, and others clear away what they think is left over. */
  async #checkThere({ files }: WholeSnapshot): Promise<void> {
    const { container } = this.#options;
    const gone = await findGone(container, files, this.#access);
    const [first] = gone;
    if (first === undefined) return;
    throw new BackupError(
      'SNAPSHOT_INCOMPLETE',
      `${gone.length} files of the snapshot are gone or cut since they were stored, the first is ${first.name}: take it again, and only what is missing is scanned`,
      { container: container.url, file: first.name, retryable: true },
    );
  }

  /** Files below an expiry's mark are gone, or about to go. */
  async #refuseExpired(whole: WholeSnapshot, withdraw?: () => Promise<void>): Promise<void> {
    const { container } = this.#options;
    const expired = await expiredVersion(container, this.#access);
    if (whole.snapshotBegin >= expired) return;
    await withdraw?.();
    throw new BackupError(
      'SNAPSHOT_INCOMPLETE',
      `versions below ${expired} were expired while a snapshot was taken that begins at ${whole.snapshotBegin}: take another one`,
      { container: container.url, version: whole.snapshotBegin, retryable: true },
    );
  }
}

/** It was completed or given up: its first entry goes first. */
function isOver({ startedAt }: HalfSnapshot): boolean {
  return startedAt === undefined;
}

/** Files that are not encrypted, between others that are, would be read by nobody. */
async function checkKey(container: BackupContainer, access: Access): Promise<void> {
  if (container.decrypts === true) return;
  const bytes = await readWhole(container, PROPERTY.encryptionMetadata, MAX_PROPERTY_BYTES, access);
  if (bytes === undefined || !parseEncryptionMetadata(bytes).enabled) return;
  throw new BackupError(
    'ENCRYPTION_KEY_MISSING',
    `${container.url} is encrypted, and was opened without its key: openEncryptedContainer of tidemark/container/encrypted opens it`,
    {
      container: container.url,
    },
  );
}

function incomplete(failed: readonly RangeFailed[], isKept: boolean, { container }: ResolvedSnapshot): BackupError {
  const errors = rangeErrors(failed);
  const first = errors[0].message;
  return new BackupError(
    'SNAPSHOT_INCOMPLETE',
    `${failed.length} ranges of the snapshot could not be stored, the first is ${first}. ${isKept ? 'What was stored is kept: take it again, and only what is missing is scanned' : 'The source breaks its contract: nothing of it is used'}`,
    {
      container: container.url,
      retryable: failed.every(({ error }) => isTransient(error)),
      cause: new AggregateError(errors, 'the ranges that could not be stored'),
    },
  );
}
