// What the test tells a child process when it starts it and later, and what the process tells the test.

import type { DirectoryContainerOptions } from '../../src/container/directory-container.js';

/** `worker`: the tags of a share of the log; `snapshots`: takes them; `care`: compacts, expires and cleans. */
export type Role = 'worker' | 'snapshots' | 'care';

export interface ChildSettings {
  readonly role: Role;
  readonly seed: number;
  /** Of the log's state file and its pops. */
  readonly logFolder: string;
  readonly progressFolder: string;
  /** A worker runs the tags of which the number modulo `shares` is `share`. */
  readonly share: number;
  readonly shares: number;
  /** The process kills itself around so many disk operations from its start. */
  readonly killAtOperation?: number;
  /** ms; for scenarios in which a job fails for good. Default 60,000. */
  readonly jobStallTimeout?: number;
  readonly container?: Pick<DirectoryContainerOptions, 'fsync'>;
}

/** `hold`: appends to files of this container do not return until `release`, or ever. `eat`: opens files until the system gives no more; `spare`: closes them. `failRename`: so many of them fail as if the disk was full. */
export type Command =
  | { readonly command: 'hold'; readonly url: string }
  | { readonly command: 'release' | 'eat' | 'spare' }
  | { readonly command: 'failRename'; readonly count: number }
  | { readonly command: 'stop' };

export type ChildMessage =
  | { readonly kind: 'ready' }
  | { readonly kind: 'problem'; readonly message: string }
  /** Something worth counting, or that a scenario waits for. */
  | { readonly kind: 'event'; readonly name: string; readonly detail: string }
  | { readonly kind: 'memory'; readonly bufferedBytes: number; readonly lockBytes: number }
  | { readonly kind: 'end'; readonly resources: readonly string[]; readonly openFiles: readonly string[] };
