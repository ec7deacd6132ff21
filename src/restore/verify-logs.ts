// Log files: against their recorded checksums, against the gaps between them, deep also against each other where they hold the same versions.

import type { Version } from '../core/version.js';
import { formatTag, logRouterTag } from '../core/version.js';
import type { FileSums } from '../format/fdb/file-sums.js';
import { sumsFileName } from '../format/fdb/file-sums.js';
import { LOG_FOLDER, RANGE_FOLDER } from '../format/fdb/names.js';
import { Disagreement, agreeingRecords } from './compact-merge.js';
import { compareFiles } from './compact-plan.js';
import type { LogFile } from './description.js';
import { SumsReader } from './log-sums.js';
import { analyzeLogs } from './log-coverage.js';
import type { VerifyContext } from './verify-context.js';
import { logDecoder, scanFile } from './verify-data-file.js';
import { inParallel } from './verify-in-parallel.js';
import { parseAnyLogFile } from './verify-inventory.js';
import { isDamage, isThere } from './verify-read.js';

/** Log files of a container that was begun a moment ago, at most. */
const FEW_FILES = 16;

export async function verifyLogs(context: VerifyContext, unreliableEnd: Version): Promise<void> {
  const { logFiles } = context.inventory;
  const { concurrency, signal, deep } = context.options;
  const needed: LogFile[] = [];
  for (const file of logFiles) {
    if (file.end > unreliableEnd) needed.push(file);
    else context.leftovers.push(file.name);
  }
  const reader = new SumsReader(context.options.container);
  await inParallel(needed, concurrency, signal, (file) => verifyLogFile(context, file, reader));
  if (deep) await compareOverlaps(context, needed);
}

/** Gaps that are not normal, by the names of the files. */
export function reportGaps(context: VerifyContext, files: readonly LogFile[], unreliableEnd: Version): void {
  const partitioned = files.filter((file) => file.name.startsWith(LOG_FOLDER));
  const { gaps } = analyzeLogs(partitioned.length > 0 ? partitioned : files, unreliableEnd);
  for (const { kind, begin, end, tag, reason } of gaps) {
    if (kind === 'start' || kind === 'end') continue;
    const message = `the log of tag ${formatTag(logRouterTag(tag))} has a gap: ${reason}`;
    context.problems.add({ kind: 'log-gap', code: 'NOT_RESTORABLE', message, versions: { begin, end } });
  }
}

async function verifyLogFile(context: VerifyContext, file: LogFile, reader: SumsReader): Promise<void> {
  const { name, size } = file;
  context.counts.logFiles++;
  const recorded = await lookUp(context, file, reader);
  if (recorded !== undefined) {
    context.record(name, recorded);
    if (recorded.size !== size) context.wrongSize(name, recorded.size, size);
  } else if (size > 0) {
    context.unchecked.add(name);
  }
  if (context.options.deep && size > 0) {
    try {
      await scanLogFile(context, file, recorded);
    } catch (error) {
      if (!context.hasVanished(name, error)) throw error;
    }
  }
  context.fileDone();
}

async function lookUp(
  context: VerifyContext,
  { name, size }: LogFile,
  reader: SumsReader,
): Promise<FileSums | undefined> {
  const { sums: listed } = context.inventory;
  // Where files have checksums, they are asked for by name, too: a listing that lags may not show them yet. Where none are listed and there are many files, it is not the lag.
  const mayHave = listed.size > 0 || context.inventory.logFiles.length <= FEW_FILES;
  if (!listed.has(name) && (size === 0 || !mayHave)) return undefined;
  const sums = listed.get(name) ?? sumsFileName(name);
  try {
    const found = await reader.forFile(name);
    if (found !== undefined || listed.has(name)) context.counts.sums++;
    return found;
  } catch (error) {
    if (!isDamage(error)) throw error;
    context.damagedSums(error, sums);
    return undefined;
  }
}

