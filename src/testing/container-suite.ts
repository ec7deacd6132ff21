// What every BackupContainer must do, sentence by sentence of the port.

import type { BackupContainer } from '../ports/backup-container.js';
import type { ConformanceCase } from './conformance.js';
import { readingCases } from './container-reading-cases.js';
import { writingCases } from './container-writing-cases.js';

export interface ContainerUnderTest {
  /** An empty container that nobody has made yet. */
  readonly container: BackupContainer;
  /** Another adapter for the same place, as a second process would have. Without it the first one plays its part. */
  readonly reopen?: () => BackupContainer | Promise<BackupContainer>;
  /** Removes everything. Called after each case, whatever came of it. */
  readonly cleanup?: () => void | Promise<void>;
}

/** `open` is called once per case. */
export function containerSuite(open: () => ContainerUnderTest | Promise<ContainerUnderTest>): ConformanceCase[] {
  return [...writingCases, ...readingCases].map(([name, check]) => ({
    name,
    run: async () => {
      const subject = await open();
      try {
        await check(subject.container, subject.reopen ?? (() => subject.container));
      } finally {
        await subject.cleanup?.();
      }
    },
  }));
}
