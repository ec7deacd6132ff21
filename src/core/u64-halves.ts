// 64-bit columns as pairs of 32-bit halves: comparing millions of timestamps makes no bigints that way.

/** Where the upper half of a pair lies (the lower one at 1 - HIGH): this machine's byte order decides. */
export const HIGH = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1 ? 1 : 0;

/** The same memory as pairs of halves; element `i` of the column is the pair from `2 * i` on. */
export function halvesOf(column: BigUint64Array): Uint32Array {
  return new Uint32Array(column.buffer, column.byteOffset, column.length * 2);
}

/** < 0, 0 or > 0 for element `i` of the one column and element `j` of the other. */
export function compareHalves(a: Uint32Array, i: number, b: Uint32Array, j: number): number {
  const high = (a[2 * i + HIGH] as number) - (b[2 * j + HIGH] as number);
  return high !== 0 ? high : (a[2 * i + 1 - HIGH] as number) - (b[2 * j + 1 - HIGH] as number);
}
