// Kinds of fields: how a member of a plain value is read from the wire and written to it. The tables (meta-tables.ts and its neighbours) are made of them, and TypeScript holds each table against the interface that it is for.

import { types } from 'node:util';
import { EMPTY_BYTES, isBytes } from '../../../core/bytes.js';
import { LENGTH_DELIMITED, VARINT, type WireInput, type WireOutput } from './wire.js';

/** A value that the field cannot hold. The message names no value: it may be a secret. */
export class ValueProblem extends Error {
  /** From the outside to the field. */
  readonly path: readonly string[];

  constructor(what: string, path: readonly string[] = []) {
    super(what);
    this.path = path;
  }
}

/** How one member is stored. */
export interface Field<T> {
  /** Ascending; several for a member that holds one of several messages. */
  readonly numbers: readonly number[];
  /** The member's value where the field is absent. Shared: never changed. */
  readonly initial: T | undefined;
  /** False: a field of this number and wire type is none of ours, but an unknown one. */
  accepts(wireType: number): boolean;
  /** What the member is after this field; `old` is what it was before. */
  read(input: WireInput, fieldNumber: number, wireType: number, old: T | undefined): T;
  /** Writes nothing for the value that an absent field has. */
  write(output: WireOutput, value: T): void;
}

/** A field of many items. */
export interface ListField<T> extends Field<readonly T[]> {
  readItem(input: WireInput): T;
}

export function isListField(field: Field<unknown>): field is ListField<unknown> {
  return 'readItem' in field;
}

interface Scalar<T> {
  readonly wireType: number;
  readonly zero: T;
  readonly read: (input: WireInput) => T;
  readonly write: (output: WireOutput, value: T) => void;
  /** What a value must be, for messages; undefined: this one is. */
  readonly problem: (value: unknown) => string | undefined;
}

const TEXT: Scalar<string> = {
  wireType: LENGTH_DELIMITED,
  zero: '',
  read: (input) => input.text(),
  write: (output, value) => void output.string(value),
  // Half of a surrogate pair has no UTF-8; the writer would store U+FFFD without a word.
  problem: (value) => (typeof value === 'string' && !/\p{Surrogate}/u.test(value) ? undefined : 'a well-formed string'),
};

const BYTES: Scalar<Uint8Array> = {
  wireType: LENGTH_DELIMITED,
  zero: EMPTY_BYTES,
  read: (input) => input.bytesValue(),
  write: (output, value) => void output.bytes(value),
  problem: (value) => (isBytes(value) ? undefined : 'a Uint8Array'),
};

const BOOL: Scalar<boolean> = {
  wireType: VARINT,
  zero: false,
  read: (input) => input.bool(),
  write: (output, value) => void output.bool(value),
  problem: (value) => (typeof value === 'boolean' ? undefined : 'true or false'),
};

const UINT64: Scalar<bigint> = {
  wireType: VARINT,
  zero: 0n,
  read: (input) => input.uint64(),
  write: (output, value) => void output.uint64(value),
  problem: (value) =>
    typeof value === 'bigint' && value >= 0n && value < 1n << 64n ? undefined : 'a bigint from 0 to 2^64 - 1',
};

const INT64: Scalar<bigint> = {
  wireType: VARINT,
  zero: 0n,
  read: (input) => input.int64(),
  write: (output, value) => void output.int64(value),
  problem: (value) =>
    typeof value === 'bigint' && BigInt.asIntN(64, value) === value ? undefined : 'a bigint from -2^63 to 2^63 - 1',
};

const UINT32: Scalar<number> = {
  wireType: VARINT,
  zero: 0,
  read: (input) => input.uint32(),
  write: (output, value) => void output.uint32(value),
  problem: (value) => (typeof value === 'number' && value >>> 0 === value ? undefined : 'a number from 0 to 2^32 - 1'),
};

const INT32: Scalar<number> = {
  wireType: VARINT,
  zero: 0,
  read: (input) => input.int32(),
  write: (output, value) => void output.int32(value),
  problem: (value) => (isInt32(value) ? undefined : 'a number from -2^31 to 2^31 - 1'),
};

function isInt32(value: unknown): value is number {
  return typeof value === 'number' && (value | 0) === value;
}

