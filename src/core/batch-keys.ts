// Keys as places in a buffer: read, compared and ordered where they lie, without a view of each.

export const SIGN_BIT = 0x80000000 | 0;

/** Four bytes, big-endian. */
export function wordAt(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] as number) << 24) |
    ((bytes[at + 1] as number) << 16) |
    ((bytes[at + 2] as number) << 8) |
    (bytes[at + 3] as number)
  );
}

/** First four bytes as a number that orders as they do; a shorter key as if zero bytes followed, so that equal prefixes need a look at the keys. */
export function prefixOf(view: DataView, at: number, length: number): number {
  if (length >= 4) return view.getInt32(at) ^ SIGN_BIT;
  let prefix = 0;
  for (let i = 0; i < 4; i++) prefix = (prefix << 8) | (i < length ? view.getUint8(at + i) : 0);
  return prefix ^ SIGN_BIT;
}

export function comparePlaces(bytes: Uint8Array, a: number, lengthA: number, b: number, lengthB: number): number {
  const length = lengthA < lengthB ? lengthA : lengthB;
  for (let i = 0; i < length; i++) {
    const difference = (bytes[a + i] as number) - (bytes[b + i] as number);
    if (difference !== 0) return difference;
  }
  return lengthA - lengthB;
}
