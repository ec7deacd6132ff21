// A file of an S3Container while it is written: in one request if it is small, else in parts, several under way at once. Holds a bounded number of buffers, whatever its length.

import { AbortScope } from '../../core/abort.js';
import type { BufferPool } from '../../core/buffer-pool.js';
import { BackupError } from '../../core/errors.js';
import type { BackupFile } from '../../ports/backup-container.js';
import { MultipartUpload } from './multipart-upload.js';
import type { PartSlots } from './part-slots.js';
import { putObject } from './put-object.js';
import type { S3Calls } from './s3-calls.js';
import type { S3Settings } from './settings.js';

/** https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html */
const MOST_PARTS = 10_000;
/** Of the first buffer; most files are smaller. */
const FIRST_BUFFER = 64 << 10;
/** By how much the first buffer grows when it is full: what is copied once more is a third of a part at most, once per file. */
const GROWTH = 4;

export interface S3FileParts {
  readonly name: string;
  readonly calls: S3Calls;
  readonly settings: S3Settings;
  readonly pool: BufferPool;
  /** Of all files of the container. */
  readonly slots: PartSlots;
  readonly exclusive: boolean;
  /** Around the step that makes the file visible. */
  readonly publish: (parts: boolean, step: (onlyIfNew: boolean) => Promise<void>) => Promise<void>;
  /** For tests. */
  readonly mostParts?: number;
}

type FileState = 'open' | 'failed' | 'finished' | 'aborted';

export class S3File implements BackupFile {
  readonly name: string;
  readonly #parts: S3FileParts;
  readonly #key: string;
  readonly #token: string;
  /** Aborted when the file is: ends what is under way. */
  readonly #scope: AbortScope;
  #state: FileState = 'open';
  /** The append or finish that runs now; never rejects. */
  #running: Promise<void> | undefined;
  /** Discards what the store has; there is one at a time. */
  #discarding: Promise<void> | undefined;
  #buffer: Uint8Array | undefined;
  #filled = 0;
  #upload: MultipartUpload | undefined;
  #begun = 0;
  /** Parts under way; none of these rejects. */
  readonly #sending = new Set<Promise<void>>();
  #failure: { readonly error: unknown } | undefined;

  constructor(parts: S3FileParts) {
    this.name = parts.name;
    this.#parts = parts;
    this.#key = parts.settings.dataPrefix + parts.name;
    this.#token = parts.settings.random.uid();
    this.#scope = new AbortScope(parts.calls.closed);
  }

  append(chunks: readonly Uint8Array[]): Promise<void> {
    return this.#exclusively('append', () => this.#add(chunks));
  }

