// Pull mode: a job is active. Pulling and uploading run side by side until the last job leaves, the worker is displaced, or an old epoch is drained.

import { AbortScope } from '../core/abort.js';
import { pull } from './pull.js';
import type { Run } from './run.js';
import { NoJobLeft } from './run.js';
import { withHelpers } from './task-group.js';
import { upload } from './upload.js';
import type { WriteLimiter } from './write-limiter.js';

/** Returns when there is nothing more to do in this mode; the caller looks at the run for the reason. */
export async function pullMode(run: Run, limiter: WriteLimiter, signal: AbortSignal): Promise<void> {
  run.setState('PullMode.Pulling');
  using mode = new AbortScope(signal);
  run.pullMode = mode;
  try {
    await withHelpers(mode.signal, (inner) => upload(run, limiter, { pullMode: inner, run: signal }), [
      (inner) => run.untilDisplaced(inner, (pulling) => pull(run, pulling)),
    ]);
  } catch (error) {
    if (!(error instanceof NoJobLeft)) throw error;
  } finally {
    run.pullMode = undefined;
  }
}
