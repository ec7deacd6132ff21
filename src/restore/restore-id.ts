// Which restore a target's checkpoint belongs to. The id says by a hash what was asked for, and in the open which version and which snapshot were chosen for it: the same call finds
// its own half-done work again, although a newer snapshot or a later version may have come in between.

import { createHash } from 'node:crypto';
import { toHex } from '../core/bytes.js';
import type { KeyRange } from '../core/key-range.js';
import type { Version } from '../core/version.js';
import { SNAPSHOT_FOLDER } from '../format/fdb/names.js';
import type { RestoreCheckpoint } from '../ports/restore-target.js';
import type { BackupDescription } from './description.js';
import type { PrefixOptions } from './key-rewriter.js';
import type { RestoreSet } from './restore-pieces.js';
import type { RestoreStart } from './restore-start.js';
import type { WantedVersion } from './wanted-version.js';
import { describeWanted } from './wanted-version.js';

export interface RestoreRequest extends WantedVersion, PrefixOptions {
  readonly ranges?: readonly KeyRange[] | undefined;
  readonly baseline?: string | undefined;
}

/** Not the container's URL: a backup may be moved. */
export function hashRequest({ job }: BackupDescription, request: RestoreRequest): string {
  const hex = (bytes: Uint8Array | undefined) => (bytes === undefined ? '' : toHex(bytes));
  const facts = [
    'tidemark restore 2',
    job?.uid ?? 'no job',
    describeWanted(request),
    request.baseline ?? '',
    hex(request.addPrefix),
    hex(request.removePrefix),
    ...(request.ranges ?? []).map((r) => `${hex(r.begin)}-${hex(r.end)}`),
  ];
  return createHash('sha256').update(facts.join('\n')).digest('hex').slice(0, 32);
}

/** What was chosen: `empty`, or the numbers of the snapshot's name. */
function nameStart(snapshot: Pick<RestoreStart, 'snapshot'>['snapshot'] | RestoreSet['snapshot']): string {
  if (snapshot === undefined) return 'empty';
  return `${snapshot.beginVersion},${snapshot.endVersion},${snapshot.totalBytes}`;
}

export function restoreIdOf(hash: string, { version, snapshot }: Pick<RestoreSet, 'version' | 'snapshot'>): string {
  return `${hash}:${version}:${nameStart(snapshot)}`;
}

/** The version and the start that the checkpoint's restore had chosen; undefined if it is another request's, or its start is gone. */
export function findChosen(
  restoreId: string,
  hash: string,
  starts: readonly RestoreStart[],
): { readonly version: Version; readonly starts: readonly RestoreStart[] } | undefined {
  const [request, version, start] = restoreId.split(':');
  if (request !== hash || version === undefined || !/^[0-9]{1,19}$/.test(version)) return undefined;
  const same = starts.filter(({ snapshot }) => nameStart(snapshot) === start);
  return same.length === 0 ? undefined : { version: BigInt(version), starts: same };
}

/** For a restore that is done: the snapshot that it started from, which may be gone by now. Undefined if the checkpoint is not of this request and version. */
export function findDone(
  { restoreId, phase }: RestoreCheckpoint,
  hash: string,
  wanted: Version,
): { readonly snapshot: string | undefined } | undefined {
  const [request, version, start] = restoreId.split(':');
  if (phase !== 'done' || request !== hash || version !== wanted.toString() || start === undefined) return undefined;
  return { snapshot: start === 'empty' ? undefined : `${SNAPSHOT_FOLDER}snapshot,${start}` };
}
