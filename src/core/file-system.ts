// What the adapters that keep files on a local disk share: folders and names that outlive a power failure.

import { mkdir, open, stat } from 'node:fs/promises';
import { dirname } from 'node:path';

/** The `code` of an error of the operating system, such as `ENOENT`; undefined for any other error. */
export function systemErrorCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error) || !('syscall' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/** Whether the error says that a file, or a folder above it, is not there. */
export function isMissing(error: unknown): boolean {
  const code = systemErrorCode(error);
  return code === 'ENOENT' || code === 'ENOTDIR';
}

/** Writes a folder's list of names to the disk: a new name is durable only after that, however well its file was synced. */
export async function syncFolder(folder: string): Promise<void> {
  try {
    const handle = await open(folder, 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch (error) {
    // Windows and some network file systems cannot sync a folder: then there is nothing that we could do for its names.
    if (!['EISDIR', 'EINVAL', 'EPERM', 'ENOTSUP', 'EACCES'].includes(systemErrorCode(error) ?? '')) throw error;
  }
}

/**
 * Makes the folder, and all above it, where they are missing; with `fsync`, durably. Not mkdir's own `recursive`: that never returns on a file system where
 * a folder exists and making one in it fails with ENOENT (/proc, some network mounts), and keeps one of libuv's four threads for good.
 */
export async function makeFolders(folder: string, fsync: boolean): Promise<void> {
  try {
    await makeFolder(folder, fsync);
  } catch (error) {
    const parent = dirname(folder);
    if (systemErrorCode(error) !== 'ENOENT' || parent === folder) throw error;
    await makeFolders(parent, fsync);
    await makeFolder(folder, fsync);
  }
}

async function makeFolder(folder: string, fsync: boolean): Promise<void> {
  try {
    await mkdir(folder);
  } catch (error) {
    if (systemErrorCode(error) === 'EEXIST' && (await stat(folder)).isDirectory()) return;
    throw error;
  }
  if (fsync) await syncFolder(dirname(folder));
}
