// Makes hostile bytes of good ones: flipped bits, cuts, insertions, blocks that are doubled, swapped or taken from another input, numbers near the limits of integers.

import type { SimRandom } from '../../src/testing/simulation/random.js';

/** Where arithmetic goes wrong: signs, u16, u32, 2^53, and small numbers. */
const EDGES = [
  0n,
  1n,
  2n,
  3n,
  4n,
  7n,
  8n,
  15n,
  16n,
  0x7fn,
  0x80n,
  0xffn,
  0x100n,
  0x7fffn,
  0x8000n,
  0xffffn,
  0x10000n,
  (1n << 30n) - 1n,
  1n << 30n,
  (1n << 31n) - 1n,
  1n << 31n,
  (1n << 31n) + 1n,
  (1n << 32n) - 17n,
  (1n << 32n) - 5n,
  (1n << 32n) - 1n,
  1n << 32n,
  (1n << 53n) - 1n,
  1n << 53n,
  (1n << 53n) + 1n,
  (1n << 63n) - 1n,
  1n << 63n,
  (1n << 64n) - 1n,
];

export interface MutationSource {
  readonly random: SimRandom;
  readonly dictionary: readonly Uint8Array[];
  readonly maxBytes: number;
  /** Another input, to take pieces from. */
  readonly other: () => Uint8Array;
}

type Mutator = (input: Uint8Array, source: MutationSource) => Uint8Array;

const place = (random: SimRandom, length: number): number => (length === 0 ? 0 : random.int(0, length - 1));

/** Mostly short. */
function pieceLength(random: SimRandom, most: number): number {
  if (most <= 1) return most;
  return random.chance(0.7) ? random.int(1, Math.min(most, 16)) : random.int(1, most);
}

function splice(input: Uint8Array, at: number, removed: number, inserted: Uint8Array): Uint8Array {
  const output = new Uint8Array(input.length - removed + inserted.length);
  output.set(input.subarray(0, at));
  output.set(inserted, at);
  output.set(input.subarray(at + removed), at + inserted.length);
  return output;
}

export function randomBytes(random: SimRandom, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = random.next32();
  return bytes;
}

function number(random: SimRandom): Uint8Array {
  const width = random.pick([1, 2, 4, 4, 4, 8, 8]);
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt.asUintN(64, random.pick(EDGES) + BigInt(random.int(-2, 2))));
  const cut = new Uint8Array(bytes.subarray(8 - width));
  return random.chance(0.5) ? cut : cut.reverse();
}

function overwrite(input: Uint8Array, at: number, bytes: Uint8Array): Uint8Array {
  const output = input.slice();
  output.set(bytes.subarray(0, Math.min(bytes.length, output.length - at)), at);
  return output;
}

const flip: Mutator = (input, { random }) => {
  if (input.length === 0) return input;
  const output = input.slice();
  const at = place(random, output.length);
  output[at] = (output[at] as number) ^ (1 << random.int(0, 7));
  return output;
};

const setByte: Mutator = (input, { random }) =>
  overwrite(input, place(random, input.length), Uint8Array.of(random.chance(0.3) ? 0xff : random.next32()));

const setNumber: Mutator = (input, { random }) => overwrite(input, place(random, input.length), number(random));

const insertNumber: Mutator = (input, { random }) => splice(input, random.int(0, input.length), 0, number(random));

/** A length that is off by a few. */
const addToWord: Mutator = (input, { random }) => {
  if (input.length < 4) return input;
  const output = Buffer.from(input);
  const at = random.int(0, output.length - 4);
  const by = random.int(-16, 16);
  if (random.chance(0.5)) output.writeUInt32BE((output.readUInt32BE(at) + by) >>> 0, at);
  else output.writeUInt32LE((output.readUInt32LE(at) + by) >>> 0, at);
  return new Uint8Array(output);
};

const cut: Mutator = (input, { random }) => input.subarray(0, random.int(0, input.length));

const remove: Mutator = (input, { random }) => {
  const at = place(random, input.length);
  return splice(input, at, pieceLength(random, input.length - at), new Uint8Array(0));
};

const insert: Mutator = (input, { random }) =>
  splice(input, random.int(0, input.length), 0, randomBytes(random, pieceLength(random, 64)));

const pad: Mutator = (input, { random }) => {
  const filler = new Uint8Array(pieceLength(random, 300)).fill(random.pick([0, 0xff, 0x20]));
  return splice(input, random.chance(0.5) ? input.length : random.int(0, input.length), 0, filler);
};

const double: Mutator = (input, { random }) => {
  const from = place(random, input.length);
  const piece = input.slice(from, from + pieceLength(random, input.length - from));
  return splice(input, random.chance(0.5) ? from : random.int(0, input.length), 0, piece);
};

const swap: Mutator = (input, { random }) => {
  if (input.length < 2) return input;
  const length = pieceLength(random, input.length >> 1);
  const a = random.int(0, input.length - length);
  const b = random.int(0, input.length - length);
  const output = overwrite(input, a, input.slice(b, b + length));
  return overwrite(output, b, input.slice(a, a + length));
};

const cross: Mutator = (input, { random, other }) => {
  const from = other();
  const start = place(random, from.length);
  const piece = from.subarray(start, start + pieceLength(random, from.length - start));
  const at = random.int(0, input.length);
  return splice(input, at, random.chance(0.5) ? Math.min(piece.length, input.length - at) : 0, piece);
};

const word: Mutator = (input, source) => {
  const { random, dictionary } = source;
  if (dictionary.length === 0) return setNumber(input, source);
  const piece = random.pick(dictionary);
  const at = random.int(0, input.length);
  return random.chance(0.5) ? splice(input, at, 0, piece) : overwrite(input, at, piece);
};

const MUTATORS: readonly Mutator[] = [
  flip,
  flip,
  setByte,
  setByte,
  setNumber,
  setNumber,
  insertNumber,
  addToWord,
  addToWord,
  cut,
  remove,
  insert,
  pad,
  double,
  swap,
  cross,
  word,
  word,
];

/** One to eight mutations, one after another. */
export function mutateBytes(input: Uint8Array, source: MutationSource): Uint8Array {
  const { random, maxBytes } = source;
  let output = input;
  for (let left = random.chance(0.5) ? 1 : random.int(2, 8); left > 0; left--) {
    output = random.pick(MUTATORS)(output, source);
    if (output.length > maxBytes) output = output.subarray(0, maxBytes);
  }
  return output;
}
