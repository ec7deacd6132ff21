// Records checksums of data files that have none: what FoundationDB or an earlier release wrote. Only of what decodes: a checksum should not certify damage that can be seen.

import type { Clock } from '../core/clock.js';
import { systemClock } from '../core/clock.js';
import type { BackupErrorCode } from '../core/errors.js';
import { BackupError } from '../core/errors.js';
import { encodeFileSums, sumsFileName } from '../format/fdb/file-sums.js';
import { parseRangeFileName } from '../format/fdb/names.js';
import { MAX_MANIFEST_BYTES, parseSnapshotManifest } from '../format/fdb/snapshot-manifest.js';
import type { RangeFileSums } from '../format/fdb/snapshot-sums.js';
import { encodeSnapshotSums, snapshotSumsName } from '../format/fdb/snapshot-sums.js';
import type { BackupContainer } from '../ports/backup-container.js';
import type { SnapshotFile } from './catalog.js';
import { readSmallFile } from './catalog.js';
import type { LogFile } from './description.js';
import { writeSmallFile } from './expire-marks.js';
import { TimeSlices } from './time-slices.js';
import type { ScannedFile } from './verify-data-file.js';
import { RangeRunDecoder, logDecoder, scanFile } from './verify-data-file.js';
import { SteadyContainer } from './verify-steady-container.js';
import { checkConcurrency, inParallel } from './verify-in-parallel.js';
import type { Inventory } from './verify-inventory.js';
import { keyOfSnapshot, takeInventory } from './verify-inventory.js';
import { verifyProperties } from './verify-properties.js';
import { isDamage } from './verify-read.js';
import { ProblemCollector } from './verify-report.js';
import { keyMissing } from './readable.js';

export interface RecordChecksumsOptions {
  /** Files read at a time, 1 to 256. Default 4. */
  readonly concurrency?: number | undefined;
  /** What has been recorded stays recorded; the same call does the rest. */
  readonly signal?: AbortSignal | undefined;
  readonly clock?: Clock | undefined;
  /** Called after each MiB or so. */
  readonly onProgress?: ((progress: { readonly files: number; readonly bytes: number }) => void) | undefined;
}

export interface RecordChecksumsProblem {
  readonly file: string;
  /** Bytes into `file`. */
  readonly offset: number | undefined;
  readonly code: BackupErrorCode;
  readonly message: string;
}

export interface RecordChecksumsResult {
  /** Files that got checksums. */
  readonly logFiles: number;
  /** Snapshots that got a sidecar. */
  readonly snapshots: number;
  /** What got none, because it is damaged. */
  readonly problems: readonly RecordChecksumsProblem[];
}

/**
 * Throws FILE_NOT_FOUND if there is no container; ENCRYPTION_KEY_MISSING if its files cannot be read; INVALID_OPTION; the signal's reason; what the container throws. Damage is not thrown but
 * reported. Empty log files get none.
 */
export async function recordChecksums(
  outer: BackupContainer,
  options: RecordChecksumsOptions = {},
): Promise<RecordChecksumsResult> {
  const { signal, clock = systemClock } = options;
  const concurrency = checkConcurrency(options.concurrency);
  const container = new SteadyContainer(outer, signal, clock);
  const inventory = await takeInventory(container, signal);
  const { encrypted, unreliableEnd } = await verifyProperties(container, new ProblemCollector());
  if (encrypted && !container.decrypts) throw keyMissing(container.url);
  const recorder = new Recorder(container, inventory, options, new TimeSlices(clock));
  const logs = inventory.logFiles.filter(
    ({ name, size, end }) => size > 0 && end > unreliableEnd && !inventory.sums.has(name),
  );
  await inParallel(logs, concurrency, signal, (file) => recorder.recordLog(file));
  for (const manifest of inventory.manifests) {
    if (manifest.kind === 'bulk' || manifest.beginVersion < unreliableEnd) continue;
    if (!inventory.sidecars.has(keyOfSnapshot(manifest))) await recorder.recordSnapshot(manifest, concurrency);
  }
  return recorder.result();
}

class Recorder {
  readonly #container: BackupContainer;
  readonly #inventory: Inventory;
  readonly #options: RecordChecksumsOptions;
  readonly #slices: TimeSlices;
  readonly #problems: RecordChecksumsProblem[] = [];
  #logFiles = 0;
  #snapshots = 0;
  #files = 0;
  #bytes = 0;

