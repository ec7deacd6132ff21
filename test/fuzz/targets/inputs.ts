// How targets read an input: parameters from its first bytes, the rest is what is decoded.

/** Takes an input apart from its begin; zeros when it is used up. */
export class InputReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get atEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  byte(): number {
    return this.#bytes[this.#at++] ?? 0;
  }

  u16(): number {
    return this.byte() | (this.byte() << 8);
  }

  u32(): number {
    return (this.u16() | (this.u16() << 16)) >>> 0;
  }

  u64(): bigint {
    return BigInt(this.u32()) | (BigInt(this.u32()) << 32n);
  }

  pick<T>(items: readonly T[]): T {
    return items[this.byte() % items.length] as T;
  }

  bytes(length: number): Uint8Array {
    const from = Math.min(this.#at, this.#bytes.length);
    this.#at = from + length;
    return this.#bytes.subarray(from, from + length);
  }

  rest(): Uint8Array {
    return this.#bytes.subarray(this.#at);
  }
}

export function withHeader(header: readonly number[], body: Uint8Array): Uint8Array {
  const input = new Uint8Array(header.length + body.length);
  input.set(header);
  input.set(body, header.length);
  return input;
}

export function ascii(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'latin1'));
}

export function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}
