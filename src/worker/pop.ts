// The popper: tells the log what it may forget. Rule P5: only what is recorded, only while no older epoch is unfinished, never when displaced.

import { abortable } from '../core/abort.js';
import { assert } from '../core/errors.js';
import type { Version } from '../core/version.js';
import type { Run } from './run.js';

/** One pop at a time, always the newest; a pop that is withheld goes out when the older epochs are done. */
export async function popWhatIsSaved(run: Run, signal: AbortSignal): Promise<void> {
  let before: Popping = 'nothing to pop';
  for (;;) {
    const seen = run.changed.count;
    const now = popping(run);
    notePath(run, before, now);
    before = now;
    if (now === 'due') await run.untilDisplaced(signal, (inner) => pop(run, run.poppableVersion, inner));
    else await run.changed.after(seen, signal);
  }
}

type Popping = 'nothing to pop' | 'displaced' | 'withheld' | 'due';

function popping(run: Run): Popping {
  if (run.poppableVersion <= (run.poppedVersion ?? -1n)) return 'nothing to pop';
  if (run.displacement !== undefined) return 'displaced';
  return run.isOldestEpoch ? 'due' : 'withheld';
}

function notePath(run: Run, before: Popping, now: Popping): void {
  if (now === before) return;
  if (now === 'withheld') run.rules.met('P05 pop withheld: an older epoch is unfinished');
  if (now === 'displaced') run.rules.met('P05 no pop: displaced');
  if (now === 'due' && before === 'withheld') run.rules.met('P05 withheld pop issued later');
}

export async function pop(run: Run, upTo: Version, signal: AbortSignal): Promise<void> {
  const { logSource, tag, backupEpoch } = run.options;
  assert(
    upTo <= run.poppableVersion || !run.rules.savesBeforePop,
    `pop ${upTo} is above what is recorded, ${run.poppableVersion}`,
  );
  await run.retry(`pop to ${upTo}`, signal, () => abortable(logSource.pop({ epoch: backupEpoch, tag, upTo }), signal));
  run.poppedVersion = upTo;
  run.rules.met('P05 popped what is recorded');
  run.emit('popped', upTo);
  run.changed.fire();
}

/** Waits until what is recorded is popped, as far as popping is allowed: an old epoch's last act before it says that it is done. */
export async function flushPops(run: Run, signal: AbortSignal): Promise<void> {
  for (let seen = run.changed.count; popping(run) === 'due'; seen = run.changed.count) {
    await run.changed.after(seen, signal);
  }
}
