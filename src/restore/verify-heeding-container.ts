// A container whose calls end when a signal aborts, for calls that may hang: the port's own calls know no signal.

import { abortable, abortableStream } from '../core/abort.js';
import type { BackupContainer, BackupFile, ListedFile, WriteFileOptions } from '../ports/backup-container.js';

/** The container itself without a signal. What was under way when the signal aborted may still take effect. */
export function heedSignal(container: BackupContainer, signal: AbortSignal | undefined): BackupContainer {
  return signal === undefined ? container : new HeedingContainer(container, signal);
}

class HeedingContainer implements BackupContainer {
  readonly url: string;
  readonly decrypts: boolean;
  readonly #inner: BackupContainer;
  readonly #signal: AbortSignal;

  constructor(inner: BackupContainer, signal: AbortSignal) {
    this.url = inner.url;
    this.decrypts = inner.decrypts === true;
    this.#inner = inner;
    this.#signal = signal;
  }

  create(): Promise<void> {
    return abortable(this.#inner.create(), this.#signal);
  }

  exists(): Promise<boolean> {
    return abortable(this.#inner.exists(), this.#signal);
  }

  async writeFile(name: string, options?: WriteFileOptions): Promise<BackupFile> {
    const signal = this.#signal;
    const opened = this.#inner.writeFile(name, options);
    const file = await abortable(opened, signal, (late) => void late.abort().catch(ignore));
    return {
      name: file.name,
      append: (chunks) => abortable(file.append(chunks), signal),
      finish: () => abortable(file.finish(), signal),
      abort: () => file.abort(),
    };
  }

  readFile(name: string, offset: number, length: number): Promise<Uint8Array> {
    return abortable(this.#inner.readFile(name, offset, length), this.#signal);
  }

  listFiles(prefix: string): AsyncIterable<ListedFile> {
    return abortableStream(this.#inner.listFiles(prefix), this.#signal);
  }

  deleteFile(name: string): Promise<void> {
    return abortable(this.#inner.deleteFile(name), this.#signal);
  }
}

/** The call that wanted the file has ended already. */
function ignore(): void {
  return undefined;
}
