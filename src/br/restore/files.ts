// Opens the SST files of a backup: checked, decrypted, as cursors over their rows.

import { SstReader } from '../../format/sst/sst-reader.js';
import type { SstBatch } from '../../format/sst/sst-batch.js';
import { BackupError, assert } from '../../core/errors.js';
import { checkTxnDataKey, engineKeyOf, userKeyOf } from '../../format/br/engine-key.js';
import type { BrFile } from '../../format/br/messages.js';
import type { RawApiVersion } from '../../format/br/raw-kv.js';
import { rawUserKey } from '../../format/br/raw-kv.js';
import type { LoadedLink } from './chain.js';
import { BrCursor } from './cursor.js';
import type { PlannedFile } from './plan.js';
import type { BrReads, StoredFile } from './reads.js';
import type { SstRowBatch, SstRows } from './sst-rows.js';

export class FileOpener {
  readonly #reads: BrReads;
  readonly #readBytes: number;
  /** Bytes of the files that were checked. */
  readonly #sizes = new Map<BrFile, number>();

  constructor(reads: BrReads, readBytes: number) {
    this.#reads = reads;
    this.#readBytes = readBytes;
  }

  isChecked({ file }: PlannedFile): boolean {
    return this.#sizes.has(file);
  }

  /** Its size and its sha256, once. CORRUPT_FILE, CHECKSUM_MISMATCH or FILE_NOT_FOUND. */
  async check(planned: PlannedFile): Promise<void> {
    if (this.isChecked(planned)) return;
    const { file, link } = planned;
    this.#sizes.set(file, await this.#reads.check(storedFile(file, link)));
  }

  /** Of a file that was checked: every block, and what RocksDB keeps beside the rows. CORRUPT_FILE or CHECKSUM_MISMATCH for the first thing that is wrong. */
  async verify(planned: PlannedFile, signal: AbortSignal | undefined): Promise<void> {
    const reader = await this.#open(planned);
    await reader.verify({ signal });
  }

  /** Of a file that was checked, at its beginning; `close` it. */
  async cursor(planned: PlannedFile, apiVersion: RawApiVersion): Promise<BrCursor> {
    const reader = await this.#open(planned);
    return new BrCursor(planned, new ReaderRows(reader, planned.file.name), apiVersion);
  }

  /** Of its last row; undefined: it has none. */
  async lastUserKey(planned: PlannedFile, apiVersion: RawApiVersion): Promise<Uint8Array | undefined> {
    await this.check(planned);
    const reader = await this.#open(planned);
    const { name } = planned.file;
    for await (const batch of reader.entries({ reverse: true })) {
      const key = batch.key(0);
      if (planned.role === 'raw') return rawUserKey(apiVersion, engineKeyOf(key, name), name).slice();
      checkTxnDataKey(key, name);
      return userKeyOf(key);
    }
    return undefined;
  }

  #open({ file, link }: PlannedFile): Promise<SstReader> {
    const stored = storedFile(file, link);
    const size = this.#sizes.get(file);
    assert(size !== undefined, 'no file is read before it was checked');
    const read = (offset: number, length: number) => this.#reads.plain(stored, offset, length);
    return SstReader.open({ name: file.name, size, read, readAheadBytes: this.#readBytes });
  }
}

function storedFile(file: BrFile, { container, cipher }: LoadedLink): StoredFile {
  return { file, container, cipher };
}

class ReaderRows implements SstRows {
  readonly #batches: AsyncGenerator<SstBatch, void, undefined>;
  readonly #name: string;

  constructor(reader: SstReader, name: string) {
    this.#batches = reader.entries();
    this.#name = name;
  }

  async next(): Promise<SstRowBatch | undefined> {
    const next = await this.#batches.next();
    if (next.done === true) return undefined;
    if (next.value.isPlain) return next.value;
    // A file that is to be ingested has rows alone: what this one is, no backup has made.
    throw new BackupError('CORRUPT_FILE', `${this.#name} has deletions or one key twice, as no file of a backup has`, {
      file: this.#name,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#batches.return();
  }
}
