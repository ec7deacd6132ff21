// Where a test may put a deliberate mistake into a simulated cluster. Production code knows none of this but the few decisions in src/worker/rules.ts.

import type { planFromStore } from '../../job/recruiter-transactions.js';
import type { BackupContainer } from '../../ports/backup-container.js';
import type { RestoreTarget } from '../../ports/restore-target.js';
import type { BackupWorkerOptions } from '../../worker/options.js';
import type { WorkerRules } from '../../worker/rules.js';
import type { CareRules } from './sim-care.js';
import type { SnapshotRules } from './snapshot-runs.js';

/** What a worker is made with instead: its ports, its clock, its knobs. */
export type PlantedOptions = (options: BackupWorkerOptions) => BackupWorkerOptions;

/** What a planted bug replaces around the workers. */
export interface HostRules {
  readonly options?: PlantedOptions;
  /** How the recruiter plans. */
  readonly plan?: typeof planFromStore;
}

/** What a test may replace. */
export interface SimRules {
  readonly worker?: Partial<WorkerRules>;
  readonly host?: HostRules;
  readonly snapshots?: SnapshotRules;
  readonly care?: CareRules;
  /** What the oracle's restores read. */
  readonly restored?: (container: BackupContainer) => BackupContainer;
  /** What the oracle's restores write to. */
  readonly target?: (target: RestoreTarget) => RestoreTarget;
}
