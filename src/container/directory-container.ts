// A container that is a folder of the local file system: `file:///abs/path`, as FoundationDB's backup tools name it.

import type { FileHandle } from 'node:fs/promises';
import { open, stat, unlink } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { EMPTY_BYTES } from '../core/bytes.js';
import type { Clock, Random } from '../core/clock.js';
import { systemClock, systemRandom } from '../core/clock.js';
import { BackupError } from '../core/errors.js';
import { isMissing, systemErrorCode } from '../core/file-system.js';
import type { BackupContainer, BackupFile, ListedFile, WriteFileOptions } from '../ports/backup-container.js';
import { checkListingLag } from '../ports/listing-lag.js';
import { checkReadRange } from './check-read-range.js';
import type { CleanTemporaryFilesOptions } from './clean-temporary-files.js';
import { cleanTemporaryFiles } from './clean-temporary-files.js';
import { DirectoryFile } from './directory-file.js';
import { listTree } from './directory-listing.js';
import { containerError } from './file-error.js';
import { checkFileName } from '../core/file-name.js';
import { Folders } from './folders.js';

/** Temporary files of failed writes whose removal is tried again. */
const MAX_STUCK = 1_000;

export interface DirectoryContainerOptions {
  /**
   * Whether `finish` waits until the file and its name are on the disk. Default true. Without it a power failure may take finished files away, or leave them
   * empty: a log that was popped by then cannot fill the gap.
   */
  readonly fsync?: boolean;
  /**
   * How long a listing may be wrong about what another process has finished or deleted, ms. Default 0: true of a local file system. On NFS, or another network file system that several hosts mount, it is how long a
   * client keeps what it knows of a folder (Linux's NFS: the mount option `acdirmax`, 60 s unless set); and there `lookupcache=none` is needed too, since a file that is finished must be found by its name at once.
   */
  readonly listingLag?: number;
  /** Lets the host's event loop turn while a long list of names is sorted. */
  readonly clock?: Clock;
  /** Where the unique part of temporary names comes from. */
  readonly random?: Random;
}

/**
 * A file is written as `<name>.<uid>.temp`, synced, and then given its name in one step, so that no reader, of whatever process, sees half a file. What a
 * process that died leaves behind is never listed; `cleanTemporaryFiles` removes it.
 *
 * Errors of the file system that an operator can put right (a full disk, a missing mount, no permission, too many open files) are CONTAINER_UNAVAILABLE with
 * `retryable: true` and the system's error as `cause`.
 */
export class DirectoryContainer implements BackupContainer {
  readonly url: string;
  readonly listingLag: number;
  /** The folder's absolute path. */
  readonly path: string;
  readonly #fsync: boolean;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #folders: Folders;
  /** Temporary files that this object is writing: never cleaned. */
  readonly #writing = new Set<string>();
  /** Of those, what an abort could not remove. */
  readonly #stuck = new Set<string>();

  /** @param location a path, or a URL `file:///abs/path` */
  constructor(location: string | URL, options: DirectoryContainerOptions = {}) {
    this.path = pathOf(location);
    this.url = urlOf(this.path);
    this.#fsync = options.fsync ?? true;
    if (typeof this.#fsync !== 'boolean') {
      throw new BackupError('INVALID_OPTION', `fsync must be true or false, got ${String(this.#fsync)}`);
    }
    checkListingLag(options.listingLag);
    this.listingLag = options.listingLag ?? 0;
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? systemRandom;
    this.#folders = new Folders(this.path, this.#fsync);
  }

  async create(): Promise<void> {
    try {
      await this.#folders.make(this.path);
      await this.#folders.makeDurable(this.path);
    } catch (error) {
      throw this.#error(error, 'making', '');
    }
  }

  async exists(): Promise<boolean> {
    try {
      return (await stat(this.path)).isDirectory();
    } catch (error) {
      if (isMissing(error)) return false;
      throw this.#error(error, 'looking at', '');
    }
  }

  async writeFile(name: string, options: WriteFileOptions = {}): Promise<BackupFile> {
    checkFileName(name);
    if (this.#stuck.size > 0) await this.#removeStuck();
    const path = join(this.path, name);
    const temporaryPath = `${path}.${this.#random.uid()}.temp`;
    try {
      return new DirectoryFile({
        name,
        container: this.url,
        path,
        temporaryPath,
        handle: await this.#openNew(temporaryPath),
        folders: this.#folders,
        fsync: this.#fsync,
        exclusive: options.exclusive ?? false,
        onClosed: () => this.#writing.delete(temporaryPath),
        onStuck: () => this.#keepStuck(temporaryPath),
      });
    } catch (error) {
      this.#writing.delete(temporaryPath);
      throw this.#error(error, 'writing', name);
    }
  }

  #keepStuck(path: string): void {
    this.#stuck.add(path);
    if (this.#stuck.size <= MAX_STUCK) return;
    // The oldest one is left to whoever cleans temporary files by their age.
    const [oldest = path] = this.#stuck;
    this.#stuck.delete(oldest);
    this.#writing.delete(oldest);
  }

  /** Temporary files that could not be removed, since the disk had become read-only say, go as soon as they can. */
  async #removeStuck(): Promise<void> {
    for (const path of this.#stuck) {
      try {
        await unlink(path);
      } catch (error) {
        // As long as it is so, the write that comes next is the one to tell of it.
        if (!isMissing(error)) return;
      }
      this.#stuck.delete(path);
      this.#writing.delete(path);
    }
  }

