// Which log files are worth merging. Pure.

import type { Version } from '../core/version.js';
import { splitAtFolder } from '../format/fdb/names.js';
import type { LogFile, VersionRange } from './description.js';
import { compareVersions } from './log-coverage.js';
import { compareText } from './verify-report.js';

/** Files of one tag that touch or overlap: together they hold [begin, end) without a gap. */
export interface CompactGroup extends VersionRange {
  readonly tag: number;
  readonly totalTags: number;
  /** By begin; of the same begin the longer one first. */
  readonly files: readonly LogFile[];
  /** One of them that holds the whole stretch: what an interrupted compaction, or a worker that died, left. Nothing needs to be written then. */
  readonly covering: LogFile | undefined;
}

export interface CompactPlanOptions {
  readonly targetBytes: number;
  readonly minFiles: number;
  /** The newest files of each tag are left alone, this many. */
  readonly keepNewest: number;
  readonly blockSize: number;
  /** Exclusive: only files that end at or below it. */
  readonly before: Version | undefined;
  /** Exclusive: files that begin below it are expired, or being expired. */
  readonly unreliableEnd: Version;
}

export function planCompaction(files: readonly LogFile[], options: CompactPlanOptions): CompactGroup[] {
  const byTag = new Map<string, LogFile[]>();
  for (const file of files) {
    if (file.unpartitioned === true) continue;
    const tag = `${file.tag}/${file.totalTags}`;
    const list = byTag.get(tag);
    if (list === undefined) byTag.set(tag, [file]);
    else list.push(file);
  }
  const groups: CompactGroup[] = [];
  for (const list of byTag.values()) {
    for (const group of chain(eligible(list.sort(compareFiles), options), options.targetBytes)) {
      if (group.files.length >= (group.covering === undefined ? Math.max(2, options.minFiles) : 2)) groups.push(group);
    }
  }
  return groups;
}

/** By begin, of the same begin the longer one first, of the same versions by name: as in the coverage of a log, so that the first of several that hold the same is the one that readers take. */
export function compareFiles(a: LogFile, b: LogFile): number {
  return compareVersions(a.begin, b.begin) || compareVersions(b.end, a.end) || compareText(a.name, b.name);
}

/** `sorted` by begin. The worker that is at work here writes behind the newest files, and after a crash over them: nothing that reaches into them is touched. */
function eligible(sorted: readonly LogFile[], options: CompactPlanOptions): LogFile[] {
  const { keepNewest, before, blockSize, unreliableEnd } = options;
  if (keepNewest >= sorted.length) return [];
  const limit = keepNewest === 0 ? undefined : sorted[sorted.length - keepNewest]!.begin;
  return sorted.filter(
    (file) =>
      (limit === undefined || file.end <= limit) &&
      (before === undefined || file.end <= before) &&
      file.begin >= unreliableEnd &&
      // A longer record than that made the file's blocks larger; the others need not share its fate.
      file.blockSize <= blockSize &&
      splitAtFolder(file.begin, file.end).length === 0,
  );
}

/** `sorted` by compareFiles. A group ends at a gap, at a folder's boundary (rule P20), and before it becomes too large. */
function* chain(sorted: readonly LogFile[], targetBytes: number): Generator<CompactGroup> {
  let files: LogFile[] = [];
  let end = 0n;
  let bytes = 0;
  for (const file of sorted) {
    const begin = files[0]?.begin ?? file.begin;
    const inside = files.length > 0 && file.end <= end;
    const joins =
      inside ||
      (files.length > 0 &&
        file.begin <= end &&
        splitAtFolder(begin, file.end).length === 0 &&
        bytes + file.size <= targetBytes);
    if (!joins && files.length > 0) {
      yield groupOf(files, end);
      files = [];
      bytes = 0;
      end = 0n;
    }
    files.push(file);
    if (inside) continue;
    bytes += file.size;
    end = file.end;
  }
  if (files.length > 0) yield groupOf(files, end);
}

function groupOf(files: readonly LogFile[], end: Version): CompactGroup {
  const first = files[0]!;
  const { begin, tag, totalTags } = first;
  // Sorted as they are, a file that holds everything comes first; of two, the one that every other process would take too.
  return { begin, end, tag, totalTags, files, covering: first.end === end ? first : undefined };
}
