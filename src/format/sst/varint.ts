// The variable-length integers of SST files: 7 bits a byte, low bits first, the high bit says that another byte follows. A number has one form here, the shortest, which is what every writer writes: so that a flipped bit is not taken for another form of the same.

/** A number and where the byte after it stands. */
export interface ReadVarint {
  readonly value: number;
  readonly next: number;
}

/** undefined: cut off, not the shortest form, longer than 5 bytes, or above 2^32 - 1. */
export function readVarint32(bytes: Uint8Array, at: number): ReadVarint | undefined {
  const read = readVarint(bytes, at, 5);
  return read === undefined || read.value > 0xffffffff ? undefined : read;
}

/** undefined: cut off, not the shortest form, longer than 10 bytes, or above 2^53 - 1, which no offset, size or count in a file that can be read has. */
export function readVarint64(bytes: Uint8Array, at: number): ReadVarint | undefined {
  const read = readVarint(bytes, at, 10);
  return read === undefined || !Number.isSafeInteger(read.value) ? undefined : read;
}

function readVarint(bytes: Uint8Array, at: number, maxBytes: number): ReadVarint | undefined {
  let value = 0;
  let scale = 1;
  const end = Math.min(bytes.length, at + maxBytes);
  for (let i = at; i < end; i++) {
    const byte = bytes[i] as number;
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) return byte === 0 && i > at ? undefined : { value, next: i + 1 };
    scale *= 128;
  }
  return undefined;
}
