// Which tables a restore is of: names and ids looked up in the backup's schemas. Pure.

import { BackupError } from '../../core/errors.js';
import type { BrApiVersion, BrFile } from '../../format/br/messages.js';
import type { RestoredBrTable } from './options.js';

/** What of a backup's schemas a restore looks at. */
export interface BrTableOfBackup {
  readonly database: string;
  readonly name: string;
  readonly id: bigint;
  /** Of each partition; empty for a table without. */
  readonly partitionIds: readonly bigint[];
  /** Of all its rows, as the schema states them; all three are 0 where nobody computed them. */
  readonly crc64xor: bigint;
  readonly totalKvs: bigint;
  readonly totalBytes: bigint;
}

/** What its keys may begin with: a partitioned table has rows in its partitions, and entries of global indexes under its own id. */
export function physicalIdsOf({ id, partitionIds }: BrTableOfBackup): readonly bigint[] {
  return [id, ...partitionIds];
}

/** In front of the keys of a keyspace, TiDB's tables in it too: looked for at the usual place, none of them would be found. */
const KEYSPACE_PREFIX = 0x78; // x

export function liesInKeyspace(apiVersion: BrApiVersion, { startKey }: Pick<BrFile, 'startKey'>): boolean {
  return apiVersion === 'v2' && startKey[0] === KEYSPACE_PREFIX;
}

/** Names that an error lists at most. */
const MOST_SHOWN = 10;

/** INVALID_OPTION for one that matches none of them. Each table once, in their order. */
export function chooseTables(
  wanted: readonly (string | bigint)[],
  tables: readonly BrTableOfBackup[],
): readonly RestoredBrTable[] {
  const ids = new Map<BrTableOfBackup, Set<bigint>>();
  for (const each of wanted) {
    const found = tables.flatMap((table) => matches(each, table));
    if (found.length === 0) throw matchesNothing(each, tables);
    for (const { table, physicalIds } of found) {
      const chosen = ids.get(table) ?? new Set();
      for (const id of physicalIds) chosen.add(id);
      ids.set(table, chosen);
    }
  }
  return tables.flatMap((table) => {
    const chosen = ids.get(table);
    return chosen === undefined ? [] : [restoredTable(table, [...chosen])];
  });
}

export function restoredTable(
  table: BrTableOfBackup,
  physicalIds: readonly bigint[] = physicalIdsOf(table),
): RestoredBrTable {
  return { database: table.database, name: table.name, id: table.id, physicalIds };
}

interface Match {
  readonly table: BrTableOfBackup;
  readonly physicalIds: readonly bigint[];
}

function matches(wanted: string | bigint, table: BrTableOfBackup): readonly Match[] {
  if (typeof wanted === 'string') {
    const isNamed = matchesName(wanted.toLowerCase(), `${table.database}.${table.name}`.toLowerCase());
    return isNamed ? [{ table, physicalIds: physicalIdsOf(table) }] : [];
  }
  if (wanted === table.id) return [{ table, physicalIds: physicalIdsOf(table) }];
  return table.partitionIds.includes(wanted) ? [{ table, physicalIds: [wanted] }] : [];
}

/** `*`: any characters, `?`: one. In linear time but for going back to the last star: no pattern makes it slow as a regular expression would be. */
export function matchesName(pattern: string, name: string): boolean {
  let p = 0;
  let n = 0;
  let star = -1;
  let from = 0;
  while (n < name.length) {
    const c = pattern[p];
    if (c === '*') {
      star = p++;
      from = n;
    } else if (c !== undefined && (c === '?' || c === name[n])) {
      p++;
      n++;
    } else if (star >= 0) {
      p = star + 1;
      n = ++from;
    } else {
      return false;
    }
  }
  while (pattern[p] === '*') p++;
  return p === pattern.length;
}

function matchesNothing(wanted: string | bigint, tables: readonly BrTableOfBackup[]): BackupError {
  const names = tables.slice(0, MOST_SHOWN).map(({ database, name, id }) => `${database}.${name} (${id})`);
  const more = tables.length > MOST_SHOWN ? ` and ${tables.length - MOST_SHOWN} more` : '';
  const held = tables.length === 0 ? 'it lists no tables' : `it has ${names.join(', ')}${more}`;
  return new BackupError('INVALID_OPTION', `tables: nothing in the backup is ${String(wanted)}; ${held}`);
}
