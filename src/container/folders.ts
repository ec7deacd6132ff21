// The folders of a DirectoryContainer, made so that they outlive a power failure.

import { dirname } from 'node:path';
import { makeFolders, syncFolder } from '../core/file-system.js';

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

  /** Makes the folder, and all above it, where they are missing. */
  async make(folder: string): Promise<void> {
    // Something is gone that may have been remembered: whoever removed it may have removed more.
    this.#durable.clear();
    await makeFolders(folder, this.#fsync);
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
