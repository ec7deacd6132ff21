// What the restore target suite is given.

import type { RestoreTarget } from '../ports/restore-target.js';

/** A target, and the means to look at it as the next process would. */
export interface RestoreTargetUnderTest {
  /** Empty, and without a checkpoint. */
  readonly target: RestoreTarget;
  /** Closes the target, or leaves it as a process that dies would, and opens another for the same place: adds the cases about what is durable. */
  readonly reopen?: () => RestoreTarget | Promise<RestoreTarget>;
  /**
   * Makes the next `apply` of the target, or of a shard, fail in the middle of its writing, as a full disk would: adds the case that nothing of it is there
   * then. Leave it out where that cannot be done.
   */
  readonly failNextApply?: () => void | Promise<void>;
  /** Removes everything. Called after each case, whatever came of it. */
  readonly cleanup?: () => void | Promise<void>;
}
