// What every RangeSource must do, sentence by sentence of the port.

import type { ConformanceCase } from './conformance.js';
import { rangeChangeCases, rangeGarbageCases } from './range-change-cases.js';
import { rangeScanCases } from './range-scan-cases.js';
import type { RangeCase } from './range-tools.js';
import { RangeDatabase } from './range-tools.js';
import type { RangeSourceUnderTest } from './range-under-test.js';
import { rangeVersionCases } from './range-version-cases.js';

export type * from './range-under-test.js';

export interface RangeSourceSuiteOptions {
  /** Whether `changeRegion` is there: adds the cases about regions that change. Default true. */
  readonly regions?: boolean;
  /** Whether `collectGarbage` is there: adds the cases about versions that are too old. Default true. */
  readonly garbage?: boolean;
}

/** `open` is called once per case and gives a database whose range is empty. */
export function rangeSourceSuite(
  open: () => RangeSourceUnderTest | Promise<RangeSourceUnderTest>,
  options: RangeSourceSuiteOptions = {},
): ConformanceCase[] {
  const cases: RangeCase[] = [
    ...rangeVersionCases,
    ...rangeScanCases,
    ...((options.regions ?? true) ? rangeChangeCases : []),
    ...((options.garbage ?? true) ? rangeGarbageCases : []),
  ];
  return cases.map(([name, check]) => ({
    name,
    run: async () => {
      const under = await open();
      const stop = new AbortController();
      try {
        await check(new RangeDatabase(under), stop.signal);
      } finally {
        stop.abort(new Error('the case has ended'));
        await under.cleanup?.();
      }
    },
  }));
}
