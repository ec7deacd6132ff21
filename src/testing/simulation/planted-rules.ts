// Where a test may put a deliberate mistake into a simulated cluster. Production code knows none of this but the few decisions in src/worker/rules.ts.

import type { planFromStore } from '../../job/recruiter-transactions.js';
import type { BackupContainer } from '../../ports/backup-container.js';
import type { ProgressStore } from '../../ports/progress-store.js';
import type { RestoreTarget } from '../../ports/restore-target.js';
import type { compactLogs } from '../../restore/compact.js';
import type { expireBackup } from '../../restore/expire.js';
import type { takeSnapshot } from '../../snapshot/take-snapshot.js';
import type { FleetRules } from '../../worker/fleet-rules.js';
import type { BackupWorkerOptions } from '../../worker/options.js';
import type { WorkerRules } from '../../worker/rules.js';

/** What a worker is made with instead: its ports, its clock, its knobs. */
export type PlantedOptions = (options: BackupWorkerOptions) => BackupWorkerOptions;

/** What a planted bug replaces around the workers. */
export interface HostRules {
  readonly options?: PlantedOptions;
  /** How the recruiter plans. */
  readonly plan?: typeof planFromStore;
}

/** What a planted bug replaces of snapshots. */
export interface SnapshotRules {
  readonly take?: typeof takeSnapshot;
  /** What the process takes for its store. */
  readonly store?: (store: ProgressStore) => ProgressStore;
}

/** What a planted bug replaces of those who look after backups. */
export interface CareRules {
  readonly expire?: typeof expireBackup;
  readonly compact?: typeof compactLogs;
}

/** What a planted bug replaces of a fleet. */
export interface PlantedFleet {
  readonly rules?: Partial<FleetRules>;
  /** What a host, by its name, takes for its store. */
  readonly store?: (store: ProgressStore, host: string) => ProgressStore;
}

/** What a test may replace. */
export interface SimRules {
  readonly worker?: Partial<WorkerRules>;
  readonly host?: HostRules;
  readonly snapshots?: SnapshotRules;
  readonly care?: CareRules;
  readonly fleet?: PlantedFleet;
  /** What the oracle's restores read. */
  readonly restored?: (container: BackupContainer) => BackupContainer;
  /** What the oracle's restores write to. */
  readonly target?: (target: RestoreTarget) => RestoreTarget;
}
