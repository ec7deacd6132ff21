// Pops as compactions of the cluster, where the host wants that. It must never compact what some tag has not stored yet, also where other processes run the other tags: so each tag's pops are recorded in the
// progress store, and the smallest of all counts.

import type { Etcd3 } from 'etcd3';
import { AbortScope, abortable } from '../../core/abort.js';
import { checkNumber } from '../../core/check-option.js';
import type { Clock } from '../../core/clock.js';
import type { Version } from '../../core/version.js';
import { asEtcdCall, etcdFault } from '../../etcd/errors.js';
import type { ProgressStore } from '../../ports/progress-store.js';
import { BackupError } from '../../core/errors.js';
import { withinTime } from './cluster.js';
import { recordPop } from './log-records.js';

export interface EtcdCompactOptions {
  /**
   * ms: history that is younger stays, whatever has been popped, for snapshots that are being taken and for the cluster's other watchers. It counts from when this process has seen a revision, so it begins anew
   * after a restart. Default 600,000 (ten minutes); a snapshot of the whole cluster has to be done within it.
   */
  readonly retention?: number | undefined;
  /** ms between two compactions. Default 60,000. */
  readonly interval?: number | undefined;
}

export class LogCompaction {
  readonly #client: Etcd3;
  readonly #clock: Clock;
  readonly #store: ProgressStore;
  readonly #totalTags: number;
  readonly #retention: number;
  readonly #interval: number;
  /** When the cluster was seen at which revision, oldest first; one for each interval. */
  readonly #seen: { readonly at: number; readonly revision: number }[] = [];
  /** By tag, when its pop was last recorded. */
  readonly #recordedAt = new Map<number, number>();
  #compacted = 0n;

  constructor(client: Etcd3, clock: Clock, store: ProgressStore, totalTags: number, options: EtcdCompactOptions) {
    this.#client = client;
    this.#clock = clock;
    this.#store = store;
    this.#totalTags = totalTags;
    this.#retention = checkNumber('compact.retention', options.retention ?? 600_000, 0, 2 ** 40);
    this.#interval = checkNumber('compact.interval', options.interval ?? 60_000, 0, 2 ** 40);
  }

  /** `head`: the largest revision known. */
  async popped(tag: number, upTo: Version, head: number): Promise<void> {
    const now = this.#clock.now();
    this.#note(now, head);
    const before = this.#recordedAt.get(tag);
    if (before !== undefined && now - before < this.#interval) return;
    const least = await recordPop(this.#store, tag, this.#totalTags, upTo);
    this.#recordedAt.set(tag, now);
    const old = this.#oldEnough(now);
    if (least === undefined || old === undefined) return;
    const revision = least < BigInt(old) ? least : BigInt(old);
    if (revision <= this.#compacted) return;
    await this.#compact(revision);
    this.#compacted = revision;
  }

  #note(now: number, revision: number): void {
    const last = this.#seen.at(-1);
    // Eight to a retention are enough to tell its end, and few to keep.
    if (last === undefined || now - last.at >= this.#retention / 8) this.#seen.push({ at: now, revision });
  }

  /** The last revision that was seen before the retention began. */
  #oldEnough(now: number): number | undefined {
    let old: number | undefined;
    while (this.#seen.length > 0 && now - (this.#seen[0]?.at as number) >= this.#retention) {
      old = this.#seen[0]?.revision;
      const next = this.#seen[1];
      if (next === undefined || now - next.at < this.#retention) break;
      this.#seen.shift();
    }
    return old;
  }

  async #compact(revision: Version): Promise<void> {
    using scope = new AbortScope();
    const request = { revision: String(revision), physical: false };
    // A pop that never ended would be this tag's last.
    const call = () =>
      withinTime(this.#clock, 'compacting', scope.signal, (within) =>
        abortable(this.#client.kv.compact(request), within),
      );
    try {
      await asEtcdCall('compacting', call);
    } catch (error) {
      // Someone has compacted further already.
      if (!(error instanceof BackupError) || etcdFault(error.cause) !== 'compacted') throw error;
    }
  }
}
