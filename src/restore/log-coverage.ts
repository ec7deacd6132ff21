// Which versions the log files of a container cover, tag by tag and stretch by stretch, and where the gaps are. Pure.
// Written for hundreds of thousands of files: everything is a pass over sorted files, and nothing is done once per tag that a name merely claims to exist.

import type { Version } from '../core/version.js';
import { maxVersion, minVersion } from '../core/version.js';
import type { DescriptionProblem, LogFile, LogGap, LogStretch, TagLog, VersionRange } from './description.js';
import { clipRanges, intersectRangeLists, joinRanges, subtractRanges } from './version-ranges.js';

export interface LogCoverage {
  readonly tags: readonly TagLog[];
  readonly stretches: readonly LogStretch[];
  readonly complete: readonly VersionRange[];
  readonly gaps: readonly LogGap[];
  readonly problems: readonly DescriptionProblem[];
}

/** Gaps for whole missing tags are listed up to this many per stretch; a name may claim any number of tags. */
const MAX_MISSING_TAGS = 64;

/**
 * `from`: nothing below it is counted on (the unreliable mark). `corrupt`: files that exist and cannot be read: they cover nothing.
 */
export function analyzeLogs(
  files: readonly LogFile[],
  from: Version,
  corrupt: ReadonlySet<LogFile> = new Set(),
): LogCoverage {
  const problems: DescriptionProblem[] = [];
  const tags = groupByTag(files, from, corrupt, problems);
  const stretches = findStretches(tags, problems);
  const complete: VersionRange[] = [];
  const gaps: LogGap[] = [];
  const extent = stretches.length === 0 ? undefined : { begin: stretches[0]!.begin, end: stretches.at(-1)!.end };
  if (extent !== undefined) {
    const byTotal = new Map<number, TagLog[]>();
    for (const tag of tags) byTotal.set(tag.totalTags, [...(byTotal.get(tag.totalTags) ?? []), tag]);
    for (const stretch of stretches) {
      const present = byTotal.get(stretch.totalTags) ?? [];
      complete.push(...completeRanges(stretch, present));
      collectGaps(gaps, stretch, present, extent);
    }
  }
  markCorrupt(gaps, corrupt);
  gaps.sort((a, b) => compareVersions(a.begin, b.begin) || a.tag - b.tag);
  return { tags, stretches, complete: joinRanges(complete), gaps, problems };
}

export function compareVersions(a: Version, b: Version): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** By begin; of two with the same begin the longer one first, so that what lies within another always comes after it. */
function compareFiles(a: LogFile, b: LogFile): number {
  if (a.begin !== b.begin) return a.begin < b.begin ? -1 : 1;
  if (a.end !== b.end) return a.end > b.end ? -1 : 1;
  return a.name < b.name ? -1 : 1;
}

function groupByTag(
  files: readonly LogFile[],
  from: Version,
  corrupt: ReadonlySet<LogFile>,
  problems: DescriptionProblem[],
): TagLog[] {
  const groups = new Map<number, Map<number, LogFile[]>>();
  for (const file of files) {
    if (from > 0n && file.end <= from) continue;
    if (corrupt.size > 0 && corrupt.has(file)) continue;
    let group = groups.get(file.totalTags);
    if (group === undefined) groups.set(file.totalTags, (group = new Map<number, LogFile[]>()));
    const list = group.get(file.tag);
    if (list === undefined) group.set(file.tag, [file]);
    else list.push(file);
  }
  const tags: TagLog[] = [];
  for (const [totalTags, group] of groups) {
    for (const [tag, list] of group) tags.push(chainFiles(tag, totalTags, list.sort(compareFiles), from, problems));
  }
  return tags.sort((a, b) => a.totalTags - b.totalTags || a.tag - b.tag);
}

/** Drops files that lie within another one. `sorted` by compareFiles: then a file lies within an earlier one exactly if it does not end later than all of them. */
function chainFiles(
  tag: number,
  totalTags: number,
  sorted: readonly LogFile[],
  from: Version,
  problems: DescriptionProblem[],
): TagLog {
  const files: LogFile[] = [];
  const duplicates: LogFile[] = [];
  const covered: { begin: Version; end: Version }[] = [];
  let last: LogFile | undefined;
  for (const file of sorted) {
    if (last !== undefined && file.end <= last.end) {
      duplicates.push(file);
      if (file.size > last.size) {
        problems.push({
          kind: 'duplicate',
          message: `${file.name} lies within ${last.name} and yet is larger; FoundationDB's tools refuse such a container`,
          file: file.name,
        });
      }
      continue;
    }
    last = file;
    files.push(file);
    const run = covered.at(-1);
    if (run !== undefined && file.begin <= run.end) run.end = file.end;
    else covered.push({ begin: maxVersion(file.begin, from), end: file.end });
  }
  return { tag, totalTags, files, duplicates, covered };
}

/**
 * How many tags the log has, stretch by stretch. Tag 0's files tell; where it has none, the files of other tags do; where there is no file at all, the stretch before it
 * goes on.
 */