async function scanLogFile(context: VerifyContext, file: LogFile, recorded: FileSums | undefined): Promise<void> {
  const { container, signal, slices } = context.options;
  const decoder = logDecoder(file, slices);
  const scanned = await scanFile({ container, file, decoder, recorded, signal, onBytes: context.readBytes });
  context.counts.records += decoder.records;
  context.scanned(file.name, scanned);
}

/** Files of a tag that hold the same versions must say the same of them (rule P13). Damaged ones have been reported already. */
async function compareOverlaps(context: VerifyContext, files: readonly LogFile[]): Promise<void> {
  const byTag = new Map<string, LogFile[]>();
  for (const file of files) {
    if (file.unpartitioned === true || context.isSuspect(file.name) || context.vanished.has(file.name)) continue;
    const tag = `${file.tag}/${file.totalTags}`;
    const list = byTag.get(tag);
    if (list === undefined) byTag.set(tag, [file]);
    else list.push(file);
  }
  const runs = [...byTag.values()].flatMap((list) => [...overlappingRuns(list.sort(compareFiles))]);
  const { concurrency, signal } = context.options;
  await inParallel(runs, concurrency, signal, (run) => compareRun(context, run));
}

/** Runs of files each of which overlaps one before it; those that overlap nothing are left out. */
function* overlappingRuns(sorted: readonly LogFile[]): Generator<readonly LogFile[]> {
  let run: LogFile[] = [];
  let end = 0n;
  for (const file of sorted) {
    if (run.length > 0 && file.begin >= end) {
      if (run.length > 1) yield run;
      run = [];
    }
    run.push(file);
    if (run.length === 1 || file.end > end) end = file.end;
  }
  if (run.length > 1) yield run;
}

async function compareRun(context: VerifyContext, files: readonly LogFile[]): Promise<void> {
  const { container, slices, signal } = context.options;
  const records = agreeingRecords({ container, files, sumsOf: () => Promise.resolve(undefined), slices, signal });
  try {
    for (let next = await records.next(); next.done !== true;) next = await records.next();
  } catch (error) {
    if (error instanceof Disagreement) {
      const { file, offset, other, message, code } = error;
      context.problems.add({ kind: 'disagreement', code, message, file, offset, other });
    } else if (!isDamage(error) && !context.hasVanished(files[0]!.name, error)) {
      throw error;
    }
  }
}

/**
 * Checksums without their file. `present`: what is listed now. A file whose versions others hold, or that has expired, is none that is missed: its checksums were left behind.
 */
export async function reportMissingLogFiles(
  context: VerifyContext,
  present: readonly LogFile[],
  unreliableEnd: Version,
): Promise<void> {
  const names = new Set(present.map(({ name }) => name));
  const coverage = analyzeLogs(present, unreliableEnd);
  const { sums, rangeFiles } = context.inventory;
  for (const [name, sumsName] of sums) {
    if (name.startsWith(RANGE_FOLDER)) {
      if (!rangeFiles.has(name)) context.leftovers.push(sumsName);
      continue;
    }
    const file = parseAnyLogFile(name, 0);
    if (file === undefined || names.has(name)) continue;
    const tag = coverage.tags.find((log) => log.tag === file.tag && log.totalTags === file.totalTags);
    const begin = file.begin > unreliableEnd ? file.begin : unreliableEnd;
    const covered = begin >= file.end || tag?.covered.some((range) => range.begin <= begin && range.end >= file.end);
    if (covered === true) context.leftovers.push(sumsName);
    else if (await isThere(context.options.container, sumsName))
      context.missing(name, `${name} is not there, and no other file holds its versions; its checksums are`);
  }
  for (const name of context.vanished) {
    const file = parseAnyLogFile(name, 0);
    if (file === undefined || names.has(name) || sums.has(name)) continue;
    const tag = coverage.tags.find((log) => log.tag === file.tag && log.totalTags === file.totalTags);
    const begin = file.begin > unreliableEnd ? file.begin : unreliableEnd;
    if (begin < file.end && tag?.covered.some((range) => range.begin <= begin && range.end >= file.end) !== true)
      context.missing(name, `${name} was listed, and is not there any more`);
  }
}
