// A picture of a backup: tags down, versions across, files as bars, gaps in red, what can be restored marked. A plain SVG without scripts or outside references.
//
// Its size is bounded, however many files there are: files that would be narrower than a few pixels are drawn as one bar, and gaps are drawn on top, never thinner than can be seen.

import type { Version } from '../core/version.js';
import { maxVersion, minVersion } from '../core/version.js';
import type { BackupDescription, LogFile, LogGap, TagLog, VersionRange } from './description.js';
import { SNAPSHOT_COLOR, drawSnapshots, layOutSnapshots } from './render-snapshots.js';
import type { SnapshotRows } from './render-snapshots.js';
import { escapeText, line, rect, text } from './svg.js';
import { VersionScale, formatVersion } from './version-scale.js';

const WIDTH = 1200;
const LEFT = 96;
const RIGHT = 28;
const TOP = 118;
const MAX_ROW = 26;
const MIN_ROW = 4;
/** Rows share this height as long as they are not thinner than MIN_ROW. */
const ROWS_HEIGHT = 640;
/** Bars narrower than this are joined with their neighbours. Pixels. */
const MIN_BAR = 2.5;
const MIN_GAP = 2;
/** More rows than this are summed up in words. */
const MAX_ROWS = 400;

const COLOR = {
  file: '#4c78a8',
  emptyFile: '#b5cbe3',
  manyFiles: '#345a85',
  duplicate: '#e8a33d',
  gap: '#d62728',
  notYet: '#d9d9d9',
  restorable: '#2ca02c',
  expired: '#ececec',
  text: '#222222',
  faint: '#6b6b6b',
  line: '#c8c8c8',
} as const;

interface Layout {
  readonly scale: VersionScale;
  readonly rows: number;
  readonly rowHeight: number;
  readonly snapshots: SnapshotRows;
  /** Top of the row of tag 0. */
  readonly top: number;
  readonly bottom: number;
  readonly height: number;
}

/** An SVG document. Takes what describeBackup returned; works for an empty container too. */
export function renderCoverage(description: BackupDescription): string {
  const layout = layOut(description);
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${layout.height}" viewBox="0 0 ${WIDTH} ${layout.height}" role="img" font-family="system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif" font-size="12" fill="${COLOR.text}">`,
    `<title>${escapeText(`Coverage of ${description.url}`)}</title>`,
    `<rect width="${WIDTH}" height="${layout.height}" fill="#ffffff"/>`,
    ...drawHeader(description),
    ...drawLegend(description),
  ];
  if (layout.rows === 0 && description.snapshots.length === 0) {
    parts.push(
      text(WIDTH / 2, TOP + 40, 'There is no log file and no snapshot.', {
        anchor: 'middle',
        fill: COLOR.faint,
        size: 14,
      }),
    );
  } else {
    parts.push(
      ...drawBackground(description, layout),
      ...drawAxis(layout),
      ...drawStretches(description, layout),
      ...description.tags.flatMap((tag) => drawTag(tag, layout)),
      ...description.gaps.flatMap((gap) => drawGap(gap, layout)),
      ...drawTagLabels(layout),
      ...drawSnapshots(layout.snapshots, TOP + 3, layout.bottom, LEFT - 10),
      ...drawWindows(description, layout),
    );
  }
  parts.push('</svg>');
  return `${parts.join('\n')}\n`;
}

function layOut(description: BackupDescription): Layout {
  const tags = [...description.tags, ...description.gaps].map(({ tag }) => tag + 1);
  const rows = Math.min(
    MAX_ROWS,
    tags.reduce((a, b) => Math.max(a, b), 0),
  );
  const rowHeight = rows === 0 ? MAX_ROW : Math.max(MIN_ROW, Math.min(MAX_ROW, ROWS_HEIGHT / rows));
  const { begin, end } = extentOf(description);
  const scale = new VersionScale(begin, end, LEFT, WIDTH - LEFT - RIGHT);
  const snapshots = layOutSnapshots(description, scale);
  const top = TOP + snapshots.height;
  const bottom = top + rows * rowHeight;
  return { scale, snapshots, rows, rowHeight, top, bottom, height: Math.ceil(bottom + 62) };
}

function extentOf({ stretches, snapshots }: BackupDescription): VersionRange {
  const begins = [...stretches.slice(0, 1).map(({ begin }) => begin), ...snapshots.map((s) => s.beginVersion)];
  const ends = [...stretches.slice(-1).map(({ end }) => end), ...snapshots.map((s) => s.endVersion + 1n)];
  if (begins.length === 0) return { begin: 0n, end: 1n };
  return { begin: begins.reduce(minVersion), end: ends.reduce(maxVersion) };
}