  constructor(container: BackupContainer, inventory: Inventory, options: RecordChecksumsOptions, slices: TimeSlices) {
    this.#container = container;
    this.#inventory = inventory;
    this.#options = options;
    this.#slices = slices;
  }

  result(): RecordChecksumsResult {
    return { logFiles: this.#logFiles, snapshots: this.#snapshots, problems: this.#problems };
  }

  async recordLog(file: LogFile): Promise<void> {
    await this.#unlessDamaged(file.name, async () => {
      const scanned = await this.#scan(file, logDecoder(file, this.#slices), false);
      if (scanned === undefined) return;
      await this.#write(sumsFileName(file.name), encodeFileSums(scanned.sums));
      this.#logFiles++;
    });
    this.#files++;
  }

  /** All or nothing: a sidecar names every file of its snapshot. */
  async recordSnapshot(manifest: SnapshotFile, concurrency: number): Promise<void> {
    await this.#unlessDamaged(manifest.name, async () => {
      const bytes = await readSmallFile(this.#container, manifest.name, MAX_MANIFEST_BYTES);
      if (bytes === undefined) return; // Expired meanwhile.
      const { files, keyRanges } = parseSnapshotManifest(bytes, manifest.name);
      const found = new Map<string, RangeFileSums>();
      await inParallel(files, concurrency, this.#options.signal, async (name) => {
        await this.#unlessDamaged(name, async () => {
          const sums = await this.#sumsOfRangeFile(name, keyRanges.get(name));
          if (sums !== undefined) found.set(name, sums);
        });
        this.#files++;
      });
      const entries = files.map((name) => found.get(name));
      if (entries.includes(undefined)) return;
      await this.#write(
        snapshotSumsName(manifest),
        encodeSnapshotSums({ files: entries.filter((e) => e !== undefined) }),
      );
      this.#snapshots++;
    });
  }

  async #sumsOfRangeFile(name: string, keys: RangeFileSums['range'] | undefined): Promise<RangeFileSums | undefined> {
    const facts = parseRangeFileName(name);
    const size = this.#inventory.rangeFiles.get(name);
    if (facts === undefined || size === undefined)
      throw new BackupError('FILE_NOT_FOUND', `${name} is not there, or is no range file`, { file: name });
    const file = { name, size, blockSize: facts.blockSize };
    const decoder = new RangeRunDecoder(file, keys, this.#slices);
    const scanned = await this.#scan(file, decoder, true);
    const rows = decoder.facts();
    if (scanned?.sha256 === undefined || rows === undefined) return undefined;
    return { name, version: facts.version, sha256: scanned.sha256, ...rows, ...scanned.sums };
  }

  /** undefined when the file is damaged, which has been noted. */
  async #scan(
    file: { readonly name: string; readonly size: number; readonly blockSize: number },
    decoder: Parameters<typeof scanFile>[0]['decoder'],
    sha256: boolean,
  ): Promise<ScannedFile | undefined> {
    const onBytes = (bytes: number): void => {
      this.#bytes += bytes;
      this.#options.onProgress?.({ files: this.#files, bytes: this.#bytes });
    };
    const { signal } = this.#options;
    const scanned = await scanFile({
      container: this.#container,
      file,
      decoder,
      recorded: undefined,
      signal,
      onBytes,
      sha256,
    });
    for (const { code, message, offset } of scanned.problems)
      this.#problems.push({ file: file.name, code, message, offset });
    return scanned.problems.length === 0 ? scanned : undefined;
  }

  async #unlessDamaged(file: string, record: () => Promise<void>): Promise<void> {
    try {
      await record();
    } catch (error) {
      if (!isDamage(error) && !BackupError.is(error, 'FILE_NOT_FOUND')) throw error;
      this.#problems.push({ file: error.file ?? file, offset: error.offset, code: error.code, message: error.message });
    }
  }

  /** Never over checksums that somebody else has recorded meanwhile: in an encrypted container a name may be written only once. */
  async #write(name: string, bytes: Uint8Array): Promise<void> {
    try {
      await writeSmallFile(this.#container, name, bytes, { exclusive: true });
    } catch (error) {
      if (!BackupError.is(error, 'FILE_EXISTS')) throw error;
    }
  }
}
