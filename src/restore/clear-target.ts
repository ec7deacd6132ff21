// A restore begins in a target that is empty where it restores, or is cleared there because that was asked for.

import { BackupError } from '../core/errors.js';
import type { KeyRange } from '../core/key-range.js';
import { formatRange } from '../core/key-range.js';
import { NO_LIMITS, batchesWithin, checkWithinLimits } from '../ports/apply-limits.js';
import type { RestoreCheckpoint, RestoreTarget } from '../ports/restore-target.js';

export interface ClearTargetOptions {
  readonly target: RestoreTarget;
  readonly restoreId: string;
  /** As the keys are in the target. */
  readonly targetRanges: readonly KeyRange[];
  readonly clearTarget: boolean;
  /** The target's own. */
  readonly checkpoint: RestoreCheckpoint | undefined;
}

/** The ranges in which the target has keys. TARGET_NOT_EMPTY if there are such and they are not to be cleared. Writes nothing. */
export async function rangesToClear(options: ClearTargetOptions): Promise<readonly KeyRange[]> {
  const { target, restoreId, checkpoint, clearTarget } = options;
  const full: KeyRange[] = [];
  for (const range of options.targetRanges) if (!(await target.isEmpty(range))) full.push(range);
  if (full.length === 0 || clearTarget) return full;
  const what =
    checkpoint === undefined || checkpoint.restoreId === restoreId
      ? ''
      : ` (it was last written by another restore, which is ${checkpoint.phase === 'done' ? 'done' : 'not done'})`;
  throw new BackupError(
    'TARGET_NOT_EMPTY',
    `the target holds keys in ${formatRange(full[0]!)}${what}; pass clearTarget: true to clear the restored ranges first`,
  );
}

/** Clears them, in as many steps as the target's limits ask for. */
export async function clearRanges(
  { target, restoreId }: Pick<ClearTargetOptions, 'target' | 'restoreId'>,
  ranges: readonly KeyRange[],
): Promise<void> {
  const clears = ranges.map(({ begin, end }) => ({ type: 'clear' as const, begin, end }));
  const { limits = NO_LIMITS } = target;
  checkWithinLimits(clears, limits);
  for (const batch of batchesWithin(clears, limits))
    await target.apply(batch, { restoreId, phase: 'clearing', version: 0n });
}
