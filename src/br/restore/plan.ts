// What a restore reads and writes: which keys, which files, and the id by which its checkpoints are known. Pure.

import { createHash } from 'node:crypto';
import { compareBytes, toHex } from '../../core/bytes.js';
import { BackupError } from '../../core/errors.js';
import { fileNameProblem } from '../../core/file-name.js';
import type { KeyRange } from '../../core/key-range.js';
import { coalesceRanges, formatRange } from '../../core/key-range.js';
import type { BrFile } from '../../format/br/messages.js';
import { intersectRangeSets, subtractRangeSets } from '../../restore/range-filter.js';
import { endsBefore } from '../backup/br-range.js';
import type { BrChain, LoadedLink } from './chain.js';
import { isFullBackup } from './chain.js';
import { checkListed, droppedTables } from './dropped-tables.js';
import type { BrTableRewrite, RestoreBrOptions, RestoredBrTable } from './options.js';
import { tableKeys } from './table-rewriter.js';
import { chooseTables, liesInKeyspace, physicalIdsOf, restoredTable } from './tables.js';

/** A file that is read, and what its rows are. */
export interface PlannedFile {
  readonly file: BrFile;
  readonly link: LoadedLink;
  readonly role: 'write' | 'default' | 'raw';
}

export interface BrPlan {
  /** As the keys are in the backup: sorted and disjoint. */
  readonly ranges: readonly KeyRange[];
  readonly tables: readonly RestoredBrTable[];
  readonly droppedTables: readonly bigint[];
  /** By start key. */
  readonly files: readonly PlannedFile[];
}

type Wanted = Pick<RestoreBrOptions, 'ranges' | 'tables' | 'rewrite'>;

/** All files of the chain. CORRUPT_FILE for meta data that contradicts itself; UNSUPPORTED_FORMAT for a column family that is none. */
export function filesOf(chain: BrChain): readonly PlannedFile[] {
  return chain.links.flatMap((link) => link.files.map((file) => planFile(chain, link, file)));
}

/** `endOfKeys`: behind every key of the files that have no end, and of the wanted ranges. INVALID_OPTION for tables that the backup does not have; NOT_RESTORABLE for keys that only a part of the chain covers. */
export function planRestore(
  chain: BrChain,
  all: readonly PlannedFile[],
  { ranges, tables, rewrite = [] }: Wanted,
  endOfKeys: Uint8Array,
): BrPlan {
  if (tables !== undefined || rewrite.length > 0) checkNoKeyspace(chain, all);
  const chosen = choose(chain, tables);
  const isByTable = chain.kind === 'txn' && !all.some(({ file }) => liesInKeyspace(chain.apiVersion, file));
  const dropped = isByTable && tables === undefined ? droppedTables(chain) : [];
  let wanted: readonly KeyRange[] = coveredByAll(chain, ranges, endOfKeys);
  if (tables !== undefined)
    wanted = intersectRangeSets(
      wanted,
      chosen.flatMap(({ physicalIds }) => physicalIds.map(tableKeys)),
    );
  if (isByTable) checkListed(chain, wanted);
  wanted = subtractRangeSets(wanted, dropped.map(tableKeys));
  const files = all.filter(({ file }) => overlaps(file, wanted));
  files.sort((a, b) => compareBytes(a.file.startKey, b.file.startKey));
  return { ranges: wanted, tables: chosen, droppedTables: dropped, files };
}

/** CORRUPT_FILE for a file that cannot be, by what the meta data says of it; UNSUPPORTED_FORMAT for a column family that is none. */
export function planFile({ kind }: BrChain, link: LoadedLink, file: BrFile): PlannedFile {
  checkFile(link, file);
  if (kind === 'raw') return { file, link, role: 'raw' };
  checkVersions(link, file);
  const cf = columnFamilyOf(file);
  if (cf === 'write' || cf === 'default') return { file, link, role: cf };
  throw new BackupError(
    'UNSUPPORTED_FORMAT',
    `${file.name} is of the column family "${cf}", which a transactional backup does not have`,
    { file: file.name, container: link.container.url },
  );
}

/** Of a transactional file. The first releases of BR did not record it: they, and BR to this day, take it from the name. */
function columnFamilyOf({ cf, name }: BrFile): string {
  return cf === '' ? (/_(default|write)\.sst$/.exec(name)?.[1] ?? cf) : cf;
}

function checkFile({ container }: LoadedLink, { name, startKey, endKey, sha256, size }: BrFile): void {
  const corrupt = (what: string): BackupError =>
    new BackupError('CORRUPT_FILE', `the backup's meta data says of ${name} ${what}`, {
      file: name,
      container: container.url,
    });
  const problem = fileNameProblem(name);
  if (problem !== undefined) throw corrupt(`that it is a file, which cannot be: ${problem}`);
  if (size > BigInt(Number.MAX_SAFE_INTEGER)) throw corrupt(`that it has ${size} bytes`);
  if (sha256.length !== 32) throw corrupt(`a sha256 of ${sha256.length} bytes`);
  if (endsBefore(endKey, startKey)) throw corrupt('a key range that is empty');
}

/** A file that begins later or ends earlier than its backup lacks changes. */
function checkVersions({ meta, container }: LoadedLink, { name, startVersion, endVersion }: BrFile): void {
  const isWhole = isFullBackup(meta)
    ? endVersion === meta.endVersion && (startVersion === 0n || startVersion === endVersion)
    : endVersion === meta.endVersion && startVersion === meta.startVersion;
  if (isWhole) return;
  throw new BackupError(
    'CORRUPT_FILE',
    `${name} holds changes of (${startVersion}, ${endVersion}], and its backup says that it has those of (${meta.startVersion}, ${meta.endVersion}]`,
    { file: name, container: container.url },
  );
}

