// Messages to benchmark with: the same every time.

/** A small generator of numbers, seeded, so that every run sees the same data. */
export function numbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return (t ^ (t >>> 14)) >>> 0;
  };
}

export interface Messages {
  readonly keys: readonly Uint8Array[];
  readonly values: readonly Uint8Array[];
  /** Key and value, which lie together. */
  readonly both: readonly Uint8Array[];
  /** Messages of one version. */
  readonly perVersion: number;
}

export const KEY_BYTES = 16;
export const VALUE_BYTES = 100;
/** Header, type, two lengths, key, value. */
export const RECORD_BYTES = 16 + 9 + KEY_BYTES + VALUE_BYTES;

/** Sets of 16-byte keys, random below 0xFF, to 100-byte values. */
export function makeMessages(count: number, seed = 1): Messages {
  const random = numbers(seed);
  const memory = new Uint8Array(count * (KEY_BYTES + VALUE_BYTES));
  for (let i = 0; i < memory.length; i++) memory[i] = random() % 255;
  const keys: Uint8Array[] = [];
  const values: Uint8Array[] = [];
  const both: Uint8Array[] = [];
  for (let i = 0; i < count; i++) {
    const at = i * (KEY_BYTES + VALUE_BYTES);
    both.push(memory.subarray(at, at + KEY_BYTES + VALUE_BYTES));
    keys.push(memory.subarray(at, at + KEY_BYTES));
    values.push(memory.subarray(at + KEY_BYTES, at + KEY_BYTES + VALUE_BYTES));
  }
  return { keys, values, both, perVersion: 10 };
}
