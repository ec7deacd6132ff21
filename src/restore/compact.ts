// Log compaction: many small log files become few. Readers see the old files, or both, or the new one; whichever they see restores to the same rows. docs/care.md tells the order of effects.

import { BufferPool } from '../core/buffer-pool.js';
import { checkVersion } from '../core/check-version.js';
import type { Clock, Random } from '../core/clock.js';
import { systemClock, systemRandom } from '../core/clock.js';
import type { BackupErrorCode } from '../core/errors.js';
import { BackupError } from '../core/errors.js';
import type { Version } from '../core/version.js';
import { maxVersion } from '../core/version.js';
import type { FileSums } from '../format/fdb/file-sums.js';
import { sumsFileName } from '../format/fdb/file-sums.js';
import { DEFAULT_BLOCK_SIZE, MAX_BLOCK_SIZE } from '../format/fdb/names.js';
import type { BackupContainer } from '../ports/backup-container.js';
import { listingLagOf } from '../ports/listing-lag.js';
import { listCatalog } from './catalog.js';
import { agreeingRecords } from './compact-merge.js';
import type { CompactGroup } from './compact-plan.js';
import { planCompaction } from './compact-plan.js';
import { writeMergedFile } from './compact-write.js';
import type { LogFile } from './description.js';
import { SumsReader } from './log-sums.js';
import { TimeSlices } from './time-slices.js';
import { SteadyContainer } from './verify-steady-container.js';
import { checkConcurrency, inParallel } from './verify-in-parallel.js';
import { isDamage } from './verify-read.js';
import { keyMissing } from './readable.js';

export interface CompactOptions {
  /** Merged files are about this large at most, in bytes. Default 64 MiB. */
  readonly targetBytes?: number | undefined;
  /** Exclusive: only files that end at or below it are merged. Default: all but the newest. */
  readonly before?: Version | undefined;
  /** Fewer files than this in a row are left as they are, 2 at least. Default 4. */
  readonly minFiles?: number | undefined;
  /** The newest files of each tag that are left to the worker that writes there. Default 2. */
  readonly keepNewest?: number | undefined;
  /** Bytes of a merged file's blocks. Files with larger blocks are left as they are. Default 1 MiB. */
  readonly blockSize?: number | undefined;
  /** Between listing the new files and deleting the old ones, in ms: longer than a reader takes to list the container, so that none misses both, and than listings lag. Default 10,000, and what the container says that its listings lag. */
  readonly graceMs?: number | undefined;
  /** Tags' files that are merged at a time, 1 to 256, and files deleted at a time. Default 4. */
  readonly concurrency?: number | undefined;
  /** Aborting leaves files that lie within merged ones, at worst; the same call goes on. */
  readonly signal?: AbortSignal | undefined;
  readonly clock?: Clock | undefined;
  readonly random?: Random | undefined;
  /** Called after each merged or skipped run of files, and after each deletion. */
  readonly onProgress?: ((progress: CompactProgress) => void) | undefined;
}

export interface CompactProgress {
  readonly groups: number;
  readonly groupsTotal: number;
  readonly removed: number;
}

export interface SkippedGroup {
  /** Names of the files that stay as they are. */
  readonly files: readonly string[];
  readonly code: BackupErrorCode | 'WOULD_SHRINK';
  /** For people: which file, where, what. */
  readonly reason: string;
}

export interface CompactResult {
  /** Names of the files that were made. */
  readonly merged: readonly string[];
  /** Files that were removed. */
  readonly removed: number;
  /** Bytes of the log before and after. */
  readonly bytesBefore: number;
  readonly bytesAfter: number;
  /** What could not be merged because its files are damaged or contradict each other, or would not have become larger. */
  readonly skipped: readonly SkippedGroup[];
}

/**
 * Throws INVALID_OPTION; FILE_NOT_FOUND if there is no container; ENCRYPTION_KEY_MISSING if its files cannot be read; ADAPTER_CONTRACT if the container does not give back what was written
 * (the old files then stay); the signal's reason; what the container throws. Whatever it throws, nothing is lost, and the same call goes on.
 */
export async function compactLogs(outer: BackupContainer, options: CompactOptions = {}): Promise<CompactResult> {
  const plan = checkOptions(options);
  const { signal, clock = systemClock, random = systemRandom } = options;
  const concurrency = checkConcurrency(options.concurrency);
  const container = new SteadyContainer(outer, signal, clock);
  const graceMs = plan.graceMs ?? DEFAULT_GRACE_MS + listingLagOf(container);
  const { logFiles, properties } = await listCatalog(container, signal);
  if (properties.encryption.enabled && !container.decrypts) throw keyMissing(container.url);
  const unreliableEnd = maxVersion(properties.unreliableEnd ?? 0n, properties.expiredEnd ?? 0n);
  const groups = planCompaction(logFiles, { ...plan, unreliableEnd });
  const run = new Compaction(container, { ...options, clock, random }, plan.blockSize, groups.length);
  await inParallel(groups, concurrency, signal, (group) => run.merge(group));
  // Also when the new files were there already: another compaction may have finished them a moment ago.
  if (run.obsolete.length > 0 && graceMs > 0) await clock.sleep(graceMs, signal);
  await inParallel(run.obsolete, concurrency, signal, (file) => run.remove(file));
  return run.result(logFiles.reduce((sum, { size }) => sum + size, 0));
}

