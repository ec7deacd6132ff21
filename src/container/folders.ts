// Makes folders so that they outlive a power failure: a folder's name is durable only once the folder above it was synced.

import { mkdir, open, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { systemErrorCode } from './file-error.js';

/** So many folders are remembered as durable; a container has one per 10^11 versions, a handful in a year. */
const MAX_REMEMBERED = 4096;

export class Folders {
  readonly #root: string;
  readonly #fsync: boolean;
  readonly #durable = new Set<string>();

  constructor(root: string, fsync: boolean) {
    this.#root = root;
    this.#fsync = fsync;
  }

  /**
   * Makes the folder, and all above it, where they are missing. Not mkdir's own `recursive`: that never returns on a file system where a folder exists and none can
   * be made in it for ENOENT (/proc, some network mounts), and keeps one of libuv's four threads for good.
   */
  async make(folder: string): Promise<void> {
    try {
      await this.#makeOne(folder);
    } catch (error) {
      const parent = dirname(folder);
      if (systemErrorCode(error) !== 'ENOENT' || parent === folder) throw error;
      await this.make(parent);
      await this.#makeOne(folder);
    }
  }

  async #makeOne(folder: string): Promise<void> {
    this.#durable.delete(folder);
    try {
      await mkdir(folder);
    } catch (error) {
      if (systemErrorCode(error) === 'EEXIST' && (await stat(folder)).isDirectory()) return;
      throw error;
    }
    await this.sync(dirname(folder));
  }

  /**
   * Makes the folder's own name durable, and those of the folders between it and the root. Also for folders that were there already: another process may have
   * made one a moment ago and not have synced it yet.
   */
  async makeDurable(folder: string): Promise<void> {
    if (!this.#fsync || this.#durable.has(folder)) return;
    for (let below = folder; below.length >= this.#root.length; below = dirname(below)) {
      const parent = dirname(below);
      if (parent === below) break; // the root of the file system
      await syncFolder(parent);
    }
    if (this.#durable.size >= MAX_REMEMBERED) this.#durable.clear();
    this.#durable.add(folder);
  }

  /** Makes the names in `folder` durable. */
  async sync(folder: string): Promise<void> {
    if (this.#fsync) await syncFolder(folder);
  }
}

/** Writes a folder's list of names to the disk. */
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
