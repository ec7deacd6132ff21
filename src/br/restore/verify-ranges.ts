// The key ranges of a backup's files against each other. Pure.

import { compareBytes, equalBytes } from '../../core/bytes.js';
import type { BrFile } from '../../format/br/messages.js';
import type { FoundProblem } from '../../restore/verify-report.js';
import { compareEnds, endsBefore, formatBrRange } from '../backup/br-range.js';
import type { LoadedLink } from './chain.js';

/**
 * A backup has one answer for each key, with a file of each column family at most: files have the same range, or share no key. Harmless for a restore, which compares the rows themselves; but the meta data is wrong somewhere, or sums over
 * the files count keys twice.
 */
export function overlapProblems({ files }: LoadedLink): readonly FoundProblem[] {
  const problems: FoundProblem[] = [];
  let widest: BrFile | undefined;
  for (const file of [...files].sort(byRange)) {
    if (widest !== undefined && !endsBefore(widest.endKey, file.startKey) && !areOfOneRange(widest, file))
      problems.push({
        kind: 'disagreement',
        code: 'CORRUPT_FILE',
        message: `the backup says that ${file.name} has the keys ${formatBrRange(file)}, and ${widest.name} ${formatBrRange(widest)}: files of a backup have the same keys, or none in common`,
        file: file.name,
        other: widest.name,
        harmless: true,
      });
    if (widest === undefined || compareEnds(file.endKey, widest.endKey) > 0) widest = file;
  }
  return problems;
}

function byRange(a: BrFile, b: BrFile): number {
  return compareBytes(a.startKey, b.startKey) || compareEnds(a.endKey, b.endKey);
}

function areOfOneRange(a: BrFile, b: BrFile): boolean {
  return equalBytes(a.startKey, b.startKey) && equalBytes(a.endKey, b.endKey);
}
