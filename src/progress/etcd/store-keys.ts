// Where the store's keys lie in etcd. A key keeps its bytes behind the prefix, so etcd's order is the store's.
//
//   <prefix>keys/<key>   a value as it was set, or a lease's, which has an etcd lease attached
//   <prefix>commit       the id of the last commit; every commit of every client writes it (commit.ts says what for)

import { BackupError } from '../../core/errors.js';
import { asBuffer } from '../../etcd/keys.js';

const PREFIX = /^[\x21-\x7e]{0,199}\/$/;
const PRINTABLE_ASCII = /^[\x20-\x7e]+$/;

export class StoreKeys {
  readonly prefix: string;
  readonly commit: Buffer;
  readonly #data: string;

  /** INVALID_OPTION unless the prefix is printable ASCII without blanks that ends in a slash. */
  constructor(prefix: string) {
    if (typeof prefix !== 'string' || !PREFIX.test(prefix)) {
      throw new BackupError(
        'INVALID_OPTION',
        `prefix must be up to 200 characters of printable ASCII without blanks and end in "/", got ${JSON.stringify(prefix)}`,
      );
    }
    this.prefix = prefix;
    this.commit = Buffer.from(`${prefix}commit`);
    this.#data = `${prefix}keys/`;
  }

  encode(key: string): Buffer {
    return Buffer.from(this.#data + key, 'latin1');
  }

  /** STORE_CORRUPT for what no client of a store has written there. */
  decode(bytes: Uint8Array): string {
    const text = asBuffer(bytes).toString('latin1');
    const key = text.slice(this.#data.length);
    if (text.startsWith(this.#data) && PRINTABLE_ASCII.test(key)) return key;
    throw new BackupError(
      'STORE_CORRUPT',
      `the progress store in etcd under ${this.prefix} holds a key that no store has written: ${JSON.stringify(text)}. Give the store a prefix of its own`,
    );
  }
}
