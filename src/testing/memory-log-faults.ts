// Errors and delays that a test puts into the calls of a MemoryLog.

import { CallFaults } from './call-faults.js';

export type { FailNextOptions } from './call-faults.js';

/** The methods of LogSource that can be made to fail or to take time. */
export type MemoryLogCall = 'peek' | 'pop' | 'minKnownCommittedVersion' | 'committedVersion';

export class MemoryLogFaults extends CallFaults<MemoryLogCall> {}