  finish(): Promise<void> {
    return this.#exclusively('finish', async () => {
      await (this.#upload === undefined ? this.#putWhole() : this.#completeUpload(this.#upload));
      // Not before: an abort in between must find the file as it is.
      this.#state = 'finished';
      this.#scope.end();
    });
  }

  async abort(): Promise<void> {
    if (this.#state === 'open') this.#state = 'aborted';
    if (this.#state !== 'finished') this.#scope.end(this.#invalidState('the file was aborted'));
    await this.#running;
    if ((this.#state as FileState) === 'finished') return;
    this.#state = 'aborted';
    this.#discarding ??= this.#discard();
    await this.#discarding;
  }

  /** Runs one append or finish; whatever fails leaves a file that can only be aborted. */
  async #exclusively(call: 'append' | 'finish', work: () => Promise<void>): Promise<void> {
    this.#checkOpen(call);
    if (this.#running !== undefined) throw this.#invalidState(`${call}() while another call runs`);
    const running = work();
    this.#running = running.then(ignore, ignore);
    try {
      await running;
    } catch (error) {
      if (this.#state === 'open') this.#state = 'failed';
      throw error;
    } finally {
      this.#running = undefined;
    }
  }

  /** Each byte is copied once, into the part that it goes in. */
  async #add(chunks: readonly Uint8Array[]): Promise<void> {
    const { partSize } = this.#parts.settings;
    let length = 0;
    for (const chunk of chunks) length += chunk.length;
    for (const chunk of chunks) {
      for (let from = 0; from < chunk.length;) {
        // Only now, when there is more to come: a file of just one part goes in one request.
        if (this.#filled === partSize) await this.#sendPart();
        const buffer = this.#bufferFor(Math.min(partSize, this.#filled + length));
        const to = Math.min(chunk.length, from + Math.min(buffer.length, partSize) - this.#filled);
        buffer.set(from === 0 && to === chunk.length ? chunk : chunk.subarray(from, to), this.#filled);
        this.#filled += to - from;
        length -= to - from;
        from = to;
      }
    }
  }

  /** The current buffer, with room for one more byte at least, and for `bytes` in all if it has to be a new one. */
  #bufferFor(bytes: number): Uint8Array {
    const { pool, settings } = this.#parts;
    const old = this.#buffer;
    if (old !== undefined && old.length > this.#filled) return old;
    const least = old === undefined ? FIRST_BUFFER : old.length * GROWTH;
    const wanted = this.#begun > 0 ? settings.partSize : Math.min(settings.partSize, Math.max(bytes, least));
    const buffer = pool.take(wanted);
    if (old !== undefined) {
      buffer.set(old.subarray(0, this.#filled));
      pool.give(old);
    }
    this.#buffer = buffer;
    return buffer;
  }

  /** Hands the full buffer over, once there is a slot for it. */
  async #sendPart(): Promise<void> {
    const { slots, settings, mostParts = MOST_PARTS } = this.#parts;
    if (this.#begun === mostParts) {
      throw this.#invalidState(
        `a file has ${mostParts} parts of ${settings.partSize} bytes at most: open the container with a larger partSize`,
      );
    }
    const upload = await this.#beginUpload();
    const release = await slots.take(this.#scope.signal);
    if (this.#failure !== undefined) {
      release();
      throw this.#failure.error;
    }
    const buffer = this.#buffer as Uint8Array;
    const bytes = buffer.subarray(0, this.#filled);
    const number = ++this.#begun;
    this.#buffer = undefined;
    this.#filled = 0;
    const sending = this.#send(upload, number, bytes, buffer).finally(() => {
      release();
      this.#sending.delete(sending);
    });
    this.#sending.add(sending);
  }

  /** Does not reject: what fails is told by the next call, and ends the other parts. */
  async #send(upload: MultipartUpload, number: number, bytes: Uint8Array, buffer: Uint8Array): Promise<void> {
    try {
      await upload.part(number, bytes);
      // Only after a success: a call that was given up may still read from the buffer.
      this.#parts.pool.give(buffer);
    } catch (error) {
      this.#failure ??= { error };
      this.#scope.end(error);
    }
  }

  async #beginUpload(): Promise<MultipartUpload> {
    if (this.#upload !== undefined) return this.#upload;
    const { calls, settings, exclusive } = this.#parts;
    this.#upload = new MultipartUpload(calls, settings, {
      key: this.#key,
      token: this.#token,
      onlyIfNew: exclusive && settings.exclusiveWrites === 'atomic',
      signal: this.#scope.signal,
    });
    await this.#upload.begin();
    return this.#upload;
  }

  async #putWhole(): Promise<void> {
    const { calls, settings, pool, publish } = this.#parts;
    const bytes = this.#buffer?.subarray(0, this.#filled) ?? new Uint8Array(0);
    await publish(false, (onlyIfNew) =>
      putObject(calls, settings, { key: this.#key, bytes, token: this.#token, onlyIfNew, signal: this.#scope.signal }),
    );
    if (this.#buffer !== undefined) pool.give(this.#buffer);
    this.#buffer = undefined;
  }

  async #completeUpload(upload: MultipartUpload): Promise<void> {
    if (this.#filled > 0) await this.#sendPart();
    while (this.#sending.size > 0) await Promise.all(this.#sending);
    if (this.#failure !== undefined) throw this.#failure.error;
    await this.#parts.publish(true, () => upload.complete());
    // The file is there: that something was left over is no reason to say that it is not. The bucket's rule for incomplete uploads is for that.
    if (upload.hasLostAnswer) await upload.sweep().catch(ignore);
  }

  async #discard(): Promise<void> {
    await Promise.all(this.#sending);
    // Not given back to the pool: a call that was given up may still read from it.
    this.#buffer = undefined;
    await this.#upload?.abort();
  }

  #checkOpen(call: string): void {
    if (this.#state === 'failed' && this.#failure !== undefined && this.#begun > 0) throw this.#failure.error;
    if (this.#state !== 'open') throw this.#invalidState(`${call}() on a file that is ${this.#state} already`);
  }

  #invalidState(message: string): BackupError {
    const facts = { file: this.name, container: this.#parts.settings.url };
    return new BackupError('INVALID_STATE', `${this.name}: ${message}`, facts);
  }
}

/** For promises that only tell when something has ended; the error goes to who called. */
function ignore(): void {
  // Nothing to do.
}
