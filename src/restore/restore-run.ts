// The work of a restore: the rows of all shards side by side, then the log, read once for all of them.

import { AbortScope } from '../core/abort.js';
import type { Clock } from '../core/clock.js';
import { minVersion } from '../core/version.js';
import type { FileSums } from '../format/fdb/file-sums.js';
import type { BackupContainer } from '../ports/backup-container.js';
import type { RestoreTarget } from '../ports/restore-target.js';
import { CheckedReads } from './checked-reads.js';
import type { KeyRewriter } from './key-rewriter.js';
import { KeyVersions } from './key-versions.js';
import { LogApplier } from './log-applier.js';
import { mergeLogs } from './log-merge.js';
import { SumsReader } from './log-sums.js';
import type { RestoreProgress } from './restore-progress.js';
import { ProgressMeter } from './restore-progress.js';
import type { ShardState, TargetState } from './restore-resume.js';
import type { RestoreSet } from './restore-pieces.js';
import { remainingSet } from './restore-pieces.js';
import type { ShardPlace } from './restore-shard.js';
import { ShardWriter } from './restore-shard.js';
import { loadRows, piecesAfter } from './row-loader.js';
import { TimeSlices } from './time-slices.js';

export interface RunOptions {
  readonly container: BackupContainer;
  readonly target: RestoreTarget;
  readonly restoreId: string;
  readonly set: RestoreSet;
  readonly state: TargetState;
  readonly rewriter: KeyRewriter;
  readonly applyBytes: number;
  readonly readBytes: number;
  readonly onProgress: ((progress: RestoreProgress) => void) | undefined;
  readonly signal: AbortSignal | undefined;
  readonly clock: Clock;
  /** Called at the end, also of a run that fails. */
  readonly onEnd: (run: RestoreRun) => void;
}

/** What a run has done. */
export interface RestoreRun {
  readonly rows: number;
  readonly mutations: number;
  readonly operations: number;
  readonly bytesRead: number;
}

interface RunningShard {
  readonly state: ShardState;
  readonly writer: ShardWriter;
  place: ShardPlace;
}

export async function runRestore(options: RunOptions): Promise<void> {
  const run = new Run(options);
  try {
    await run.rows();
    await run.log();
  } finally {
    // An apply under way is never left behind; what it fails with now comes after what is thrown already.
    await run.settle();
    options.onEnd(run.done());
  }
}

class Run {
  readonly #options: RunOptions;
  readonly #shards: readonly RunningShard[];
  /** What of the log is left. */
  readonly #log: RestoreSet;
  readonly #meter: ProgressMeter;

  constructor(options: RunOptions) {
    const { state, set, restoreId, clock } = options;
    this.#options = options;
    this.#shards = state.shards.map((shard) => this.#open(shard, restoreId));
    const open = state.shards.filter(({ phase }) => phase !== 'done').map(({ applied }) => applied);
    this.#log = remainingSet(set, open.reduce(minVersion, set.version) + 1n);
    const rows = state.shards.flatMap((shard) =>
      shard.phase === 'rows' ? piecesAfter(shard.pieces, shard.after) : [],
    );
    const rowBytes = rows.reduce((sum, { file }) => sum + file.size, 0);
    this.#meter = new ProgressMeter(clock, rowBytes + this.#log.logBytes);
  }

  #open(state: ShardState, restoreId: string): RunningShard {
    const shard: RunningShard = {
      state,
      place: { phase: state.phase, version: state.phase === 'rows' ? 0n : state.applied },
      writer: new ShardWriter({
        target: state.target,
        restoreId,
        limits: this.#options.target.limits,
        onApplied: (place) => {
          shard.place = place;
          // The last word of a sharded restore is the target's own.
          if (!this.#options.state.sharded || place.phase !== 'done') this.#report();
        },
      }),
    };
    return shard;
  }