/** For a reader that lists while the new file is finished. */
const DEFAULT_GRACE_MS = 10_000;

function checkOptions(options: CompactOptions) {
  if (options.before !== undefined) checkVersion(options.before, 'before');
  const whole = (
    name: 'targetBytes' | 'minFiles' | 'keepNewest' | 'blockSize' | 'graceMs',
    least: number,
    otherwise: number,
  ) => {
    const value = options[name] ?? otherwise;
    if (Number.isSafeInteger(value) && value >= least) return value;
    throw new BackupError('INVALID_OPTION', `${name} must be a whole number >= ${least}, got ${String(value)}`);
  };
  const blockSize = whole('blockSize', 512, DEFAULT_BLOCK_SIZE);
  if (blockSize > MAX_BLOCK_SIZE)
    throw new BackupError('INVALID_OPTION', `blockSize must be at most ${MAX_BLOCK_SIZE}, got ${blockSize}`);
  return {
    targetBytes: whole('targetBytes', 1, 64 << 20),
    minFiles: whole('minFiles', 2, 4),
    keepNewest: whole('keepNewest', 0, 2),
    graceMs: options.graceMs === undefined ? undefined : whole('graceMs', 0, 0),
    blockSize,
    before: options.before,
  };
}

class Compaction {
  /** What is not needed any more. */
  readonly obsolete: LogFile[] = [];
  readonly #container: BackupContainer;
  readonly #options: CompactOptions & { readonly clock: Clock; readonly random: Random };
  readonly #blockSize: number;
  readonly #groupsTotal: number;
  readonly #sums: SumsReader;
  readonly #pool = new BufferPool();
  readonly #merged: LogFile[] = [];
  readonly #skipped: SkippedGroup[] = [];
  #groups = 0;
  #removed = 0;
  #removedBytes = 0;

  constructor(
    container: BackupContainer,
    options: CompactOptions & { readonly clock: Clock; readonly random: Random },
    blockSize: number,
    groupsTotal: number,
  ) {
    this.#container = container;
    this.#options = options;
    this.#blockSize = blockSize;
    this.#groupsTotal = groupsTotal;
    this.#sums = new SumsReader(container, options.signal);
  }

  /** Makes sure that one file holds all that the group's files hold. What is wrong with the files is noted; only the container's own failures are thrown. */
  async merge(group: CompactGroup): Promise<void> {
    try {
      const kept = await this.#mergeOrCompare(group);
      if (kept === undefined) {
        this.#skip(
          group,
          'WOULD_SHRINK',
          `one of its parts is larger than all of [${group.begin}, ${group.end}) together`,
        );
      } else {
        this.obsolete.push(...group.files.filter((file) => file !== kept));
      }
    } catch (error) {
      // Deleted meanwhile: another compaction, or an expiry, was faster.
      if (!isDamage(error) && !BackupError.is(error, 'FILE_NOT_FOUND')) throw error;
      this.#skip(group, error.code, error.message);
    }
    this.#groups++;
    this.#report();
  }

  async #mergeOrCompare(group: CompactGroup): Promise<LogFile | undefined> {
    const { clock, random, signal } = this.#options;
    const container = this.#container;
    const slices = new TimeSlices(clock);
    const sumsOf = (file: LogFile): Promise<FileSums | undefined> => this.#sums.forFile(file.name);
    const records = agreeingRecords({ container, files: group.files, sumsOf, slices, signal });
    if (group.covering !== undefined) {
      // Nothing is written: that they agree is all that was to be known.
      for (let next = await records.next(); next.done !== true;) next = await records.next();
      return group.covering;
    }
    const merged = await writeMergedFile(group, records, {
      container,
      blockSize: this.#blockSize,
      pool: this.#pool,
      random,
      slices,
    });
    if (merged !== undefined) this.#merged.push(merged);
    return merged;
  }

  /** The file before its checksums: a listed file never misses them. */
  async remove(file: LogFile): Promise<void> {
    await this.#container.deleteFile(file.name);
    await this.#container.deleteFile(sumsFileName(file.name));
    this.#removed++;
    this.#removedBytes += file.size;
    this.#report();
  }

  result(bytesBefore: number): CompactResult {
    const written = this.#merged.reduce((sum, { size }) => sum + size, 0);
    return {
      merged: this.#merged.map(({ name }) => name),
      removed: this.#removed,
      bytesBefore,
      bytesAfter: bytesBefore + written - this.#removedBytes,
      skipped: this.#skipped,
    };
  }

  #skip(group: CompactGroup, code: SkippedGroup['code'], reason: string): void {
    this.#skipped.push({ files: group.files.map(({ name }) => name), code, reason });
  }

  #report(): void {
    this.#options.onProgress?.({ groups: this.#groups, groupsTotal: this.#groupsTotal, removed: this.#removed });
  }
}
