// What every RestoreTarget must do, sentence by sentence of the port.

import type { ConformanceCase } from './conformance.js';
import {
  targetApplyCases,
  targetAtomicityCase,
  targetLimitCases,
  targetReopenCases,
  targetShardCases,
} from './target-cases.js';
import type { TargetCase } from './target-tools.js';
import { keepingLimits } from './target-tools.js';
import type { RestoreTargetUnderTest } from './target-under-test.js';

export type * from './target-under-test.js';

export interface RestoreTargetSuiteOptions {
  /** Whether the target has `shard`: adds the cases about shards. Default true. */
  readonly shards?: boolean;
  /** Whether `reopen` is there. Default true. */
  readonly reopen?: boolean;
  /** Whether `failNextApply` is there. Default true. */
  readonly failures?: boolean;
}

/**
 * `open` is called once per case and gives an empty target. The suite writes keys from 0x01 to 0xF0. A target with `limits` is given no more at
 * once; its cases about them look at up to 5,000 operations and 64 MiB. That an `apply` is whole after a power cut is left to the target's own tests.
 */
export function restoreTargetSuite(
  open: () => RestoreTargetUnderTest | Promise<RestoreTargetUnderTest>,
  options: RestoreTargetSuiteOptions = {},
): ConformanceCase[] {
  const cases: TargetCase[] = [
    ...targetApplyCases,
    ...targetLimitCases,
    ...((options.failures ?? true) ? [targetAtomicityCase] : []),
    ...((options.shards ?? true) ? targetShardCases : []),
    ...((options.reopen ?? true) ? targetReopenCases(options.shards ?? true) : []),
  ];
  return cases.map(([name, check]) => ({
    name,
    run: async () => {
      const under = await open();
      try {
        await check(keepingLimits(under.target), under);
      } finally {
        await under.cleanup?.();
      }
    },
  }));
}
