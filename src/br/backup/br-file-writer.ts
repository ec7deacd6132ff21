// One SST file of a backup on its way into a container: blocks out of the SstWriter are encrypted, their sha256 is computed, the rate limit is kept, the rows are counted as TiKV counts them.
// Must never leave anything in the container unless `finish` has resolved.

import { createHash } from 'node:crypto';
import { abortable } from '../../core/abort.js';
import type { BufferPool } from '../../core/buffer-pool.js';
import { EMPTY_BYTES } from '../../core/bytes.js';
import type { Random } from '../../core/clock.js';
import { systemRandom } from '../../core/clock.js';
import { Crc64Xor } from '../../core/crc64.js';
import { crc64xorOf } from '../../format/br/checksum.js';
import { BrCipherStream, isEncrypting, newCipherIv } from '../../format/br/cipher.js';
import type { BrCipher, BrFile } from '../../format/br/messages.js';
import type { BlockPress } from '../../format/sst/block-press.js';
import { SstWriter } from '../../format/sst/sst-writer.js';
import type { BackupContainer, BackupFile } from '../../ports/backup-container.js';

/** Who may store so many bytes now. RateLimiter is one. */
export interface BytePace {
  /** Resolves when the bytes may be stored. Rejects with the signal's reason. */
  take(bytes: number, signal: AbortSignal): Promise<void>;
}

/** What all files of a backup have in common. */
export interface BrFileFacts {
  readonly container: BackupContainer;
  /** Compresses and seals the blocks. */
  readonly press: BlockPress;
  /** Raw bytes after which a block ends. Default 64 KiB. */
  readonly blockSize?: number | undefined;
  /** Where blocks are put together; writers may share one. */
  readonly buffers?: BufferPool | undefined;
  /** Each file has an IV of its own. */
  readonly cipher?: BrCipher | undefined;
  /** Default: as fast as the container takes them. */
  readonly limiter?: BytePace | undefined;
  /** Default: the system's. IVs come from it. */
  readonly random?: Random | undefined;
}

export interface BrFileWriterOptions extends BrFileFacts {
  readonly name: string;
  readonly cf: string;
  /** Whether nobody else ever writes a file of that name, so that it may be deleted. */
  readonly isUniqueName: boolean;
  /** Ends what is under way. `abort` is still to be called. */
  readonly signal: AbortSignal;
}

/** A stored file without what its piece knows: keys and versions. */
export type StoredBrFile = Omit<BrFile, 'startKey' | 'endKey' | 'startVersion' | 'endVersion'>;

export class BrFileWriter {
  readonly #options: BrFileWriterOptions;
  readonly #sst: SstWriter;
  readonly #sha256 = createHash('sha256');
  readonly #crc = new Crc64Xor();
  readonly #iv: Uint8Array;
  readonly #cipher: BrCipherStream | undefined;
  #opening: Promise<BackupFile> | undefined;
  #finishing: Promise<void> | undefined;
  #rows = 0;
  #bytes = 0;

  constructor(options: BrFileWriterOptions) {
    const { press, blockSize, buffers, cipher, random = systemRandom } = options;
    this.#options = options;
    this.#iv = isEncrypting(cipher) ? newCipherIv(random) : EMPTY_BYTES;
    this.#cipher = isEncrypting(cipher) ? new BrCipherStream(cipher, this.#iv) : undefined;
    this.#sst = new SstWriter({
      sink: { append: (chunks) => this.#append(chunks) },
      press,
      ...(blockSize === undefined ? {} : { blockSize }),
      ...(buffers === undefined ? {} : { pool: buffers }),
    });
  }

  /** Raw bytes that the next `flush` begins to store. */
  get pendingBytes(): number {
    return this.#sst.pendingBytes;
  }

  /** Of the rows that count here: the user's keys and values. */
  get countedBytes(): number {
    return this.#bytes;
  }

  /** Copies the row. It is not counted: a transactional row may be in two files. */
  put(dataKey: Uint8Array, value: Uint8Array): void {
    this.#sst.add(dataKey, value);
  }

  /** A row of the user's counts in this file. */
  count(userKey: Uint8Array, userValue: Uint8Array): void {
    this.#rows++;
    this.#bytes += userKey.length + userValue.length;
    this.#crc.add(userKey, userValue);
  }

  /** Begins to store what is pending; a bounded amount of it may still be under way when it resolves. */
  async flush(): Promise<void> {
    await this.#sst.flush(this.#options.signal);
  }

  /** The file is there when this has resolved. */
  async finish(): Promise<StoredBrFile> {
    const { signal, name, cf } = this.#options;
    const { size } = await this.#sst.finish(signal);
    const file = await this.#open();
    // The last moment: from here on an abort knows that the file may become visible.
    signal.throwIfAborted();
    this.#finishing = file.finish();
    await abortable(this.#finishing, signal);
    return {
      name,
      sha256: new Uint8Array(this.#sha256.digest()),
      crc64xor: crc64xorOf(this.#crc),
      totalKvs: BigInt(this.#rows),
      totalBytes: BigInt(this.#bytes),
      tableMetas: [],
      cf,
      size: BigInt(size),
      cipherIv: this.#iv,
    };
  }

  /** The signal has aborted. Nothing is left of the file, finished or not; but one under a name that another may write is left when it is finished, or may be. Rejects when the container does. */
  async abort(): Promise<void> {
    const { container, name, isUniqueName } = this.#options;
    const finishing = this.#finishing;
    // A press that hangs keeps no file open.
    const pressed = this.#sst.abort();
    const file = await this.#opening?.catch(nothing);
    // A finish that is under way may still make the file visible: first it ends.
    await finishing?.catch(nothing);
    await file?.abort();
    if (finishing !== undefined && isUniqueName) await container.deleteFile(name);
    await pressed;
  }

  async #append(chunks: readonly Uint8Array[]): Promise<void> {
    const { limiter, signal } = this.#options;
    const cipher = this.#cipher;
    const stored = cipher === undefined ? chunks : chunks.map((chunk) => cipher.update(chunk));
    let bytes = 0;
    for (const chunk of stored) bytes += chunk.length;
    await limiter?.take(bytes, signal);
    const file = await this.#open();
    // The bytes are on their way while their checksum is computed.
    const appending = abortable(file.append(stored), signal);
    for (const chunk of stored) this.#sha256.update(chunk);
    await appending;
  }

  /** Opened once, and not after the end; `abort` waits for it, should nobody else do so any more. */
  #open(): Promise<BackupFile> {
    const { container, name, signal } = this.#options;
    signal.throwIfAborted();
    this.#opening ??= container.writeFile(name);
    return abortable(this.#opening, signal);
  }
}

/** What has failed is known, and what is there is removed. */
function nothing(): undefined {
  return undefined;
}
