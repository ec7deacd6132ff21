// What the tests of restores from TiKV backups have in common.

import type { MemoryContainer } from '../../src/container/memory-container.js';
import { BackupError } from '../../src/core/errors.js';
import type { MemoryRestoreTarget } from '../../src/testing/memory-restore-target.js';
import type { TxnBackup } from './restore-backups.js';
import { bytes, newContainer, putTxnBackup } from './restore-backups.js';

/** Keys and values as text of one character per byte. */
export function rowsOf(target: MemoryRestoreTarget): Record<string, string> {
  return Object.fromEntries([...target.rows()].map(({ key, value }) => [text(key), text(value)] as const));
}

export function text(value: Uint8Array): string {
  return Buffer.from(value).toString('latin1');
}

export async function txnBackup(backup: Omit<TxnBackup, 'container'>): Promise<MemoryContainer> {
  const container = await newContainer();
  await putTxnBackup({ container, ...backup });
  return container;
}

export async function errorOf(promise: Promise<unknown>): Promise<BackupError> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof BackupError) return error;
  throw new Error(`expected a BackupError, got ${String(error)}`);
}

/** A value that does not fit into a write record. */
export const LONG = 'x'.repeat(300);

export const FULL = {
  endTs: 100n,
  rows: [
    { key: bytes('a'), value: bytes('1'), commitTs: 10n },
    { key: bytes('b'), value: bytes(LONG), commitTs: 20n },
    { key: bytes('c'), value: bytes('3'), commitTs: 30n },
  ],
};

export const SECOND = {
  startTs: 100n,
  endTs: 200n,
  rows: [
    { key: bytes('a'), commitTs: 110n },
    { key: bytes('c'), value: bytes(`${LONG}y`), commitTs: 120n },
    { key: bytes('d'), value: bytes('4'), commitTs: 130n },
  ],
};
