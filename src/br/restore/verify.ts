// verifyBrBackup: is everything there that a TiKV backup says it has, and is it what was written? It never writes, and damage is never thrown but reported.

import { checkMethods, checkWholeNumber } from '../../core/check-option.js';
import type { Clock } from '../../core/clock.js';
import { systemClock } from '../../core/clock.js';
import { BackupError } from '../../core/errors.js';
import type { BrCipher } from '../../format/br/messages.js';
import { parseBrFileName } from '../../format/br/file-name.js';
import type { BackupContainer } from '../../ports/backup-container.js';
import { checkedContainer } from '../../ports/checked-container.js';
import { PatientReads } from '../../restore/patient-reads.js';
import { TimeSlices } from '../../restore/time-slices.js';
import { checkConcurrency, inParallel } from '../../restore/verify-in-parallel.js';
import type { VerifyProblemKind } from '../../restore/verify-report.js';
import { ProblemCollector } from '../../restore/verify-report.js';
import type { BrChain, LoadedLink } from './chain.js';
import { resolveLink } from './chain.js';
import { hasRowChecksum } from './cursor.js';
import { FileOpener } from './files.js';
import { loadLink } from './links.js';
import type { PlannedFile } from './plan.js';
import { planFile } from './plan.js';
import { BrReads } from './reads.js';
import { verifyRows } from './verify-rows.js';
import type { BrVerifyProgress, BrVerifyReport } from './verify-report.js';
import { overlapProblems } from './verify-ranges.js';
import { tableProblems } from './verify-tables.js';

export interface VerifyBrOptions {
  /** Holds the backup's `backupmeta` and its files. */
  readonly container: BackupContainer;
  /** What the backup was encrypted with. Shown nowhere. */
  readonly cipher?: BrCipher | undefined;
  /** Files read at a time, 1 to 256. Default 4. */
  readonly concurrency?: number | undefined;
  /** Bytes read at a time. Default 1 MiB. */
  readonly readBytes?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly clock?: Clock | undefined;
  /** Called after each file that was read. Must not throw. */
  readonly onProgress?: ((progress: BrVerifyProgress) => void) | undefined;
}

const MAX_READ_BYTES = 1 << 28;
const READS_OF_A_FILE = 3;

/**
 * Throws INVALID_OPTION; FILE_NOT_FOUND if there is no `backupmeta`; ENCRYPTION_KEY_MISSING, ENCRYPTION_KEY_WRONG; UNSUPPORTED_FORMAT for a kind of backup that this release does not read; PACKAGE_MISSING; the signal's reason; what
 * the container throws when it does not answer. Never for damage.
 */
export async function verifyBrBackup(options: VerifyBrOptions): Promise<BrVerifyReport> {
  checkMethods('container', options.container, 'BackupContainer', ['readFile', 'listFiles']);
  const { clock = systemClock, signal, readBytes = 1 << 20 } = options;
  const concurrency = checkConcurrency(options.concurrency);
  checkWholeNumber('readBytes', readBytes, 1, MAX_READ_BYTES);
  return new BrVerification(options, { clock, signal, concurrency, readBytes }).run();
}

interface Settings {
  readonly clock: Clock;
  readonly signal: AbortSignal | undefined;
  readonly concurrency: number;
  readonly readBytes: number;
}

class BrVerification {
  readonly #options: VerifyBrOptions;
  readonly #settings: Settings;
  readonly #container: BackupContainer;
  readonly #opener: FileOpener;
  readonly #problems = new ProblemCollector();
  #bytes = 0;
  #bytesTotal = 0;

