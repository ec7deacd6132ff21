// A slow reader of unpartitioned log files that shares no code with the library's.

export interface SlowRecord {
  readonly version: bigint;
  readonly subsequence: number;
  readonly type: number;
  readonly param1: Uint8Array;
  readonly param2: Uint8Array;
}

/** Throws a RangeError for what is no such file. */
export function readUnpartitioned(bytes: Uint8Array, blockSize: number): SlowRecord[] {
  const texts = new Map<bigint, { part: number; value: Uint8Array }[]>();
  for (let start = 0; start < bytes.length; start += blockSize) {
    const block = Buffer.from(bytes.subarray(start, start + blockSize));
    if (block.readUInt32LE(0) !== 2001) throw new RangeError('not a block');
    for (let at = 4; at < block.length && block[at] !== 0xff;) {
      if (block.readUInt32BE(at) !== 13) throw new RangeError('not a key');
      const version = block.readBigInt64BE(at + 5);
      const part = block.readUInt32BE(at + 13);
      const length = block.readUInt32BE(at + 17);
      if (at + 21 + length > block.length) throw new RangeError('a value leaves its block');
      const parts = texts.get(version) ?? [];
      parts.push({ part, value: block.subarray(at + 21, at + 21 + length) });
      texts.set(version, parts);
      at += 21 + length;
    }
  }
  const versions = [...texts.keys()].sort((a, b) => (a < b ? -1 : 1));
  return versions.flatMap((version) => {
    const parts = (texts.get(version) ?? []).sort((a, b) => a.part - b.part);
    parts.forEach(({ part }, i) => {
      if (part !== i) throw new RangeError('a part is missing');
    });
    return readText(version, Buffer.concat(parts.map(({ value }) => value)));
  });
}

function readText(version: bigint, text: Buffer): SlowRecord[] {
  if (text.readUInt32LE(8) !== text.length - 12) throw new RangeError('a text of another length');
  const records: SlowRecord[] = [];
  for (let at = 12; at < text.length;) {
    const length1 = text.readUInt32LE(at + 4);
    const length2 = text.readUInt32LE(at + 8);
    const end = at + 12 + length1 + length2;
    if (end > text.length) throw new RangeError('params leave the text');
    const param1 = text.subarray(at + 12, at + 12 + length1);
    const param2 = text.subarray(at + 12 + length1, end);
    records.push({ version, subsequence: records.length, type: text.readUInt32LE(at), param1, param2 });
    at = end;
  }
  return records;
}
