// Which file holds what was written under which name: finds files that were swapped and files that are there twice, by size and CRC-32 of whole contents.

import type { FileSums } from '../format/fdb/file-sums.js';

export class ContentIndex {
  readonly #recorded = new Map<string, string[]>();
  readonly #seen = new Map<string, string[]>();
  readonly #seenOf = new Map<string, string>();

  /** What a file is recorded to hold. */
  record(name: string, sums: FileSums): void {
    if (sums.size > 0) push(this.#recorded, keyOf(sums.size, wholeCrc(sums)), name);
  }

  /** What a file has been found to hold. */
  see(name: string, size: number, crc: number): void {
    if (size === 0) return;
    const key = keyOf(size, crc);
    push(this.#seen, key, name);
    this.#seenOf.set(name, key);
  }

  /** Another file that is recorded to hold what this one holds. */
  ownerOfContent(name: string): string | undefined {
    const key = this.#seenOf.get(name);
    return key === undefined ? undefined : this.#recorded.get(key)?.find((owner) => owner !== name);
  }

  /** Names of files that seem to hold the same: to be compared byte for byte. */
  *twins(): Generator<readonly string[]> {
    for (const names of this.#seen.values()) if (names.length > 1) yield names;
  }
}

function keyOf(size: number, crc: number): string {
  return `${size} ${crc}`;
}

function push(map: Map<string, string[]>, key: string, name: string): void {
  const names = map.get(key);
  if (names === undefined) map.set(key, [name]);
  else names.push(name);
}

/** The CRC-32 of a whole file from those of its blocks. */
export function wholeCrc({ size, blockSize, crc32 }: FileSums): number {
  let whole = 0;
  const byBlock = shiftBy(blockSize);
  const last = size % blockSize;
  for (let i = 0; i < crc32.length; i++) {
    const shift = i === crc32.length - 1 && last > 0 ? shiftBy(last) : byBlock;
    whole = (multiply(shift, whole) ^ (crc32[i] as number)) >>> 0;
  }
  return whole;
}

// A CRC moves over appended bytes linearly: CRC(a + b) = M(length of b) * CRC(a) xor CRC(b), where M is a 32 x 32 matrix over the field of two elements, here as 32 columns.

type Matrix = Uint32Array;

const POLYNOMIAL = 0xedb88320;
const shifts = new Map<number, Matrix>();
const MAX_KEPT_SHIFTS = 256;

/** The matrix for so many bytes. */
function shiftBy(bytes: number): Matrix {
  const known = shifts.get(bytes);
  if (known !== undefined) return known;
  let power = oneBit();
  for (let i = 0; i < 3; i++) power = product(power, power);
  let result: Matrix | undefined;
  for (let left = bytes; left > 0; left = Math.floor(left / 2)) {
    if (left % 2 === 1) result = result === undefined ? power : product(power, result);
    power = product(power, power);
  }
  const matrix = result ?? identity();
  if (shifts.size < MAX_KEPT_SHIFTS) shifts.set(bytes, matrix);
  return matrix;
}

function oneBit(): Matrix {
  const matrix = new Uint32Array(32);
  matrix[0] = POLYNOMIAL;
  for (let i = 1; i < 32; i++) matrix[i] = 1 << (i - 1);
  return matrix;
}

function identity(): Matrix {
  return Uint32Array.from({ length: 32 }, (_, i) => 1 << i);
}

function multiply(matrix: Matrix, vector: number): number {
  let sum = 0;
  for (let i = 0, bits = vector >>> 0; bits !== 0; i++, bits >>>= 1) if ((bits & 1) === 1) sum ^= matrix[i] as number;
  return sum >>> 0;
}

function product(a: Matrix, b: Matrix): Matrix {
  return b.map((column) => multiply(a, column));
}
