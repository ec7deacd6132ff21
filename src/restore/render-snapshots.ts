// The snapshots of a coverage picture: from the version of its first file to that of its last, side by side where they overlap, and whether each can be used.

import type { BackupDescription, SnapshotDescription } from './description.js';
import { line, rect, text } from './svg.js';
import type { VersionScale } from './version-scale.js';

const LANE = 15;
const BAR = 10;
const MAX_LANES = 4;
/** A snapshot of one version is drawn as wide as this. Pixels. */
const MIN_WIDTH = 4;

export const SNAPSHOT_COLOR = { restorable: '#8e5bb5', partial: '#d3bfe3', unusable: '#d62728' } as const;

interface Bar {
  readonly snapshot: SnapshotDescription;
  readonly x: number;
  readonly width: number;
  readonly lane: number;
}

export interface SnapshotRows {
  readonly bars: readonly Bar[];
  /** Pixels; 0 without snapshots. */
  readonly height: number;
}

/** What cannot be told from its neighbour by the eye, and looks like it, is left out: the picture's size is bounded, however many snapshots there are. */
export function layOutSnapshots({ snapshots }: BackupDescription, scale: VersionScale): SnapshotRows {
  const bars: Bar[] = [];
  const ends: number[] = [];
  let last: { readonly x: number; readonly right: number; readonly color: string } | undefined;
  for (const snapshot of snapshots) {
    const left = scale.x(snapshot.beginVersion);
    const width = Math.max(MIN_WIDTH, scale.x(snapshot.endVersion) - left);
    const x = Math.min(left, scale.left + scale.width - width);
    const color = colorOf(snapshot);
    if (last?.color === color && x - last.x < 1 && x + width - last.right < 1) continue;
    last = { x, right: x + width, color };
    const free = ends.findIndex((end) => end + 1 < x);
    const lane = free >= 0 ? free : Math.min(ends.length, MAX_LANES - 1);
    ends[lane] = Math.max(ends[lane] ?? 0, x + width);
    bars.push({ snapshot, x, width, lane });
  }
  return { bars, height: bars.length === 0 ? 0 : ends.length * LANE + 11 };
}

/** `top`: of the rows; `bottom`: of the picture, to which a line leads from where a usable snapshot's versions begin to be restorable. */
export function drawSnapshots({ bars }: SnapshotRows, top: number, bottom: number, labelRight: number): string[] {
  if (bars.length === 0) return [];
  return [
    text(labelRight, top + BAR, 'snapshots', { anchor: 'end' }),
    ...bars.flatMap(({ snapshot, x, width, lane }) => {
      const y = top + lane * LANE;
      const color = colorOf(snapshot);
      const parts = [rect(x, y, width, BAR, color, describe(snapshot))];
      if (!snapshot.restorable) return parts;
      const end = x + width;
      return [...parts, line(end, y + BAR, end, bottom, color, '2 4')];
    }),
  ];
}

function colorOf({ restorable, usable }: SnapshotDescription): string {
  return restorable ? SNAPSHOT_COLOR.restorable : usable ? SNAPSHOT_COLOR.partial : SNAPSHOT_COLOR.unusable;
}

function describe({ beginVersion, endVersion, files, restorable, usable, reason }: SnapshotDescription): string {
  const what = files === undefined ? '' : `, ${files} range file${files === 1 ? '' : 's'}`;
  const state = restorable ? 'restorable' : usable ? `only a part: ${reason}` : `not usable: ${reason}`;
  return `snapshot ${beginVersion} to ${endVersion}${what}: ${state}`;
}
