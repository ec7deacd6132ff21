// Prefixes: a restore may put its keys elsewhere. `removePrefix` is taken off first, then `addPrefix` is put on. Pure.

import { compareBytes, EMPTY_BYTES, printableBytes } from '../core/bytes.js';
import { BackupError } from '../core/errors.js';
import type { KeyRange } from '../core/key-range.js';
import { formatRange, intersectRanges } from '../core/key-range.js';

export interface PrefixOptions {
  readonly addPrefix?: Uint8Array | undefined;
  readonly removePrefix?: Uint8Array | undefined;
}

export class KeyRewriter {
  readonly #add: Uint8Array;
  readonly #remove: Uint8Array;
  /** The end of the keys that begin with `removePrefix`, and what it becomes. */
  readonly #sourceEnd: Uint8Array | undefined;
  readonly #targetEnd: Uint8Array | undefined;
  /** False: keys stay as they are, and nothing has to be called for each of them. */
  readonly changes: boolean;

  constructor({ addPrefix, removePrefix }: PrefixOptions) {
    this.#add = checkPrefix(addPrefix, 'addPrefix');
    this.#remove = checkPrefix(removePrefix, 'removePrefix');
    this.changes = this.#add.length > 0 || this.#remove.length > 0;
    if (this.#remove.length === 0) return;
    // Without a new prefix nothing is the end of all keys; keys that would begin with 0xFF lie outside of the normal ones and are not restored.
    this.#sourceEnd = this.#add.length === 0 ? concat(this.#remove, END_OF_NORMAL_KEYS) : endOfPrefix(this.#remove);
    this.#targetEnd = this.#add.length === 0 ? END_OF_NORMAL_KEYS : endOfPrefix(this.#add);
  }

  /**
   * What a restore of `wanted` reads: undefined when everything is. Throws INVALID_OPTION for a range of which something has not the prefix that is to be removed.
   */
  limit(wanted: readonly KeyRange[] | undefined): readonly KeyRange[] | undefined {
    if (this.#sourceEnd === undefined) return wanted;
    const prefixed = { begin: this.#remove, end: this.#sourceEnd };
    for (const range of wanted ?? []) {
      const inside = intersectRanges(range, prefixed);
      if (inside?.begin === range.begin && inside.end === range.end) continue;
      throw new BackupError(
        'INVALID_OPTION',
        `ranges: ${formatRange(range)} goes beyond ${formatRange(prefixed)}, the keys that have the removePrefix "${printableBytes(this.#remove)}"`,
      );
    }
    return wanted ?? [prefixed];
  }

  /** A key that lies in what `limit` gave. */
  key(key: Uint8Array): Uint8Array {
    if (!this.changes) return key;
    const rest = this.#remove.length === 0 ? key : key.subarray(this.#remove.length);
    return this.#add.length === 0 ? rest : concat(this.#add, rest);
  }

  /** The end of a range that lies in what `limit` gave. */
  end(end: Uint8Array): Uint8Array {
    if (this.#sourceEnd !== undefined && compareBytes(end, this.#sourceEnd) >= 0) return this.#targetEnd as Uint8Array;
    return this.key(end);
  }

  range({ begin, end }: KeyRange): KeyRange {
    return { begin: this.key(begin), end: this.end(end) };
  }
}

const END_OF_NORMAL_KEYS = Uint8Array.of(0xff);

function checkPrefix(prefix: Uint8Array | undefined, name: string): Uint8Array {
  if (prefix === undefined) return EMPTY_BYTES;
  if (!(prefix instanceof Uint8Array))
    throw new BackupError('INVALID_OPTION', `${name} must be a Uint8Array, got ${typeof prefix}`);
  if (prefix[0] === 0xff)
    throw new BackupError('INVALID_OPTION', `${name} must not begin with 0xFF, got "${printableBytes(prefix)}"`);
  return Uint8Array.from(prefix);
}

/** The first key after all that begin with `prefix`, which has a byte below 0xFF. */
function endOfPrefix(prefix: Uint8Array): Uint8Array {
  let length = prefix.length;
  while (prefix[length - 1] === 0xff) length--;
  const end = prefix.slice(0, length);
  end[length - 1] = (end[length - 1] as number) + 1;
  return end;
}

function concat(a: Uint8Array, b: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(a.length + b.length);
  bytes.set(a);
  bytes.set(b, a.length);
  return bytes;
}