function drawHeader(description: BackupDescription): string[] {
  const { logFiles, logBytes, tags, windows, gaps, notRestorable } = description;
  const holes = gaps.filter(isHole).length;
  const restorable =
    windows.length === 0
      ? `not restorable: ${notRestorable ?? 'no reason known'}`
      : `restorable: ${windows
          .slice(0, 4)
          .map(({ min, max }) => `${formatVersion(min)} to ${formatVersion(max)}`)
          .join(', ')}${windows.length > 4 ? ` and ${windows.length - 4} more windows` : ''}`;
  const duplicates = tags.reduce((sum, tag) => sum + tag.duplicates.length, 0);
  const facts = [
    `${count(logFiles, 'log file')}, ${formatBytes(logBytes)}`,
    ...(duplicates > 0 ? [`${duplicates} of them not needed`] : []),
    snapshotCount(description),
    count(holes, 'gap'),
    ...(description.deep ? ['every file decoded'] : ['by names']),
  ];
  return [
    text(LEFT, 30, shorten(`Backup ${description.url}`, 110), { size: 17, weight: 600 }),
    text(LEFT, 50, facts.join(' · '), { fill: COLOR.faint }),
    text(LEFT, 69, shorten(restorable, 165), {
      fill: windows.length === 0 ? COLOR.gap : COLOR.restorable,
      weight: 600,
    }),
  ];
}

function snapshotCount({ snapshots }: BackupDescription): string {
  const unusable = snapshots.filter(({ restorable }) => !restorable).length;
  return count(snapshots.length, 'snapshot') + (unusable === 0 ? '' : ` (${unusable} not restorable)`);
}

function drawLegend(description: BackupDescription): string[] {
  const has = (condition: boolean, entry: readonly [string, string]) => (condition ? [entry] : []);
  const entries: (readonly [string, string])[] = [
    [COLOR.file, 'log file'],
    [COLOR.emptyFile, 'empty file'],
    [COLOR.manyFiles, 'many files'],
    ...has(
      description.tags.some((tag) => tag.duplicates.length > 0),
      [COLOR.duplicate, 'not needed (overlap)'],
    ),
    ...has(description.snapshots.length > 0, [SNAPSHOT_COLOR.restorable, 'snapshot']),
    ...has(
      description.snapshots.some(({ usable, restorable }) => usable && !restorable),
      [SNAPSHOT_COLOR.partial, 'snapshot of a part'],
    ),
    ...has(
      description.snapshots.some(({ usable }) => !usable),
      [SNAPSHOT_COLOR.unusable, 'snapshot not usable'],
    ),
    [COLOR.gap, 'gap'],
    [COLOR.notYet, 'not begun, or not yet'],
    [COLOR.restorable, 'restorable'],
  ];
  const parts: string[] = [];
  let x = LEFT;
  for (const [color, label] of entries) {
    parts.push(rect(x, 84, 14, 10, color), text(x + 19, 93, label, { fill: COLOR.faint }));
    x += 19 + label.length * 6.6 + 18;
  }
  return parts;
}

/** Bands: what is expired, and what can be restored. */
function drawBackground({ windows, unreliableEnd }: BackupDescription, { scale, top, bottom }: Layout): string[] {
  const parts: string[] = [];
  if (unreliableEnd !== undefined && unreliableEnd > scale.begin) {
    parts.push(
      rect(
        scale.left,
        top,
        scale.x(unreliableEnd) - scale.left,
        bottom - top,
        COLOR.expired,
        `below ${unreliableEnd}: expired`,
      ),
    );
  }
  for (const { min, max } of windows) {
    const x = scale.x(min);
    parts.push(
      rect(
        x,
        top - 4,
        Math.max(MIN_GAP, scale.x(max + 1n) - x),
        bottom - top + 8,
        COLOR.restorable,
        `restorable from ${min} to ${max}`,
        0.13,
      ),
    );
  }
  return parts;
}

function drawAxis({ scale, top, bottom }: Layout): string[] {
  const labelWidth = formatVersion(scale.end).length * 7 + 24;
  const parts = [line(scale.left, bottom + 4, scale.left + scale.width, bottom + 4, COLOR.line)];
  for (const tick of scale.ticks(Math.floor(scale.width / labelWidth))) {
    const x = scale.x(tick);
    const label = Math.min(x, WIDTH - 4 - labelWidth / 2 + 12);
    parts.push(
      line(x, top, x, bottom + 9, COLOR.line, '1 3'),
      text(label, bottom + 23, formatVersion(tick), { anchor: 'middle', fill: COLOR.faint }),
    );
  }
  parts.push(text(scale.left + scale.width, bottom + 52, 'version', { anchor: 'end', fill: COLOR.faint }));
  return parts;
}

/** Where the number of tags changes. */
function drawStretches({ stretches }: BackupDescription, { scale, top, bottom }: Layout): string[] {
  if (stretches.length < 2 || stretches.length > 40) return [];
  return stretches.slice(1).flatMap(({ begin, totalTags }) => {
    const x = scale.x(begin);
    const title = `from ${begin} on: ${totalTags} tags`;
    return [`<g><title>${title}</title>${line(x, top - 8, x, bottom + 4, COLOR.text, '4 3')}</g>`];
  });
}

