// Reads a log file of the older, unpartitioned format: one log for the whole database, kept by version in the database itself until an agent copied it into files.
// Its entries are in no particular order, so a file is looked at whole and rewritten as a partitioned log file of one block; from there on there is one format.
//
// block = u32 LE 2001, (u32 BE length, key, u32 BE length, value)*, 0xFF padding up to the block's end (not in the last block)
// key   = u8 hash of the version, version i64 BE, part u32 BE
// A version's values, part after part, are one text: u64 LE protocol version, u32 LE bytes that follow, mutation*
// mutation = u32 LE type, u32 LE length1, u32 LE length2, param1, param2

import { EMPTY_BYTES } from '../../core/bytes.js';
import { BackupError } from '../../core/errors.js';
import type { BackupErrorCode } from '../../core/errors.js';
import { RECORD_HEADER_BYTES } from '../../core/message-batch.js';
import {
  CHECKSUM_FLAG,
  CHECKSUM_INDEX_FLAG,
  MUTATION_OVERHEAD_BYTES,
  decodeMutation,
  isStorableType,
  writeUint32BE,
  writeUint32LE,
} from '../../core/mutation.js';
import type { DecodedLogFile } from './log-file-decoder.js';
import { LOG_BLOCK_HEADER_BYTES, LOG_BLOCK_VERSION } from './log-file-decoder.js';

/** First word of every block: FoundationDB's BACKUP_AGENT_MLOG_VERSION. */
export const UNPARTITIONED_BLOCK_VERSION = 2001;
const BLOCK_HEADER_BYTES = 4;
const PADDING = 0xff;
const LENGTH_BYTES = 4;
const KEY_BYTES = 1 + 8 + 4;
/** Where an entry's value begins, from the entry's begin. */
const VALUE_AT = LENGTH_BYTES + KEY_BYTES + LENGTH_BYTES;
/** Protocol version and length. */
const TEXT_HEADER_BYTES = 8 + 4;
/** Type and two lengths. */
const MUTATION_HEADER_BYTES = 3 * 4;
/** The upper halves of protocol versions: what all of them begin with, and the newest one whose texts look otherwise. */
const PROTOCOL_MAGIC = 0x0fdb;
const OLD_PROTOCOL_HIGH = 0x0fdb00a2;
const OLD_PROTOCOL_LOW = 0x00090001;
/** Versions with one hash: the original keeps a second's versions together (LOG_RANGE_BLOCK_SIZE). */
const VERSIONS_PER_HASH = 1_000_000n;

/** An unpartitioned log file as a partitioned one. */
export interface ConvertedLog {
  /** One block, or nothing if the log has no records. A version's mutations have the subsequences 0, 1, 2 … */
  readonly bytes: Uint8Array;
  /** For a LogRecordReader over `bytes`. */
  readonly file: DecodedLogFile;
}

/**
 * `bytes`: the whole file. Throws UNSUPPORTED_FORMAT for an unknown block or protocol version, INVALID_MUTATION for a type that is never stored, CHECKSUM_MISMATCH for a
 * mutation's, CORRUPT_FILE for the rest; the offset is that in the file as it was given.
 */
export function convertUnpartitionedLog(bytes: Uint8Array, file: Omit<DecodedLogFile, 'size'>): ConvertedLog {
  const log = new UnpartitionedLog(bytes, file);
  log.findEntries();
  const image = log.convert();
  const { name, begin, end } = file;
  return { bytes: image, file: { name, begin, end, size: image.length, blockSize: Math.max(1, image.length) } };
}

/** A version's text, and where each of its parts lies in the file. */
interface Text {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** Indices in #entries: [first, end). */
  readonly first: number;
  readonly end: number;
}

class UnpartitionedLog {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #file: Omit<DecodedLogFile, 'size'>;
  readonly #hashes = new Map<bigint, number>();
  /** Offsets of all entries; after findEntries in the order of version and part. */
  #entries = new Float64Array(1024);
  #count = 0;

  constructor(bytes: Uint8Array, file: Omit<DecodedLogFile, 'size'>) {
    this.#bytes = bytes;
    this.#view = viewOf(bytes);
    this.#file = file;
  }

  findEntries(): void {
    for (let block = 0; block < this.#bytes.length; block += this.#file.blockSize) {
      this.#findInBlock(block, Math.min(block + this.#file.blockSize, this.#bytes.length));
    }
    this.#entries = this.#entries.subarray(0, this.#count).sort((a, b) => this.#compare(a, b));
  }

