// Keys of one table that become keys of another. Pure. Values are nobody's business here.

import { compareBytes } from '../../core/bytes.js';
import { BackupError } from '../../core/errors.js';
import type { KeyRange } from '../../core/key-range.js';
import { TABLE_PREFIX_BYTES, readComparableInt64, tableIdOf, tableRange } from '../../format/br/table-key.js';
import { intersectRangeSets, subtractRangeSets } from '../../restore/range-filter.js';
import type { BrTableRewrite } from './options.js';

const ID_AT = 1;

/** All keys of the table, as a range with an end. */
export function tableKeys(tableId: bigint): KeyRange {
  const { startKey, endKey } = tableRange(tableId);
  return { begin: startKey, end: endKey };
}

export class TableRewriter {
  /** What keys of a table begin with afterwards. */
  readonly #prefixes = new Map<bigint, Uint8Array>();
  /** Ids that only rewritten keys may have. */
  readonly #taken: ReadonlySet<bigint>;
  /** False: keys stay as they are, and nothing has to be called for each of them. */
  readonly changes: boolean;
  /** The prefix of the key that was rewritten last, and what it became: rows of a table follow each other. */
  #last: Uint8Array | undefined;
  #lastPrefix: Uint8Array | undefined;

  constructor(rewrite: readonly BrTableRewrite[]) {
    for (const { from, to } of rewrite) if (from !== to) this.#prefixes.set(from, tableKeys(to).begin);
    const targets = rewrite.filter(({ from, to }) => from !== to).map(({ to }) => to);
    this.#taken = new Set(targets.filter((to) => !this.#prefixes.has(to)));
    this.changes = this.#prefixes.size > 0;
  }

  /** INVALID_OPTION if one of these tables would be restored under its own id while another becomes it. */
  check(physicalIds: Iterable<bigint>): void {
    for (const id of physicalIds) if (this.#taken.has(id)) throw collision(id);
  }

  /** Of a key that is restored. INVALID_OPTION for one of a table that another one becomes. */
  key(key: Uint8Array): Uint8Array {
    const prefix = this.#prefixOf(key);
    return prefix === undefined ? key : withPrefix(key, prefix);
  }

  #prefixOf(key: Uint8Array): Uint8Array | undefined {
    const last = this.#last;
    if (last !== undefined && startsWith(key, last)) return this.#lastPrefix;
    const id = tableIdOf(key);
    if (id === undefined) return undefined;
    if (this.#taken.has(id)) throw collision(id);
    this.#last = key.slice(0, TABLE_PREFIX_BYTES);
    return (this.#lastPrefix = this.#prefixes.get(id));
  }

  /** What the ranges are in the target. Sorted and disjoint where the given ones are. */
  ranges(ranges: readonly KeyRange[]): readonly KeyRange[] {
    if (!this.changes) return ranges;
    const sources = [...this.#prefixes.keys(), ...this.#taken].map(tableKeys);
    const result = subtractRangeSets(ranges, sources);
    for (const [id, prefix] of this.#prefixes) {
      const table = tableKeys(id);
      const becomes = tableKeys(readComparableInt64(prefix, ID_AT));
      for (const { begin, end } of intersectRangeSets([table], ranges)) {
        const last = compareBytes(end, table.end) === 0 ? becomes.end : withPrefix(end, prefix);
        result.push({ begin: withPrefix(begin, prefix), end: last });
      }
    }
    return result.sort((a, b) => compareBytes(a.begin, b.begin));
  }
}

/** A key of a table, or the edge of a range within it, with the prefix of another table. */
function withPrefix(key: Uint8Array, prefix: Uint8Array): Uint8Array {
  const rewritten = key.slice();
  rewritten.set(prefix);
  return rewritten;
}

function startsWith(key: Uint8Array, prefix: Uint8Array): boolean {
  if (key.length < prefix.length) return false;
  // From the end: neighbouring tables differ there.
  for (let i = prefix.length - 1; i >= 0; i--) if (key[i] !== prefix[i]) return false;
  return true;
}

function collision(id: bigint): BackupError {
  return new BackupError(
    'INVALID_OPTION',
    `rewrite: another table becomes ${id}, and the backup has rows of table ${id} too; rewrite that one as well, or leave it out of \`tables\``,
  );
}
