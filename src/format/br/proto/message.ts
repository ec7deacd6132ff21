// A message of the protocol: its name and its fields, by which plain values are read and written.

import { isBytes } from '../../../core/bytes.js';
import { BackupError } from '../../../core/errors.js';
import { isListField, ValueProblem, type Field, type Message } from './fields.js';
import { LENGTH_DELIMITED, WireInput, WireProblem, type Wire, type WireOutput } from './wire.js';

/** A field for each member of the plain value. */
export type Fields<M> = {
  readonly [K in keyof M as K extends 'unknown' | 'kind' ? never : K]-?: Field<Exclude<M[K], undefined>>;
};

interface Member {
  readonly name: string;
  readonly field: Field<unknown>;
}

/** A plain value while it is read. */
type Draft = Record<string, unknown>;

export interface MessageType<M> extends Message<M> {
  readonly name: string;
  encode(wire: Wire, value: unknown): Uint8Array;
  decode(
    wire: Wire,
    bytes: Uint8Array,
    options: { file?: string | undefined; without?: readonly string[] | undefined },
  ): M;
  /** The items of the list field `list`. */
  decodeItems(wire: Wire, bytes: Uint8Array, list: string, options: { file?: string | undefined }): Iterable<unknown>;
}

/** `name` as in the original, with its package. */
export function message<M extends object>(name: string, fields: Fields<M>): MessageType<M> {
  const members: Member[] = Object.entries<Field<unknown>>(fields)
    .map(([member, field]) => ({ name: member, field }))
    .sort((a, b) => (a.field.numbers[0] ?? 0) - (b.field.numbers[0] ?? 0));
  const byNumber = new Map(members.flatMap((member) => member.field.numbers.map((no) => [no, member] as const)));

  const empty = (kind?: string): Draft => {
    const draft: Draft = kind === undefined ? {} : { kind };
    for (const member of members) draft[member.name] = member.field.initial;
    return draft;
  };

  const readInto = (input: WireInput, draft: Draft, without: readonly string[] = []): void => {
    while (!input.atEnd) {
      const start = input.position;
      const [fieldNumber, wireType] = input.tag();
      const member = byNumber.get(fieldNumber);
      if (!member?.field.accepts(wireType)) {
        input.skip(fieldNumber, wireType);
        input.keepUnknown(draft, start);
      } else if (without.includes(member.name)) {
        input.skip(fieldNumber, wireType);
      } else {
        draft[member.name] = member.field.read(input, fieldNumber, wireType, draft[member.name]);
        input.checkEnd();
      }
    }
  };

  const writeFields = (output: WireOutput, value: unknown): void => {
    if (typeof value !== 'object' || value === null) throw new ValueProblem('must be an object');
    for (const member of members) {
      const memberValue: unknown = Reflect.get(value, member.name);
      if (memberValue !== undefined) within(member.name, () => member.field.write(output, memberValue));
    }
    const unknown: unknown = Reflect.get(value, 'unknown');
    if (isBytes(unknown)) output.raw(unknown);
    else if (unknown !== undefined) throw new ValueProblem('must be a Uint8Array', ['unknown']);
  };

  function* decodeItems(wire: Wire, bytes: Uint8Array, list: string, { file }: { file?: string | undefined }) {
    const member = members.find((one) => one.name === list);
    if (member === undefined || !isListField(member.field)) {
      throw new BackupError('INVALID_OPTION', `${name} has no list of messages called ${list}`);
    }
    const { field } = member;
    const input = new WireInput(wire, bytes);
    for (;;) {
      const item = reading(name, input, file, () => {
        while (!input.atEnd) {
          const [fieldNumber, wireType] = input.tag();
          if (fieldNumber !== field.numbers[0] || wireType !== LENGTH_DELIMITED) input.skip(fieldNumber, wireType);
          else return { value: field.readItem(input) };
        }
        return undefined;
      });
      if (item === undefined) return;
      input.giveUnknown();
      yield item.value;
    }
  }

  const type: MessageType<object> = {
    name,
    empty,
    readInto,
    writeFields,
    encode: (wire, value) => writing(name, wire, (output) => writeFields(output, value)),
    decode: (wire, bytes, { file, without }) => {
      const input = new WireInput(wire, bytes);
      const draft = empty();
      reading(name, input, file, () => readInto(input, draft, without));
      input.giveUnknown();
      return draft;
    },
    decodeItems,
  };
  return type as MessageType<M>;
}

function within(member: string, write: () => void): void {
  try {
    write();
  } catch (error) {
    if (error instanceof ValueProblem) throw new ValueProblem(error.message, [member, ...error.path]);
    throw error;
  }
}

function writing(name: string, wire: Wire, write: (output: WireOutput) => void): Uint8Array {
  const output = wire.writer();
  try {
    write(output);
  } catch (error) {
    if (!(error instanceof ValueProblem)) throw error;
    throw new BackupError('INVALID_OPTION', `${[name, ...error.path].join('.')} ${error.message}`);
  }
  return output.finish();
}

/** What the package's reader throws is an Error, a RangeError or a TypeError with a short message; it says nothing of the bytes. */
function reading<T>(name: string, input: WireInput, file: string | undefined, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    if (!(cause instanceof Error)) throw cause;
    const offset = Math.min(input.position, input.bytes.length);
    const what = cause instanceof WireProblem ? cause.message : 'the bytes are cut or damaged';
    const where = file === undefined ? '' : `${file}: `;
    throw new BackupError('CORRUPT_FILE', `${where}no ${name} at offset ${offset}: ${what}`, { file, offset, cause });
  }
}
