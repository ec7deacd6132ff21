// Where a restore begins: at the beginning, in a target that is empty or has been cleared; or where the target's checkpoints say that an earlier run has got to.

import { EMPTY_BYTES } from '../core/bytes.js';
import { BackupError } from '../core/errors.js';
import type { Version } from '../core/version.js';
import type { RestoreCheckpoint, RestoreShard, RestoreTarget } from '../ports/restore-target.js';
import type { ClearTargetOptions } from './clear-target.js';
import { clearRanges, rangesToClear } from './clear-target.js';
import type { PartOfVersion } from './log-applier.js';
import { parseCursor } from './log-applier.js';
import type { RestoreSet } from './restore-pieces.js';
import { parseRowCursor } from './row-loader.js';
import type { ShardPlan } from './shard-plan.js';
import { planShards } from './shard-plan.js';

/** One shard, and what is in it already. */
export interface ShardState extends ShardPlan {
  readonly target: RestoreShard;
  readonly phase: 'rows' | 'log' | 'done';
  /** In phase `rows`: rows up to and including this key are in it; undefined: none. */
  readonly after: Uint8Array | undefined;
  /** In phase `log`: everything at or below it is in it, and a part of the version that comes next. */
  readonly applied: Version;
  readonly part: PartOfVersion | undefined;
}

export interface TargetState {
  readonly shards: readonly ShardState[];
  /** The shards have checkpoints of their own, and the target's says so. */
  readonly sharded: boolean;
  readonly resumed: boolean;
}

export interface PrepareOptions extends ClearTargetOptions {
  readonly set: RestoreSet;
  readonly shards: number;
}

/** For how many was planned: there may be fewer, and planned for fewer there might be fewer still. */
const SHARDS_CURSOR = /^shards:([1-9][0-9]{0,3})$/;

/** For a restore that is not done, or is to be done again. A target that is no half-done restore of the same kind must be empty, or is cleared if that was asked for. */
export async function prepareTarget(options: PrepareOptions): Promise<TargetState> {
  const { checkpoint, restoreId } = options;
  if (checkpoint?.restoreId === restoreId) {
    if (checkpoint.phase === 'rows' || checkpoint.phase === 'log') return resume(checkpoint, options);
  }
  await clearRanges(options, await rangesToClear(options));
  return start(options);
}

/** Checkpoints that an earlier restore left in the shards are written over before the target's says that the shards' count. */
async function start({ target, restoreId, set, shards: count }: PrepareOptions): Promise<TargetState> {
  const plans = target.shard === undefined ? planShards(set, 1) : planShards(set, count);
  const phase = set.snapshot === undefined ? ('log' as const) : ('rows' as const);
  const fresh = { phase, after: undefined, applied: set.logBegin - 1n, part: undefined };
  if (plans.length === 1) return { shards: [{ ...plans[0]!, ...fresh, target }], sharded: false, resumed: false };
  const shards = plans.map((plan, i) => ({ ...plan, ...fresh, target: shardOf(target, i) }));
  for (const shard of shards) await shard.target.apply([], { restoreId, phase: 'clearing', version: 0n });
  await target.apply([], { restoreId, phase: 'rows', version: 0n, cursor: `shards:${count}` });
  return { shards, sharded: true, resumed: false };
}

function shardOf(target: RestoreTarget, index: number): RestoreShard {
  if (target.shard !== undefined) return target.shard(`shard-${index}`);
  throw new BackupError(
    'ADAPTER_CONTRACT',
    'the target holds a half-done restore in shards, and it has no method shard() any more',
  );
}

async function resume(checkpoint: RestoreCheckpoint, options: PrepareOptions): Promise<TargetState> {
  const { target, restoreId, set } = options;
  const count = SHARDS_CURSOR.exec(checkpoint.cursor ?? '')?.[1];
  if (count === undefined) {
    const plan = { begin: EMPTY_BYTES, pieces: set.snapshot?.pieces ?? [] };
    return { shards: [stateOf(plan, target, checkpoint, set)], sharded: false, resumed: true };
  }
  const plans = planShards(set, Number(count));
  const shards: ShardState[] = [];
  for (const [i, plan] of plans.entries()) {
    const shard = shardOf(target, i);
    const own = await shard.checkpoint();
    if (own?.restoreId !== restoreId) refuse(own ?? checkpoint);
    shards.push(stateOf(plan, shard, own, set));
  }
  return { shards, sharded: true, resumed: true };
}

function stateOf(plan: ShardPlan, target: RestoreShard, checkpoint: RestoreCheckpoint, set: RestoreSet): ShardState {
  const { phase, cursor, version } = checkpoint;
  const begun = { ...plan, target, after: undefined, part: undefined, applied: set.logBegin - 1n };
  switch (phase) {
    case 'clearing':
      return { ...begun, phase: 'rows' };
    case 'rows': {
      const after = cursor === undefined ? undefined : parseRowCursor(cursor);
      return after === undefined || set.snapshot === undefined ? refuse(checkpoint) : { ...begun, phase, after };
    }
    case 'log': {
      const part = cursor === undefined ? undefined : parseCursor(cursor);
      const known = version >= set.logBegin - 1n && version <= set.version;
      if (!known || (cursor !== undefined && part === undefined)) refuse(checkpoint);
      return { ...begun, phase, applied: version, part };
    }
    case 'done':
      return { ...begun, phase, applied: set.version };
  }
}

function refuse({ phase, version, cursor }: RestoreCheckpoint): never {
  throw new BackupError(
    'ADAPTER_CONTRACT',
    `the target's checkpoint (phase ${phase}, version ${version}, cursor ${String(cursor)}) is not one that was stored`,
  );
}