  /** Every shard's rows. One that fails stops the others at their next run. */
  async rows(): Promise<void> {
    const shards = this.#shards.filter(({ state }) => state.phase === 'rows');
    if (shards.length === 0) return;
    const { container, clock, signal, readBytes, set, rewriter, applyBytes } = this.#options;
    const reads = new CheckedReads(container, { clock, signal, readBytes });
    const sumsOf = await this.#sumsOfRows();
    using failed = new AbortScope(signal);
    const loads = shards.map(async ({ state, writer }) => {
      try {
        await loadRows({
          reads,
          pieces: state.pieces,
          sumsOf,
          writer,
          rewriter,
          applyBytes,
          after: state.after,
          version: set.logBegin - 1n,
          slices: new TimeSlices(clock),
          stop: failed.signal,
          onRun: (bytes, rows) => {
            this.#meter.rowBytesRead += bytes;
            this.#meter.rows += rows;
          },
        });
        await writer.settle();
      } catch (error) {
        failed.end(error);
        throw error;
      }
    });
    await Promise.allSettled(loads);
    failed.signal.throwIfAborted();
  }

  /** The checksums that our own snapshots have; files of others may have some one by one, which are looked up when they are read. */
  async #sumsOfRows(): Promise<(name: string) => FileSums | undefined> {
    const { container, signal, set } = this.#options;
    const found = await new SumsReader(container, signal).forSnapshot(set.snapshot!);
    const byName = new Map(found?.files.map((file) => [file.name, file]));
    return (name) => byName.get(name);
  }

  async log(): Promise<void> {
    const { container, set, state, rewriter, applyBytes, readBytes, clock, signal } = this.#options;
    const applier = new LogApplier({
      shards: this.#shards.map(({ state: { begin, applied, part, phase }, writer }) => {
        return { begin, writer, applied, skip: part, done: phase === 'done' };
      }),
      versions: keyVersionsOf(set),
      rewriter,
      applyBytes,
      slices: new TimeSlices(clock),
    });
    const batches = mergeLogs(container, this.#log.tags, {
      clock,
      signal,
      readBytes,
      onBytes: (bytes) => {
        this.#meter.logBytesRead = bytes;
      },
    });
    for await (const batch of batches) {
      await applier.add(batch);
      signal?.throwIfAborted();
    }
    signal?.throwIfAborted();
    await applier.finish(set.version);
    if (!state.sharded) return;
    await this.#options.target.apply([], { restoreId: this.#options.restoreId, phase: 'done', version: set.version });
    this.#report();
  }

  done(): RestoreRun {
    const { rows, bytesRead } = this.#meter;
    const operations = this.#shards.reduce((sum, { writer }) => sum + writer.operations, 0);
    return { rows, mutations: this.#mutations(), operations, bytesRead };
  }

  async settle(): Promise<void> {
    await Promise.allSettled(this.#shards.map(({ writer }) => writer.settle()));
  }

  #mutations(): number {
    return this.#shards.reduce((sum, { writer }) => sum + writer.added, 0) - this.#meter.rows;
  }

  #report(): void {
    const { onProgress } = this.#options;
    if (onProgress === undefined) return;
    const last = this.#shards.map(({ place }) => place).reduce((a, b) => (isBehind(b, a) ? b : a));
    onProgress(this.#meter.at(last.phase, last.version, this.#mutations()));
  }
}

const PHASES: readonly ShardPlace['phase'][] = ['clearing', 'rows', 'log', 'done'];

function isBehind(a: ShardPlace, b: ShardPlace): boolean {
  const difference = PHASES.indexOf(a.phase) - PHASES.indexOf(b.phase);
  return difference < 0 || (difference === 0 && a.version < b.version);
}

/** From which version on the log counts, key by key. */
function keyVersionsOf({ snapshot, ranges }: RestoreSet): KeyVersions {
  const all = ranges.map(({ begin, end }) => ({ begin, end, from: 0n }));
  if (snapshot === undefined) return new KeyVersions(all);
  return new KeyVersions(
    snapshot.pieces.flatMap((piece) =>
      piece.ranges.map(({ begin, end }) => ({ begin, end, from: piece.file.version + 1n })),
    ),
  );
}