function checkNoKeyspace({ apiVersion }: BrChain, files: readonly PlannedFile[]): void {
  const found = files.find(({ file }) => liesInKeyspace(apiVersion, file));
  if (found === undefined) return;
  throw new BackupError(
    'UNSUPPORTED_FORMAT',
    `${found.file.name} is of a keyspace of API v2; tables of keyspaces can be neither chosen nor rewritten, restore their keys by \`ranges\``,
    { file: found.file.name, container: found.link.container.url },
  );
}

function choose({ kind, links }: BrChain, wanted: RestoreBrOptions['tables']): readonly RestoredBrTable[] {
  const newest = (links.at(-1) as LoadedLink).tables;
  if (wanted === undefined) return newest.map((table) => restoredTable(table));
  if (kind === 'raw') throw new BackupError('INVALID_OPTION', 'tables: a raw backup has no tables');
  return chooseTables(wanted, newest);
}

/**
 * The wanted keys, of those that the chain covers; by default all of these. A backup that says what it covers leaves the rest alone. Where one of the chain does not cover what another one does, what became of these
 * keys is not known: NOT_RESTORABLE, if they are wanted.
 */
function coveredByAll(
  chain: BrChain,
  ranges: readonly KeyRange[] | undefined,
  endOfKeys: Uint8Array,
): readonly KeyRange[] {
  const stated = chain.links.flatMap((link) => {
    const covers = statedCoverage(link, endOfKeys);
    return covers === undefined ? [] : [{ link, covers }];
  });
  const isStated = stated.length === chain.links.length;
  const union = coalesceRanges([
    ...stated.flatMap(({ covers }) => covers),
    ...(isStated ? [] : knownCoverage(chain, endOfKeys)),
  ]);
  const wanted = ranges === undefined ? union : coalesceRanges(ranges);
  const covered = isStated ? intersectRangeSets(wanted, union) : wanted;
  for (const { link, covers } of stated) {
    const [missing] = subtractRangeSets(intersectRangeSets(covered, union), covers);
    if (missing === undefined) continue;
    throw new BackupError(
      'NOT_RESTORABLE',
      `chain[${link.index}] (${link.container.url}) does not cover the keys ${formatRange(missing)}, and another backup of the chain does: pass ranges that all of them cover`,
      { container: link.container.url },
    );
  }
  return covered;
}

/** undefined: the backup does not say it. Its files count too: BR may have converted the keys of one API version to those of another in them alone. */
function statedCoverage({ rawRanges, files }: LoadedLink, endOfKeys: Uint8Array): readonly KeyRange[] | undefined {
  if (rawRanges.length === 0) return undefined;
  return coalesceRanges(boundedRanges([...rawRanges, ...files], endOfKeys));
}

/** What files and tables tell of what is covered. */
function knownCoverage({ links }: BrChain, endOfKeys: Uint8Array): readonly KeyRange[] {
  const ofFiles = links.flatMap(({ files }) => boundedRanges(files, endOfKeys));
  const ofTables = (links.at(-1) as LoadedLink).tables.flatMap((table) => physicalIdsOf(table).map(tableKeys));
  return [...ofFiles, ...ofTables];
}

type Bounds = Pick<BrFile, 'startKey' | 'endKey'>;

function boundedRanges(ranges: readonly Bounds[], endOfKeys: Uint8Array): KeyRange[] {
  return ranges
    .map(({ startKey, endKey }) => ({ begin: startKey, end: endKey.length === 0 ? endOfKeys : endKey }))
    .filter(({ begin, end }) => compareBytes(begin, end) < 0);
}

/** `ranges` are sorted and disjoint. */
function overlaps({ startKey, endKey }: Bounds, ranges: readonly KeyRange[]): boolean {
  let low = 0;
  let high = ranges.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareBytes((ranges[middle] as KeyRange).end, startKey) <= 0) low = middle + 1;
    else high = middle;
  }
  const first = ranges[low];
  return first !== undefined && !endsBefore(endKey, first.begin);
}

/** Whether everything in the file lies at or before the row `after`. */
export function liesBefore({ endKey }: Bounds, after: Uint8Array): boolean {
  return endKey.length > 0 && compareBytes(endKey, after) <= 0;
}

/** The same for the same backups, keys and rewriting, wherever the backups are and however they are asked for. */
export function restoreIdOf(
  { kind, version, links }: BrChain,
  { ranges }: BrPlan,
  rewrite: readonly BrTableRewrite[],
): string {
  const hash = createHash('sha256').update(`tidemark br restore 1 ${kind} ${version}\n`);
  for (const { meta, files } of links) {
    hash.update(`link ${meta.clusterId} ${meta.startVersion} ${meta.endVersion} ${meta.apiVersion}\n`);
    for (const each of files.map(({ name, sha256 }) => `${toHex(sha256)} ${name}\n`).sort()) hash.update(each);
  }
  for (const { begin, end } of ranges) hash.update(`range ${toHex(begin)}-${toHex(end)}\n`);
  const moved = rewrite.filter(({ from, to }) => from !== to).map(({ from, to }) => `rewrite ${from} ${to}\n`);
  for (const each of moved.sort()) hash.update(each);
  return `br:${hash.digest('hex').slice(0, 32)}`;
}
