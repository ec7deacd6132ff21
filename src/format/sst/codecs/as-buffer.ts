// Some packages take a Buffer and nothing else, and give Buffers, whose `slice` does not copy: inside the library bytes are plain.

/** The same bytes; no copy. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** The same bytes, as no Buffer; no copy. */
export function asPlainBytes(bytes: Uint8Array): Uint8Array {
  return Buffer.isBuffer(bytes) ? new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length) : bytes;
}
