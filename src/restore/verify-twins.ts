// Files that hold the same bytes under two names: what a worker leaves that died before it recorded its progress, or a copy where none belongs.

import { equalBytes } from '../core/bytes.js';
import type { LogFile } from './description.js';
import type { VerifyContext } from './verify-context.js';
import { parseAnyLogFile } from './verify-inventory.js';
import { isDamage, readExactly } from './verify-read.js';

const RUN_BYTES = 1 << 20;

/** `used`: range files that snapshots have. */
export async function reportTwins(context: VerifyContext, used: ReadonlySet<string>): Promise<void> {
  for (const names of context.contents.twins()) {
    const [first, ...others] = [...names].sort();
    for (const other of others) {
      const judged = judge(first as string, other, used);
      if (judged === undefined || context.isSuspect(other) || context.isSuspect(first as string)) continue;
      if (!(await sameBytes(context, first as string, other))) continue;
      const { file, twin, harmless, why } = judged;
      const message = `${file} holds the same bytes as ${twin}: ${why}`;
      context.problems.add({
        kind: 'duplicate',
        code: 'CORRUPT_FILE',
        message,
        file,
        offset: 0,
        other: twin,
        harmless,
      });
    }
  }
}

interface Judged {
  readonly file: string;
  readonly twin: string;
  readonly harmless: boolean;
  readonly why: string;
}

/** undefined: nothing is wrong with it. */
function judge(a: string, b: string, used: ReadonlySet<string>): Judged | undefined {
  const [logA, logB] = [parseAnyLogFile(a, 0), parseAnyLogFile(b, 0)];
  if (logA !== undefined && logB !== undefined) return judgeLogs(logA, logB);
  if (logA !== undefined || logB !== undefined) return undefined; // A log and a range file never hold the same.
  // A database that did not change between two snapshots has the same rows in both.
  if (used.has(a) && used.has(b)) return undefined;
  const [file, twin] = used.has(a) ? [b, a] : [a, b];
  return { file, twin, harmless: true, why: 'no snapshot names it' };
}

function judgeLogs(a: LogFile, b: LogFile): Judged {
  const sameTag = a.tag === b.tag && a.totalTags === b.totalTags;
  if (sameTag && b.begin <= a.begin && a.end <= b.end && (b.begin < a.begin || a.end < b.end))
    return { file: a.name, twin: b.name, harmless: true, why: 'restores read only the one that reaches further' };
  if (sameTag && a.begin <= b.begin && b.end <= a.end)
    return { file: b.name, twin: a.name, harmless: true, why: 'restores read only one of them' };
  if (sameTag && a.begin < b.end && b.begin < a.end)
    return { file: b.name, twin: a.name, harmless: true, why: 'restores take each version once' };
  const why = sameTag
    ? 'its name promises other versions'
    : 'it belongs to another tag, whose mutations would be applied twice';
  return { file: b.name, twin: a.name, harmless: false, why };
}

/** Equal size and CRC-32 are only a hint. */
async function sameBytes(context: VerifyContext, a: string, b: string): Promise<boolean> {
  const { container, signal } = context.options;
  const size = context.sizeOf(a);
  if (size === undefined || size !== context.sizeOf(b)) return false;
  try {
    for (let offset = 0; offset < size; offset += RUN_BYTES) {
      signal?.throwIfAborted();
      const length = Math.min(RUN_BYTES, size - offset);
      const bytes = await readExactly(container, { name: a, size }, offset, length);
      if (!equalBytes(bytes, await readExactly(container, { name: b, size }, offset, length))) return false;
    }
    return true;
  } catch (error) {
    if (isDamage(error) || context.hasVanished(a, error)) return false;
    throw error;
  }
}