  #findInBlock(block: number, end: number): void {
    if (end - block < BLOCK_HEADER_BYTES)
      this.#refuse(block, `${end - block} bytes at the end are too few for a block`);
    const version = this.#view.getUint32(block, true);
    if (version !== UNPARTITIONED_BLOCK_VERSION) {
      const what = `block version ${version} is unknown, only ${UNPARTITIONED_BLOCK_VERSION} can be read`;
      this.#refuse(block, what, 'UNSUPPORTED_FORMAT');
    }
    let at = block + BLOCK_HEADER_BYTES;
    while (at < end && this.#bytes[at] !== PADDING) at = this.#addEntry(at, end);
    for (; at < end; at++) if (this.#bytes[at] !== PADDING) this.#refuse(at, 'the padding holds another byte');
  }

  /** Returns where the entry ends. */
  #addEntry(at: number, blockEnd: number): number {
    const view = this.#view;
    if (blockEnd - at < VALUE_AT)
      this.#refuse(at, `${blockEnd - at} bytes are left in the block, too few for an entry`);
    const keyLength = view.getUint32(at);
    if (keyLength !== KEY_BYTES)
      this.#refuse(at, `a key of ${keyLength} bytes is none of a log, those have ${KEY_BYTES}`);
    const valueLength = view.getUint32(at + VALUE_AT - LENGTH_BYTES);
    const left = blockEnd - at - VALUE_AT;
    if (valueLength > left) this.#refuse(at, `a value of ${valueLength} bytes does not fit into its block`);
    this.#checkVersion(at);
    if (this.#count === this.#entries.length) {
      const larger = new Float64Array(this.#count * 2);
      larger.set(this.#entries);
      this.#entries = larger;
    }
    this.#entries[this.#count++] = at;
    return at + VALUE_AT + valueLength;
  }

  #checkVersion(at: number): void {
    const { begin, end } = this.#file;
    const version = this.#versionAt(at);
    if (version < begin || version >= end)
      this.#refuse(at, `version ${version} is outside the file's [${begin}, ${end})`);
    const second = version / VERSIONS_PER_HASH;
    const known = this.#hashes.get(second);
    const hash = known ?? hashOfSecond(Number(BigInt.asUintN(32, second)));
    if (known === undefined) this.#hashes.set(second, hash);
    if (this.#bytes[at + LENGTH_BYTES] !== hash) this.#refuse(at, `the key's hash is not that of version ${version}`);
  }

  #versionAt(entry: number): bigint {
    return this.#view.getBigInt64(entry + LENGTH_BYTES + 1);
  }

  #partAt(entry: number): number {
    return this.#view.getUint32(entry + LENGTH_BYTES + 9);
  }

