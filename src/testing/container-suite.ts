// What every BackupContainer must do, sentence by sentence of the port.

import { systemClock } from '../core/clock.js';
import type { BackupContainer } from '../ports/backup-container.js';
import type { ConformanceCase } from './conformance.js';
import { listingCases } from './container-listing-cases.js';
import { readingCases } from './container-reading-cases.js';
import { writingCases } from './container-writing-cases.js';

export interface ContainerUnderTest {
  /** An empty container that nobody has made yet. */
  readonly container: BackupContainer;
  /** Another adapter for the same place, as a second process would have. Without it the first one plays its part. */
  readonly reopen?: () => BackupContainer | Promise<BackupContainer>;
  /** How long after a file was finished or deleted listings may be wrong about it, ms: the suite waits so long before it looks at one. Default: the container's `listingLag`, or 0 if it says nothing. A container that says 0 is held to it. */
  readonly listingLag?: number;
  /** Removes everything. Called after each case, whatever came of it. */
  readonly cleanup?: () => void | Promise<void>;
}

/** `open` is called once per case. */
export function containerSuite(open: () => ContainerUnderTest | Promise<ContainerUnderTest>): ConformanceCase[] {
  return [...writingCases, ...readingCases, ...listingCases].map(([name, check]) => ({
    name,
    run: async () => {
      const subject = await open();
      try {
        const { container, reopen = () => container } = subject;
        const listingLag = container.listingLag === 0 ? 0 : (subject.listingLag ?? container.listingLag ?? 0);
        await check(patient(container, listingLag), async () => patient(await reopen(), listingLag));
      } finally {
        await subject.cleanup?.();
      }
    },
  }));
}

/** Its listings are asked for when they have caught up. Everything else is as it is. */
function patient(container: BackupContainer, listingLag: number): BackupContainer {
  if (listingLag === 0) return container;
  return {
    url: container.url,
    ...(container.decrypts === undefined ? {} : { decrypts: container.decrypts }),
    ...(container.listingLag === undefined ? {} : { listingLag: container.listingLag }),
    create: () => container.create(),
    exists: () => container.exists(),
    writeFile: (name, options) => container.writeFile(name, options),
    readFile: (name, offset, length) => container.readFile(name, offset, length),
    deleteFile: (name) => container.deleteFile(name),
    async *listFiles(prefix) {
      await systemClock.sleep(listingLag);
      yield* container.listFiles(prefix);
    },
  };
}