export const text = (no: number): Field<string> => scalarField(no, TEXT);
export const bytes = (no: number): Field<Uint8Array> => scalarField(no, BYTES);
export const bool = (no: number): Field<boolean> => scalarField(no, BOOL);
export const uint64 = (no: number): Field<bigint> => scalarField(no, UINT64);
export const int64 = (no: number): Field<bigint> => scalarField(no, INT64);
export const uint32 = (no: number): Field<number> => scalarField(no, UINT32);
export const int32 = (no: number): Field<number> => scalarField(no, INT32);
export const bytesList = (no: number): ListField<Uint8Array> => scalarList(no, BYTES);
export const uint64List = (no: number): ListField<bigint> => scalarList(no, UINT64);
export const boolMap = (no: number): Field<ReadonlyMap<string, boolean>> => textMap(no, BOOL);
export const stringMap = (no: number): Field<ReadonlyMap<string, string>> => textMap(no, TEXT);

/** Names by number, from 0 on. A number behind them stays a number; a name's own number is read as the name. */
export function enumeration<Name extends string>(no: number, names: readonly [Name, ...Name[]]): Field<Name | number> {
  const numberOf = (value: unknown): unknown => {
    const number = names.findIndex((name) => name === value);
    return number < 0 ? value : number;
  };
  return scalarField<Name | number>(no, {
    wireType: VARINT,
    zero: names[0],
    read: (input) => {
      const number = input.int32();
      return names[number] ?? number;
    },
    write: (output, value) => {
      const number = numberOf(value);
      if (isInt32(number) && number !== 0) output.int32(number);
    },
    problem: (value) => (isInt32(numberOf(value)) ? undefined : `one of ${names.join(', ')}, or a number`),
  });
}

function scalarField<T>(no: number, scalar: Scalar<T>): Field<T> {
  return {
    numbers: [no],
    initial: scalar.zero,
    accepts: (wireType) => wireType === scalar.wireType,
    read: (input) => scalar.read(input),
    write: (output, value) => {
      check(scalar, value);
      if (isZero(scalar, value)) return;
      output.tag(no, scalar.wireType);
      scalar.write(output, value);
    },
  };
}

function check<T>(scalar: Scalar<T>, value: T): void {
  const problem = scalar.problem(value);
  if (problem !== undefined) throw new ValueProblem(`must be ${problem}`);
}

function isZero<T>(scalar: Scalar<T>, value: T): boolean {
  return isBytes(value) ? value.length === 0 : value === scalar.zero || value === 0;
}

const NONE: readonly never[] = Object.freeze([]);

/** Appends to the list that is being read. The one for absent fields is shared, and stays empty. */
function appended<T>(old: readonly T[] | undefined, item: T): readonly T[] {
  if (old === undefined || old === NONE) return [item];
  (old as T[]).push(item);
  return old;
}

function checkList(value: unknown): void {
  if (!Array.isArray(value)) throw new ValueProblem('must be a list');
}

function scalarList<T>(no: number, scalar: Scalar<T>): ListField<T> {
  const canBePacked = scalar.wireType !== LENGTH_DELIMITED;
  return {
    numbers: [no],
    initial: NONE,
    accepts: (wireType) => wireType === scalar.wireType || (canBePacked && wireType === LENGTH_DELIMITED),
    readItem: (input) => scalar.read(input),
    read: (input, _fieldNumber, wireType, old) => {
      if (wireType === scalar.wireType) return appended(old, scalar.read(input));
      let list = old ?? NONE;
      const outer = input.enter();
      while (!input.atEnd) {
        list = appended(list, scalar.read(input));
        input.checkEnd();
      }
      input.leave(outer);
      return list;
    },
    write: (output, items) => {
      checkList(items);
      if (items.length === 0) return;
      for (const item of items) check(scalar, item);
      if (canBePacked) {
        output.tag(no, LENGTH_DELIMITED).fork();
        for (const item of items) scalar.write(output, item);
        output.join();
        return;
      }
      for (const item of items) {
        output.tag(no, scalar.wireType);
        scalar.write(output, item);
      }
    },
  };
}

const NO_ENTRIES: ReadonlyMap<string, never> = new Map<string, never>();

