// Is what the backup gives back what etcd had? What must come out is etcd's own read at that revision, taken before etcd forgot it, and held against the workload's model as well.

import type { Etcd3 } from 'etcd3';
import { restore, type KeyRange, type RestoreResult, type Version } from 'tidemark';
import { EtcdRestoreTarget } from 'tidemark/source/etcd';
import { number } from '../level-host/display.js';
import type { ModelRows } from '../level-host/history.js';
import { compareRows } from './compare-rows.js';
import { ALL_KEYS, keysWith, readRows, rowsOutside } from './etcd-rows.js';
import type { Stage } from './stage.js';
import { SESSIONS } from './workload.js';

/** All rows at a version, as etcd had them. */
export interface Expected {
  readonly version: Version;
  readonly rows: ModelRows;
}

export interface RestoreCheck {
  readonly version: Version;
  readonly rows: number;
  readonly milliseconds: number;
}

/** What etcd has at the revision, which must be what the workload wrote. */
export async function expectedAt(stage: Stage, version: Version): Promise<Expected> {
  const { rows } = await readRows(stage.services, ALL_KEYS, version);
  compareWithModel(stage, `etcd at revision ${version}`, rows, version);
  return { version, rows };
}

/** Without the sessions: in which revision a lease ran out only etcd knows. */
export function compareWithModel(stage: Stage, what: string, rows: ModelRows, version: Version): void {
  const sessions = keysWith(SESSIONS);
  compareRows(`${what}, and the model`, rowsOutside(rows, sessions), stage.workload.history.rowsAt(version));
}

export interface RestoreRequest {
  readonly into: Etcd3;
  readonly at: { readonly version: Version } | { readonly timestamp: Date };
  /** Default: everything. */
  readonly ranges?: readonly KeyRange[];
  readonly clearTarget?: boolean;
}

export async function timedRestore(
  stage: Stage,
  { into, at, ...options }: RestoreRequest,
): Promise<RestoreResult & { readonly milliseconds: number }> {
  const started = performance.now();
  const result = await restore({
    container: stage.openContainer(),
    target: new EtcdRestoreTarget({ client: into }),
    ...at,
    ...options,
    signal: stage.signal,
    onProgress: ({ bytesRead, bytesTotal, version }) =>
      stage.restoreBar.update(bytesRead, bytesTotal, `to revision ${number(version)}`),
  });
  return { ...result, milliseconds: performance.now() - started };
}

/** Restores into an etcd that nobody else uses: afterwards it has the rows of the range, and no others. */
export async function checkRestore(
  stage: Stage,
  request: RestoreRequest,
  expected: ModelRows,
  what: string,
): Promise<RestoreCheck> {
  const { version, milliseconds } = await timedRestore(stage, request);
  const { rows } = await readRows(request.into, ALL_KEYS);
  compareRows(what, rows, expected);
  return { version, rows: rows.size, milliseconds };
}
