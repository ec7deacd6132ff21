// The database that the torture test backs up. It has no process that could be killed and no file that could be lost: what a version wrote follows from the seed, the epoch and the version's number. So whatever
// a killed worker left behind is compared with something that nobody could have damaged.
//
// The key space is cut into stripes, and every era (a run of versions) begins by clearing one of them, in turn. Rows at any version therefore follow from the last few thousand versions alone.

import type { LogEpochInfo } from '../../src/ports/log-source.js';
import type { Mutation } from '../../src/core/mutation.js';
import { MutationType } from '../../src/core/mutation.js';
import type { Version } from '../../src/core/version.js';
import { maxVersion } from '../../src/core/version.js';
import { applyToModel } from '../../src/testing/simulation/model-state.js';
import { SimRandom } from '../../src/testing/simulation/random.js';

/** The database's first version. The folders of a container change at 10^11: a run of some minutes crosses that. */
export const FIRST_VERSION: Version = 99_999_990_000n;

const STRIPES = 8;
/** Versions. */
const ERA = 512n;
const KEYS_PER_STRIPE = 60;

/** Hex key to value. */
export type ModelRows = Map<string, Uint8Array>;

export interface NumberedMutation extends Mutation {
  /** Its place in its version, over all tags. */
  readonly subsequence: number;
}

/** What `version` writes if it is committed in `epoch`. Pure. */
export function mutationsOf(seed: number, epoch: number, version: Version): readonly NumberedMutation[] {
  const index = Number(version - FIRST_VERSION);
  const random = new SimRandom(seed ^ Math.imul(index + 1, 0x9e3779b1) ^ Math.imul(epoch, 0x85ebca6b));
  const mutations: NumberedMutation[] = [];
  const push = (type: MutationType, param1: Uint8Array, param2: Uint8Array) =>
    mutations.push({ type, param1, param2, subsequence: mutations.length + 1 });
  if (index % Number(ERA) === 0) {
    const stripe = Math.floor(index / Number(ERA)) % STRIPES;
    push(MutationType.ClearRange, stripeBegin(stripe), stripeBegin(stripe + 1));
  }
  for (let left = drawCount(random); left > 0; left--) {
    const { type, param1, param2 } = drawMutation(random);
    push(type, param1, param2);
  }
  return mutations;
}

function drawCount(random: SimRandom): number {
  const dice = random.next();
  if (dice < 0.3) return 0;
  if (dice < 0.97) return random.int(1, 4);
  return dice < 0.998 ? random.int(5, 20) : random.int(100, 300);
}

function drawMutation(random: SimRandom): Mutation {
  const stripe = random.int(0, STRIPES - 1);
  const param1 = keyOf(stripe, random.int(0, KEYS_PER_STRIPE - 1));
  const dice = random.next();
  if (dice < 0.6) return { type: MutationType.SetValue, param1, param2: drawBytes(random, drawSize(random)) };
  if (dice < 0.8) return { type: MutationType.AddValue, param1, param2: drawBytes(random, random.int(1, 16)) };
  if (dice < 0.86) return { type: MutationType.ByteMax, param1, param2: drawBytes(random, random.int(1, 8)) };
  if (dice < 0.94) return { type: MutationType.ClearRange, param1, param2: Uint8Array.of(...param1, 0) };
  const end = keyOf(stripe + random.int(0, 1), random.int(0, KEYS_PER_STRIPE - 1));
  return Buffer.compare(param1, end) < 0
    ? { type: MutationType.ClearRange, param1, param2: end }
    : { type: MutationType.SetValue, param1, param2: new Uint8Array(0) };
}

/** Mostly short; a few are longer than a block of the test's log files. */
function drawSize(random: SimRandom): number {
  return random.chance(0.002) ? 70_000 : Math.floor(600 ** random.next());
}

function drawBytes(random: SimRandom, length: number): Uint8Array {
  const bytes = Buffer.alloc(length);
  let at = 0;
  for (; at + 4 <= length; at += 4) bytes.writeUInt32LE(random.next32(), at);
  for (; at < length; at++) bytes[at] = random.next32() & 0xff;
  return new Uint8Array(bytes.buffer, bytes.byteOffset, length);
}

function stripeBegin(stripe: number): Uint8Array {
  return Buffer.from(`s${stripe}/`);
}

function keyOf(stripe: number, key: number): Uint8Array {
  return Buffer.from(`s${stripe}/${String(key).padStart(3, '0')}`);
}

/** Half of the key space, whose edges some of the clears cross. */
export const PART = { begin: keyOf(2, 30), end: keyOf(6, 30) };

/** Which of a log's partitions a mutation belongs to. */
export function tagOf({ param1 }: Mutation, totalTags: number): number {
  let hash = 0;
  for (const byte of param1) hash = (Math.imul(hash, 31) + byte) >>> 0;
  return hash % totalTags;
}

/** The epoch in which a version was, or is being, committed. */
export function epochAt(epochs: readonly LogEpochInfo[], version: Version): LogEpochInfo {
  const found = epochs.findLast(({ begin }) => begin <= version);
  if (found === undefined) throw new RangeError(`version ${version} lies before the first epoch`);
  return found;
}

/** All rows as they were at `version`, inclusive. */
export function rowsAt(seed: number, epochs: readonly LogEpochInfo[], version: Version): ModelRows {
  const era = (version - FIRST_VERSION) / ERA;
  const begin = maxVersion(FIRST_VERSION, FIRST_VERSION + (era - BigInt(STRIPES - 1)) * ERA);
  return replay(new Map(), seed, epochs, begin, version);
}

/** Brings rows up to date with the versions from `begin` to `end`, both inclusive. */
export function replay(
  rows: ModelRows,
  seed: number,
  epochs: readonly LogEpochInfo[],
  begin: Version,
  end: Version,
): ModelRows {
  for (let version = begin; version <= end; version++) {
    for (const mutation of mutationsOf(seed, epochAt(epochs, version).epoch, version)) applyToModel(rows, mutation);
  }
  return rows;
}
