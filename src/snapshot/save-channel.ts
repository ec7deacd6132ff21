// Joins the scan workers with the save workers, and bounds by bytes how far the former may be ahead.

import { assert } from '../core/errors.js';
import type { EncodedGroup } from '../format/fdb/log-file-encoder.js';
import { Condition } from './condition.js';
import type { FileEnd, FileStream } from './file-stream.js';

/** Memory that a group takes: a small one lies in a large buffer. */
function memoryOf({ bytes, staging }: EncodedGroup): number {
  return Math.max(bytes, staging?.length ?? 0);
}

export class SaveChannel {
  readonly #capacity: number;
  #heldBytes = 0;
  /** Streams with something to save, in the order in which it came. */
  readonly #ready: FileStream[] = [];
  #closed = false;
  readonly #space = new Condition();
  readonly #work = new Condition();

  /** Bytes. */
  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** Waits for room. A group that is larger than the whole channel passes when nothing else is in it. */
  async send(stream: FileStream, group: EncodedGroup, signal: AbortSignal): Promise<void> {
    const bytes = memoryOf(group);
    while (this.#heldBytes > 0 && this.#heldBytes + bytes > this.#capacity) await this.#space.wait(signal);
    signal.throwIfAborted();
    this.#heldBytes += bytes;
    if (stream.addGroup(group)) this.#list(stream);
  }

  /** No group of this stream follows. */
  end(stream: FileStream, end: FileEnd): void {
    if (stream.close(end)) this.#list(stream);
  }

  /** No stream follows: `take` returns undefined when the last one is done. */
  close(): void {
    this.#closed = true;
    this.#work.notify();
  }

  /** A stream that has something to save; no one else gets it until it is given back. */
  async take(signal: AbortSignal): Promise<FileStream | undefined> {
    for (;;) {
      const stream = this.#ready.shift();
      if (stream !== undefined || this.#closed) return stream;
      await this.#work.wait(signal);
    }
  }

  /** The group's memory is used no more. */
  saved(group: EncodedGroup): void {
    this.#heldBytes -= memoryOf(group);
    assert(this.#heldBytes >= 0, 'no more is saved than was sent');
    this.#space.notify();
  }

  giveBack(stream: FileStream): void {
    if (stream.putBack()) this.#list(stream);
  }

  #list(stream: FileStream): void {
    this.#ready.push(stream);
    this.#work.notify();
  }
}
