// How BR encrypts a file: AES in counter mode, the whole file one stream, the counter 128 bits big-endian from the file's IV on. It hides bytes and does not vouch for them: the sha256 in the meta data does.
// Must never show a key, in an error or anywhere else, and never use a key twice with one IV.

import type { Cipher } from 'node:crypto';
import { createCipheriv } from 'node:crypto';
import { fromHex } from '../../core/bytes.js';
import type { Random } from '../../core/clock.js';
import { BackupError } from '../../core/errors.js';
import type { BrCipher, BrCipherMethod } from './messages.js';

/** Bytes of a counter block, and so of an IV. */
export const CIPHER_IV_BYTES = 16;

const KEY_BYTES: Readonly<Record<BrCipherMethod, number>> = {
  plaintext: 0,
  'aes128-ctr': 16,
  'aes192-ctr': 24,
  'aes256-ctr': 32,
};

const NODE_NAMES = { 'aes128-ctr': 'aes-128-ctr', 'aes192-ctr': 'aes-192-ctr', 'aes256-ctr': 'aes-256-ctr' } as const;

const ZEROS = new Uint8Array(CIPHER_IV_BYTES);

/** A new IV: 16 random bytes (`systemRandom` takes them from the operating system's generator). */
export function newCipherIv(random: Random): Uint8Array {
  return fromHex(random.uid());
}

/** INVALID_OPTION unless the key has the method's length. `plaintext` goes with any key, which is not used. */
export function checkCipher(cipher: BrCipher, option = 'cipher'): void {
  const length = Object.hasOwn(KEY_BYTES, cipher.method) ? KEY_BYTES[cipher.method] : undefined;
  if (length === undefined) {
    const methods = Object.keys(KEY_BYTES).join(', ');
    throw new BackupError('INVALID_OPTION', `${option}.method must be one of ${methods}, got ${String(cipher.method)}`);
  }
  if (cipher.method === 'plaintext' || cipher.key.length === length) return;
  throw new BackupError(
    'INVALID_OPTION',
    `${option}.key must have ${length} bytes for ${cipher.method}, got ${cipher.key.length}`,
  );
}

/** Whether files are encrypted at all. */
export function isEncrypting(cipher: BrCipher | undefined): cipher is BrCipher {
  return cipher !== undefined && cipher.method !== 'plaintext';
}

/** Encrypts or decrypts a file from some offset on: in counter mode that is the same. */
export class BrCipherStream {
  readonly #cipher: Cipher;

  /** `iv`: the file's, 16 bytes, else CORRUPT_FILE with `file`. `offset`: of the first byte that `update` is given. The cipher must encrypt (isEncrypting). */
  constructor(cipher: BrCipher, iv: Uint8Array, offset = 0, file?: string) {
    checkCipher(cipher);
    if (iv.length !== CIPHER_IV_BYTES) {
      throw new BackupError('CORRUPT_FILE', `an IV has ${CIPHER_IV_BYTES} bytes, got ${iv.length}`, { file });
    }
    if (cipher.method === 'plaintext') {
      throw new BackupError('INVALID_OPTION', 'cipher.method must be one that encrypts, got plaintext');
    }
    const block = Math.floor(offset / CIPHER_IV_BYTES);
    this.#cipher = createCipheriv(NODE_NAMES[cipher.method], cipher.key, counterAt(iv, block));
    const skip = offset - block * CIPHER_IV_BYTES;
    if (skip > 0) this.#cipher.update(ZEROS.subarray(0, skip));
  }

  /** As many bytes as it is given, in memory of their own. */
  update(bytes: Uint8Array): Uint8Array {
    return this.#cipher.update(bytes);
  }
}

/** The IV plus a number of blocks, modulo 2^128. */
function counterAt(iv: Uint8Array, blocks: number): Uint8Array {
  const counter = iv.slice();
  let carry = blocks;
  for (let i = CIPHER_IV_BYTES - 1; i >= 0 && carry > 0; i--) {
    const sum = (counter[i] as number) + (carry % 256);
    counter[i] = sum;
    carry = Math.floor(carry / 256) + (sum >> 8);
  }
  return counter;
}
