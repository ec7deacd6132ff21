// A restore's checkpoint as a value of etcd: what it says, and which apply has written it. By that mark an apply whose answer was lost knows itself again.

import { BackupError } from '../../core/errors.js';
import type { RestoreCheckpoint } from '../../ports/restore-target.js';

export interface StoredCheckpoint {
  readonly checkpoint: RestoreCheckpoint;
  /** Unique to the apply. */
  readonly apply: string;
}

const FORMAT = 1;
const PHASES: readonly RestoreCheckpoint['phase'][] = ['clearing', 'rows', 'log', 'done'];

export function encodeCheckpoint({ checkpoint, apply }: StoredCheckpoint): Buffer {
  const { restoreId, phase, version, cursor } = checkpoint;
  return Buffer.from(JSON.stringify({ format: FORMAT, apply, restoreId, phase, version: String(version), cursor }));
}

/** STORE_CORRUPT for anything but what encodeCheckpoint writes. `key`: where it was, for the message. */
export function decodeCheckpoint(value: Buffer, key: string): StoredCheckpoint {
  const fields = parse(value);
  const { apply, restoreId, version, cursor } = fields;
  const phase = PHASES.find((known) => known === fields['phase']);
  const isRight =
    fields['format'] === FORMAT &&
    typeof apply === 'string' &&
    typeof restoreId === 'string' &&
    typeof version === 'string' &&
    /^(?:-1|\d{1,19})$/.test(version) &&
    (cursor === undefined || typeof cursor === 'string');
  if (!isRight || phase === undefined) {
    throw new BackupError(
      'STORE_CORRUPT',
      `etcd: the key "${key}" holds no checkpoint of a restore that this release knows: give the target another prefix, or delete the key and restore anew`,
    );
  }
  const rest = cursor === undefined ? {} : { cursor };
  return { apply, checkpoint: { restoreId, phase, version: BigInt(version), ...rest } };
}

function parse(value: Buffer): Partial<Record<string, unknown>> {
  try {
    const fields: unknown = JSON.parse(value.toString());
    return typeof fields === 'object' && fields !== null ? fields : {};
  } catch {
    // What is no JSON has no fields.
    return {};
  }
}
