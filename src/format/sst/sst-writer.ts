// Writes one SST file that RocksDB reads and ingests, from rows in key order, into a sink. Must never let a row out of order into the file, nor hold more than a few batches of blocks.

import { abortable } from '../../core/abort.js';
import { BufferPool } from '../../core/buffer-pool.js';
import { checkMethods, checkWholeNumber } from '../../core/check-option.js';
import { EMPTY_BYTES, printableBytes, utf8 } from '../../core/bytes.js';
import { crc32c } from '../../core/crc32c.js';
import { BackupError } from '../../core/errors.js';
import { type BlockBatch, BlockBuilder, INTERNAL_TRAILER_BYTES } from './block-builder.js';
import { BLOCK_TRAILER_BYTES, type BlockPress } from './block-press.js';
import { type BlockHandle, encodeBlockHandle, encodeFooter, type SstFormatVersion } from './footer.js';
import { indexSeparator } from './index-separator.js';
import { encodeMetaBlock } from './meta-block.js';
import { sealBlock } from './press-block.js';
import { COMPRESSION_NAMES, encodeTableProperties } from './table-properties.js';

/** Where the file goes: a BackupFile is one. One call at a time; the chunks' memory may be reused once it has resolved. */
export interface SstSink {
  append(chunks: readonly Uint8Array[]): Promise<void>;
}

export interface SstWriterOptions {
  readonly sink: SstSink;
  /** Compresses and seals the blocks; names the compression. */
  readonly press: BlockPress;
  /** Raw bytes of a data block, about; from 64 bytes to 64 MiB. Default 64 KiB. */
  readonly blockSize?: number;
  /** Rows per restart point, from 1 on. More: smaller files, slower look-ups. Default 16, as in RocksDB. */
  readonly restartInterval?: number;
  /** Of the footer and the index. 2 is read by every RocksDB in use; 3 to 5 have a smaller index. Default 2. */
  readonly formatVersion?: SstFormatVersion;
  /** Raw bytes of blocks that are pressed by one call. Default 1 MiB; 2 MiB for a press that takes several calls at once, on other threads: handing over costs most of a millisecond each time. */
  readonly batchBytes?: number;
  /** Where the buffers come from; writers of one process may share one. Default: one of its own. */
  readonly pool?: BufferPool;
}

/** A finished file. */
export interface SstSummary {
  /** Of the file, bytes. */
  readonly size: number;
  readonly entries: number;
  /** Sum of the lengths of the keys as they were added. */
  readonly rawKeyBytes: number;
  readonly rawValueBytes: number;
  /** The first key and the last one. */
  readonly smallestKey: Uint8Array;
  readonly largestKey: Uint8Array;
}

/** A row's key and value together: block offsets have 32 bits, and codecs take less than 2 GiB. */
export const MAX_SST_ROW_BYTES = 1 << 30;
/** Whoever adds rows without flushing is stopped here. */
const MAX_PENDING_BYTES = 256 << 20;
const MAX_BLOCK_SIZE = 64 << 20;
const DEFAULT_BLOCK_SIZE = 64 << 10;
const DEFAULT_BATCH_BYTES = 1 << 20;
const DEFAULT_HANDED_BYTES = 2 << 20;
const IDLE_BATCHES = 4;

/**
 * `add` the rows in order, `await flush()` whenever `pendingBytes` is above 0 (or after every batch of rows), `await finish()` at the end; otherwise `await abort()`. One caller at a time.
 *
 * The bytes depend on the rows and the options alone, not on time, threads or when `flush` was called.
 */
export class SstWriter {
  readonly #sink: SstSink;
  readonly #press: BlockPress;
  readonly #formatVersion: SstFormatVersion;
  readonly #pool: BufferPool;
  readonly #builder: BlockBuilder;
  #state: 'open' | 'finishing' | 'ended' = 'open';
  #failure: { readonly error: unknown } | undefined;

  #entries = 0;
  #rawKeyBytes = 0;
  #rawValueBytes = 0;
  #smallestKey = EMPTY_BYTES;
  /** Raw bytes of the blocks that have ended, with trailers. */
  #endedBytes = 0;
  /** The index keys, one per block that has ended. */
  readonly #separators: Uint8Array[] = [];
  /** Stored sizes without trailers, one per block in the sink. */
  readonly #sizes: number[] = [];
  /** Bytes in the sink. */
  #offset = 0;
  /** Work between the builder and the sink, oldest first; none of it rejects (see #failure). */
  readonly #underWay: Promise<void>[] = [];

