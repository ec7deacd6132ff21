// Deliberate mistakes, switched on by a test only: a simulator that finds none of them would prove nothing.

import type { WorkerRules } from '../../worker/rules.js';

export interface PlantedBug {
  readonly name: string;
  /** The rule of docs/protocol.md that it breaks. */
  readonly breaks: string;
  readonly rules: Partial<WorkerRules>;
}

export const PLANTED_BUGS: readonly PlantedBug[] = [
  { name: 'pop before save', breaks: 'P4, P5', rules: { savesBeforePop: false } },
  { name: 'save above the committed version', breaks: 'P14', rules: { cut: ({ pulledEnd }) => pulledEnd - 1n } },
  { name: 'drop the queue on displacement', breaks: 'invariant 7', rules: { keepsQueueOnDisplacement: false } },
  { name: 'forget the true-up', breaks: 'P2', rules: { firstVersion: (startVersion) => startVersion } },
  { name: 'accept any gap', breaks: 'P7', rules: { acceptGap: () => true } },
  { name: 'no claim check', breaks: 'P1', rules: { checksClaim: false } },
];
