import { createCipheriv, createDecipheriv } from 'node:crypto';
import { inspect } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fromHex, toHex } from '../../../src/core/bytes.js';
import { systemRandom } from '../../../src/core/clock.js';
import { BackupError } from '../../../src/core/errors.js';
import { BrCipherStream, checkCipher, isEncrypting, newCipherIv } from '../../../src/format/br/cipher.js';
import type { BrCipher } from '../../../src/format/br/messages.js';

const METHODS = [
  ['aes128-ctr', 'aes-128-ctr', 16],
  ['aes192-ctr', 'aes-192-ctr', 24],
  ['aes256-ctr', 'aes-256-ctr', 32],
] as const;

const bytes = (length: number, seed: number) => Uint8Array.from({ length }, (_, i) => (i * 31 + seed) & 0xff);

describe('BrCipherStream', () => {
  // NIST SP 800-38A, F.5.1: CTR-AES128.Encrypt.
  it('encrypts as the standard says', () => {
    const cipher: BrCipher = { method: 'aes128-ctr', key: fromHex('2b7e151628aed2a6abf7158809cf4f3c') };
    const iv = fromHex('f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff');
    const plain = fromHex('6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51');
    expect(toHex(new BrCipherStream(cipher, iv).update(plain))).toBe(
      '874d6191b620e3261bef6864990db6ce9806f66b7970fdff8617187bb9fffdff',
    );
  });

  it.each(METHODS)('%s is what %s of OpenSSL decrypts', (method, name, keyLength) => {
    const key = bytes(keyLength, 7);
    const iv = bytes(16, 200);
    const plain = bytes(1000, 3);
    const stream = new BrCipherStream({ method, key }, iv);
    const stored = Buffer.concat([stream.update(plain.subarray(0, 333)), stream.update(plain.subarray(333))]);
    const decipher = createDecipheriv(name, key, iv);
    expect(new Uint8Array(Buffer.concat([decipher.update(stored), decipher.final()]))).toEqual(plain);
  });

  it('begins at any offset, also where the counter runs over', () => {
    const ivs = fc.constantFrom(
      bytes(16, 1),
      new Uint8Array(16).fill(0xff),
      fromHex('00000000000000ffffffffffffffffff'),
      fromHex('ffffffffffffffffffffffffffffff00'),
      fromHex('000000000000000000000000fffffffe'),
    );
    const key = bytes(32, 9);
    fc.assert(
      fc.property(ivs, fc.nat({ max: 9000 }), fc.nat({ max: 300 }), (iv, offset, length) => {
        const plain = bytes(offset + length, 5);
        const whole = createCipheriv('aes-256-ctr', key, iv).update(plain);
        const part = new BrCipherStream({ method: 'aes256-ctr', key }, iv, offset).update(plain.subarray(offset));
        expect(toHex(part)).toBe(toHex(whole.subarray(offset)));
      }),
    );
  });

  it('begins at an offset of more than 32 bits', () => {
    const key = bytes(16, 9);
    const iv = fromHex('00000000000000000000000000000005');
    // Block 2^33 + 3.
    const at = createCipheriv('aes-128-ctr', key, fromHex('00000000000000000000000200000008'));
    const stream = new BrCipherStream({ method: 'aes128-ctr', key }, iv, 16 * (2 ** 33 + 3));
    expect(toHex(stream.update(new Uint8Array(40)))).toBe(toHex(at.update(new Uint8Array(40))));
  });

  it('decrypts with what encrypts', () => {
    const cipher: BrCipher = { method: 'aes192-ctr', key: bytes(24, 1) };
    const iv = newCipherIv(systemRandom);
    const plain = bytes(100, 2);
    const stored = new BrCipherStream(cipher, iv).update(plain);
    expect(toHex(new BrCipherStream(cipher, iv).update(stored))).toBe(toHex(plain));
  });
});

describe('what a cipher must be', () => {
  it.each(METHODS)('%s has a key of its length', (method, _name, keyLength) => {
    expect(() => checkCipher({ method, key: bytes(keyLength, 1) })).not.toThrow();
    for (const length of [0, keyLength - 1, keyLength + 1, 33]) {
      expect(() => checkCipher({ method, key: bytes(length, 1) })).toThrow(
        expect.objectContaining({ code: 'INVALID_OPTION' }) as Error,
      );
    }
  });

  it('plaintext encrypts nothing', () => {
    expect(() => checkCipher({ method: 'plaintext', key: bytes(3, 1) })).not.toThrow();
    expect(isEncrypting({ method: 'plaintext', key: bytes(16, 1) })).toBe(false);
    expect(isEncrypting(undefined)).toBe(false);
    expect(isEncrypting({ method: 'aes128-ctr', key: bytes(16, 1) })).toBe(true);
    expect(() => new BrCipherStream({ method: 'plaintext', key: bytes(16, 1) }, bytes(16, 1))).toThrow(BackupError);
  });

  it('an IV has 16 bytes, and each is new', () => {
    const cipher: BrCipher = { method: 'aes128-ctr', key: bytes(16, 1) };
    expect(() => new BrCipherStream(cipher, bytes(12, 1), 0, 'f')).toThrow(
      expect.objectContaining({ code: 'CORRUPT_FILE', file: 'f' }) as Error,
    );
    const ivs = new Set(Array.from({ length: 50 }, () => toHex(newCipherIv(systemRandom))));
    expect(ivs.size).toBe(50);
    for (const iv of ivs) expect(iv).toMatch(/^[0-9a-f]{32}$/);
  });

  it('a key is in no error', () => {
    const key = fromHex('c0ffee5ec1e7');
    for (const cipher of [
      { method: 'aes128-ctr', key },
      { method: 'rot13', key },
    ] as BrCipher[]) {
      let shown = '';
      try {
        checkCipher(cipher);
      } catch (error) {
        shown = inspect(error, { depth: 9 });
      }
      expect(shown).toContain('cipher');
      expect(shown).not.toMatch(/c0ffee|192, 255, 238|5ec1e7/i);
    }
  });
});