  async readFile(name: string, offset: number, length: number): Promise<Uint8Array> {
    checkFileName(name);
    checkReadRange(name, offset, length);
    try {
      const handle = await open(join(this.path, name), 'r');
      try {
        return await readUpTo(handle, offset, length);
      } finally {
        await handle.close();
      }
    } catch (error) {
      // A folder, or a name below a file: no file of the container either way.
      if (isMissing(error) || systemErrorCode(error) === 'EISDIR') {
        const facts = { file: name, container: this.url, cause: error };
        throw new BackupError('FILE_NOT_FOUND', `there is no file ${name} in ${this.url}`, facts);
      }
      throw this.#error(error, 'reading', name);
    }
  }

  async *listFiles(prefix: string): AsyncIterable<ListedFile> {
    try {
      for await (const batch of listTree(this.path, prefix, this.#clock)) {
        for (const file of batch) yield file;
      }
    } catch (error) {
      throw this.#error(error, 'listing', '');
    }
  }

  async deleteFile(name: string): Promise<void> {
    checkFileName(name);
    try {
      // The folder is not synced: after a power failure the file may be back, and is deleted again by whoever looks for it.
      await unlink(join(this.path, name));
    } catch (error) {
      if (isMissing(error) || systemErrorCode(error) === 'EISDIR') return;
      throw this.#error(error, 'deleting', name);
    }
  }

  /**
   * Removes what processes that died left of files they were writing. A file that another process is writing right now must not be touched: only those are
   * removed that were last written to longer ago than `olderThan`. Resolves with how many there were.
   */
  async cleanTemporaryFiles(options: CleanTemporaryFilesOptions = {}): Promise<number> {
    if (!(await this.exists())) return 0;
    try {
      return await cleanTemporaryFiles(this.path, this.#writing, this.#random, options);
    } catch (error) {
      throw this.#error(error, 'cleaning', '');
    }
  }

  async #openNew(temporaryPath: string): Promise<FileHandle> {
    this.#writing.add(temporaryPath);
    try {
      return await open(temporaryPath, 'wx');
    } catch (error) {
      if (systemErrorCode(error) !== 'ENOENT') throw error;
      await this.#folders.make(dirname(temporaryPath));
      return await open(temporaryPath, 'wx');
    }
  }

  #error(error: unknown, doing: string, name: string): unknown {
    return containerError(error, doing, name, this.url);
  }
}

function pathOf(location: string | URL): string {
  const text = String(location);
  if (text === '') throw noLocation(text);
  if (!/^[a-z][a-z0-9+.-]+:/i.test(text)) return checkPath(resolve(text));
  let path: string;
  try {
    path = resolve(fileURLToPath(text));
  } catch (error) {
    throw noLocation(text, error);
  }
  return checkPath(path);
}

/** What the system takes for no path at all, or for another one. */
function checkPath(path: string): string {
  if (path.includes('\0') || /\p{Surrogate}/u.test(path)) throw noLocation(path);
  return path;
}

function noLocation(text: string, cause?: unknown): BackupError {
  const message = `location must be a path or a URL file:///abs/path, got ${JSON.stringify(text)}`;
  return new BackupError('INVALID_OPTION', message, { cause });
}

/** Leads back to the path: Node 20 drops spaces and control characters at a path's end, and the folder would be another one for whoever opens the URL. */
function urlOf(path: string): string {
  const url = pathToFileURL(path).href;
  if (fileURLToPath(url) === path) return url;
  return `file://${path.split('/').map(encodeURIComponent).join('/')}`;
}

/** Fills the buffer as far as the file goes: the system may answer with less than was asked for. */
async function readUpTo(handle: FileHandle, offset: number, length: number): Promise<Uint8Array> {
  const { size } = await handle.stat();
  const wanted = Math.min(length, size - offset);
  if (wanted <= 0) return EMPTY_BYTES;
  // Memory of its own, not a slice of Node's pool: the caller may keep it.
  const bytes = new Uint8Array(Buffer.allocUnsafeSlow(wanted).buffer);
  let filled = 0;
  while (filled < wanted) {
    const { bytesRead } = await handle.read(bytes, filled, wanted - filled, offset + filled);
    if (bytesRead === 0) return bytes.slice(0, filled);
    filled += bytesRead;
  }
  return bytes;
}
