// Write range files: append what the scan workers have encoded, compute the checksums of what is written, finish the file, answer.
// Must never leave an unfinished file behind, and never give a buffer back that an append may still read.

import { createHash, type Hash } from 'node:crypto';
import { AbortScope, abortable } from '../core/abort.js';
import type { BufferPool } from '../core/buffer-pool.js';
import type { Clock } from '../core/clock.js';
import { AssertionError } from '../core/errors.js';
import { FirstFailure } from '../core/first-failure.js';
import { lingerFor } from '../core/linger.js';
import { FileSumsBuilder } from '../format/fdb/file-sums.js';
import type { EncodedGroup } from '../format/fdb/log-file-encoder.js';
import type { BackupContainer, BackupFile } from '../ports/backup-container.js';
import type { RetryPolicy } from './backoff.js';
import { isTransient, retrying } from './backoff.js';
import type { FileEnd, FileStream } from './file-stream.js';
import type { RateLimiter } from './rate-limiter.js';
import type { RangeResponse } from './range-response.js';
import type { SaveChannel } from './save-channel.js';

export interface SaveWorkersOptions {
  readonly container: BackupContainer;
  readonly channel: SaveChannel;
  readonly pool: BufferPool;
  readonly limiter: RateLimiter;
  readonly policy: RetryPolicy;
  readonly clock: Clock;
  /** The name of the next file. */
  readonly nameOf: (stream: FileStream) => string;
  readonly respond: (response: RangeResponse) => Promise<void>;
}

interface OpenFile {
  readonly file: BackupFile;
  readonly sha256: Hash;
  readonly sums: FileSumsBuilder;
}

export class SaveWorkers {
  readonly #options: SaveWorkersOptions;
  readonly #open = new Map<FileStream, OpenFile>();
  #failuresInARow = 0;
  #givenUp: { readonly error: unknown } | undefined;

  constructor(options: SaveWorkersOptions) {
    this.#options = options;
  }

  /** Set when the container fails for good, or too often in a row: it makes no sense to scan any further. */
  get givenUp(): { readonly error: unknown } | undefined {
    return this.#givenUp;
  }

  /** Files that failed since the last one that was saved. */
  get failuresInARow(): number {
    return this.#failuresInARow;
  }

  /** Runs so many workers until the channel is closed and empty. Afterwards no file is open, whatever came of it, unless the container does not answer. */
  async run(count: number, signal: AbortSignal): Promise<void> {
    using scope = new AbortScope(signal);
    // What the first to fail had in hand is saved by nobody: the others would wait for its end, and the scans for its memory.
    const failure = new FirstFailure(scope);
    try {
      await Promise.all(Array.from({ length: count }, () => failure.guard(this.#work(scope.signal))));
      failure.throwIfAny();
    } finally {
      const aborting = [...this.#open.keys()].map((stream) => this.#abort(stream));
      await lingerFor(Promise.all(aborting), this.#options.clock);
    }
  }

  async #work(signal: AbortSignal): Promise<void> {
    const { channel } = this.#options;
    for (let stream = await channel.take(signal); stream !== undefined; stream = await channel.take(signal)) {
      for (const group of stream.takeGroups()) {
        await this.#guarded(stream, signal, () => this.#append(stream, group, signal));
        if (group.staging !== undefined) this.#options.pool.give(group.staging);
        channel.saved(group);
        // Checksums of a group take a few milliseconds, and a container in memory would never let the host have a turn.
        await this.#options.clock.yieldToHost();
      }
      const { end } = stream;
      if (end !== undefined) await this.#complete(stream, end, signal);
      channel.giveBack(stream);
    }
  }

  /** A failure of the container fails the file; an abort, or a mistake of ours, ends everything. */
  async #guarded(stream: FileStream, signal: AbortSignal, body: () => Promise<void>): Promise<void> {
    if (stream.failure !== undefined) return;
    try {
      await body();
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof AssertionError) throw error;
      stream.failure = { error };
      this.#failuresInARow++;
      if (!isTransient(error) || this.#failuresInARow >= this.#options.policy.maxAttempts) this.#givenUp ??= { error };
      await abortable(this.#abort(stream), signal);
    }
  }

  async #append(stream: FileStream, group: EncodedGroup, signal: AbortSignal): Promise<void> {
    const { file, sha256, sums } = this.#open.get(stream) ?? (await this.#create(stream, signal));
    await this.#options.limiter.take(group.bytes, signal);
    // The bytes are on their way while their checksums are computed. After an abort the append may still read them: then nobody gets them back.
    const appending = abortable(file.append(group.chunks), signal);
    for (const chunk of group.chunks) {
      sha256.update(chunk);
      sums.update(chunk);
    }
    await appending;
  }

  async #create(stream: FileStream, signal: AbortSignal): Promise<OpenFile> {
    const { container, nameOf, policy } = this.#options;
    const name = nameOf(stream);
    const file = await retrying(policy, signal, () =>
      abortable(container.writeFile(name), signal, (late) => void late.abort().catch(ignoreLateFailure)),
    );
    const open = { file, sha256: createHash('sha256'), sums: new FileSumsBuilder(stream.blockSize) };
    this.#open.set(stream, open);
    return open;
  }

  async #complete(stream: FileStream, end: FileEnd, signal: AbortSignal): Promise<void> {
    let response: RangeResponse | undefined;
    await this.#guarded(stream, signal, async () => {
      const { file, sha256, sums } = this.#open.get(stream) ?? (await this.#create(stream, signal));
      await abortable(file.finish(), signal);
      this.#open.delete(stream);
      this.#failuresInARow = 0;
      const { name } = file;
      const { version } = stream;
      response = { range: end.range, file: { name, version, ...end, ...sums.build(), sha256: sha256.digest('hex') } };
    });
    response ??= { range: end.range, error: stream.failure?.error };
    await this.#options.respond(response);
  }

  async #abort(stream: FileStream): Promise<void> {
    const open = this.#open.get(stream);
    this.#open.delete(stream);
    try {
      await open?.file.abort();
    } catch {
      // What made it fail is known already; what an abort leaves behind is never listed.
    }
  }
}

/** The file was opened too late, and nothing is in it. */
function ignoreLateFailure(): void {
  return undefined;
}