function rowOf(tag: number, { top, rowHeight }: Layout): { y: number; height: number } {
  const margin = rowHeight > 10 ? 3 : rowHeight > 6 ? 1 : 0.5;
  return { y: top + tag * rowHeight + margin, height: rowHeight - 2 * margin };
}

function drawTag({ tag, files, duplicates }: TagLog, layout: Layout): string[] {
  if (tag >= layout.rows) return [];
  const { y, height } = rowOf(tag, layout);
  const thin = Math.min(4, height / 3);
  return [
    ...drawBars(files, layout.scale, y, height),
    ...drawDuplicates(duplicates, layout.scale, y + height - thin, thin),
  ];
}

/** Neighbours too narrow to be told apart become one bar, as long as no version is missing between them. */
function drawBars(files: readonly LogFile[], scale: VersionScale, y: number, height: number): string[] {
  const parts: string[] = [];
  let group: { begin: Version; end: Version; files: number; bytes: number } | undefined;
  const flush = (): void => {
    if (group === undefined) return;
    const x = scale.x(group.begin);
    const width = Math.max(0.6, scale.x(group.end) - x - (height > 5 ? 0.7 : 0.3));
    const color = group.files > 1 ? COLOR.manyFiles : group.bytes === 0 ? COLOR.emptyFile : COLOR.file;
    const title = `[${group.begin}, ${group.end}): ${group.files === 1 ? '' : `${group.files} files, `}${formatBytes(group.bytes)}`;
    parts.push(rect(x, y, width, height, color, title));
    group = undefined;
  };
  for (const { begin, end, size } of files) {
    const narrow = scale.x(end) - scale.x(begin) < MIN_BAR;
    const joins =
      group !== undefined && begin <= group.end && narrow && scale.x(group.end) - scale.x(group.begin) < MIN_BAR * 4;
    if (joins && group !== undefined) {
      group = { begin: group.begin, end, files: group.files + 1, bytes: group.bytes + size };
    } else {
      flush();
      group = { begin, end, files: 1, bytes: size };
    }
  }
  flush();
  return parts;
}

function drawDuplicates(files: readonly LogFile[], scale: VersionScale, y: number, height: number): string[] {
  const parts: string[] = [];
  let right = -Infinity;
  for (const { begin, end } of files) {
    const x = scale.x(begin);
    const width = Math.max(MIN_GAP, scale.x(end) - x);
    if (x + width <= right + 1) continue; // drawn already, as far as anyone can see
    right = x + width;
    parts.push(rect(x, y, width, height, COLOR.duplicate, `[${begin}, ${end}): lies within another file`));
  }
  return parts;
}

/** A tag that begins later, or has not come as far, is no damage. */
function isHole({ kind }: LogGap): boolean {
  return kind !== 'start' && kind !== 'end';
}

function drawGap(gap: LogGap, layout: Layout): string[] {
  if (gap.tag >= layout.rows) return [];
  const { y, height } = rowOf(gap.tag, layout);
  const x = layout.scale.x(gap.begin);
  const width = layout.scale.x(gap.end) - x;
  if (!isHole(gap)) return [rect(x, y, width, height, COLOR.notYet, gap.reason, 0.7)];
  return [rect(x, y, Math.max(MIN_GAP, width), height, COLOR.gap, gap.reason)];
}

function drawTagLabels(layout: Layout): string[] {
  const every = Math.max(1, Math.ceil(12 / layout.rowHeight));
  const parts: string[] = [];
  for (let tag = 0; tag < layout.rows; tag += every) {
    const y = layout.top + (tag + 0.5) * layout.rowHeight + 4;
    parts.push(text(LEFT - 10, y, `tag ${tag}`, { anchor: 'end' }));
  }
  return parts;
}

/** Brackets under the rows, with both ends of each window named where there is room. */
function drawWindows({ windows }: BackupDescription, { scale, bottom }: Layout): string[] {
  const y = bottom + 34;
  let free = scale.left - LEFT;
  return windows.flatMap(({ min, max }) => {
    const left = scale.x(min);
    const right = Math.max(left + MIN_GAP, scale.x(max + 1n));
    const label = `restorable ${formatVersion(min)} to ${formatVersion(max)}`;
    const half = (label.length * 6.7) / 2;
    const middle = Math.min(WIDTH - RIGHT - 60 - half, Math.max(8 + half, (left + right) / 2));
    const parts = [
      line(left, y, right, y, COLOR.restorable, undefined, 2),
      line(left, y - 4, left, y + 4, COLOR.restorable, undefined, 2),
      line(right, y - 4, right, y + 4, COLOR.restorable, undefined, 2),
    ];
    if (middle - half < free) return parts;
    free = middle + half + 8;
    return [...parts, text(middle, y + 18, label, { anchor: 'middle', fill: COLOR.restorable, weight: 600 })];
  });
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`;
}

function shorten(content: string, length: number): string {
  return content.length <= length ? content : `${content.slice(0, length - 1)}…`;
}

function formatBytes(bytes: number): string {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let value = bytes;
  let unit = 0;
  for (; value >= 1024 && unit < units.length - 1; unit++) value /= 1024;
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit] ?? ''}`;
}
