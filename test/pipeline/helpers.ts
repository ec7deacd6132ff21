// What the pipeline's tests share: small batches from readable text, and an independent reader of log files.

import { MessageBatchBuilder } from '../../src/core/message-batch-builder.js';
import type { MessageBatch } from '../../src/core/message-batch.js';
import { MutationType } from '../../src/core/mutation.js';
import type { Clock } from '../../src/core/clock.js';
import type { BackupFile } from '../../src/ports/backup-container.js';

/** One byte per character. */
export function latin1(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'latin1'));
}

export type Message = readonly [version: number, subsequence: number, type: number, param1: string, param2: string];

export function set(version: number, subsequence: number, key: string, value = 'v'): Message {
  return [version, subsequence, MutationType.SetValue, key, value];
}

export function clear(version: number, subsequence: number, begin: string, end: string): Message {
  return [version, subsequence, MutationType.ClearRange, begin, end];
}

export function batchOf(messages: readonly Message[]): MessageBatch {
  const builder = new MessageBatchBuilder();
  let last = -1;
  for (const [version, subsequence, type, param1, param2] of messages) {
    if (version !== last) builder.beginVersion(BigInt(version));
    last = version;
    builder.add(subsequence, type, latin1(param1), latin1(param2));
  }
  return builder.build();
}

/** `onRelease` counts how often the batch was released. */
export function countReleases(batch: MessageBatch): { batch: MessageBatch; releases: () => number } {
  let count = 0;
  const Batch = batch.constructor as new (parts: unknown) => MessageBatch;
  const counted = new Batch({
    bytes: batch.bytes,
    byteLength: batch.byteLength,
    recordStarts: batch.recordStarts,
    recordCount: batch.recordCount,
    versions: batch.versions,
    versionRecords: batch.versionRecords,
    versionCount: batch.versionCount,
    minKey: batch.minKey,
    endKey: batch.endKey,
    maxRecordBytes: batch.maxRecordBytes,
    onRelease: () => count++,
  });
  return { batch: counted, releases: () => count };
}

/** A record as it lies in a file, the clear's params as stored. */
export interface StoredRecord {
  readonly version: number;
  readonly subsequence: number;
  readonly type: number;
  readonly param1: string;
  readonly param2: string;
}

/**
 * Reads a log file by the format page alone, sharing no code with the library. Throws on whatever is not as the page says.
 */
export function decodeLogFile(file: Buffer, blockSize: number): StoredRecord[] {
  const records: StoredRecord[] = [];
  for (let block = 0; block < file.length; block += blockSize) {
    const end = Math.min(block + blockSize, file.length);
    const isLast = end === file.length;
    if (file.readUInt32LE(block) !== 4110) throw new Error(`block at ${block} has version ${file.readUInt32LE(block)}`);
    let at = block + 4;
    while (at < end && file[at] !== 0xff) {
      const version = Number(file.readBigInt64BE(at));
      const subsequence = file.readUInt32BE(at + 8);
      const length = file.readUInt32BE(at + 12);
      if (at + 16 + length > end) throw new Error(`record at ${at} leaves its block`);
      const type = file.readUInt8(at + 16);
      const length1 = file.readUInt32LE(at + 17);
      const length2 = file.readUInt32LE(at + 21 + length1);
      if (length1 + length2 + 9 !== length) throw new Error(`mutation at ${at} has ${length} bytes`);
      const param1 = file.toString('latin1', at + 21, at + 21 + length1);
      const param2 = file.toString('latin1', at + 25 + length1, at + 25 + length1 + length2);
      records.push({ version, subsequence, type, param1, param2 });
      at += 16 + length;
    }
    if (at === block + 4) throw new Error(`block at ${block} has no record`);
    if (isLast && at !== end) throw new Error('the last block is padded');
    for (; at < end; at++) if (file[at] !== 0xff) throw new Error(`padding at ${at} is not 0xFF`);
  }
  return records;
}

/** A clock that stands still and counts the turns it gave. */
export class StillClock implements Clock {
  yields = 0;
  now(): number {
    return 0;
  }
  wallTime(): number {
    return 0;
  }
  sleep(): Promise<void> {
    return Promise.reject(new Error('nothing in the pipeline sleeps'));
  }
  async yieldToHost(): Promise<void> {
    this.yields++;
    await Promise.resolve();
  }
}

/** Keeps what was appended, copied when append is called, and again when it resolves: both must be the same. */
export class RecordingFile implements BackupFile {
  readonly name = 'plogs/0000/0000/log';
  readonly chunkCounts: number[] = [];
  readonly #appended: Buffer[] = [];
  inFlight = 0;
  maxInFlight = 0;
  /** Microtask turns that an append takes. */
  delay = 3;
  failAfter = Number.POSITIVE_INFINITY;

  async append(chunks: readonly Uint8Array[]): Promise<void> {
    this.inFlight++;
    this.maxInFlight = Math.max(this.maxInFlight, this.inFlight);
    this.chunkCounts.push(chunks.length);
    const early = Buffer.concat(chunks);
    for (let i = 0; i < this.delay; i++) await Promise.resolve();
    this.inFlight--;
    if (this.chunkCounts.length > this.failAfter) throw new Error('the disk is full');
    if (!Buffer.concat(chunks).equals(early)) throw new Error('chunks were changed while the append was under way');
    this.#appended.push(early);
  }

  finish(): Promise<void> {
    return Promise.reject(new Error('the caller finishes'));
  }

  abort(): Promise<void> {
    return Promise.reject(new Error('the caller aborts'));
  }

  get contents(): Buffer {
    return Buffer.concat(this.#appended);
  }
}
