// verify: is everything there that should be, and is it what was written? It never writes, and damage is never thrown but reported. docs/care.md says what each finding means.

import { checkFlag } from '../core/check-option.js';
import type { Clock } from '../core/clock.js';
import { systemClock } from '../core/clock.js';
import type { Version } from '../core/version.js';
import type { BackupContainer } from '../ports/backup-container.js';
import { listingLagOf } from '../ports/listing-lag.js';
import { TimeSlices } from './time-slices.js';
import type { VerifyProgress } from './verify-context.js';
import { VerifyContext } from './verify-context.js';
import { SteadyContainer } from './verify-steady-container.js';
import { checkConcurrency } from './verify-in-parallel.js';
import { takeInventory } from './verify-inventory.js';
import { reportGaps, reportMissingLogFiles, verifyLogs } from './verify-logs.js';
import { verifyProperties } from './verify-properties.js';
import { isThere } from './verify-read.js';
import type { VerifyReport } from './verify-report.js';
import { ProblemCollector } from './verify-report.js';
import { verifySnapshots, verifyUnusedRangeFiles } from './verify-snapshots.js';
import { reportTwins } from './verify-twins.js';
import { settledLogFiles } from './verify-unfinished-logs.js';
import { keyMissing } from './readable.js';

export interface VerifyBackupOptions {
  /** Read and decode every byte. Default false: names, sizes and the small files. */
  readonly deep?: boolean | undefined;
  /** Files read at a time, 1 to 256; each takes some MiB, or twice its block. Default 4. */
  readonly concurrency?: number | undefined;
  /** How long after a file was finished or deleted the container's listings may still be wrong about it, ms. Waited only before a snapshot counts as one that has lost its manifest. Default: what the container says, else 10,000. */
  readonly listingLag?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly clock?: Clock | undefined;
  /** Called after each file, and each MiB or so. */
  readonly onProgress?: ((progress: VerifyProgress) => void) | undefined;
}

/**
 * Throws INVALID_OPTION; FILE_NOT_FOUND if there is no container; ENCRYPTION_KEY_MISSING if its files are encrypted and it was opened without the key; the signal's reason; what the container
 * throws when it does not answer. Never for damage.
 */
export async function verifyBackup(outer: BackupContainer, options: VerifyBackupOptions = {}): Promise<VerifyReport> {
  const { deep = false, signal, clock = systemClock, onProgress } = options;
  checkFlag('deep', deep);
  const concurrency = checkConcurrency(options.concurrency);
  const container = new SteadyContainer(outer, signal, clock);
  const listingLag = listingLagOf(container, options.listingLag);
  const inventory = await takeInventory(container, signal);
  const context = new VerifyContext(
    { container, deep, concurrency, signal, slices: new TimeSlices(clock), listingLag, clock, onProgress },
    inventory,
  );
  const { encrypted, unreliableEnd } = await verifyProperties(container, context.problems);
  if (encrypted && !container.decrypts) throw keyMissing(container.url);
  const used = await verifySnapshots(context, unreliableEnd);
  await verifyUnusedRangeFiles(context, used);
  await verifyLogs(context, unreliableEnd);
  await reportLogsAsTheyAre(context, unreliableEnd, clock);
  context.settleSuspects();
  if (deep) await reportTwins(context, used);
  return reportOf(context);
}

/** Files come and go while a verification runs: what is missing is decided by what is there at its end. */
async function reportLogsAsTheyAre(context: VerifyContext, before: Version, clock: Clock): Promise<void> {
  const present = await settledLogFiles(context, before, clock);
  // Damage of the properties has been reported already.
  const { unreliableEnd } = await verifyProperties(context.options.container, new ProblemCollector());
  await reportMissingLogFiles(context, present, unreliableEnd);
  const there = new Set(present.map(({ name }) => name));
  const { container } = context.options;
  const { logFiles, sums } = context.inventory;
  for (const { name } of logFiles) {
    if (!context.unchecked.has(name)) continue;
    // Deleted, its checksums as well; a listing that lags may still show it.
    if (!there.has(name) || (sums.size > 0 && !(await isThere(container, name)))) context.unchecked.delete(name);
  }
  reportGaps(context, present, unreliableEnd);
}

function reportOf(context: VerifyContext): VerifyReport {
  const { problems, unchecked, vanished, leftovers, counts, options } = context;
  return {
    ok: problems.ok,
    deep: options.deep,
    problems: problems.sorted(),
    problemsOmitted: problems.omitted,
    unchecked: [...unchecked].filter((name) => !vanished.has(name)).sort(),
    leftovers: [...leftovers].sort(),
    checked: { ...counts },
  };
}
