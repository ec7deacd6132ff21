// What the test tells a host's process when it starts it and later, and what the process tells the test.

/** ms of a clock that all processes of the machine share, and that nobody sets. */
export function monotonicNow(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

export interface HostSettings {
  readonly host: string;
  /** Of the etcd that the fleet coordinates in, as this host reaches it. */
  readonly storeUrl: string;
  readonly storePrefix: string;
  /** Of the etcd that is backed up. */
  readonly databaseUrl: string;
  readonly tags: number;
  /** ms, of the fleet's lease and of those for snapshots. */
  readonly leaseTime: number;
  readonly storageCredentials: { readonly accessKeyId: string; readonly secretAccessKey: string };
}

export interface HostCommand {
  readonly command: 'stop';
}

/** Each with the host's own time of it. */
export type HostReport =
  /** It runs its fleet from now on. */
  | { readonly kind: 'ready' }
  /** What the fleet tells its host. */
  | { readonly kind: 'fleet'; readonly event: string; readonly detail: string }
  | {
      readonly kind: 'worker';
      readonly event: 'started' | 'state' | 'retry' | 'ended';
      readonly tag: number;
      readonly detail: string;
    }
  /** Of a worker: versions as decimal texts, inclusive. */
  | { readonly kind: 'saved' | 'popped' | 'noop'; readonly tag: number; readonly version: string }
  | { readonly kind: 'snapshot'; readonly event: string; readonly detail: string }
  /** How it fares, every second. */
  | { readonly kind: 'load'; readonly detail: string }
  /** Something that must not be. */
  | { readonly kind: 'problem'; readonly message: string }
  /** Its last words, when it was asked to stop. `resources`: what would keep the process alive. */
  | { readonly kind: 'end'; readonly resources: readonly string[] };

export type HostMessage = HostReport & { readonly at: number };
