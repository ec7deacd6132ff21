// A RestoreTarget whose answers are looked at. What it has stored it alone knows; at the end of a restore it is asked for the checkpoint that it was given last.

import { isBytes } from '../core/bytes.js';
import { answerOf, asError, brokenContract, isVersion, lacksFunction, show } from './broken-contract.js';
import type {
  RestoreCheckpoint,
  RestoreLimits,
  RestoreOperation,
  RestoreShard,
  RestoreTarget,
} from './restore-target.js';

const PHASES: readonly unknown[] = ['clearing', 'rows', 'log', 'done'];

export interface CheckedTarget extends RestoreTarget {
  /** ADAPTER_CONTRACT unless the target, and each shard that was written, still has the checkpoint of its last apply. */
  readonly checkKept: () => Promise<void>;
}

export function checkedTarget(target: RestoreTarget): CheckedTarget {
  const views: CheckedView[] = [];
  const view = (inner: RestoreShard, name: string): CheckedView => {
    const made = new CheckedView(inner, name);
    views.push(made);
    return made;
  };
  const own = view(target, 'RestoreTarget');
  return {
    limits: checkLimits(target.limits),
    read: (keys) => own.read(keys),
    apply: (operations, checkpoint) => own.apply(operations, checkpoint),
    checkpoint: () => own.checkpoint(),
    isEmpty: async (range) => {
      const answer = await answerOf('RestoreTarget.isEmpty', () => target.isEmpty(range));
      if (typeof answer === 'boolean') return answer;
      throw brokenContract('RestoreTarget.isEmpty', `it answered ${show(answer)}, neither true nor false`);
    },
    ...(target.shard === undefined
      ? {}
      : { shard: (name: string) => view(shardOf(target, name), `RestoreShard ${name}`) }),
    checkKept: async () => {
      for (const each of views) await each.checkKept();
    },
  };
}

/** Looked at once: what a target says later does not count. */
function checkLimits(limits: RestoreLimits | undefined): RestoreLimits | undefined {
  if (limits === undefined) return undefined;
  const { operations = 0, bytes = 0 } = (limits as Partial<RestoreLimits> | null) ?? {};
  for (const [name, value] of Object.entries({ operations, bytes })) {
    if (Number.isSafeInteger(value) && value >= 1) continue;
    throw brokenContract('RestoreTarget.limits', `${name} is ${show(value)}, not a whole number above 0`);
  }
  return { operations, bytes };
}

function shardOf(target: RestoreTarget, name: string): RestoreShard {
  const shard = target.shard?.(name);
  const missing = lacksFunction(shard, ['read', 'apply', 'checkpoint']);
  if (shard === undefined || missing !== undefined)
    throw brokenContract(
      'RestoreTarget.shard',
      `it gave ${show(shard)} for "${name}", which has no function ${missing}`,
    );
  return shard;
}

class CheckedView implements RestoreShard {
  readonly #inner: RestoreShard;
  readonly #name: string;
  #last: RestoreCheckpoint | undefined;

  constructor(inner: RestoreShard, name: string) {
    this.#inner = inner;
    this.#name = name;
  }

  async read(keys: readonly Uint8Array[]): Promise<readonly (Uint8Array | undefined)[]> {
    const call = `${this.#name}.read`;
    const values = await answerOf(call, () => this.#inner.read(keys));
    if (!Array.isArray(values)) throw brokenContract(call, `it gave ${show(values)}, not an array`);
    if (values.length !== keys.length)
      throw brokenContract(call, `it gave ${values.length} values for ${keys.length} keys`);
    for (const value of values as readonly unknown[]) {
      if (value !== undefined && !isBytes(value)) throw brokenContract(call, `it gave ${show(value)} as a value`);
    }
    return values as readonly (Uint8Array | undefined)[];
  }

  /** No frame waits with the operations in it: it would keep thousands of them from the garbage collector. */
  apply(operations: readonly RestoreOperation[], checkpoint: RestoreCheckpoint): Promise<void> {
    const call = `${this.#name}.apply`;
    let applied: Promise<void>;
    try {
      applied = Promise.resolve(this.#inner.apply(operations, checkpoint));
    } catch (error) {
      applied = answerOf(call, () => Promise.reject(error as Error));
    }
    return applied.then(
      () => void (this.#last = checkpoint),
      (error: unknown) => {
        throw asError(call, error);
      },
    );
  }

  async checkpoint(): Promise<RestoreCheckpoint | undefined> {
    const call = `${this.#name}.checkpoint`;
    const checkpoint = await answerOf(call, () => this.#inner.checkpoint());
    if (checkpoint === undefined) return undefined;
    const { restoreId, phase, version, cursor } = (checkpoint as Partial<RestoreCheckpoint> | null) ?? {};
    const isRight =
      typeof restoreId === 'string' &&
      PHASES.includes(phase) &&
      isVersion(version, -1n) &&
      (cursor === undefined || typeof cursor === 'string');
    if (!isRight) throw brokenContract(call, `it gave ${show(checkpoint)}, which is no checkpoint`);
    return checkpoint;
  }

  /** A target that loses its checkpoints would begin anew, or go on in the wrong place, when it is interrupted. */
  async checkKept(): Promise<void> {
    const last = this.#last;
    if (last === undefined) return;
    const kept = await this.checkpoint();
    const isSame =
      kept?.restoreId === last.restoreId &&
      kept.phase === last.phase &&
      kept.version === last.version &&
      kept.cursor === last.cursor;
    if (!isSame)
      throw brokenContract(
        `${this.#name}.checkpoint`,
        `it does not give the checkpoint of the last apply (phase ${last.phase}, version ${last.version})`,
      );
  }
}