  #valueAt(entry: number): Uint8Array {
    const start = entry + VALUE_AT;
    return this.#bytes.subarray(start, start + this.#view.getUint32(start - LENGTH_BYTES));
  }

  /** By version, then part. The versions are within the file's: not negative. */
  #compare(a: number, b: number): number {
    const view = this.#view;
    for (let at = LENGTH_BYTES + 1; at < LENGTH_BYTES + KEY_BYTES; at += 4) {
      const difference = view.getUint32(a + at) - view.getUint32(b + at);
      if (difference !== 0) return difference;
    }
    return 0;
  }

  convert(): Uint8Array {
    // Counted first: a buffer that holds whatever may come would be twice the file.
    let size = 0;
    for (const text of this.#texts()) size += this.#sizeOf(text);
    if (size === 0) return EMPTY_BYTES;
    const image = new Uint8Array(LOG_BLOCK_HEADER_BYTES + size);
    writeUint32LE(image, 0, LOG_BLOCK_VERSION);
    let at = LOG_BLOCK_HEADER_BYTES;
    for (const text of this.#texts()) at = this.#write(text, image, at);
    return image;
  }

  *#texts(): IterableIterator<Text> {
    for (let first = 0; first < this.#count;) {
      const end = this.#endOfVersion(first);
      const parts: Uint8Array[] = [];
      for (let i = first; i < end; i++) parts.push(this.#valueAt(this.#entries[i] as number));
      const bytes = parts.length === 1 ? (parts[0] as Uint8Array) : Buffer.concat(parts);
      yield { bytes, view: viewOf(bytes), first, end };
      first = end;
    }
  }

  /** Index of the first entry of another version. The parts before it must be 0, 1, 2 … */
  #endOfVersion(first: number): number {
    const version = this.#versionAt(this.#entries[first] as number);
    let i = first;
    for (; i < this.#count; i++) {
      const entry = this.#entries[i] as number;
      if (this.#versionAt(entry) !== version) break;
      const part = this.#partAt(entry);
      if (part !== i - first)
        this.#refuse(entry, `part ${part} of version ${version} comes where part ${i - first} should`);
    }
    return i;
  }

  /** Checks lengths and types; returns the bytes that the text's records take. */
  #sizeOf(text: Text): number {
    const { bytes, view } = text;
    if (bytes.length < TEXT_HEADER_BYTES) this.#refuseText(text, 0, `${bytes.length} bytes are too few for a version`);
    this.#checkProtocol(text);
    const length = view.getUint32(8, true);
    if (length !== bytes.length - TEXT_HEADER_BYTES) {
      this.#refuseText(
        text,
        0,
        `the version should have ${length} bytes of mutations, it has ${bytes.length - TEXT_HEADER_BYTES}`,
      );
    }
    let size = 0;
    for (let at = TEXT_HEADER_BYTES; at < bytes.length;) {
      const left = bytes.length - at - MUTATION_HEADER_BYTES;
      if (left < 0) this.#refuseText(text, at, 'a mutation is cut off');
      const params = view.getUint32(at + 4, true) + view.getUint32(at + 8, true);
      if (params > left)
        this.#refuseText(text, at, `params of ${params} bytes do not fit into the ${left} that are left`);
      this.#checkType(text, at);
      size += RECORD_HEADER_BYTES + MUTATION_OVERHEAD_BYTES + params;
      at += MUTATION_HEADER_BYTES + params;
    }
    return size;
  }

  #checkProtocol(text: Text): void {
    const low = text.view.getUint32(0, true);
    const high = text.view.getUint32(4, true);
    if (high >>> 16 === PROTOCOL_MAGIC) {
      if (high > OLD_PROTOCOL_HIGH || (high === OLD_PROTOCOL_HIGH && low > OLD_PROTOCOL_LOW)) return;
    }
    const version = ((BigInt(high) << 32n) | BigInt(low)).toString(16).padStart(16, '0');
    this.#refuseText(text, 0, `mutations of protocol version ${version} cannot be read`, 'UNSUPPORTED_FORMAT');
  }

  #checkType(text: Text, at: number): void {
    const type = text.view.getUint32(at, true);
    let cause: unknown;
    try {
      if (type <= 0xff && isStorableType(type & ~(CHECKSUM_FLAG | CHECKSUM_INDEX_FLAG))) return;
    } catch (error) {
      cause = error;
    }
    this.#refuseText(text, at, `mutations of type ${type} are unknown or never stored`, 'INVALID_MUTATION', cause);
  }

  /** Writes the text's mutations as records of a partitioned log; returns where they end. */
  #write(text: Text, image: Uint8Array, start: number): number {
    const { bytes, view } = text;
    const version = this.#entries[text.first]! + LENGTH_BYTES + 1;
    let to = start;
    let subsequence = 0;
    for (let at = TEXT_HEADER_BYTES; at < bytes.length; subsequence++) {
      const length1 = view.getUint32(at + 4, true);
      const length2 = view.getUint32(at + 8, true);
      const param1 = at + MUTATION_HEADER_BYTES;
      const param2 = param1 + length1;
      const end = param2 + length2;
      const mutationBytes = MUTATION_OVERHEAD_BYTES + length1 + length2;
      image.set(this.#bytes.subarray(version, version + 8), to);
      writeUint32BE(image, to + 8, subsequence);
      writeUint32BE(image, to + 12, mutationBytes);
      const mutation = to + RECORD_HEADER_BYTES;
      image[mutation] = bytes[at] as number;
      writeUint32LE(image, mutation + 1, length1);
      image.set(bytes.subarray(param1, param2), mutation + 5);
      writeUint32LE(image, mutation + 5 + length1, length2);
      image.set(bytes.subarray(param2, end), mutation + MUTATION_OVERHEAD_BYTES + length1);
      to = mutation + mutationBytes;
      // A set can hold anything; a clear must not run backwards, and a checksum must be right.
      if (image[mutation] !== 0) this.#check(text, at, image.subarray(mutation, to));
      at = end;
    }
    return to;
  }

  #check(text: Text, at: number, mutation: Uint8Array): void {
    try {
      decodeMutation(mutation);
    } catch (cause) {
      if (!BackupError.is(cause)) throw cause;
      this.#refuseText(text, at, cause.message, cause.code, cause);
    }
  }

  /** `at`: offset in the text, which may lie in several parts. */
  #refuseText(text: Text, at: number, what: string, code: BackupErrorCode = 'CORRUPT_FILE', cause?: unknown): never {
    let left = at;
    let i = text.first;
    for (; i + 1 < text.end; i++) {
      const length = this.#valueAt(this.#entries[i] as number).length;
      if (left < length) break;
      left -= length;
    }
    this.#refuse((this.#entries[i] as number) + VALUE_AT + left, what, code, cause);
  }

  #refuse(offset: number, what: string, code: BackupErrorCode = 'CORRUPT_FILE', cause?: unknown): never {
    const file = this.#file.name;
    throw new BackupError(code, `${file} at offset ${offset}: ${what}`, { file, offset, cause });
  }
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** The low byte of Bob Jenkins' lookup3 hash of one 32-bit word. */
export function hashOfSecond(second: number): number {
  const initial = (0xdeadbeef + 4) | 0;
  let a = (initial + second) | 0;
  let b = initial;
  let c = initial;
  c = ((c ^ b) - rotate(b, 14)) | 0;
  a = ((a ^ c) - rotate(c, 11)) | 0;
  b = ((b ^ a) - rotate(a, 25)) | 0;
  c = ((c ^ b) - rotate(b, 16)) | 0;
  a = ((a ^ c) - rotate(c, 4)) | 0;
  b = ((b ^ a) - rotate(a, 14)) | 0;
  c = ((c ^ b) - rotate(b, 24)) | 0;
  return c & 0xff;
}

function rotate(word: number, bits: number): number {
  return (word << bits) | (word >>> (32 - bits));
}