/** Entries are messages of a key (1) and a value (2). Other fields inside of one are dropped, as protobuf's runtimes do. Written in the order of the keys. */
function textMap<T>(no: number, scalar: Scalar<T>): Field<ReadonlyMap<string, T>> {
  const readEntry = (input: WireInput): [key: string, value: T] => {
    let key = '';
    let value = scalar.zero;
    const outer = input.enter();
    while (!input.atEnd) {
      const [inner, wireType] = input.tag();
      if (inner === 1 && wireType === LENGTH_DELIMITED) key = input.text();
      else if (inner === 2 && wireType === scalar.wireType) value = scalar.read(input);
      else input.skip(inner, wireType);
      input.checkEnd();
    }
    input.leave(outer);
    return [key, value];
  };
  return {
    numbers: [no],
    initial: NO_ENTRIES,
    accepts: (wireType) => wireType === LENGTH_DELIMITED,
    read: (input, _fieldNumber, _wireType, old) => {
      const map = old === undefined || old === NO_ENTRIES ? new Map<string, T>() : (old as Map<string, T>);
      return map.set(...readEntry(input));
    },
    write: (output, map) => {
      if (!types.isMap(map)) throw new ValueProblem('must be a Map');
      for (const [key, value] of [...map].sort(([a], [b]) => (a < b ? -1 : 1))) {
        check(TEXT, key);
        check(scalar, value);
        output.tag(no, LENGTH_DELIMITED).fork().tag(1, LENGTH_DELIMITED).string(key).tag(2, scalar.wireType);
        scalar.write(output, value);
        output.join();
      }
    },
  };
}

/** What the field kinds below need of a message's table. */
export interface Message<M> {
  /** With the defaults of all members; with `kind`, where it is one of several alternatives. */
  empty(kind?: string): M;
  readInto(input: WireInput, target: M): void;
  writeFields(output: WireOutput, value: M): void;
}

function readInside<M>(message: Message<M>, input: WireInput, target: M): M {
  const outer = input.enter();
  message.readInto(input, target);
  input.leave(outer);
  return target;
}

function writeInside<M>(message: Message<M>, output: WireOutput, no: number, value: M): void {
  output.tag(no, LENGTH_DELIMITED).fork();
  message.writeFields(output, value);
  output.join();
}

/** One message or none. Where the bytes hold it several times its parts are merged, as protobuf says. */
export function one<M>(no: number, message: Message<M>): Field<M> {
  return {
    numbers: [no],
    initial: undefined,
    accepts: (wireType) => wireType === LENGTH_DELIMITED,
    read: (input, _fieldNumber, _wireType, old) => readInside(message, input, old ?? message.empty()),
    write: (output, value) => writeInside(message, output, no, value),
  };
}

export function list<M>(no: number, message: Message<M>): ListField<M> {
  const readItem = (input: WireInput) => readInside(message, input, message.empty());
  return {
    numbers: [no],
    initial: NONE,
    accepts: (wireType) => wireType === LENGTH_DELIMITED,
    readItem,
    read: (input, _fieldNumber, _wireType, old) => appended(old, readItem(input)),
    write: (output, items) => {
      checkList(items);
      for (const item of items) writeInside(message, output, no, item);
    },
  };
}

/** One of several messages, told apart by `kind`; the last one in the bytes counts. */
export function oneOf<M extends { readonly kind: string }>(alternatives: {
  readonly [K in M['kind']]: readonly [no: number, message: Message<Omit<Extract<M, { kind: K }>, 'kind'>>];
}): Field<M> {
  const entries = Object.entries(alternatives as Readonly<Record<string, readonly [number, Message<object>]>>);
  const byNumber = new Map(entries.map(([kind, [no, message]]) => [no, { kind, message }]));
  const byKind = new Map(entries.map(([kind, [no, message]]) => [kind, { no, message }]));
  return {
    numbers: [...byNumber.keys()].sort((a, b) => a - b),
    initial: undefined,
    accepts: (wireType) => wireType === LENGTH_DELIMITED,
    read: (input, fieldNumber, _wireType, old) => {
      const alternative = byNumber.get(fieldNumber);
      if (alternative === undefined) throw new ValueProblem('is of no kind');
      const { kind, message } = alternative;
      return readInside(message, input, old?.kind === kind ? old : message.empty(kind)) as M;
    },
    write: (output, value) => {
      const alternative = byKind.get(value.kind);
      if (alternative === undefined) throw new ValueProblem(`must be of a kind of ${[...byKind.keys()].join(', ')}`);
      writeInside(alternative.message, output, alternative.no, value);
    },
  };
}
