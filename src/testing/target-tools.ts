// What the cases of the restore target suite share.

import assert from 'node:assert/strict';
import { utf8 } from '../core/bytes.js';
import { batchesWithin } from '../ports/apply-limits.js';
import type { RestoreCheckpoint, RestoreOperation, RestoreShard, RestoreTarget } from '../ports/restore-target.js';
import type { RestoreTargetUnderTest } from './target-under-test.js';

export type TargetCheck = (target: RestoreTarget, under: RestoreTargetUnderTest) => Promise<void>;
export type TargetCase = readonly [name: string, check: TargetCheck];

export const set = (key: string, value: string): RestoreOperation => ({
  type: 'set',
  key: utf8(key),
  value: utf8(value),
});

/** The end is exclusive. */
export const clear = (begin: string, end: string): RestoreOperation => ({
  type: 'clear',
  begin: utf8(begin),
  end: utf8(end),
});

export function checkpointAt(version: bigint, more: Partial<RestoreCheckpoint> = {}): RestoreCheckpoint {
  return { restoreId: 'suite', phase: 'log', version, ...more };
}

/** Each key's value as text; '-' where it has none. */
export async function valuesOf(view: RestoreShard, keys: string): Promise<string> {
  const names = keys.split(' ');
  const values = await view.read(names.map(utf8));
  assert.equal(values.length, names.length, 'read gives one value for each key');
  return values.map((value) => (value === undefined ? '-' : textOf(value))).join(' ');
}

function textOf(value: unknown): string {
  assert.ok(value instanceof Uint8Array, 'a value is a Uint8Array, and undefined where there is none');
  return new TextDecoder().decode(value);
}

/** Fails unless this is the checkpoint that the view has now. A cursor that is left out and one that is undefined are the same. */
export async function assertCheckpoint(view: RestoreShard, wanted: RestoreCheckpoint | undefined): Promise<void> {
  assert.deepEqual(fieldsOf(await view.checkpoint()), fieldsOf(wanted));
}

function fieldsOf(checkpoint: RestoreCheckpoint | undefined): unknown {
  if (checkpoint === undefined) return undefined;
  const { restoreId, phase, version, cursor } = checkpoint;
  return { restoreId, phase, version, cursor };
}

export async function assertEmpty(target: RestoreTarget, begin: string, end: string, wanted: boolean): Promise<void> {
  const range = { begin: utf8(begin), end: utf8(end) };
  assert.equal(await target.isEmpty(range), wanted, `isEmpty from ${begin} to ${end}`);
}

export function shardOf(target: RestoreTarget, name: string): RestoreShard {
  assert.ok(target.shard !== undefined, 'the target has `shard`, or the suite `shards: false`');
  return target.shard(name);
}

export async function reopened({ reopen }: RestoreTargetUnderTest): Promise<RestoreTarget> {
  assert.ok(reopen !== undefined, 'reopen is given, or `reopen: false`');
  return keepingLimits(await reopen());
}

/** The target with applies of any size: what is beyond its limits comes in several, as a restore cuts it. */
export function keepingLimits(target: RestoreTarget): RestoreTarget {
  const { limits } = target;
  if (limits === undefined) return target;
  const cut = (view: RestoreShard): RestoreShard => ({
    read: (keys) => view.read(keys),
    checkpoint: () => view.checkpoint(),
    apply: async (operations, checkpoint) => {
      if (operations.length === 0) await view.apply(operations, checkpoint);
      for (const batch of batchesWithin(operations, limits)) await view.apply(batch, checkpoint);
    },
  });
  return {
    ...cut(target),
    limits,
    isEmpty: (range) => target.isEmpty(range),
    ...(target.shard === undefined ? {} : { shard: (name: string) => cut(shardOf(target, name)) }),
  };
}
