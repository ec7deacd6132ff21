// A second decoder of the protocol's messages: from the listing of brpb.ts, simple, slow, and sharing nothing with the library's or with the package for protobuf.

import { ENUMS, fieldsOf, type ListedField } from './brpb.js';
import { defaultOf, enumName, isMessage, kindName, memberName } from './meta-values.js';

/** What is no message. */
export class NotAMessage extends Error {}

interface Record_ {
  readonly no: number;
  readonly wireType: number;
  /** With the tag. */
  readonly raw: Buffer;
  /** Of a varint. */
  readonly number: bigint;
  /** Of a value with a length. */
  readonly content: Buffer;
}

class Cursor {
  at = 0;
  readonly bytes: Buffer;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  varint(most = 10): bigint {
    let value = 0n;
    for (let i = 0; i < most; i++) {
      const byte = this.take(1)[0] ?? 0;
      value |= BigInt(byte & 127) << BigInt(7 * i);
      if (byte < 128) return value;
    }
    throw new NotAMessage('a long varint');
  }

  uint32(): number {
    const value = this.varint(5);
    if (value >= 1n << 32n) throw new NotAMessage('above 2^32');
    return Number(value);
  }

  take(length: number): Buffer {
    if (this.at + length > this.bytes.length) throw new NotAMessage('cut');
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }

  record(depth = 0): Record_ {
    const start = this.at;
    const key = this.uint32();
    const no = key >>> 3;
    const wireType = key & 7;
    if (no === 0) throw new NotAMessage('field 0');
    let number = 0n;
    let content = Buffer.alloc(0);
    if (wireType === 0) number = this.varint();
    else if (wireType === 1) this.take(8);
    else if (wireType === 2) content = Buffer.from(this.take(this.uint32()));
    else if (wireType === 5) this.take(4);
    else if (wireType === 3 && depth < 100) this.group(no, depth);
    else throw new NotAMessage('wire type');
    return { no, wireType, raw: Buffer.from(this.bytes.subarray(start, this.at)), number, content };
  }

  group(no: number, depth: number): void {
    for (;;) {
      const start = this.at;
      const key = this.uint32();
      if ((key & 7) === 4) {
        if (key >>> 3 === no) return;
        throw new NotAMessage('another group');
      }
      this.at = start;
      this.record(depth + 1);
    }
  }
}

function recordsOf(bytes: Buffer): Record_[] {
  const cursor = new Cursor(bytes);
  const records: Record_[] = [];
  while (cursor.at < bytes.length) records.push(cursor.record());
  return records;
}

function utf8Of(bytes: Buffer): string {
  const text = bytes.toString('utf8');
  if (!Buffer.from(text, 'utf8').equals(bytes)) throw new NotAMessage('no UTF-8');
  return text;
}

function scalarOf(type: string, record: { number: bigint; content: Buffer }): unknown {
  const { number, content } = record;
  const names = ENUMS[type];
  if (names !== undefined) {
    const value = Number(BigInt.asIntN(32, number));
    const name = names[value];
    return name === undefined ? value : enumName(name);
  }
  switch (type) {
    case 'string':
      return utf8Of(content);
    case 'bytes':
      return new Uint8Array(content);
    case 'bool':
      return BigInt.asUintN(64, number) !== 0n;
    case 'uint64':
      return BigInt.asUintN(64, number);
    case 'int64':
      return BigInt.asIntN(64, number);
    case 'uint32':
      return Number(BigInt.asUintN(32, number));
    default:
      return Number(BigInt.asIntN(32, number));
  }
}

const wireTypeOf = ({ type, shape }: ListedField): number =>
  shape === 'map' || type === 'string' || type === 'bytes' || isMessage(type) ? 2 : 0;

/** The plain value, `unknown` included. Throws NotAMessage. */
export function naiveDecode(message: string, bytes: Uint8Array): Record<string, unknown> {
  const fields = fieldsOf(message);
  const records = recordsOf(Buffer.from(bytes));
  const isPacked = (field: ListedField, wireType: number) =>
    field.shape === 'list' && wireTypeOf(field) === 0 && wireType === 2;
  const fieldOf = ({ no, wireType }: Record_) =>
    fields.find((one) => one.number === no && (wireTypeOf(one) === wireType || isPacked(one, wireType)));
  const value: Record<string, unknown> = {};
  for (const field of fields) {
    if (field.oneof !== undefined) continue;
    const own = records.filter((record) => fieldOf(record) === field);
    value[memberName(message, field)] = valueOf(field, own);
  }
  for (const oneof of new Set(fields.flatMap((field) => field.oneof ?? []))) {
    value[oneof] = alternativeOf(
      records.map((record) => [fieldOf(record), record] as const).filter(([field]) => field?.oneof === oneof),
    );
  }
  const unknown = records.filter((record) => fieldOf(record) === undefined).map(({ raw }) => raw);
  if (unknown.length > 0) value['unknown'] = new Uint8Array(Buffer.concat(unknown));
  return value;
}

/** Parts of one message mean what they mean one behind another. */
function valueOf(field: ListedField, own: readonly Record_[]): unknown {
  const { type, shape } = field;
  if (shape === 'map') return mapOf(type, own);
  if (shape === 'list') {
    if (isMessage(type)) return own.map(({ content }) => naiveDecode(type, content));
    return own.flatMap((record) =>
      record.wireType === 2 && wireTypeOf(field) === 0 ? packedOf(type, record.content) : [scalarOf(type, record)],
    );
  }
  if (!isMessage(type)) return own.map((record) => scalarOf(type, record)).at(-1) ?? defaultOf(type);
  return own.length === 0 ? undefined : partsOf(type, own);
}

/** Each part by itself must be a message, too: one may not go on in the next. */
function partsOf(type: string, parts: readonly Record_[]): Record<string, unknown> {
  for (const { content } of parts) naiveDecode(type, content);
  return naiveDecode(type, Buffer.concat(parts.map(({ content }) => content)));
}

function packedOf(type: string, content: Buffer): unknown[] {
  const cursor = new Cursor(content);
  const items: unknown[] = [];
  while (cursor.at < content.length) items.push(scalarOf(type, { number: cursor.varint(), content: Buffer.alloc(0) }));
  return items;
}

function mapOf(type: string, own: readonly Record_[]): Map<string, unknown> {
  const map = new Map<string, unknown>();
  for (const { content } of own) {
    const records = recordsOf(content);
    const keys = records
      .filter(({ no, wireType }) => no === 1 && wireType === 2)
      .map(({ content: key }) => utf8Of(key));
    const wireType = type === 'string' ? 2 : 0;
    const values = records.filter((one) => one.no === 2 && one.wireType === wireType).map((one) => scalarOf(type, one));
    map.set(keys.at(-1) ?? '', values.at(-1) ?? defaultOf(type));
  }
  return map;
}

/** The last alternative counts, with the parts of it that follow each other. */
function alternativeOf(records: readonly (readonly [ListedField | undefined, Record_])[]): unknown {
  const [last] = records.at(-1) ?? [];
  if (last === undefined) return undefined;
  for (const [field, { content }] of records) if (field !== undefined) naiveDecode(field.type, content);
  const from = records.findLastIndex(([field]) => field !== last) + 1;
  return {
    kind: kindName(last.name),
    ...partsOf(
      last.type,
      records.slice(from).map(([, record]) => record),
    ),
  };
}
