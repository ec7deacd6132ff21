// What the test, in the role of the database's client, says to the example host's process, and what it answers.

export interface HostSettings {
  readonly seed: number;
  readonly databaseFolder: string;
  readonly progressFolder: string;
  readonly socket: string;
  readonly totalTags: number;
  /** The process kills itself around so many disk operations of the library's from its start. */
  readonly killAtOperation?: number;
}

/** `commit`: the transaction of that number. Numbers come in order. */
export type HostCommand = { readonly command: 'commit'; readonly number: number } | { readonly command: 'stop' };

export type HostMessage =
  /** The database is open: the last transaction that is in it, and a digest of all its rows. */
  | { readonly kind: 'open'; readonly last: number; readonly digest: string }
  | { readonly kind: 'committed'; readonly number: number; readonly version: string }
  | { readonly kind: 'snapshot' }
  | { readonly kind: 'problem'; readonly message: string }
  | { readonly kind: 'end'; readonly durableVersion: string };
