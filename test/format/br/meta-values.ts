// Messages of the protocol with values everywhere, each as protobuf's text format and as the plain value that the library should make of it.

import { ENUMS, fieldsOf, type ListedField } from './brpb.js';

export interface Sample {
  readonly text: string;
  readonly value: Record<string, unknown>;
}

/** From 0 (inclusive) to 1. */
export type Chance = () => number;

/** mulberry32: the same values for the same seed. */
export function chance(seed: number): Chance {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const pick = <T>(random: Chance, values: readonly [T, ...T[]]): T =>
  values[Math.floor(random() * values.length)] ?? values[0];

/** Members of the plain values whose names are not simply the original's in camel case. */
const RENAMED: Readonly<Record<string, string>> = { 'errorpb.DiskFull.store_id': 'storeIds' };
const KINDS: Readonly<Record<string, string>> = {
  cluster_id_error: 'cluster-id',
  kv_error: 'key',
  region_error: 'region',
};

export const kindName = (name: string): string => KINDS[name] ?? name.replace(/_/g, '-');

export function memberName(message: string, field: ListedField): string {
  const camel = field.name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
  return RENAMED[`${message}.${field.name}`] ?? camel.charAt(0).toLowerCase() + camel.slice(1);
}

/** `AES128_CTR` is 'aes128-ctr', `IncomingVoter` 'incoming-voter'. */
export function enumName(name: string): string {
  const parts = /[a-z]/.test(name) ? name.replace(/(?<=[a-z])[A-Z]/g, '-$&') : name.replace(/_/g, '-');
  return parts.toLowerCase();
}

const INTEGERS: Readonly<Record<string, readonly [bigint, ...bigint[]]>> = {
  uint64: [0n, 1n, 127n, 128n, 1n << 32n, (1n << 53n) + 1n, 7155049443847481315n, (1n << 64n) - 1n],
  int64: [0n, 1n, -1n, (1n << 53n) + 1n, (1n << 63n) - 1n, -(1n << 63n)],
  uint32: [0n, 1n, 300n, (1n << 32n) - 1n],
  int32: [0n, 1n, -1n, 2147483647n, -2147483648n],
};
const TEXTS: readonly [string, ...string[]] = [
  '',
  'default',
  '1_2_30_write.sst',
  'für\u{1F40B}\u0000"\n',
  '\uFEFFx',
  'n'.repeat(200),
];

function scalar(random: Chance, type: string): { text: string; value: unknown; isDefault: boolean } {
  const integers = INTEGERS[type];
  if (integers !== undefined) {
    const value = pick(random, integers);
    return { text: String(value), value: type.endsWith('64') ? value : Number(value), isDefault: value === 0n };
  }
  if (type === 'bool') {
    const value = random() < 0.5;
    return { text: String(value), value, isDefault: !value };
  }
  if (type === 'string') {
    const value = pick(random, TEXTS);
    return { text: quoted(Buffer.from(value)), value, isDefault: value === '' };
  }
  if (type === 'bytes') {
    const value = Uint8Array.from({ length: pick(random, [0, 1, 16, 32, 200]) }, () => Math.floor(random() * 256));
    return { text: quoted(value), value, isDefault: value.length === 0 };
  }
  const names = ENUMS[type];
  if (names === undefined) throw new Error(type);
  const number = Math.floor(random() * (names.length + 1));
  const name = names[number];
  // One behind the known ones: protobuf's text format takes only names, so that it is told apart below.
  if (name === undefined) return { text: '', value: undefined, isDefault: true };
  return { text: name, value: enumName(name), isDefault: number === 0 };
}

function quoted(bytes: Uint8Array): string {
  return `"${[...bytes].map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('')}"`;
}

export const defaultOf = (type: string): unknown => {
  if (type === 'uint64' || type === 'int64') return 0n;
  if (type === 'uint32' || type === 'int32') return 0;
  if (type === 'bool') return false;
  if (type === 'string') return '';
  if (type === 'bytes') return new Uint8Array(0);
  return enumName(ENUMS[type]?.[0] ?? '');
};

export const isMessage = (type: string): boolean => type.includes('.') && ENUMS[type] === undefined;

/** A message in which every field is there with the probability `density`. */
export function sampleMessage(random: Chance, message: string, density: number): Sample {
  const texts: string[] = [];
  const value: Record<string, unknown> = {};
  const fields = fieldsOf(message);
  const chosen = new Map<string, string>();
  for (const { oneof } of fields) {
    if (oneof === undefined || chosen.has(oneof)) continue;
    const alternatives = fields.filter((field) => field.oneof === oneof).map(({ name }) => name);
    chosen.set(oneof, alternatives[Math.floor(random() * alternatives.length)] ?? '');
    value[oneof] = undefined;
  }
  for (const field of fields) {
    const there = random() < density && (field.oneof === undefined || chosen.get(field.oneof) === field.name);
    addField(random, message, field, there, density, texts, value);
  }
  return { text: texts.join(' '), value };
}

function addField(
  random: Chance,
  message: string,
  field: ListedField,
  there: boolean,
  density: number,
  texts: string[],
  value: Record<string, unknown>,
): void {
  const { name, type, shape, oneof } = field;
  const member = memberName(message, field);
  const some = there ? pick(random, [1, 2, 3]) : 0;
  if (shape === 'map') {
    const entries = new Map<string, unknown>();
    for (let i = 0; i < some; i++) {
      const entry = scalar(random, type);
      entries.set(`key ${i}`, entry.value);
      texts.push(`${name} { key: "key ${i}" value: ${entry.text} }`);
    }
    value[member] = entries;
  } else if (shape === 'list') {
    value[member] = Array.from({ length: some }, () => {
      const item = isMessage(type) ? sampleMessage(random, type, density * 0.8) : scalar(random, type);
      texts.push(isMessage(type) ? `${name} { ${item.text} }` : `${name}: ${item.text}`);
      return item.value;
    });
  } else if (isMessage(type)) {
    if (oneof === undefined) value[member] = undefined;
    if (!there) return;
    const inner = sampleMessage(random, type, density * 0.8);
    texts.push(`${name} { ${inner.text} }`);
    if (oneof === undefined) value[member] = inner.value;
    else value[oneof] = { kind: kindName(name), ...inner.value };
  } else {
    const { text, value: set, isDefault } = scalar(random, type);
    const isSet = there && !isDefault;
    if (isSet) texts.push(`${name}: ${text}`);
    value[member] = isSet ? set : defaultOf(type);
  }
}
