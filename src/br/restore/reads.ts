// Reads of a backup's files: stored bytes for their checksums, plain ones for their rows. Must never give fewer bytes than were asked for.

import { createHash } from 'node:crypto';
import { equalBytes } from '../../core/bytes.js';
import type { Clock } from '../../core/clock.js';
import { BackupError } from '../../core/errors.js';
import { BrCipherStream, isEncrypting } from '../../format/br/cipher.js';
import type { BrCipher, BrFile } from '../../format/br/messages.js';
import type { BackupContainer } from '../../ports/backup-container.js';
import { PatientReads } from '../../restore/patient-reads.js';

/** Where a file is, and how it is encrypted. */
export interface StoredFile {
  readonly file: BrFile;
  readonly container: BackupContainer;
  readonly cipher: BrCipher | undefined;
}

export interface BrReadsOptions {
  readonly clock: Clock;
  readonly signal: AbortSignal | undefined;
  readonly concurrency: number;
  /** Bytes at a time. */
  readonly readBytes: number;
  /** Called after each read of stored bytes. */
  readonly onRead: (bytes: number) => void;
}

export class BrReads {
  readonly #reads: PatientReads;
  readonly #readBytes: number;
  readonly #onRead: (bytes: number) => void;

  constructor({ clock, signal, concurrency, readBytes, onRead }: BrReadsOptions) {
    this.#reads = new PatientReads({ clock, signal, concurrentReads: concurrency });
    this.#readBytes = readBytes;
    this.#onRead = onRead;
  }

  /**
   * The file's bytes, as they are stored, against the size and the sha256 of the meta data; gives its size. CORRUPT_FILE for another size, CHECKSUM_MISMATCH for other bytes, FILE_NOT_FOUND.
   */
  async check(stored: StoredFile): Promise<number> {
    const { file } = stored;
    const hash = createHash('sha256');
    let size = 0;
    for (;;) {
      const bytes = await this.#read(stored, size, this.#readBytes);
      hash.update(bytes);
      size += bytes.length;
      if (bytes.length < this.#readBytes) break;
    }
    // Old releases of TiKV did not record sizes.
    if (file.size !== 0n && file.size !== BigInt(size)) throw wrongSize(stored, size);
    if (!equalBytes(hash.digest(), file.sha256)) {
      throw new BackupError('CHECKSUM_MISMATCH', `${file.name} has another sha256 than the backup's meta data says`, {
        file: file.name,
        container: stored.container.url,
      });
    }
    return size;
  }

  /** Exactly these bytes, decrypted. */
  async plain(stored: StoredFile, offset: number, length: number): Promise<Uint8Array> {
    const { file, cipher } = stored;
    const bytes = await this.#read(stored, offset, length);
    if (bytes.length < length) {
      throw new BackupError(
        'CORRUPT_FILE',
        `${file.name} ends at ${offset + bytes.length}, where ${length} bytes from ${offset} on are needed`,
        { file: file.name, offset: offset + bytes.length, container: stored.container.url },
      );
    }
    return isEncrypting(cipher) ? new BrCipherStream(cipher, file.cipherIv, offset, file.name).update(bytes) : bytes;
  }

  async #read({ container, file }: StoredFile, offset: number, length: number): Promise<Uint8Array> {
    const bytes = await this.#reads.run(() => container.readFile(file.name, offset, length));
    this.#onRead(bytes.length);
    return bytes;
  }
}

function wrongSize({ file, container }: StoredFile, size: number): BackupError {
  return new BackupError('CORRUPT_FILE', `${file.name} has ${size} bytes, and the meta data says ${file.size}`, {
    file: file.name,
    offset: Number(file.size < BigInt(size) ? file.size : BigInt(size)),
    container: container.url,
  });
}
