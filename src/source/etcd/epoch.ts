// The one epoch of an etcd cluster's log, and what all hosts have to agree on: where it begins, over how many tags it is spread, which cluster it is. It must never let two hosts spread keys differently: each
// would take the other's keys for nobody's.

import type { Etcd3 } from 'etcd3';
import { AbortScope } from '../../core/abort.js';
import type { Clock } from '../../core/clock.js';
import { systemClock } from '../../core/clock.js';
import { checkMethods, checkWholeNumber } from '../../core/check-option.js';
import { BackupError } from '../../core/errors.js';
import { utf8 } from '../../core/bytes.js';
import type { LogEpochInfo } from '../../ports/log-source.js';
import type { ProgressStore } from '../../ports/progress-store.js';
import { EtcdCluster } from './cluster.js';

/** What `recruit` takes as `epoch`, and which cluster it is of. */
export interface EtcdEpoch extends LogEpochInfo {
  readonly end: undefined;
  /** etcd's own number of the cluster, decimal. */
  readonly clusterId: string;
}

export interface EtcdEpochOptions {
  readonly client: Etcd3;
  /** Where the jobs' progress is: the record lives beside it, so that neither is used without the other. */
  readonly store: ProgressStore;
  /** Over how many tags the keys are spread, and so how many workers share the work. Default 1. It cannot be changed later. */
  readonly tags?: number | undefined;
  readonly clock?: Clock | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** In the progress store. */
const LOG_KEY = 'source/etcd';
const THE_EPOCH = 1;
const MAX_TAGS = 1024;
const FORMAT = 1;

/**
 * The first call of all hosts records it, and every later one gets the same. The epoch begins above the revision that the cluster has just then: nothing older is ever asked for, so nothing that was compacted
 * before is. INVALID_OPTION when `tags` is another number than recorded: what is in files is spread over that many, and a new number would be a new epoch, which the workers of the old one would not hear of.
 * To change it, complete the jobs and begin with a new store. LOG_INCONSISTENT when the store belongs to another cluster.
 */
export async function etcdEpoch(options: EtcdEpochOptions): Promise<EtcdEpoch> {
  checkMethods('client', options.client, 'client of etcd3', ['getRoles', 'watch', 'lease', 'if']);
  checkMethods('store', options.store, 'ProgressStore', ['transact', 'watch', 'acquireLease']);
  const tags = checkWholeNumber('tags', options.tags ?? 1, 1, MAX_TAGS);
  using scope = new AbortScope(options.signal);
  const cluster = new EtcdCluster(options.client, options.clock ?? systemClock);
  const revision = await cluster.read(scope.signal);
  const fresh: EtcdEpoch = {
    epoch: THE_EPOCH,
    begin: BigInt(revision) + 1n,
    end: undefined,
    totalTags: tags,
    clusterId: cluster.clusterId as string,
  };
  const epoch = await options.store.transact(async (tx) => {
    const record = await tx.get(LOG_KEY);
    if (record !== undefined) return decode(record);
    tx.set(LOG_KEY, encode(fresh));
    return fresh;
  });
  if (epoch.totalTags !== tags) {
    throw new BackupError(
      'INVALID_OPTION',
      `tags is ${tags}, but the log of this etcd cluster was spread over ${epoch.totalTags} when its backup began, and that cannot change: give tags: ${epoch.totalTags}, ` +
        'or complete the jobs and begin with a new progress store',
    );
  }
  const known = new EtcdCluster(options.client, options.clock ?? systemClock, epoch.clusterId);
  // Throws when it is another one, or behind where the log begins.
  await known.reach(epoch.begin - 1n, scope.signal);
  return epoch;
}

function encode({ begin, totalTags, clusterId }: EtcdEpoch): Uint8Array {
  return utf8(JSON.stringify({ format: FORMAT, begin: String(begin), totalTags, clusterId }));
}

function decode(bytes: Uint8Array): EtcdEpoch {
  const fields = parse(bytes);
  const { format, begin, totalTags, clusterId } = fields;
  const isOurs =
    format === FORMAT &&
    typeof begin === 'string' &&
    /^\d{1,19}$/.test(begin) &&
    typeof clusterId === 'string' &&
    /^\d{1,20}$/.test(clusterId) &&
    Number.isSafeInteger(totalTags) &&
    (totalTags as number) >= 1;
  if (!isOurs)
    throw new BackupError('STORE_CORRUPT', `the record ${LOG_KEY} in the progress store is damaged or not ours`);
  return { epoch: THE_EPOCH, begin: BigInt(begin), end: undefined, totalTags: totalTags as number, clusterId };
}

function parse(bytes: Uint8Array): Partial<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    return typeof value === 'object' && value !== null ? { ...value } : {};
  } catch {
    // Reported as damaged by the caller.
    return {};
  }
}
