// Tables that an older backup of a chain has and the newest does not. Pure. Must never take a table for dropped that was merely not backed up: its rows would be lost without a word.

import { BackupError } from '../../core/errors.js';
import type { KeyRange } from '../../core/key-range.js';
import { intersectRangeSets } from '../../restore/range-filter.js';
import type { BrChain, LoadedLink } from './chain.js';
import { tableKeys } from './table-rewriter.js';
import { physicalIdsOf } from './tables.js';

/** Physical ids. None where the newest backup lists no tables at all: then it says nothing of them. */
export function droppedTables({ links }: BrChain): readonly bigint[] {
  const newest = (links.at(-1) as LoadedLink).tables;
  if (newest.length === 0) return [];
  const alive = new Set(newest.flatMap(physicalIdsOf));
  const known = new Set(links.flatMap(({ tables }) => tables.flatMap(physicalIdsOf)));
  return [...known].filter((id) => !alive.has(id)).sort((a, b) => (a < b ? -1 : 1));
}

/**
 * NOT_RESTORABLE for a table of the wanted keys that one backup lists and the next does not, or the other way round, where nothing can have dropped or created it: the latter has no DDL job, so one of the two was taken of other tables,
 * and what was done to this one in its time is in no backup. One that states its ranges is compared with the others by these.
 */
export function checkListed({ links }: BrChain, wanted: readonly KeyRange[]): void {
  let known: ReadonlyMap<bigint, string> | undefined;
  for (const link of links) {
    if (link.tables.length === 0) continue;
    const listed = namesById(link);
    if (known !== undefined && !link.hasDdls && link.rawRanges.length === 0) {
      checkNoneLess(known, listed, wanted, (table) =>
        refused(link, `does not list ${table}, which the one before it has`),
      );
      checkNoneLess(listed, known, wanted, (table) => refused(link, `lists ${table}, which the one before it has not`));
    }
    known = listed;
  }
}

function namesById({ tables }: LoadedLink): ReadonlyMap<bigint, string> {
  const named = tables.map((table) => [table, `${table.database}.${table.name}`] as const);
  return new Map(named.flatMap(([table, name]) => physicalIdsOf(table).map((id) => [id, name])));
}

/** Throws the `problem` of a wanted table of `some` that is not in `others`. */
function checkNoneLess(
  some: ReadonlyMap<bigint, string>,
  others: ReadonlyMap<bigint, string>,
  wanted: readonly KeyRange[],
  problem: (table: string) => BackupError,
): void {
  for (const [id, name] of some)
    if (!others.has(id) && intersectRangeSets([tableKeys(id)], wanted).length > 0) throw problem(`${name} (${id})`);
}

function refused({ index, container }: LoadedLink, what: string): BackupError {
  return new BackupError(
    'NOT_RESTORABLE',
    `chain[${index}] (${container.url}) ${what}, and it has no DDL job by which that can be: one of them is of other tables, and what was done to this one is not known; pass \`tables\` or \`ranges\` without it`,
    { container: container.url },
  );
}
