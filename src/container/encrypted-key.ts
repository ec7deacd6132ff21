// The key of an encrypted container: where it comes from, and how it is told that it is the right one.
//
// A container that was made here has a key check: an HMAC of a random salt under the key, which says nothing of the key to whoever does not have it. It can be lost or damaged, and
// containers that FoundationDB made have none: then blocks of several files are tried. A key is called wrong only if it opens none of them; a single block may be damaged.

import type { KeyObject } from 'node:crypto';
import { createHmac, createSecretKey, timingSafeEqual } from 'node:crypto';
import { open } from 'node:fs/promises';
import { utf8 } from '../core/bytes.js';
import { BackupError } from '../core/errors.js';

export const KEY_BYTES = 32;
export const MAX_KEY_CHECK_BYTES = 1024;
const CONTEXT = 'tidemark key check';
const SALT_BYTES = 16;

/** Exactly one of the two. */
export interface EncryptionKeyOptions {
  /** 32 bytes. */
  readonly key?: Uint8Array | undefined;
  /** Path of a file of exactly 32 bytes, as FoundationDB's tools take it. */
  readonly keyFile?: string | undefined;
}

/** ENCRYPTION_KEY_MISSING when there is none, INVALID_OPTION when it is none. */
export async function loadKey({ key, keyFile }: EncryptionKeyOptions): Promise<KeyObject> {
  if (key !== undefined && keyFile !== undefined) {
    throw new BackupError('INVALID_OPTION', 'key and keyFile are both given: which one is it?');
  }
  if (keyFile !== undefined) return asKey(await readKeyFile(keyFile), `keyFile ${keyFile}`);
  if (key === undefined) throw new BackupError('ENCRYPTION_KEY_MISSING', 'an encrypted container needs key or keyFile');
  return asKey(key, 'key');
}

/** The bytes themselves are in no message: they are the secret. */
function asKey(bytes: Uint8Array, what: string): KeyObject {
  if (!(bytes instanceof Uint8Array) || bytes.length !== KEY_BYTES) {
    const got = bytes instanceof Uint8Array ? `${bytes.length} bytes` : `a ${typeof bytes}`;
    throw new BackupError('INVALID_OPTION', `${what} must be a key of exactly ${KEY_BYTES} bytes, got ${got}`);
  }
  return createSecretKey(bytes);
}

async function readKeyFile(path: string): Promise<Uint8Array> {
  if (typeof path !== 'string' || path === '') {
    throw new BackupError('INVALID_OPTION', `keyFile must be a path, got ${JSON.stringify(path)}`);
  }
  try {
    const handle = await open(path, 'r');
    try {
      // One byte more than a key has, so that a longer file is noticed and a huge one is not read.
      const bytes = new Uint8Array(KEY_BYTES + 1);
      const { bytesRead } = await handle.read(bytes, 0, bytes.length, 0);
      return bytes.subarray(0, bytesRead);
    } finally {
      await handle.close();
    }
  } catch (cause) {
    throw new BackupError('INVALID_OPTION', `keyFile ${path} cannot be read`, { cause });
  }
}

/** `salt`: 32 hex digits, random. */
export function encodeKeyCheck(key: KeyObject, salt: string): Uint8Array {
  return utf8(JSON.stringify({ salt, check: checkOf(key, salt).toString('hex') }));
}

/** undefined: the check is damaged, and says nothing about the key. */
export function matchesKeyCheck(key: KeyObject, bytes: Uint8Array): boolean | undefined {
  const { salt, check } = parseObject(bytes);
  if (!isHex(salt, SALT_BYTES) || !isHex(check, KEY_BYTES)) return undefined;
  return timingSafeEqual(checkOf(key, salt), Buffer.from(check, 'hex'));
}

function checkOf(key: KeyObject, salt: string): Buffer {
  return createHmac('sha256', key).update(CONTEXT).update(Buffer.from(salt, 'hex')).digest();
}

function parseObject(bytes: Uint8Array): { salt?: unknown; check?: unknown } {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes));
    return typeof value === 'object' && value !== null ? value : {};
  } catch {
    // Not even JSON: as damaged as a check without its fields.
    return {};
  }
}

function isHex(value: unknown, bytes: number): value is string {
  return typeof value === 'string' && value.length === 2 * bytes && /^[0-9a-f]*$/.test(value);
}
