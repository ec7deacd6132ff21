// A container for long work: its calls end when a signal aborts, and those that may be repeated are, where a failure may be a passing one. The port's own calls know no signal.

import { checkMethods } from '../core/check-option.js';
import { abortable, abortableStream } from '../core/abort.js';
import type { Clock } from '../core/clock.js';
import { BackupError } from '../core/errors.js';
import { checkedContainer } from '../ports/checked-container.js';
import type { BackupContainer, BackupFile, ListedFile, WriteFileOptions } from '../ports/backup-container.js';

const ATTEMPTS = 6;
const FIRST_RETRY_MS = 100;

export class SteadyContainer implements BackupContainer {
  readonly url: string;
  readonly decrypts: boolean;
  readonly listingLag?: number;
  readonly #inner: BackupContainer;
  readonly #signal: AbortSignal | undefined;
  readonly #clock: Clock;

  /** What was under way when the signal aborted may still take effect. */
  constructor(inner: BackupContainer, signal: AbortSignal | undefined, clock: Clock) {
    checkMethods('container', inner, 'BackupContainer', ['exists', 'readFile', 'writeFile', 'listFiles', 'deleteFile']);
    this.url = inner.url;
    this.decrypts = inner.decrypts === true;
    this.#inner = checkedContainer(inner, clock);
    if (this.#inner.listingLag !== undefined) this.listingLag = this.#inner.listingLag;
    this.#signal = signal;
    this.#clock = clock;
  }

  create(): Promise<void> {
    return this.#again(() => this.#inner.create());
  }

  exists(): Promise<boolean> {
    return this.#again(() => this.#inner.exists());
  }

  readFile(name: string, offset: number, length: number): Promise<Uint8Array> {
    return this.#again(() => this.#inner.readFile(name, offset, length));
  }

  deleteFile(name: string): Promise<void> {
    return this.#again(() => this.#inner.deleteFile(name));
  }

  /** A file that was begun is not written again: whoever writes it knows what it holds. */
  async writeFile(name: string, options?: WriteFileOptions): Promise<BackupFile> {
    const file = await this.#heed(this.#inner.writeFile(name, options), (late) => void late.abort().catch(ignore));
    return {
      name: file.name,
      append: (chunks) => this.#heed(file.append(chunks)),
      finish: () => this.#heed(file.finish()),
      abort: () => file.abort(),
    };
  }

  listFiles(prefix: string): AsyncIterable<ListedFile> {
    const files = this.#inner.listFiles(prefix);
    return this.#signal === undefined ? files : abortableStream(files, this.#signal);
  }

  #heed<T>(call: Promise<T>, onLate?: (value: T) => void): Promise<T> {
    return this.#signal === undefined ? call : abortable(call, this.#signal, onLate);
  }

  async #again<T>(call: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      this.#signal?.throwIfAborted();
      try {
        return await this.#heed(call());
      } catch (error) {
        if (attempt >= ATTEMPTS || !BackupError.is(error) || !error.retryable) throw error;
      }
      await this.#clock.sleep(FIRST_RETRY_MS * 2 ** (attempt - 1), this.#signal);
    }
  }
}

/** The call that wanted the file has ended already. */
function ignore(): void {
  return undefined;
}
