// The wire format of protobuf: the readers and writers of the package @bufbuild/protobuf, made strict.
//
// Its own decoder of whole messages (fromBinary) is not used: it lets a nested message run past its end into its parent's fields, takes a field of another wire type for the declared one, and reads lengths modulo 2^32. Here
// each of these is found, or kept as an unknown field as protobuf says.

import { importPackage } from '../../../core/import-package.js';

/** Wire types. */
export const VARINT = 0;
const FIXED64 = 1;
export const LENGTH_DELIMITED = 2;
const START_GROUP = 3;
const END_GROUP = 4;
const FIXED32 = 5;

/** Groups in groups; protobuf's own limit. No message of the protocol has groups, an unknown field may. */
const MAX_GROUPS = 100;

/** What is used of the package's BinaryReader. */
interface Reader {
  pos: number;
  tag(): [fieldNumber: number, wireType: number];
  uint32(): number;
  int32(): number;
  bool(): boolean;
  uint64(): bigint | string;
  int64(): bigint | string;
  string(strict: boolean): string;
}

/** What is used of the package's BinaryWriter. */
export interface WireOutput {
  tag(fieldNumber: number, wireType: number): WireOutput;
  /** Begins a value with a length; `join` ends it. */
  fork(): WireOutput;
  join(): WireOutput;
  raw(bytes: Uint8Array): WireOutput;
  bytes(value: Uint8Array): WireOutput;
  string(value: string): WireOutput;
  bool(value: boolean): WireOutput;
  uint32(value: number): WireOutput;
  int32(value: number): WireOutput;
  uint64(value: bigint): WireOutput;
  int64(value: bigint): WireOutput;
  finish(): Uint8Array;
}

export interface Wire {
  readonly reader: (bytes: Uint8Array) => Reader;
  readonly writer: () => WireOutput;
}

/** PACKAGE_MISSING if the package is not installed. */
export async function loadWire(): Promise<Wire> {
  const { BinaryReader, BinaryWriter } = await importPackage(
    '@bufbuild/protobuf',
    "the messages of TiKV's backup protocol need",
    () => import('@bufbuild/protobuf/wire'),
  );
  return { reader: (bytes) => new BinaryReader(bytes), writer: () => new BinaryWriter() };
}

/** What is wrong with the bytes; the decoder says where. */
export class WireProblem extends Error {}

/** Where unknown fields are. */
interface Piece {
  readonly start: number;
  end: number;
}

/** Encoded messages as they are read: nothing of a message is taken from behind its end. */
export class WireInput {
  readonly bytes: Uint8Array;
  readonly #reader: Reader;
  /** Unknown fields by the message that they were in; joined when all is read, since a message may come in many parts. */
  readonly #unknown = new Map<Record<string, unknown>, Piece[]>();
  #end: number;

  constructor(wire: Wire, bytes: Uint8Array) {
    // A Buffer's views would be Buffers, whose methods are not all those of a Uint8Array.
    this.bytes = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#reader = wire.reader(this.bytes);
    this.#end = bytes.length;
  }

  get position(): number {
    return this.#reader.pos;
  }

  get atEnd(): boolean {
    return this.#reader.pos >= this.#end;
  }

  tag(): [fieldNumber: number, wireType: number] {
    const tag = this.#reader.tag();
    this.checkEnd();
    return tag;
  }

  /** After each value: it must lie in the message that is being read. */
  checkEnd(): void {
    if (this.#reader.pos > this.#end) throw new WireProblem('a field goes on behind the end of its message');
  }

  /** Reads the length of a message that follows; what is read until `leave` ends there at the latest. The result is for `leave`. */
  enter(): number {
    const length = this.#length();
    const outer = this.#end;
    this.#end = this.#reader.pos + length;
    return outer;
  }

  leave(outer: number): void {
    this.#end = outer;
  }

  uint32(): number {
    return this.#reader.uint32();
  }

  int32(): number {
    return this.#reader.int32();
  }

  bool(): boolean {
    return this.#reader.bool();
  }

  uint64(): bigint {
    return BigInt(this.#reader.uint64());
  }

  int64(): bigint {
    return BigInt(this.#reader.int64());
  }

  /** A view. */
  bytesValue(): Uint8Array {
    const length = this.#length();
    const start = this.#reader.pos;
    this.#reader.pos += length;
    return this.bytes.subarray(start, start + length);
  }

  /** Throws where it is not UTF-8. */
  text(): string {
    const start = this.#reader.pos;
    this.#length();
    this.#reader.pos = start;
    return this.#reader.string(true);
  }

  skip(fieldNumber: number, wireType: number, groups = 0): void {
    switch (wireType) {
      case VARINT:
        this.#reader.uint64();
        break;
      case FIXED64:
        this.#reader.pos += 8;
        break;
      case LENGTH_DELIMITED: {
        const length = this.#length();
        this.#reader.pos += length;
        break;
      }
      case START_GROUP:
        this.#skipGroup(fieldNumber, groups);
        break;
      case FIXED32:
        this.#reader.pos += 4;
        break;
      default:
        throw new WireProblem('a group ends that has not begun');
    }
    this.checkEnd();
  }

  #skipGroup(fieldNumber: number, groups: number): void {
    if (groups >= MAX_GROUPS) throw new WireProblem(`more than ${MAX_GROUPS} groups in one another`);
    for (;;) {
      const [inner, wireType] = this.tag();
      if (wireType !== END_GROUP) this.skip(inner, wireType, groups + 1);
      else if (inner === fieldNumber) return;
      else throw new WireProblem('a group ends as another one');
    }
  }

  /** A length of at most what is left of the message. */
  #length(): number {
    const start = this.#reader.pos;
    const length = this.#reader.uint32();
    const read = this.#reader.pos - start;
    // The reader drops the bits above the 32nd.
    if (read > 5 || (read === 5 && (this.bytes[this.#reader.pos - 1] ?? 0) > 0x0f)) {
      throw new WireProblem('a length above 2^32');
    }
    const left = this.#end - this.#reader.pos;
    if (length > left) throw new WireProblem(`a length of ${length} bytes, of which ${left} are there`);
    return length;
  }

  /** The field from `start` to here is none that `message` has. One piece for those that follow one another: a field may have two bytes, a view has a hundred. */
  keepUnknown(message: Record<string, unknown>, start: number): void {
    const pieces = this.#unknown.get(message) ?? [];
    if (pieces.length === 0) this.#unknown.set(message, pieces);
    const last = pieces.at(-1);
    if (last?.end === start) last.end = this.#reader.pos;
    else pieces.push({ start, end: this.#reader.pos });
  }

  /** Gives each message that has been read its unknown fields. */
  giveUnknown(): void {
    for (const [message, pieces] of this.#unknown) {
      const views = pieces.map(({ start, end }) => this.bytes.subarray(start, end));
      message['unknown'] = views.length === 1 ? views[0] : joined(views);
    }
    this.#unknown.clear();
  }
}

function joined(pieces: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(pieces.reduce((length, piece) => length + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}
