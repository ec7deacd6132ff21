// For tests of scheduled snapshots: runners in a World, and a `takeSnapshot` that does what the test says.

import type { BackupError } from '../../src/core/errors.js';
import type { RangeSource } from '../../src/ports/range-source.js';
import type { TakeSnapshotOptions } from '../../src/snapshot/snapshot-options.js';
import type { SnapshotResult, takeSnapshot } from '../../src/snapshot/take-snapshot.js';
import { MemoryRangeSource } from '../../src/testing/memory-range-source.js';
import type { RunSnapshotsOptions, SnapshotEvent } from '../../src/worker/snapshot-options.js';
import { runSnapshotsWith } from '../../src/worker/snapshot-runner.js';
import type { World } from './world.js';

/** A snapshot that is being taken, until the test ends it, or its signal does. */
export interface Taking {
  readonly options: TakeSnapshotOptions;
  readonly isOver: () => boolean;
  succeed(result?: Partial<SnapshotResult>): void;
  fail(error: Error): void;
}

/** What a snapshot at version 10 gives. */
export const RESULT: SnapshotResult = {
  name: 'snapshots/snapshot,10,10,100',
  beginVersion: 10n,
  endVersion: 10n,
  ranges: [],
  files: [],
  bytes: 100,
  rows: 3,
  rowBytes: 30,
  resumedFiles: 0,
  isNew: true,
};

export class FakeTake {
  readonly calls: Taking[] = [];
  /** Ignores its signal: a process that is frozen does. */
  isDeaf = false;

  readonly take: typeof takeSnapshot = (options) =>
    new Promise<SnapshotResult>((resolve, reject) => {
      let isOver = false;
      const end = (how: () => void) => {
        isOver = true;
        how();
      };
      if (!this.isDeaf) {
        const onAbort = () => end(() => reject(options.signal?.reason as Error));
        options.signal?.addEventListener('abort', onAbort, { once: true });
      }
      this.calls.push({
        options,
        isOver: () => isOver,
        succeed: (result) => end(() => resolve({ ...RESULT, ...result })),
        fail: (error) => end(() => reject(error)),
      });
    });

  /** The one that is being taken, or was last. */
  get last(): Taking {
    const last = this.calls.at(-1);
    if (last === undefined) throw new Error('no snapshot was begun');
    return last;
  }
}

export interface RunningSnapshots {
  readonly events: readonly SnapshotEvent[];
  /** "kind uid" of every event. */
  readonly kinds: readonly string[];
  readonly ended: Promise<void>;
  outcome(): 'running' | 'ended' | { readonly error: unknown };
  stop(): Promise<void>;
}

/** `runSnapshots` in the world: what it does not say itself is short. Ends with the world. */
export function startSnapshots(
  world: World,
  take: typeof takeSnapshot | undefined,
  options: Partial<RunSnapshotsOptions> = {},
): RunningSnapshots {
  const stopped = new AbortController();
  const events: SnapshotEvent[] = [];
  const kinds: string[] = [];
  const rangeSource: RangeSource = new MemoryRangeSource({ version: 10n, clock: world.clock });
  const ended = runSnapshotsWith(
    {
      progressStore: world.store,
      rangeSource,
      openContainer: (url) => world.container(url),
      signal: stopped.signal,
      clock: world.clock,
      name: 'host',
      leaseTtl: 3_000,
      pollInterval: 1_000,
      // A fake gives no sign of life.
      stallTimeout: 10_000_000,
      onEvent: (event) => {
        events.push(event);
        kinds.push('jobUid' in event ? `${event.kind} ${event.jobUid}` : event.kind);
      },
      ...options,
    },
    ...(take === undefined ? [] : [take]),
  );
  let outcome: 'running' | 'ended' | { error: unknown } = 'running';
  ended.then(
    () => (outcome = 'ended'),
    (error: unknown) => (outcome = { error }),
  );
  const stop = async () => {
    stopped.abort(new Error('stopped by the test'));
    await world.clock.advance(1_000);
  };
  return { events, kinds, ended, outcome: () => outcome, stop };
}

export const errorOf = (event: SnapshotEvent | undefined): BackupError | undefined =>
  event !== undefined && (event.kind === 'failed' || event.kind === 'leaseLost') ? event.error : undefined;