  /** INVALID_OPTION for options out of bounds. */
  constructor(options: SstWriterOptions) {
    const { sink, press, blockSize = DEFAULT_BLOCK_SIZE, restartInterval = 16, formatVersion = 2 } = options;
    checkMethods('sink', sink, 'SstSink', ['append']);
    checkMethods('press', press, 'BlockPress', ['press']);
    checkWholeNumber('press.concurrency', press.concurrency, 1);
    const { batchBytes = press.concurrency > 1 ? DEFAULT_HANDED_BYTES : DEFAULT_BATCH_BYTES } = options;
    // RocksDB would read the blocks as something else.
    if (!Object.hasOwn(COMPRESSION_NAMES, press.compression)) {
      throw new BackupError(
        'INVALID_OPTION',
        `press.compression must be a compression, got ${String(press.compression)}`,
      );
    }
    checkWholeNumber('blockSize', blockSize, 64, MAX_BLOCK_SIZE);
    checkWholeNumber('restartInterval', restartInterval, 1, 1 << 20);
    checkWholeNumber('formatVersion', formatVersion, 2, 5);
    checkWholeNumber('batchBytes', batchBytes, 1, MAX_BLOCK_SIZE);
    this.#sink = sink;
    this.#press = press;
    this.#formatVersion = formatVersion;
    this.#pool = options.pool ?? new BufferPool({ maxIdleBytes: IDLE_BATCHES * 2 * (batchBytes + blockSize) });
    this.#builder = new BlockBuilder({ blockSize, restartInterval, batchBytes, pool: this.#pool });
  }

  /** Rows so far. */
  get entries(): number {
    return this.#entries;
  }

  /** What the file would be so far without compression and index: it depends on nothing but the rows, so that files that are cut by it are cut alike every time. */
  get bytes(): number {
    return this.#endedBytes + this.#builder.openBytes;
  }

  /** Raw bytes of whole batches that the next `flush` hands to the press. Beside them the writer holds one batch that is not full yet, and those under way. */
  get pendingBytes(): number {
    return this.#builder.sealedBytes;
  }