function findStretches(tags: readonly TagLog[], problems: DescriptionProblem[]): LogStretch[] {
  const known = layOut(
    tags.filter((tag) => tag.tag === 0),
    (message) => problems.push({ kind: 'tags', message }),
  );
  const others = tags.filter((tag) => tag.tag !== 0);
  const extents = tags.flatMap((tag) => tag.covered);
  if (extents.length === 0) return [];
  const begin = extents.map((range) => range.begin).reduce(minVersion);
  const end = extents.map((range) => range.end).reduce(maxVersion);
  const stretches = [...known];
  for (const hole of subtractRanges({ begin, end }, known)) {
    const clipped = others.map((tag) => ({ ...tag, covered: clipRanges(tag.covered, hole) }));
    stretches.push(...layOut(clipped, () => undefined));
  }
  stretches.sort((a, b) => compareVersions(a.begin, b.begin));
  const result: { begin: Version; end: Version; totalTags: number }[] = [];
  for (const stretch of stretches) {
    const last = result.at(-1);
    if (last !== undefined) last.end = stretch.begin;
    if (last?.totalTags === stretch.totalTags) last.end = stretch.end;
    else result.push({ ...stretch });
  }
  return result;
}

/** One after the other: where two numbers of tags claim the same versions, the one that begins later has them from its begin on (as in the original). */
function layOut(
  tags: readonly Pick<TagLog, 'covered' | 'totalTags'>[],
  report: (message: string) => void,
): LogStretch[] {
  const runs = tags
    .flatMap(({ covered, totalTags }) => covered.map((range) => ({ begin: range.begin, end: range.end, totalTags })))
    .sort((a, b) => compareVersions(a.begin, b.begin) || a.totalTags - b.totalTags);
  const result: { begin: Version; end: Version; totalTags: number }[] = [];
  for (const run of runs) {
    const last = result.at(-1);
    if (last !== undefined && run.begin < last.end) {
      if (run.totalTags === last.totalTags) {
        last.end = maxVersion(last.end, run.end);
        continue;
      }
      report(`files of ${last.totalTags} and of ${run.totalTags} tags both claim versions from ${run.begin} on`);
      last.end = run.begin;
      if (last.begin === last.end) result.pop();
    }
    result.push(run);
  }
  return result;
}

function completeRanges(stretch: LogStretch, present: readonly TagLog[]): VersionRange[] {
  if (present.length < stretch.totalTags) return [];
  let ranges: readonly VersionRange[] = [{ begin: stretch.begin, end: stretch.end }];
  for (const tag of present) ranges = intersectRangeLists(ranges, tag.covered);
  return [...ranges];
}

function collectGaps(gaps: LogGap[], stretch: LogStretch, present: readonly TagLog[], extent: VersionRange): void {
  const { totalTags } = stretch;
  for (const { tag, covered } of present) {
    for (const { begin, end } of subtractRanges(stretch, clipRanges(covered, stretch))) {
      const kind = begin === extent.begin ? 'start' : end === extent.end ? 'end' : 'hole';
      const what = {
        hole: 'has no file for',
        start: 'begins later than others: no file for',
        end: 'has not come as far as others: no file for',
      }[kind];
      gaps.push({ kind, tag, totalTags, begin, end, reason: `tag ${tag} of ${totalTags} ${what} [${begin}, ${end})` });
    }
  }
  let missing = totalTags - present.length;
  const named = new Set(present.map((tag) => tag.tag));
  for (let tag = 0, listed = 0; missing > 0 && listed < MAX_MISSING_TAGS; tag++) {
    if (named.has(tag)) continue;
    missing--;
    listed++;
    const more = listed === MAX_MISSING_TAGS && missing > 0 ? ` (and so have ${missing} more tags)` : '';
    const { begin, end } = stretch;
    gaps.push({
      kind: 'missing-tag',
      tag,
      totalTags,
      begin,
      end,
      reason: `tag ${tag} of ${totalTags} has no file at all for [${begin}, ${end})${more}`,
    });
  }
}

/** A gap that a corrupt file should have covered says so. */
function markCorrupt(gaps: LogGap[], corrupt: ReadonlySet<LogFile>): void {
  if (corrupt.size === 0) return;
  for (const [i, gap] of gaps.entries()) {
    for (const file of corrupt) {
      if (file.tag !== gap.tag || file.totalTags !== gap.totalTags || file.end <= gap.begin || file.begin >= gap.end)
        continue;
      const reason = `tag ${gap.tag} of ${gap.totalTags} has no readable file for [${gap.begin}, ${gap.end}): ${file.name} is corrupt`;
      gaps[i] = { ...gap, kind: 'corrupt', reason, file: file.name };
      break;
    }
  }
}

/** Which tag's log does not reach back to the first version of the database. */
export function whyNotFromEmpty(
  { gaps, complete, stretches }: Pick<LogCoverage, 'gaps' | 'complete' | 'stretches'>,
  firstVersion: Version,
): string {
  const first = stretches[0];
  const gap = gaps.find(({ begin, end }) => begin <= firstVersion && firstVersion < end);
  if (gap !== undefined) return `the database's first version is ${firstVersion}, and ${gap.reason}`;
  const begin = complete.find((log) => log.end > firstVersion)?.begin ?? first?.begin;
  return `the database's first version is ${firstVersion}, and the log of every tag is there from ${begin ?? 'no version'} on only`;
}
