// A file that is encrypted while it is written. Holds no more than one flush of ciphertext and one unfinished block, however large the file is.

import type { Clock } from '../core/clock.js';
import { BackupError } from '../core/errors.js';
import type { BackupFile } from '../ports/backup-container.js';
import type { BlockCipher } from './encrypted-blocks.js';
import { storedBlockSize } from './encrypted-blocks.js';

/** Ciphertext is passed on in pieces of about so many bytes, and the host gets a turn after each. */
const FLUSH_BYTES = 1 << 20;

export class EncryptedFile implements BackupFile {
  readonly #inner: BackupFile;
  readonly #cipher: BlockCipher;
  readonly #blockSize: number;
  readonly #clock: Clock;
  /** Plaintext of the block that is not whole yet. */
  #block: Uint8Array | undefined;
  #filled = 0;
  #nextBlock = 0;
  /** Ciphertext that was not passed on yet. */
  #output: Uint8Array | undefined;
  #outputLength = 0;
  /** `failed`: a block's nonce may have been used for bytes that are not in the file. */
  #state: 'open' | 'failed' | 'finished' | 'aborted' = 'open';

  constructor(inner: BackupFile, cipher: BlockCipher, blockSize: number, clock: Clock) {
    this.#inner = inner;
    this.#cipher = cipher;
    this.#blockSize = blockSize;
    this.#clock = clock;
  }

  get name(): string {
    return this.#inner.name;
  }

  async append(chunks: readonly Uint8Array[]): Promise<void> {
    this.#checkOpen('append');
    this.#state = 'failed';
    for (const chunk of chunks) await this.#add(chunk);
    // Nothing stays behind but an unfinished block: an append that has resolved is the inner file's matter.
    await this.#flush();
    this.#reopen();
  }

  async finish(): Promise<void> {
    this.#checkOpen('finish');
    this.#state = 'failed';
    if (this.#filled > 0) this.#encrypt((this.#block as Uint8Array).subarray(0, this.#filled));
    this.#filled = 0;
    await this.#flush();
    await this.#inner.finish();
    this.#state = 'finished';
    this.#release();
  }

  async abort(): Promise<void> {
    if (this.#state !== 'finished') this.#state = 'aborted';
    await this.#inner.abort();
    this.#release();
  }

  /** Whole blocks are encrypted where they lie; only what is left over is copied. */
  async #add(chunk: Uint8Array): Promise<void> {
    for (let at = 0; at < chunk.length;) {
      if (this.#filled === 0 && chunk.length - at >= this.#blockSize) {
        this.#encrypt(chunk.subarray(at, at + this.#blockSize));
        at += this.#blockSize;
      } else {
        const length = Math.min(chunk.length - at, this.#blockSize - this.#filled);
        this.#block ??= new Uint8Array(this.#blockSize);
        this.#block.set(chunk.subarray(at, at + length), this.#filled);
        this.#filled += length;
        at += length;
        if (this.#filled < this.#blockSize) return;
        this.#encrypt(this.#block);
        this.#filled = 0;
      }
      if (this.#outputLength + storedBlockSize(this.#blockSize) > this.#capacity) await this.#flush();
    }
  }

  #encrypt(plaintext: Uint8Array): void {
    this.#output ??= new Uint8Array(this.#capacity);
    this.#outputLength += this.#cipher.encrypt(this.#nextBlock++, plaintext, this.#output.subarray(this.#outputLength));
  }

  async #flush(): Promise<void> {
    if (this.#outputLength === 0) return;
    const output = (this.#output as Uint8Array).subarray(0, this.#outputLength);
    this.#outputLength = 0;
    await this.#inner.append([output]);
    await this.#clock.yieldToHost();
    if (this.#state === 'aborted') throw this.#notOpen('append');
  }

  get #capacity(): number {
    return Math.max(FLUSH_BYTES, storedBlockSize(this.#blockSize));
  }

  #reopen(): void {
    if (this.#state === 'failed') this.#state = 'open';
  }

  #release(): void {
    this.#block = undefined;
    this.#output = undefined;
  }

  #checkOpen(call: string): void {
    if (this.#state !== 'open') throw this.#notOpen(call);
  }

  #notOpen(call: string): BackupError {
    const what = this.#state === 'failed' ? 'in the middle of another call, or has failed' : `${this.#state} already`;
    return new BackupError('INVALID_STATE', `${call}() on ${this.name}, which is ${what}`, { file: this.name });
  }
}
