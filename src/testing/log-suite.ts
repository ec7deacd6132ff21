// What every LogSource must do, sentence by sentence of the port.

import type { LogEpoch, Version } from '../core/version.js';
import type { LogSource } from '../ports/log-source.js';
import type { ConformanceCase } from './conformance.js';
import { logEpochCases } from './log-epoch-cases.js';
import { logPeekCases } from './log-peek-cases.js';
import { logPopCases } from './log-pop-cases.js';
import type { LogCase } from './log-tools.js';

/** A set, in the partition of tag `-2:<tag>`: what the suite commits. */
export interface SuiteMessage {
  readonly tag: number;
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

export interface SuiteEpoch {
  readonly epoch: LogEpoch;
  /** Inclusive. */
  readonly begin: Version;
  readonly totalTags: number;
}

/** A log, and the means to make the database behind it do what the suite needs. */
export interface LogUnderTest {
  readonly source: LogSource;
  /** The current epoch when the case begins, with at least two tags. */
  readonly epoch: SuiteEpoch;
  /** Commits the messages durably in one version, in this order, and resolves with it. An empty list only lets the version grow. */
  commit(messages: readonly SuiteMessage[]): Promise<Version>;
  /** For a log that chooses the tag by the key: a key of this tag, another one for each name. Leave it out where `commit` can obey `tag`. */
  keyFor?(tag: number, name: string): Uint8Array;
  /** Ends the current epoch and starts the next; resolves with it. Leave it out for a log that never changes hands. */
  recover?(): Promise<SuiteEpoch>;
  /** Called after each case, whatever came of it. */
  cleanup?(): void | Promise<void>;
}

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
