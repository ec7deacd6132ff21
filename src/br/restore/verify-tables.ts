// The sums that a backup's schemas state of whole tables, against those of its files. Pure.

import { compareBytes } from '../../core/bytes.js';
import type { KeyRange } from '../../core/key-range.js';
import type { BrFile } from '../../format/br/messages.js';
import { tableIdOf } from '../../format/br/table-key.js';
import { RangeFilter } from '../../restore/range-filter.js';
import type { FoundProblem } from '../../restore/verify-report.js';
import { isFullBackup } from './chain.js';
import type { LoadedLink } from './chain.js';
import { tableKeys } from './table-rewriter.js';
import type { BrTableOfBackup } from './tables.js';
import { liesInKeyspace, physicalIdsOf } from './tables.js';

interface Sums {
  crc64xor: bigint;
  totalKvs: bigint;
  totalBytes: bigint;
}

/** Behind the keys of all tables. */
const END_OF_TABLES = Uint8Array.of(0x75);

/** Of a full backup whose schemas state sums: those of an incremental one are of the tables, and its files hold only what has changed. */
export function tableProblems({ meta, files, tables }: LoadedLink): readonly FoundProblem[] {
  if (!isFullBackup(meta) || tables.length === 0) return [];
  if (files.some((file) => liesInKeyspace(meta.apiVersion, file))) return [];
  const sums = sumsByTable(files);
  return tables.flatMap((table) => {
    const problem = tableProblem(table, sums);
    if (problem === undefined) return [];
    const message = `table ${table.database}.${table.name} (${table.id}) ${problem}`;
    return [{ kind: 'disagreement' as const, code: 'CHECKSUM_MISMATCH' as const, message }];
  });
}

function tableProblem(table: BrTableOfBackup, { sums, unknown }: TableSums): string | undefined {
  const { crc64xor, totalKvs, totalBytes } = table;
  if (crc64xor === 0n && totalKvs === 0n && totalBytes === 0n) return undefined;
  const found: Sums = { crc64xor: 0n, totalKvs: 0n, totalBytes: 0n };
  for (const id of new Set(physicalIdsOf(table))) {
    const { begin, end } = tableKeys(id);
    let isKnown = true;
    unknown.clip(begin, end, () => (isKnown = false));
    if (!isKnown) return undefined;
    add(found, sums.get(id));
  }
  if (found.totalKvs !== totalKvs) return `has ${found.totalKvs} rows in its files, and its schema says ${totalKvs}`;
  if (found.totalBytes !== totalBytes)
    return `has rows of ${found.totalBytes} bytes in its files, and its schema says ${totalBytes}`;
  return found.crc64xor === crc64xor ? undefined : 'has rows with another crc64xor in its files than its schema says';
}

interface TableSums {
  readonly sums: ReadonlyMap<bigint, Sums>;
  /** Keys of which no sums are known, table by table. */
  readonly unknown: RangeFilter;
}

function sumsByTable(files: readonly BrFile[]): TableSums {
  const sums = new Map<bigint, Sums>();
  const unknown: KeyRange[] = [];
  for (const file of files) {
    const id = tableIdOf(file.startKey);
    if (file.tableMetas.length > 0) for (const part of file.tableMetas) addTo(sums, part.physicalId, part);
    else if (id !== undefined && isOfOneTable(file, id)) addTo(sums, id, file);
    else unknown.push({ begin: file.startKey, end: file.endKey.length === 0 ? END_OF_TABLES : file.endKey });
  }
  return { sums, unknown: new RangeFilter(unknown) };
}

function isOfOneTable({ endKey, totalBytes, totalKvs }: BrFile, id: bigint): boolean {
  const hasSums = totalBytes > 0n || totalKvs === 0n;
  return hasSums && endKey.length > 0 && compareBytes(endKey, tableKeys(id).end) <= 0;
}

function addTo(sums: Map<bigint, Sums>, id: bigint, part: Readonly<Sums>): void {
  const sum = sums.get(id) ?? { crc64xor: 0n, totalKvs: 0n, totalBytes: 0n };
  add(sum, part);
  sums.set(id, sum);
}

function add(sum: Sums, part: Readonly<Sums> | undefined): void {
  if (part === undefined) return;
  sum.crc64xor ^= part.crc64xor;
  sum.totalKvs += part.totalKvs;
  sum.totalBytes += part.totalBytes;
}
