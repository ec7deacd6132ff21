// The cluster as a whole: which one it is, how far it has come, what it has compacted. It must never let a cluster that went back in time, or that is another one, pass for the one that the backup is of.

import type { Etcd3, IResponseHeader } from 'etcd3';
import type { Clock } from '../../core/clock.js';
import { AbortScope, abortable } from '../../core/abort.js';
import { BackupError } from '../../core/errors.js';
import type { Version } from '../../core/version.js';
import { asEtcdCall, etcdFault } from '../../etcd/errors.js';
import { revisionNumber } from '../../etcd/keys.js';

const ZERO_KEY = Buffer.from([0]);
/** ms: a call on a connection that has died in silence never answers, nor does one that the client has lost. */
const LONGEST_CALL = 10_000;
/** ms between the two looks after which a cluster that has not come as far as it had is called one that went back. */
const SECOND_LOOK_DELAY = 1_000;

/** Revisions here are numbers: they count transactions, and 2^53 of them take 285 years at a million a second. */
export class EtcdCluster {
  readonly #client: Etcd3;
  readonly #clock: Clock;
  #clusterId: string | undefined;
  #highest = 0;

  /** Without `clusterId` the first answer decides which cluster it is. */
  constructor(client: Etcd3, clock: Clock, clusterId?: string) {
    this.#client = client;
    this.#clock = clock;
    this.#clusterId = clusterId;
  }

  /** The largest revision that any member has told of. All of it is committed: members apply nothing else. */
  get highest(): number {
    return this.#highest;
  }

  get clusterId(): string | undefined {
    return this.#clusterId;
  }

  /** Every header passes here. A member may lag, so one that is behind proves nothing; one of another cluster does. */
  observe(header: IResponseHeader): void {
    this.#clusterId ??= header.cluster_id;
    if (header.cluster_id !== this.#clusterId) {
      throw new BackupError(
        'LOG_INCONSISTENT',
        `etcd: the backup is of cluster ${clusterName(this.#clusterId)}, and the client is connected to cluster ${clusterName(header.cluster_id)}: give it the hosts of the right one, ` +
          'or abort the jobs and begin a new backup, with progress of its own, if this one has taken its place',
      );
    }
    const revision = revisionNumber(header.revision);
    if (revision > this.#highest) this.#highest = revision;
  }

  /** The revision of a linearizable read: at or above every commit that was acknowledged before the call. LOG_INCONSISTENT when it is below what is known. */
  async read(signal: AbortSignal): Promise<number> {
    const known = this.#highest;
    const revision = await this.#range('read the revision', undefined, signal);
    if (revision < known) throw wentBack(known, revision);
    return revision;
  }

  /** Resolves when the cluster has at least this revision. LOG_INCONSISTENT when it has not, twice: whoever asks knows of that revision, so it existed once. */
  async reach(wanted: Version, signal: AbortSignal): Promise<void> {
    if (wanted <= BigInt(this.#highest)) return;
    if (wanted <= BigInt(await this.read(signal))) return;
    // So loud an error is worth another look. Nothing is lost meanwhile.
    await this.#clock.sleep(SECOND_LOOK_DELAY, signal);
    const revision = await this.read(signal);
    if (wanted > BigInt(revision)) throw wentBack(wanted, revision);
  }

  /** Whether everything above `revision` is still there, as of a moment within the call: nothing at or above `revision + 1` was compacted. With the revision of that moment. */
  async isKeptAfter(revision: number, signal: AbortSignal): Promise<{ readonly kept: boolean; readonly head: number }> {
    try {
      return { kept: true, head: await this.#range('look for compaction', revision, signal) };
    } catch (error) {
      if (!(error instanceof BackupError) || etcdFault(error.cause) !== 'compacted') throw error;
      return { kept: false, head: this.#highest };
    }
  }

  /** Linearizable: the member that answers has applied all that was committed when it was asked, compactions too. */
  async #range(what: string, revision: number | undefined, signal: AbortSignal): Promise<number> {
    const request = {
      key: ZERO_KEY,
      keys_only: true,
      ...(revision === undefined ? {} : { revision: String(revision) }),
    };
    const call = () =>
      withinTime(this.#clock, what, signal, (within) => abortable(this.#client.kv.range(request), within));
    const { header } = await asEtcdCall(what, call);
    this.observe(header);
    return revisionNumber(header.revision);
  }
}

/** The call, or ETCD_UNAVAILABLE after ten seconds without an answer. */
export async function withinTime<T>(
  clock: Clock,
  what: string,
  signal: AbortSignal,
  call: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  using scope = new AbortScope(signal);
  const late = clock.sleep(LONGEST_CALL, scope.signal).then(
    () =>
      scope.end(
        new BackupError('ETCD_UNAVAILABLE', `etcd: ${what}: no answer within ${LONGEST_CALL} ms: it is tried again`, {
          retryable: true,
        }),
      ),
    () => undefined,
  );
  try {
    return await call(scope.signal);
  } finally {
    scope.end();
    await late;
  }
}

function wentBack(known: Version | number, revision: number): BackupError {
  return new BackupError(
    'LOG_INCONSISTENT',
    `etcd: the cluster was at revision ${known} and is at ${revision} now: it was restored from an older state, or the progress is that of another cluster. What was stored above ${revision} ` +
      'is no part of its history any more: abort the jobs and begin a new backup with progress of its own',
    { versions: { begin: BigInt(revision) + 1n, end: BigInt(known) + 1n } },
  );
}

/** As etcdctl writes it. */
function clusterName(id: string | undefined): string {
  return id === undefined ? 'unknown' : BigInt(id).toString(16);
}
