// The blocks of an encrypted file, as FoundationDB writes them: ciphertext as long as the plaintext, then the tag of AES-256-GCM. No I/O.

import type { KeyObject } from 'node:crypto';
import { createCipheriv, createDecipheriv } from 'node:crypto';
import { BackupError } from '../core/errors.js';

export const TAG_BYTES = 16;
const NONCE_BYTES = 16;
const CIPHER = 'aes-256-gcm';
/** A block's number is 32 bits of its nonce. */
const MAX_BLOCKS = 2 ** 32;

/** Bytes in the container of a whole block. */
export function storedBlockSize(blockSize: number): number {
  return blockSize + TAG_BYTES;
}

/**
 * Bytes of plaintext in so many stored ones. What is left at the end and cannot be a block counts as one byte: so whoever reads the whole file comes upon it, and it does not read as a file
 * that ends at the block before.
 */
export function plaintextSize(stored: number, blockSize: number): number {
  const whole = Math.floor(stored / storedBlockSize(blockSize));
  const rest = stored % storedBlockSize(blockSize);
  return whole * blockSize + (rest === 0 ? 0 : Math.max(1, rest - TAG_BYTES));
}

/** Encrypts and decrypts the blocks of one file. */
export class BlockCipher {
  readonly #key: KeyObject;
  readonly #file: string;
  readonly #blockSize: number;
  readonly #nonce = Buffer.alloc(NONCE_BYTES);

  /** `hash`: XXH3-128 of the file's `nonceSalt`, high half first, both big-endian. */
  constructor(key: KeyObject, file: string, blockSize: number, hash: Uint8Array) {
    this.#key = key;
    this.#file = file;
    this.#blockSize = blockSize;
    // The original copies the two halves as its processor holds them: little-endian, the lower half only in part.
    for (let i = 0; i < 8; i++) this.#nonce[i] = hash[7 - i] as number;
    for (let i = 0; i < 4; i++) this.#nonce[8 + i] = hash[15 - i] as number;
  }

  /** Writes ciphertext and tag to `output` and returns how many bytes that were. A nonce must never be used for another block: each `index` once, the last block alone may be short. */
  encrypt(index: number, plaintext: Uint8Array, output: Uint8Array): number {
    const cipher = createCipheriv(CIPHER, this.#key, this.#nonceOf(index), { authTagLength: TAG_BYTES });
    output.set(cipher.update(plaintext), 0);
    cipher.final();
    output.set(cipher.getAuthTag(), plaintext.length);
    return plaintext.length + TAG_BYTES;
  }

  /** DECRYPTION_FAILED unless it is what `encrypt` made of this very block. Offsets are those of the plaintext. */
  decrypt(index: number, stored: Uint8Array): Uint8Array {
    const length = stored.length - TAG_BYTES;
    if (length <= 0) throw this.#failed(index, 'its last block is cut');
    const decipher = createDecipheriv(CIPHER, this.#key, this.#nonceOf(index), { authTagLength: TAG_BYTES });
    decipher.setAuthTag(stored.subarray(length));
    const plaintext = decipher.update(stored.subarray(0, length));
    try {
      decipher.final();
    } catch (cause) {
      throw this.#failed(index, 'the bytes are not those that were written under this name and key', cause);
    }
    return plaintext;
  }

  #nonceOf(index: number): Buffer {
    if (index >= MAX_BLOCKS) {
      throw new BackupError('INVALID_STATE', `${this.#file} has more than 2^32 blocks: a larger block size is needed`, {
        file: this.#file,
      });
    }
    this.#nonce.writeUInt32LE(index, 12);
    return this.#nonce;
  }

  #failed(index: number, reason: string, cause?: unknown): BackupError {
    const offset = index * this.#blockSize;
    return new BackupError('DECRYPTION_FAILED', `${this.#file}: block ${index}, at ${offset}, is damaged: ${reason}`, {
      file: this.#file,
      offset,
      cause,
    });
  }
}
