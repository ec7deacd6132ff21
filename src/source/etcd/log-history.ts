// Whether the cluster's history is still the one that was backed up, after a restart too. A cluster that is restored from a snapshot may have the same number, and may soon be at a higher revision than before:
// what it has written since then must never be taken for the sequel of what is in the files.
//
// A mark (a revision that is in files, and a hash of its events) is recorded now and then, and compared before the first peek of a process, and before the next one after a watch has broken.

import type { Etcd3 } from 'etcd3';
import { abortable } from '../../core/abort.js';
import type { Clock } from '../../core/clock.js';
import { BackupError } from '../../core/errors.js';
import type { Version } from '../../core/version.js';
import { revisionNumber } from '../../etcd/keys.js';
import { watchRevisions } from '../../etcd/watch-stream.js';
import type { ProgressStore } from '../../ports/progress-store.js';
import type { EtcdCluster } from './cluster.js';
import { withinTime } from './cluster.js';
import type { HistoryMark } from './log-records.js';
import { hashOfEvents, readMark, writeMark } from './log-records.js';

/** ms between two records of a mark. */
const RECORD_INTERVAL = 10_000;
/** Marks that were given and are not yet in files, for each tag; above it every other one is forgotten. */
const MAX_MARKS = 64;
const ZERO_KEY = Buffer.from([0]);

export interface LogHistoryOptions {
  readonly client: Etcd3;
  readonly clock: Clock;
  readonly cluster: EtcdCluster;
  readonly store: ProgressStore;
}

export class LogHistory {
  readonly #options: LogHistoryOptions;
  /** By tag, ascending. */
  readonly #marks = new Map<number, HistoryMark[]>();
  #recordedAt: number | undefined;
  #isSame = false;
  /** How often it was doubted. */
  #doubts = 0;

  constructor(options: LogHistoryOptions) {
    this.#options = options;
  }

  /** Compares with what is recorded, once, and again after a doubt; LOG_INCONSISTENT when it is another history. What was compacted meanwhile cannot be compared. */
  async check(signal: AbortSignal): Promise<void> {
    if (this.#isSame) return;
    const doubts = this.#doubts;
    const mark = await abortable(readMark(this.#options.store), signal);
    if (mark !== undefined) await this.#compare(mark, signal);
    this.#isSame = doubts === this.#doubts;
  }

  /** What was the same may not be so any more. */
  doubt(): void {
    this.#doubts++;
    this.#isSame = false;
  }

  /** Of the last revision that a peek of the tag was answered with. */
  note(tag: number, mark: HistoryMark): void {
    let marks = this.#marks.get(tag);
    if (marks === undefined) this.#marks.set(tag, (marks = []));
    // A peek may begin again further back.
    while (marks.length > 0 && (marks.at(-1) as HistoryMark).revision >= mark.revision) marks.pop();
    marks.push(mark);
    if (marks.length > MAX_MARKS)
      this.#marks.set(
        tag,
        marks.filter((_, i) => i % 2 === 1),
      );
  }

  /** All up to `upTo` is in files. */
  async popped(tag: number, upTo: Version): Promise<void> {
    const marks = this.#marks.get(tag) ?? [];
    let stored: HistoryMark | undefined;
    while (marks.length > 0 && BigInt((marks[0] as HistoryMark).revision) <= upTo) stored = marks.shift();
    const now = this.#options.clock.now();
    if (stored === undefined || (this.#recordedAt !== undefined && now - this.#recordedAt < RECORD_INTERVAL)) return;
    this.#recordedAt = now;
    await writeMark(this.#options.store, stored);
  }

  async #compare(mark: HistoryMark, signal: AbortSignal): Promise<void> {
    const { cluster } = this.#options;
    await cluster.reach(BigInt(mark.revision), signal);
    // Of a revision that is gone a watch would bring nothing before the next one is written.
    if (!(await cluster.isKeptAfter(mark.revision - 1, signal)).kept) return;
    const hash = await this.#hashOf(mark.revision, signal);
    if (hash === mark.hash) return;
    // One that is gone since, or of which a compaction has left a part, says nothing.
    if (!(await cluster.isKeptAfter(mark.revision - 1, signal)).kept) return;
    throw new BackupError(
      'LOG_INCONSISTENT',
      `etcd: revision ${mark.revision} is another one than was backed up: the cluster was restored from an older state and has gone on from there. Abort the jobs and begin a new backup, ` +
        'with a new progress store and a new container',
      { version: BigInt(mark.revision) },
    );
  }

  async #hashOf(revision: number, signal: AbortSignal): Promise<string | undefined> {
    try {
      // A member that has no leader takes a watch and says nothing; the next try may find another.
      return await withinTime(this.#options.clock, 'compare the history', signal, (within) =>
        this.#hashFromWatch(revision, within),
      );
    } catch (error) {
      if (!BackupError.is(error, 'ETCD_COMPACTED')) throw error;
      return undefined;
    }
  }

  async #hashFromWatch(revision: number, signal: AbortSignal): Promise<string | undefined> {
    const request = { key: ZERO_KEY, rangeEnd: ZERO_KEY, startRevision: BigInt(revision) };
    for await (const { events } of watchRevisions(this.#options.client, request, { signal }))
      if (events.length > 0)
        return hashOfEvents(events.filter(({ kv }) => revisionNumber(kv.mod_revision) === revision));
    return undefined;
  }
}
