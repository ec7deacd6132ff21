// Decodes log files whole, to find the ones that a restore would refuse.

import type { Clock } from '../core/clock.js';
import { BackupError } from '../core/errors.js';
import type { BackupContainer } from '../ports/backup-container.js';
import type { CatalogListing } from './catalog.js';
import { listCatalog } from './catalog.js';
import type { LogFile } from './description.js';
import { SumsReader } from './log-sums.js';
import { TimeSlices } from './time-slices.js';
import { logDecoder, scanFile } from './verify-data-file.js';
import { isDamage } from './verify-read.js';

export interface VerifyOptions {
  readonly signal: AbortSignal | undefined;
  readonly clock: Clock;
  readonly onProgress: ((progress: { readonly files: number; readonly bytes: number }) => void) | undefined;
}

/** So often a container is listed again when files went while they were read. */
const MAX_LISTINGS = 6;

/**
 * The last of the listings, whose log files have all been read, and what is wrong with which of them. Compaction and expiry delete files beside it: then the container is listed again, and what has
 * come instead is read. What is wrong with the bytes of a file is found; errors of the container are thrown, FILE_NOT_FOUND if files go on going. One run of blocks is in memory at a time.
 */
export async function verifyLogFiles(
  container: BackupContainer,
  first: CatalogListing,
  options: VerifyOptions,
): Promise<{ readonly listing: CatalogListing; readonly corrupt: ReadonlyMap<LogFile, BackupError> }> {
  const read = new FilesRead(container, options);
  let listing = first;
  for (let listings = 1; ; listings++) {
    const gone = await read.readAll(listing.logFiles);
    if (gone === undefined) return { listing, corrupt: read.damageOf(listing.logFiles) };
    if (listings === MAX_LISTINGS) throw gone;
    listing = await listCatalog(container, options.signal);
  }
}

class FilesRead {
  readonly #container: BackupContainer;
  readonly #options: VerifyOptions;
  readonly #slices: TimeSlices;
  /** By name; undefined: nothing is wrong with it. */
  readonly #outcomes = new Map<string, BackupError | undefined>();
  #bytes = 0;

  constructor(container: BackupContainer, options: VerifyOptions) {
    this.#container = container;
    this.#options = options;
    this.#slices = new TimeSlices(options.clock);
  }

  /** Those that were not read yet. The error of one that was gone, if one was. */
  async readAll(files: readonly LogFile[]): Promise<BackupError | undefined> {
    let gone: BackupError | undefined;
    for (const file of files) {
      if (this.#outcomes.has(file.name)) continue;
      try {
        await verifyLogFile(this.#container, file, this.#slices, this.#options.signal);
        this.#outcomes.set(file.name, undefined);
      } catch (error) {
        if (isDamage(error)) this.#outcomes.set(file.name, error);
        else if (BackupError.is(error, 'FILE_NOT_FOUND')) gone ??= error;
        else throw error;
      }
      this.#bytes += file.size;
      this.#options.onProgress?.({ files: this.#outcomes.size, bytes: this.#bytes });
    }
    return gone;
  }

  damageOf(files: readonly LogFile[]): Map<LogFile, BackupError> {
    const damage = new Map<LogFile, BackupError>();
    for (const file of files) {
      const error = this.#outcomes.get(file.name);
      if (error !== undefined) damage.set(file, error);
    }
    return damage;
  }
}

async function verifyLogFile(
  container: BackupContainer,
  file: LogFile,
  slices: TimeSlices,
  signal: AbortSignal | undefined,
): Promise<void> {
  const recorded = await new SumsReader(container, signal).forFile(file.name);
  const decoder = logDecoder(file, slices);
  const { problems } = await scanFile({ container, file, decoder, recorded, signal, onBytes: () => undefined });
  const [problem] = problems;
  if (problem !== undefined)
    throw new BackupError(problem.code, problem.message, { file: file.name, offset: problem.offset });
  // Cut between two records, or to nothing: every byte that is left is sound.
  if (recorded !== undefined && recorded.size !== file.size) {
    throw new BackupError(
      'CHECKSUM_MISMATCH',
      `${file.name} has ${file.size} bytes, and ${recorded.size} were written`,
      {
        file: file.name,
        offset: Math.min(recorded.size, file.size),
      },
    );
  }
}
