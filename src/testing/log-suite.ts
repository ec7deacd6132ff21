// What every LogSource must do, sentence by sentence of the port.

import type { ConformanceCase } from './conformance.js';
import { logEpochCases } from './log-epoch-cases.js';
import { logPeekCases } from './log-peek-cases.js';
import { logPopCases } from './log-pop-cases.js';
import type { LogCase } from './log-tools.js';
import type { LogUnderTest } from './log-under-test.js';

export type * from './log-under-test.js';

export interface LogSourceSuiteOptions {
  /** Whether `recover` is there: adds the cases about epochs. Default true. */
  readonly epochs?: boolean;
}

/** `open` is called once per case and gives a log that holds nothing. */
export function logSourceSuite(
  open: () => LogUnderTest | Promise<LogUnderTest>,
  options: LogSourceSuiteOptions = {},
): ConformanceCase[] {
  const cases: LogCase[] = [...logPeekCases, ...logPopCases, ...((options.epochs ?? true) ? logEpochCases : [])];
  return cases.map(([name, check]) => ({
    name,
    run: async () => {
      const log = await open();
      const stop = new AbortController();
      try {
        await check(log, stop.signal);
      } finally {
        stop.abort(new Error('the case has ended'));
        await log.cleanup?.();
      }
    },
  }));
}
