// The file `backup.lock`: says that a BR backup is being taken in this container, or was cut off there, and what it is one of. Written before anything else, removed after everything else.
// BR looks for a file of that name as well, and for nothing in it.

import { toHex, utf8 } from '../../core/bytes.js';
import { BackupError } from '../../core/errors.js';
import type { KeyRange } from '../../core/key-range.js';
import { MAX_VERSION, type Version } from '../../core/version.js';
import { BACKUP_LOCK_NAME } from '../../format/br/meta-tree.js';
import type { BackupContainer } from '../../ports/backup-container.js';
import { type Access, deleteAll, readWhole, writeNew, writeOver } from '../../snapshot/small-files.js';

/** What all files of a backup share, beside the timestamp: whoever goes on with it must ask for the same. */
export interface BackupPlan {
  readonly kind: 'txn' | 'raw';
  readonly startTs: Version;
  /** Sorted and disjoint. */
  readonly ranges: readonly KeyRange[];
  readonly storage: string;
  readonly storeId: bigint;
  readonly cf: string;
  readonly apiVersion: string;
  /** How files are encrypted; never with what. */
  readonly cipher: string;
}

export interface BackupLock {
  /** 32 hex digits: the backup, over all its resumptions. */
  readonly id: string;
  /** 32 hex digits: the run that holds the lock. */
  readonly run: string;
  readonly endTs: Version;
  /** A BackupPlan as text: two are the same if these are. */
  readonly plan: string;
}

const NOTE = 'A backup is being taken here, or was cut off. Leave this file alone while one is running.';
/** Room for the ranges of very many tables. */
const MAX_LOCK_BYTES = 64 << 20;

export function planText({ ranges, ...plan }: BackupPlan): string {
  const asText = (_name: string, value: unknown) => (typeof value === 'bigint' ? value.toString() : value);
  return JSON.stringify({ ...plan, ranges: ranges.map(({ begin, end }) => [toHex(begin), toHex(end)]) }, asText);
}

/** CONTAINER_IN_USE where there is a lock already. */
export async function takeLock(container: BackupContainer, lock: BackupLock, access: Access): Promise<void> {
  try {
    await writeNew(container, BACKUP_LOCK_NAME, encodeLock(lock), access);
  } catch (cause) {
    if (!BackupError.is(cause, 'FILE_EXISTS')) throw cause;
    throw inUse(container, 'has one: a backup is being taken there, or was cut off', cause);
  }
}

/** From whoever held it: that run finds out before it is complete. */
export async function takeLockOver(container: BackupContainer, lock: BackupLock, access: Access): Promise<void> {
  await writeOver(container, BACKUP_LOCK_NAME, encodeLock(lock), access);
}

/** CONTAINER_IN_USE when another run has taken the lock over, or somebody has removed it. */
export async function checkLock(container: BackupContainer, { run }: BackupLock, access: Access): Promise<void> {
  const there = await readLock(container, access);
  if (there?.run !== run) throw inUse(container, 'is not the one of this run any more: another one has taken over');
}

/** undefined: there is none. CONTAINER_IN_USE for one that is not of this library, or damaged. */
export async function readLock(container: BackupContainer, access: Access): Promise<BackupLock | undefined> {
  const bytes = await readWhole(container, BACKUP_LOCK_NAME, MAX_LOCK_BYTES, access);
  if (bytes === undefined) return undefined;
  const text = new TextDecoder().decode(bytes);
  const match = /^[^\n]*\nbackup ([0-9a-f]{32})\nrun ([0-9a-f]{32})\nendTs (\d{1,19})\nplan ([^\n]*)\n$/.exec(text);
  const [, id, run, endTs, plan] = match ?? [];
  if (id === undefined || run === undefined || endTs === undefined || plan === undefined || BigInt(endTs) > MAX_VERSION)
    throw inUse(container, 'was written by something else, or is damaged: nobody can go on with that backup');
  return { id, run, endTs: BigInt(endTs), plan };
}

export async function removeLock(container: BackupContainer, access: Access): Promise<void> {
  await deleteAll(container, [BACKUP_LOCK_NAME], access);
}

function encodeLock({ id, run, endTs, plan }: BackupLock): Uint8Array {
  return utf8(`${NOTE}\nbackup ${id}\nrun ${run}\nendTs ${endTs}\nplan ${plan}\n`);
}

function inUse(container: BackupContainer, what: string, cause?: unknown): BackupError {
  return new BackupError(
    'CONTAINER_IN_USE',
    `${container.url}: its ${BACKUP_LOCK_NAME} ${what}. Use another container; or, once no process writes to it, go on with that backup (resume: true) or remove what it left (discardBrBackup)`,
    { container: container.url, file: BACKUP_LOCK_NAME, cause },
  );
}
