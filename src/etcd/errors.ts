// What etcd and its client answer when they cannot do what they were asked, as BackupErrors with stable codes. It must never call an error final that a later try may not meet, nor show what a request carried.
//
// How to use it: wrap every call as `await asEtcdCall('what was being done', () => client.kv.range(…))`. Where one outcome means something of its own (a compacted revision, a lease that is gone), ask
// `etcdFault(error)` first.
//
// The client (etcd3) gives errors of many classes and drops gRPC's status code from most of them; what it keeps is the message, `<number> <NAME>: <details>`, whose details are etcd's own stable texts
// (etcd: api/v3rpc/rpctypes/error.go). So the message is what is read. Errors of streams are as gRPC made them and read the same.

import type { BackupErrorCode } from '../core/errors.js';
import { AssertionError, BackupError } from '../core/errors.js';

/**
 * - `unavailable`: no answer in time, no leader, a leader change, a connection that broke. A write may or may not have taken effect.
 * - `busy`: refused before it did anything, since there are too many requests.
 * - `compacted`: the revision is no longer kept. `future-revision`: it is not there yet.
 * - `no-space`: the NOSPACE alarm is on: etcd takes no writes until an operator ends it.
 * - `denied`: user, password, role or certificate. `stale-auth`: the token or the auth revision is an old one; the next try has a new one.
 * - `too-many-operations`, `too-large`: the request is over etcd's limits.
 * - `lease-not-found`, `lease-exists`.
 * - `corrupt`: the CORRUPT alarm, or DATA_LOSS.
 * - `closed`: the client was closed by its owner.
 * - `refused`: anything else that etcd says no to; it would say it again.
 */
export type EtcdFault =
  | 'unavailable'
  | 'busy'
  | 'compacted'
  | 'future-revision'
  | 'no-space'
  | 'denied'
  | 'stale-auth'
  | 'too-many-operations'
  | 'too-large'
  | 'lease-not-found'
  | 'lease-exists'
  | 'corrupt'
  | 'closed'
  | 'refused';

/** etcd's own texts; the first that the message contains decides. */
const byText: readonly (readonly [text: string, fault: EtcdFault])[] = [
  ['required revision has been compacted', 'compacted'],
  ['required revision is a future revision', 'future-revision'],
  ['database space exceeded', 'no-space'],
  ['too many operations in txn request', 'too-many-operations'],
  ['request is too large', 'too-large'],
  // gRPC's own limits, of the server and of the client.
  ['message larger than max', 'too-large'],
  ['requested lease not found', 'lease-not-found'],
  ['lease already exists', 'lease-exists'],
  ['too many requests', 'busy'],
  ['corrupt cluster', 'corrupt'],
  ['invalid auth token', 'stale-auth'],
  ['revision of auth store is old', 'stale-auth'],
  ['authentication failed', 'denied'],
  ['permission denied', 'denied'],
  ['user name is empty', 'denied'],
  ['user name not found', 'denied'],
  ['not leader', 'unavailable'],
  ['rpc not supported for learner', 'unavailable'],
  ['client was already closed', 'closed'],
  ['circuit breaker is open', 'unavailable'],
  ['watch stream was unexpectedly ended', 'unavailable'],
];

/** gRPC's status codes (https://grpc.github.io/grpc/core/md_doc_statuscodes.html). What is not here is `refused`. */
const byStatus: ReadonlyMap<number, EtcdFault> = new Map([
  [1, 'unavailable'], // CANCELLED: of a call that we did not cancel, the server or the connection did
  [2, 'unavailable'], // UNKNOWN: a server or a proxy that failed; etcd's "raft proposal dropped" among them
  [4, 'unavailable'], // DEADLINE_EXCEEDED
  [7, 'denied'], // PERMISSION_DENIED
  [8, 'busy'], // RESOURCE_EXHAUSTED
  [10, 'unavailable'], // ABORTED
  [13, 'unavailable'], // INTERNAL: a stream that was reset
  [14, 'unavailable'], // UNAVAILABLE
  [15, 'corrupt'], // DATA_LOSS
  [16, 'denied'], // UNAUTHENTICATED
]);

