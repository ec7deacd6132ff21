// What the demo tells a worker process when it starts it, and what the process tells the demo.

import type { WorkerState } from 'tidemark';

export interface WorkerSettings {
  /** The host's log server. */
  readonly socket: string;
  /** Folder of the FileProgressStore that all workers and the operator share. */
  readonly progressFolder: string;
  readonly epoch: number;
  readonly tagId: number;
  readonly totalTags: number;
}

/** Versions are decimal strings. */
export interface WorkerProgress {
  readonly state: WorkerState;
  readonly paused: boolean;
  readonly savedVersion: string;
  readonly filesWritten: number;
  readonly bytesWritten: number;
  readonly retries: number;
}

/** How the worker's run ended: as `run()` said, or with an error. */
export interface WorkerEnd {
  readonly outcome: 'completed' | 'stopped' | 'displaced' | 'failed';
  readonly message: string;
}

export type WorkerMessage = { readonly progress: WorkerProgress } | { readonly end: WorkerEnd };

/** A process ends with this code when another run has taken over its tag. */
export const EXIT_DISPLACED = 3;
