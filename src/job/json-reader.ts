// Strict reading of the store's JSON: whatever is not as it was written is STORE_CORRUPT, with the key and the field.

import { fromHex, utf8 } from '../core/bytes.js';
import { BackupError } from '../core/errors.js';
import type { Version } from '../core/version.js';
import { MAX_VERSION } from '../core/version.js';

const decoder = new TextDecoder('utf-8', { fatal: true });

/** bigints become decimal text; undefined members are left out. */
export function encodeJson(value: object): Uint8Array {
  return utf8(
    JSON.stringify(value, (_name, member: unknown) => (typeof member === 'bigint' ? member.toString() : member)),
  );
}

export class JsonReader {
  readonly #key: string;
  readonly #path: string;
  readonly #value: Readonly<Record<string, unknown>>;

  private constructor(key: string, path: string, value: unknown) {
    this.#key = key;
    this.#path = path;
    if (typeof value !== 'object' || value === null) throw this.#corrupt(path, value);
    this.#value = value as Readonly<Record<string, unknown>>;
  }

  static parse(key: string, bytes: Uint8Array): JsonReader {
    try {
      return new JsonReader(key, '', JSON.parse(decoder.decode(bytes)));
    } catch (cause) {
      if (cause instanceof BackupError) throw cause;
      throw new BackupError(
        'STORE_CORRUPT',
        `progress store: the value of "${key}" is no JSON; was it written by something else?`,
        {
          cause,
        },
      );
    }
  }

  text(name: string | number): string {
    const value = this.#value[name];
    if (typeof value !== 'string') throw this.#corrupt(name, value);
    return value;
  }

  /** Bytes, as hex digits. */
  bytes(name: string | number): Uint8Array {
    const value = this.text(name);
    if (value.length % 2 !== 0 || !/^[0-9a-f]*$/.test(value)) throw this.#corrupt(name, value);
    return fromHex(value);
  }

  flag(name: string): boolean {
    const value = this.#value[name];
    if (typeof value !== 'boolean') throw this.#corrupt(name, value);
    return value;
  }

  optionalFlag(name: string): boolean | undefined {
    return this.#value[name] === undefined ? undefined : this.flag(name);
  }

  /** An integer >= 0. */
  count(name: string): number {
    const value = this.#value[name];
    if (!Number.isSafeInteger(value) || (value as number) < 0) throw this.#corrupt(name, value);
    return value as number;
  }

  optionalCount(name: string): number | undefined {
    return this.#value[name] === undefined ? undefined : this.count(name);
  }

  version(name: string): Version {
    const value = this.#value[name];
    const version = typeof value === 'string' && /^\d{1,19}$/.test(value) ? BigInt(value) : undefined;
    if (version === undefined || version > MAX_VERSION) throw this.#corrupt(name, value);
    return version;
  }

  /** May be -1: the version before a log that begins at version 0. */
  signedVersion(name: string): Version {
    return this.#value[name] === '-1' ? -1n : this.version(name);
  }

  optionalSignedVersion(name: string): Version | undefined {
    return this.#value[name] === undefined ? undefined : this.signedVersion(name);
  }

  optionalVersion(name: string): Version | undefined {
    return this.#value[name] === undefined ? undefined : this.version(name);
  }

  oneOf<T extends string>(name: string, allowed: readonly T[]): T {
    const value = this.#value[name];
    const found = allowed.find((candidate) => candidate === value);
    if (found === undefined) throw this.#corrupt(name, value);
    return found;
  }

  list(name: string): JsonReader[] {
    const value = this.#value[name];
    if (!Array.isArray(value)) throw this.#corrupt(name, value);
    return value.map((item, index) => new JsonReader(this.#key, `${this.#path}${name}[${index}].`, item));
  }

  optional(name: string): JsonReader | undefined {
    const value = this.#value[name];
    return value === undefined ? undefined : new JsonReader(this.#key, `${this.#path}${name}.`, value);
  }

  #corrupt(name: string | number, value: unknown): BackupError {
    return new BackupError(
      'STORE_CORRUPT',
      `progress store: "${this.#path}${name}" in the value of "${this.#key}" must not be ${shown(value)}; restore the store or start a new one`,
    );
  }
}

const MAX_SHOWN = 100;

/** For a message: short, whatever stands there; a list in lists by the thousand cannot even be written down by JSON.stringify. */
function shown(value: unknown): string {
  if (typeof value === 'string') {
    return value.length <= MAX_SHOWN ? JSON.stringify(value) : `${JSON.stringify(value.slice(0, MAX_SHOWN))}…`;
  }
  if (typeof value !== 'object' || value === null) return String(value);
  return Array.isArray(value) ? 'a list' : 'an object';
}
