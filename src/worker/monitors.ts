// What else a run keeps an eye on: pause, the log system's recoveries, and its own figures. Each runs until aborted.

import { abortableStream } from '../core/abort.js';
import { PAUSED_KEY } from '../job/keys.js';
import { checkOwner, displaced } from '../job/worker-transactions.js';
import type { LogSource, LogSystemInfo } from '../ports/log-source.js';
import type { WorkerState } from './events.js';
import type { Run } from './run.js';
import { watchOrPoll } from './watch.js';

/** P21 */
export async function monitorPause(run: Run, signal: AbortSignal): Promise<void> {
  for (;;) {
    const value = await run.transact('read the pause flag', signal, async (tx) => {
      await checkOwner(tx, run.owner);
      return tx.get(PAUSED_KEY);
    });
    const isPaused = value !== undefined;
    if (isPaused !== run.paused) {
      run.paused = isPaused;
      run.emit('paused', isPaused);
      run.changed.fire();
    }
    await watchOrPoll(run, PAUSED_KEY, value, signal);
  }
}

/** A log that never changes hands leaves it out. */
export function hasLogSystem(source: LogSource): source is Required<LogSource> {
  return source.logSystem !== undefined;
}

/** Displacement by a newer epoch (P16), and whether older epochs are unfinished (P5). A stream that ends or fails is opened again. */
export async function monitorLogSystem(run: Run, source: Required<LogSource>, signal: AbortSignal): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    await run.retry('logSystem', signal, async () => {
      for await (const info of abortableStream(source.logSystem(signal), signal)) {
        attempt = 0;
        applyLogSystem(run, info);
      }
    });
    await run.clock.sleep(Math.min(run.retryPolicy.maxDelay, run.options.pollInterval), signal);
  }
}

function applyLogSystem(run: Run, info: LogSystemInfo): void {
  const { recruitedEpoch, backupEpoch } = run.options;
  run.oldestBackupEpoch = info.oldestBackupEpoch;
  if (info.recoveryCount > recruitedEpoch && run.displacement === undefined) {
    const own = info.epochs.find(({ epoch }) => epoch === backupEpoch);
    dropRolledBack(run, own?.end);
    run.displace(displaced(run.owner, `epoch ${info.recoveryCount} has begun`));
  }
  run.changed.fire();
}

/** P16: what the old owner holds above its epoch's end never happened. */
function dropRolledBack(run: Run, epochEnd: bigint | undefined): void {
  if (!run.rules.keepsQueueOnDisplacement) run.queue.dropAll();
  else if (epochEnd !== undefined && run.queue.end > epochEnd) {
    run.rules.met('P16 uncommitted tail dropped');
    run.queue.dropAfter(epochEnd - 1n);
  }
}

export async function reportMetrics(run: Run, state: () => WorkerState, signal: AbortSignal): Promise<void> {
  for (;;) {
    await run.clock.sleep(run.options.metricsInterval, signal);
    run.emit('metrics', run.metrics(state()));
  }
}