/** undefined: it is no error of etcd or its client. */
export function etcdFault(error: unknown): EtcdFault | undefined {
  if (!(error instanceof Error) || error instanceof BackupError || error instanceof AssertionError) return undefined;
  const known = byText.find(([text]) => error.message.includes(text));
  if (known !== undefined) return known[1];
  const status = /(?:^|\s)(\d{1,2}) [A-Z_]+: /.exec(error.message);
  if (status !== null) return byStatus.get(Number(status[1])) ?? 'refused';
  return error.message.includes('etcdserver:') ? 'refused' : undefined;
}

interface Answer {
  readonly code: BackupErrorCode;
  readonly retryable: boolean;
  readonly advice: string;
}

const answers: Readonly<Record<EtcdFault, Answer>> = {
  unavailable: {
    code: 'ETCD_UNAVAILABLE',
    retryable: true,
    advice: 'it is tried again; if it lasts, see whether the cluster has a leader (etcdctl endpoint status)',
  },
  busy: { code: 'ETCD_UNAVAILABLE', retryable: true, advice: 'etcd has too many requests; it is tried again' },
  'stale-auth': { code: 'ETCD_UNAVAILABLE', retryable: true, advice: 'the next try logs in again' },
  closed: { code: 'INVALID_STATE', retryable: false, advice: 'keep the Etcd3 client open for as long as it is used' },
  compacted: {
    code: 'ETCD_COMPACTED',
    retryable: false,
    advice: 'etcd no longer keeps that revision: let it keep more of its history (--auto-compaction-retention)',
  },
  'future-revision': {
    code: 'ETCD_FAILED',
    retryable: false,
    advice: 'the cluster has not come so far: was it restored from a backup, or is it another one?',
  },
  'no-space': {
    code: 'ETCD_NO_SPACE',
    retryable: true,
    advice: 'compact and defragment etcd or raise --quota-backend-bytes, then etcdctl alarm disarm',
  },
  denied: {
    code: 'ETCD_DENIED',
    retryable: false,
    advice: "check the Etcd3 client's user and password or certificate, and the user's roles",
  },
  'too-many-operations': {
    code: 'ETCD_LIMIT',
    retryable: false,
    advice: 'more operations in one transaction than etcd takes: raise --max-txn-ops, or the option here is larger',
  },
  'too-large': {
    code: 'ETCD_LIMIT',
    retryable: false,
    advice: 'the request is larger than etcd takes: raise --max-request-bytes, or the option here is larger',
  },
  'lease-not-found': { code: 'LEASE_LOST', retryable: false, advice: 'the lease has ended' },
  'lease-exists': { code: 'ETCD_FAILED', retryable: false, advice: 'a lease with that number exists' },
  corrupt: {
    code: 'ETCD_FAILED',
    retryable: false,
    advice: 'etcd says that its data is corrupt: see etcdctl alarm list before anything else',
  },
  refused: { code: 'ETCD_FAILED', retryable: false, advice: 'etcd refuses the request, and would again' },
};

/** How `etcdError` words an error; `codes` replaces the usual code of some faults by the caller's own. */
export interface EtcdErrorOptions {
  readonly codes?: Readonly<Partial<Record<EtcdFault, BackupErrorCode>>> | undefined;
}

/**
 * The BackupError that says it; what is no error of etcd comes back as it is. Its message holds what was being done, etcd's own words and what to do about it; the words never hold keys, values or passwords.
 */
export function etcdError(what: string, error: unknown, options: EtcdErrorOptions = {}): unknown {
  const fault = etcdFault(error);
  if (fault === undefined) return error;
  const { code, retryable, advice } = answers[fault];
  return new BackupError(
    options.codes?.[fault] ?? code,
    `etcd: ${what} failed: ${wordsOf(error as Error)}: ${advice}`,
    {
      retryable,
      cause: error,
    },
  );
}

/** Makes the call and translates its error. */
export async function asEtcdCall<T>(what: string, call: () => Promise<T>, options?: EtcdErrorOptions): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw etcdError(what, error, options);
  }
}

/** gRPC adds whole stories about name resolution to the first line. */
function wordsOf(error: Error): string {
  return (error.message.split('\n', 1)[0] as string).slice(0, 300).trim();
}
