// Deliberate mistakes, switched on by a test only: a simulator that finds none of them would prove nothing.

import type { BackupContainer } from '../../ports/backup-container.js';
import {
  expireAllButOne,
  rowsTakenForOlder,
  takeAtAnyVersion,
  takeWithoutWaiting,
  withoutFence,
} from './planted-snapshots.js';
import type { WorkerRules } from '../../worker/rules.js';
import type { CareRules } from './sim-care.js';
import type { SnapshotRules } from './snapshot-runs.js';

/** What a test may replace. */
export interface SimRules {
  readonly worker?: Partial<WorkerRules>;
  readonly snapshots?: SnapshotRules;
  readonly care?: CareRules;
  /** What the oracle's restores read. */
  readonly restored?: (container: BackupContainer) => BackupContainer;
}

export interface PlantedBug {
  readonly name: string;
  /** The rule of docs/protocol.md that it breaks. */
  readonly breaks: string;
  readonly rules: SimRules;
}

export const PLANTED_BUGS: readonly PlantedBug[] = [
  { name: 'pop before save', breaks: 'P4, P5', rules: { worker: { savesBeforePop: false } } },
  {
    name: 'save above the committed version',
    breaks: 'P14',
    rules: { worker: { cut: ({ pulledEnd }) => pulledEnd - 1n } },
  },
  {
    name: 'drop the queue on displacement',
    breaks: 'invariant 7',
    rules: { worker: { keepsQueueOnDisplacement: false } },
  },
  { name: 'forget the true-up', breaks: 'P2', rules: { worker: { firstVersion: (startVersion) => startVersion } } },
  { name: 'accept any gap', breaks: 'P7', rules: { worker: { acceptGap: () => true } } },
  { name: 'no claim check', breaks: 'P1', rules: { worker: { checksClaim: false } } },
  { name: 'a snapshot below completeFrom', breaks: 'P3, S3', rules: { snapshots: { take: takeAtAnyVersion } } },
  {
    name: 'the manifest before the last range file',
    breaks: 'docs/snapshots.md',
    rules: { snapshots: { take: takeWithoutWaiting } },
  },
  { name: 'no fence behind a lease', breaks: 'S2', rules: { snapshots: { store: withoutFence } } },
  {
    name: 'expire spares one log file that reaches across the end',
    breaks: 'docs/care.md',
    rules: { care: { expire: expireAllButOne } },
  },
  { name: 'log applied to newer rows', breaks: 'invariant 12', rules: { restored: rowsTakenForOlder } },
];