  constructor(options: VerifyBrOptions, settings: Settings) {
    this.#options = options;
    this.#settings = settings;
    this.#container = checkedContainer(options.container, settings.clock);
    const reads = new BrReads({ ...settings, onRead: (bytes) => void (this.#bytes += bytes) });
    this.#opener = new FileOpener(reads, settings.readBytes);
  }

  async run(): Promise<BrVerifyReport> {
    const link = await this.#readMeta();
    if (link === undefined) return this.#report([], [], { files: 0, keys: 0, tables: 0 });
    const chain = resolveLink(link);
    const planned = this.#planFiles(chain, link);
    this.#bytesTotal = planned.reduce((sum, { file }) => sum + READS_OF_A_FILE * Number(file.size), 0);
    const sound = await this.#checkFiles(planned);
    const keys = await this.#checkRows(chain, planned, sound);
    for (const problem of [...tableProblems(link), ...overlapProblems(link)]) this.#problems.add(problem);
    const unchecked = planned.filter(({ file }) => !hasRowChecksum(file));
    return this.#report(
      unchecked.map(({ file }) => file.name),
      await this.#leftovers(link),
      { files: link.files.length, keys, tables: link.tables.length },
    );
  }

  /** undefined: it is damaged. */
  async #readMeta(): Promise<LoadedLink | undefined> {
    const { clock, signal } = this.#settings;
    try {
      return await loadLink(0, { container: this.#container, cipher: this.#options.cipher }, { clock, signal });
    } catch (error) {
      // Without the file itself there is no backup; one that it names is missing from it.
      const isLost = BackupError.is(error, 'FILE_NOT_FOUND') && error.file !== 'backupmeta';
      if (!isLost && !isDamage(error)) throw error;
      this.#found('manifest', error as BackupError);
      return undefined;
    }
  }

  /** Those of which the meta data says what can be. */
  #planFiles(chain: BrChain, link: LoadedLink): readonly PlannedFile[] {
    const names = new Set<string>();
    return link.files.flatMap((file) => {
      if (names.has(file.name)) {
        this.#problems.add({
          kind: 'duplicate',
          code: 'CORRUPT_FILE',
          message: `the backup names ${file.name} twice`,
          file: file.name,
        });
        return [];
      }
      names.add(file.name);
      try {
        return [planFile(chain, link, file)];
      } catch (error) {
        if (!isDamage(error)) throw error;
        this.#found('manifest', error as BackupError);
        return [];
      }
    });
  }

  /** Sizes, sha256, and what RocksDB keeps beside the rows. */
  async #checkFiles(planned: readonly PlannedFile[]): Promise<ReadonlySet<PlannedFile>> {
    const { concurrency, signal } = this.#settings;
    const sound = new Set<PlannedFile>();
    await inParallel(planned, concurrency, signal, async (each) => {
      try {
        await this.#opener.check(each);
        await this.#opener.verify(each, signal);
        sound.add(each);
      } catch (error) {
        if (!isDamage(error) && !BackupError.is(error, 'FILE_NOT_FOUND')) throw error;
        this.#found(kindOf(error as BackupError, this.#opener.isChecked(each)), error as BackupError);
      }
      this.#progress('files');
    });
    return sound;
  }

  #checkRows(chain: BrChain, planned: readonly PlannedFile[], sound: ReadonlySet<PlannedFile>): Promise<number> {
    const { clock, signal } = this.#settings;
    return verifyRows({
      planned,
      sound,
      kind: chain.kind,
      open: (file) => this.#opener.cursor(file, chain.apiVersion),
      slices: new TimeSlices(clock),
      signal,
      onProblem: (kind, error) => this.#found(kind, error),
      onProgress: () => this.#progress('rows'),
    });
  }

  async #leftovers({ files }: LoadedLink): Promise<readonly string[]> {
    const { clock, signal } = this.#settings;
    const named = new Set(files.map(({ name }) => name));
    const reads = new PatientReads({ clock, signal });
    return reads.run(async () => {
      const found: string[] = [];
      for await (const { name } of this.#container.listFiles(''))
        if (!named.has(name) && parseBrFileName(name) !== undefined) found.push(name);
      return found;
    });
  }

  #found(kind: VerifyProblemKind, { code, message, file, offset }: BackupError): void {
    this.#problems.add({ kind, code, message, file, offset });
  }

  #progress(phase: BrVerifyProgress['phase']): void {
    const bytesTotal = Math.max(this.#bytesTotal, this.#bytes);
    this.#options.onProgress?.({ phase, bytesRead: this.#bytes, bytesTotal });
  }

  #report(
    unchecked: readonly string[],
    leftovers: readonly string[],
    counts: { readonly files: number; readonly keys: number; readonly tables: number },
  ): BrVerifyReport {
    return {
      ok: this.#problems.ok,
      problems: this.#problems.sorted(),
      problemsOmitted: this.#problems.omitted,
      unchecked: [...unchecked].sort(),
      leftovers: [...leftovers].sort(),
      checked: { ...counts, bytes: this.#bytes },
    };
  }
}

/** What the bytes of a backup are to blame for. */
export function isDamage(error: unknown): boolean {
  return BackupError.is(error, 'CORRUPT_FILE') || BackupError.is(error, 'CHECKSUM_MISMATCH');
}

function kindOf({ code, offset }: BackupError, hasItsSha256: boolean): VerifyProblemKind {
  if (code === 'FILE_NOT_FOUND') return 'missing-file';
  // With the right sha256 it is what was written: the writer was wrong.
  if (hasItsSha256) return 'corrupt';
  return code === 'CORRUPT_FILE' && offset !== undefined ? 'wrong-size' : 'checksum';
}
