// A file of a DirectoryContainer while it is written: under a temporary name next to its final one.

import type { FileHandle } from 'node:fs/promises';
import { link, rename, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { BackupError } from '../core/errors.js';
import { systemErrorCode } from '../core/file-system.js';
import type { BackupFile } from '../ports/backup-container.js';
import { containerError } from './file-error.js';
import type { Folders } from './folders.js';

/** IOV_MAX: the kernel refuses a writev of more pieces. */
const MAX_PIECES = 1024;

export interface DirectoryFileParts {
  readonly name: string;
  readonly container: string;
  readonly path: string;
  readonly temporaryPath: string;
  readonly handle: Pick<FileHandle, 'sync' | 'close'> & {
    writev(pieces: readonly Uint8Array[]): Promise<{ bytesWritten: number }>;
  };
  readonly folders: Folders;
  readonly fsync: boolean;
  readonly exclusive: boolean;
  /** Called once the temporary file is gone, by whichever way. */
  readonly onClosed: () => void;
  /** Called when the temporary file could not be removed. */
  readonly onStuck: () => void;
}

type FileState = 'open' | 'failed' | 'finished' | 'aborted';

export class DirectoryFile implements BackupFile {
  readonly name: string;
  readonly #parts: DirectoryFileParts;
  #state: FileState = 'open';
  /** The append or finish that runs now; never rejects. */
  #running: Promise<void> | undefined;
  #temporaryFileExists = true;

  constructor(parts: DirectoryFileParts) {
    this.name = parts.name;
    this.#parts = parts;
  }

  append(chunks: readonly Uint8Array[]): Promise<void> {
    return this.#exclusively('append', () => this.#write(chunks));
  }

  finish(): Promise<void> {
    return this.#exclusively('finish', () => this.#publish());
  }

  async abort(): Promise<void> {
    if (this.#state === 'open') this.#state = 'aborted';
    // A write that the kernel is busy with cannot be recalled; a finish that is past the point of no return goes through.
    await this.#running;
    if (this.#state === 'finished') return;
    this.#state = 'aborted';
    try {
      await this.#parts.handle.close();
      if (this.#temporaryFileExists) await unlink(this.#parts.temporaryPath);
    } catch (error) {
      // Gone already, by another abort or by someone who cleaned up: that is what was wanted.
      if (systemErrorCode(error) !== 'ENOENT') {
        this.#parts.onStuck();
        throw this.#error(error, 'discarding');
      }
    }
    this.#temporaryFileExists = false;
    this.#parts.onClosed();
  }

  /** Runs one append or finish, with the port's errors; whatever fails leaves a file that can only be aborted. */
  async #exclusively(call: 'append' | 'finish', work: () => Promise<void>): Promise<void> {
    this.#checkOpen(call);
    if (this.#running !== undefined) throw this.#invalidState(`${call}() while another call runs`);
    const running = work();
    this.#running = running.then(ignore, ignore);
    try {
      await running;
    } catch (error) {
      if (this.#state === 'open') this.#state = 'failed';
      throw this.#error(error, 'writing');
    } finally {
      this.#running = undefined;
    }
  }

  /** The chunks go to the kernel as they are, up to 1,024 a call. A short write is continued where it stopped. */
  async #write(chunks: readonly Uint8Array[]): Promise<void> {
    let next = 0;
    /** Bytes of chunks[next] that are written already. */
    let skip = 0;
    while (next < chunks.length) {
      const pieces = chunks.slice(next, next + MAX_PIECES);
      if (skip > 0) pieces[0] = (pieces[0] as Uint8Array).subarray(skip);
      let { bytesWritten: left } = await this.#parts.handle.writev(pieces);
      this.#checkOpen('append');
      if (left === 0 && pieces.some((piece) => piece.length > 0))
        throw new BackupError('CONTAINER_UNAVAILABLE', `no byte of ${this.name} could be written`, this.#facts(true));
      let piece = 0;
      while (piece < pieces.length && (pieces[piece] as Uint8Array).length <= left) {
        left -= (pieces[piece] as Uint8Array).length;
        piece++;
      }
      skip = piece === 0 ? skip + left : left;
      next += piece;
    }
  }

  async #publish(): Promise<void> {
    const { handle, folders, fsync, path, temporaryPath, exclusive } = this.#parts;
    const folder = dirname(path);
    await folders.makeDurable(folder);
    if (fsync) await handle.sync();
    await handle.close();
    this.#checkOpen('finish');
    if (exclusive) {
      await this.#linkNew();
    } else {
      await rename(temporaryPath, path);
    }
    this.#temporaryFileExists = false;
    await folders.sync(folder);
    this.#state = 'finished';
    this.#parts.onClosed();
  }

  /** rename() would replace a file of that name; link() does not, and is as atomic. */
  async #linkNew(): Promise<void> {
    const { temporaryPath, path } = this.#parts;
    try {
      await link(temporaryPath, path);
    } catch (error) {
      if (systemErrorCode(error) !== 'EEXIST') throw error;
      throw new BackupError('FILE_EXISTS', `${this.name} exists already in ${this.#parts.container}`, {
        ...this.#facts(false),
        cause: error,
      });
    }
    await unlink(temporaryPath);
  }

  #checkOpen(call: string): void {
    if (this.#state !== 'open') throw this.#invalidState(`${call}() on a file that is ${this.#state} already`);
  }

  #invalidState(message: string): BackupError {
    return new BackupError('INVALID_STATE', `${this.name}: ${message}`, this.#facts(false));
  }

  #facts(retryable: boolean) {
    return { file: this.name, container: this.#parts.container, retryable };
  }

  #error(error: unknown, doing: string): unknown {
    return containerError(error, doing, this.name, this.#parts.container);
  }
}

/** For `#running`, which only tells when something has ended; the error goes to who called. */
function ignore(): void {
  // Nothing to do.
}
