// What the demo tells a worker process when it starts it, and what the process tells the demo.

export interface WorkerSettings {
  /** Names the process to the others and in `status()`. */
  readonly host: string;
  /** The etcd that is backed up. */
  readonly services: string;
  /** The etcd in which the processes coordinate. */
  readonly coordination: string;
  readonly s3Endpoint: string;
}

/** What the process has at the moment. Versions are decimal strings. */
export interface WorkerProgress {
  readonly tags: readonly { readonly tag: number; readonly savedVersion: string }[];
}

export interface WorkerEnd {
  readonly failed: boolean;
  readonly message: string;
}

export type WorkerMessage =
  | { readonly progress: WorkerProgress }
  /** A line for people. */
  | { readonly said: string }
  | { readonly snapshot: { readonly version: string; readonly rows: number; readonly files: number } }
  | { readonly end: WorkerEnd };
