// Log files that are just being written: a worker finishes a file's checksums before the file itself, which may take a while.

import type { Clock } from '../core/clock.js';
import type { Version } from '../core/version.js';
import type { LogFile } from './description.js';
import { analyzeLogs } from './log-coverage.js';
import type { VerifyContext } from './verify-context.js';
import { listLogFiles, parseAnyLogFile } from './verify-inventory.js';

/** Waited between one look and the next, in ms. */
const LOOKS = [250, 500, 1000, 2000, 4000];

/**
 * The log files that are there, once those have come of which only the checksums were there: for some seconds they are waited for, if nothing of their tag is behind them. Whatever has not come then
 * is missing, or its worker has died.
 */
export async function settledLogFiles(
  context: VerifyContext,
  unreliableEnd: Version,
  clock: Clock,
): Promise<LogFile[]> {
  const { container, signal } = context.options;
  let present = await listLogFiles(container, signal);
  const awaited = unfinished(context, present, unreliableEnd);
  for (const wait of LOOKS) {
    const names = new Set(present.map(({ name }) => name));
    if (awaited.every((name) => names.has(name))) break;
    await clock.sleep(wait, signal);
    present = await listLogFiles(container, signal);
  }
  return present;
}

/** Those that begin where their tag's files end, or later. */
function unfinished(
  { inventory }: VerifyContext,
  present: readonly LogFile[],
  unreliableEnd: Version,
): readonly string[] {
  const names = new Set(present.map(({ name }) => name));
  const missing = [...inventory.sums.keys()].filter((name) => !names.has(name));
  if (missing.length === 0) return [];
  const { tags } = analyzeLogs(present, unreliableEnd);
  return missing.filter((name) => {
    const file = parseAnyLogFile(name, 0);
    if (file === undefined || file.end <= unreliableEnd) return false;
    const tag = tags.find((log) => log.tag === file.tag && log.totalTags === file.totalTags);
    return file.begin >= (tag?.covered.at(-1)?.end ?? 0n);
  });
}