  /**
   * Copies the row. The key is the user key of the file. INVALID_OPTION for a key that is not above the last one, OPERATION_TOO_LARGE for a row above MAX_SST_ROW_BYTES, INVALID_STATE after the end or far too long without a
   * `flush`: then nothing of the row is in the file, and the writer is as it was.
   */
  add(key: Uint8Array, value: Uint8Array): void {
    const builder = this.#builder;
    if (this.#state !== 'open' || this.#failure !== undefined) this.#checkOpen();
    if (key.length + value.length > MAX_SST_ROW_BYTES) this.#refuseSize(key, value);
    if (!builder.follows(key)) this.#refuseOrder(key);
    if (builder.isFull(key.length, value.length)) this.#endBlock(key);
    builder.add(key, value);
    if (this.#entries++ === 0) this.#smallestKey = new Uint8Array(key);
    this.#rawKeyBytes += key.length;
    this.#rawValueBytes += value.length;
  }

  /**
   * Hands the pending batches to the press and on to the sink. Resolves when all are started, with as many under way as the press has a use for, and one more: it waits for the oldest before it starts another. Rejects with the first
   * error of press or sink; the file can then only be aborted. An abort of `signal` stops the waiting.
   */
  async flush(signal?: AbortSignal): Promise<void> {
    this.#checkOpen();
    await this.#startPending(signal);
  }

  /** Writes the rest of the file. INVALID_STATE without a row: RocksDB ingests no empty file, and its own writer makes none; the sink was not touched then. */
  async finish(signal?: AbortSignal): Promise<SstSummary> {
    this.#checkOpen();
    if (this.#entries === 0) throw new BackupError('INVALID_STATE', 'an SST file needs at least one row');
    this.#state = 'finishing';
    await this.#startPending(signal);
    const largestKey = this.#builder.lastKey();
    this.#endBlock(undefined);
    this.#builder.seal();
    await this.#startPending(signal);
    while (this.#underWay.length > 0) await this.#oldest(signal);
    this.#start(() => this.#writeTail());
    await this.#oldest(signal);
    this.#state = 'ended';
    return {
      size: this.#offset,
      entries: this.#entries,
      rawKeyBytes: this.#rawKeyBytes,
      rawValueBytes: this.#rawValueBytes,
      smallestKey: this.#smallestKey,
      largestKey,
    };
  }

  /** Ends the writer without a whole file: every call resolves when neither press nor sink is at work for it any more. Never rejects. What is in the sink is the caller's to discard. */
  async abort(): Promise<void> {
    this.#state = 'ended';
    // None is taken out before it has ended: who else is aborting waits for it too.
    await Promise.all(this.#underWay);
    this.#underWay.length = 0;
  }

  #endBlock(nextKey: Uint8Array | undefined): void {
    const builder = this.#builder;
    if (builder.sealedBytes > MAX_PENDING_BYTES) {
      throw new BackupError('INVALID_STATE', `more than ${MAX_PENDING_BYTES} bytes of an SST file wait for a flush`);
    }
    this.#separators.push(indexSeparator(builder.lastKey(), nextKey));
    this.#endedBytes += builder.openBytes + BLOCK_TRAILER_BYTES;
    builder.endBlock();
  }

  async #startPending(signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    const most = this.#press.concurrency + 1;
    for (;;) {
      while (this.#underWay.length >= most) await this.#oldest(signal);
      const batch = this.#builder.takeBatch();
      if (batch === undefined) break;
      const before = this.#underWay.at(-1);
      this.#start(() => this.#writeBatch(batch, before));
    }
    this.#throwIfOver();
  }

  /** Between any two steps an abort may have come, and joined what was under way then. */
  #start(work: () => Promise<void>): void {
    this.#throwIfOver();
    this.#underWay.push(work().catch((error: unknown) => void (this.#failure ??= { error })));
  }

  /** Waits for the oldest work under way; on abort it stays under way. */
  async #oldest(signal: AbortSignal | undefined): Promise<void> {
    const [oldest] = this.#underWay;
    await (signal === undefined || oldest === undefined ? oldest : abortable(oldest, signal));
    // It has ended, and it never rejects.
    if (this.#underWay[0] === oldest) void this.#underWay.shift();
    this.#throwIfOver();
  }

  async #writeBatch({ buffer, blocks }: BlockBatch, before: Promise<void> | undefined): Promise<void> {
    const { length } = buffer;
    const stored = await this.#press.press(blocks);
    this.#checkStored(stored, blocks.length);
    // In file order, whichever batch was pressed first.
    await before;
    if (this.#failure !== undefined || this.#wasAborted()) return;
    for (const block of stored) {
      this.#sizes.push(block.length - BLOCK_TRAILER_BYTES);
      this.#offset += block.length;
    }
    await this.#sink.append(stored);
    this.#recycle(buffer.length > 0 ? buffer : stored[0]?.buffer, length);
  }

  /** A press on another thread has taken the buffer with it, and brought it back in another ArrayBuffer. */
  #recycle(memory: Uint8Array | ArrayBufferLike | undefined, length: number): void {
    if (memory?.byteLength !== length) return;
    this.#pool.give(memory instanceof Uint8Array ? memory : new Uint8Array(memory));
  }

  async #writeTail(): Promise<void> {
    const dataBytes = this.#offset;
    const rawIndex = this.#encodeIndex();
    const indexBytes = rawIndex.length + BLOCK_TRAILER_BYTES;
    const pressed = await this.#press.press([rawIndex]);
    this.#checkStored(pressed, 1);
    const properties = encodeTableProperties({
      entries: this.#entries,
      rawKeyBytes: this.#rawKeyBytes + INTERNAL_TRAILER_BYTES * this.#entries,
      rawValueBytes: this.#rawValueBytes,
      dataBlocks: this.#sizes.length,
      dataBytes,
      indexBytes,
      compression: this.#press.compression,
      formatVersion: this.#formatVersion,
    });
    const chunks: Uint8Array[] = [];
    const place = (stored: Uint8Array): BlockHandle => {
      const handle = { offset: this.#offset, size: stored.length - BLOCK_TRAILER_BYTES };
      chunks.push(stored);
      this.#offset += stored.length;
      return handle;
    };
    const index = place(pressed[0] ?? EMPTY_BYTES);
    const named = [
      [utf8('rocksdb.properties'), encodeBlockHandle(place(sealBlock(properties, 'none', crc32c)))],
    ] as const;
    const metaindex = place(sealBlock(encodeMetaBlock(named), 'none', crc32c));
    const footer = encodeFooter(metaindex, index, this.#formatVersion);
    chunks.push(footer);
    this.#offset += footer.length;
    if (!this.#wasAborted()) await this.#sink.append(chunks);
  }

  /** From format version 3 on the keys are user keys, from 4 on the values carry no lengths. (There the handles of entries behind a restart point hold only what differs; with every entry a restart point none does.) */
  #encodeIndex(): Uint8Array {
    let offset = 0;
    const entries = this.#separators.map((separator, i) => {
      const handle = { offset, size: this.#sizes[i] as number };
      offset += handle.size + BLOCK_TRAILER_BYTES;
      const key = this.#formatVersion >= 3 ? separator.subarray(0, -INTERNAL_TRAILER_BYTES) : separator;
      return [key, encodeBlockHandle(handle)] as const;
    });
    return encodeMetaBlock(entries, { valueLengths: this.#formatVersion < 4 });
  }

  #checkStored(stored: readonly Uint8Array[], blocks: number): void {
    if (stored.length === blocks && stored.every(({ length }) => length > BLOCK_TRAILER_BYTES)) return;
    throw new BackupError('ADAPTER_CONTRACT', `BlockPress.press gave ${stored.length} stored blocks for ${blocks}`);
  }

  #wasAborted(): boolean {
    return this.#state === 'ended';
  }

  /** An abort may come in the middle of a flush or finish. */
  #throwIfOver(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
    if (this.#wasAborted()) throw new BackupError('INVALID_STATE', 'the SST file has been finished or aborted');
  }

  #checkOpen(): void {
    this.#throwIfOver();
    if (this.#state !== 'open') throw new BackupError('INVALID_STATE', 'the SST file is being finished');
  }

  #refuseOrder(key: Uint8Array): never {
    throw new BackupError(
      'INVALID_OPTION',
      `row ${this.#entries} of the SST file: its key ${printableBytes(key)} is not above the last one, ${printableBytes(this.#builder.lastKey())}`,
    );
  }

  #refuseSize(key: Uint8Array, value: Uint8Array): never {
    throw new BackupError(
      'OPERATION_TOO_LARGE',
      `row ${this.#entries} of the SST file has ${key.length + value.length} bytes; at most ${MAX_SST_ROW_BYTES} fit`,
    );
  }
}
