// What can be fuzzed: bytes in, and one of two answers: refused with a code, or accepted and right. Anything else is a failure.

import type { BackupErrorCode } from '../../src/core/errors.js';
import type { SimRandom } from '../../src/testing/simulation/random.js';

/** `refused`: undefined or false, where the decoder's answer to what is not its own is no error. */
export type Verdict = 'accepted' | 'refused';

export interface FuzzTarget {
  readonly name: string;
  /** Its part of a run's cases, against those of the others; 0: only when it is asked for by name. */
  readonly weight: number;
  /** Which mutations serve it: `json` and `text` get those of bytes too, only not as often. `headerBytes` at the begin are no part of the JSON. */
  readonly form: 'bytes' | 'text' | 'json';
  readonly headerBytes?: number;
  /** Longest input that mutations make of others, except for the rare huge ones. */
  readonly maxBytes: number;
  /** Whether now and then an input of a million brackets or letters is tried. */
  readonly takesHuge?: boolean;
  /** Good inputs, and hostile ones that mutations would not find. */
  readonly seeds: (random: SimRandom) => readonly Uint8Array[] | Promise<readonly Uint8Array[]>;
  /** Pieces of the format. */
  readonly dictionary?: readonly Uint8Array[];
  /** Makes the checksums right again that a mutation has broken: what lies behind them is to be reached as well. */
  readonly repair?: (input: Uint8Array) => Uint8Array;
  /** The codes that its documentation names. */
  readonly codes: readonly BackupErrorCode[];
  /** Longest message of a refusal, in characters. Default 2,048. */
  readonly maxMessage?: number;
  /** Bytes of heap and buffers that a case may take: so many, and so many for each byte of the input. */
  readonly memory: { readonly fixed: number; readonly perByte: number };
  /** Cases between two looks at coverage and memory. */
  readonly batch: number;
  readonly run: (input: Uint8Array) => Verdict | Promise<Verdict>;
}

/** A decoder that took bytes for what they are not, or one whose answers do not agree with each other. */
export class WrongResult extends Error {
  constructor(what: string) {
    super(what);
    this.name = 'WrongResult';
  }
}

export function must(condition: boolean, what: string): asserts condition {
  if (!condition) throw new WrongResult(what);
}

/** Of two values of plain objects, lists, maps, bytes and primitives: the same, or WrongResult that shows both. */
export function mustEqual(actual: unknown, expected: unknown, what: string): void {
  const a = show(actual);
  const b = show(expected);
  if (a !== b) throw new WrongResult(`${what}: ${a.slice(0, 400)} is not ${b.slice(0, 400)}`);
}

function show(value: unknown): string {
  return JSON.stringify(plain(value));
}

function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return `${value}n`;
  if (typeof value === 'number') return Object.is(value, -0) ? 0 : Number.isFinite(value) ? value : String(value);
  if (typeof value !== 'object' || value === null) return value;
  if (ArrayBuffer.isView(value)) {
    return `hex ${Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('hex')}`;
  }
  if (value instanceof Map) return { map: [...value].map(plain) };
  if (Array.isArray(value)) return value.map(plain);
  return Object.entries(value).map(([name, member]) => [name, plain(member)]);
}

const KIB = 1024;
/** What a small decoder may take. */
export const SMALL_MEMORY = { fixed: 512 * KIB, perByte: 64 };
