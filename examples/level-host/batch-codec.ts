// A MessageBatch as plain bytes, for a page of the log and for the socket, and back without looking at a single message: a batch is a few arrays,
// and they are stored as they are. Byte order is the machine's own, because neither the file nor the socket ever leaves it.

import { MessageBatch, type Version } from 'tidemark';

export function packBatch(batch: MessageBatch): Uint8Array {
  const minKey = batch.minKey ?? new Uint8Array(0);
  const endKey = batch.endKey ?? new Uint8Array(0);
  const header = Uint32Array.of(
    batch.versionCount,
    batch.recordCount,
    batch.byteLength,
    batch.maxRecordBytes,
    minKey.length,
    endKey.length,
  );
  return Buffer.concat([
    bytesOf(header),
    bytesOf(batch.versions.subarray(0, batch.versionCount)),
    bytesOf(batch.versionRecords.subarray(0, batch.versionCount + 1)),
    bytesOf(batch.recordStarts.subarray(0, batch.recordCount + 1)),
    minKey,
    endKey,
    batch.bytes.subarray(0, batch.byteLength),
  ]);
}

export function unpackBatch(packed: Uint8Array): MessageBatch {
  let offset = 0;
  /** A copy with an ArrayBuffer of its own: typed arrays must be aligned, and the batch outlives `packed`. */
  const take = (bytes: number): Uint8Array<ArrayBuffer> => {
    if (offset + bytes > packed.length) throw new Error('A packed batch is cut off');
    offset += bytes;
    return new Uint8Array(packed.subarray(offset - bytes, offset));
  };
  const word = (): number => new Uint32Array(take(4).buffer)[0] as number;
  const versionCount = word();
  const recordCount = word();
  const byteLength = word();
  const maxRecordBytes = word();
  const minKeyBytes = word();
  const endKeyBytes = word();
  const versions = new BigInt64Array(take(8 * versionCount).buffer);
  const versionRecords = new Uint32Array(take(4 * (versionCount + 1)).buffer);
  const recordStarts = new Uint32Array(take(4 * (recordCount + 1)).buffer);
  const minKey = take(minKeyBytes);
  const endKey = take(endKeyBytes);
  const bytes = take(byteLength);
  if (recordCount === 0) return MessageBatch.empty;
  return new MessageBatch({
    bytes,
    byteLength,
    recordStarts,
    recordCount,
    versions,
    versionRecords,
    versionCount,
    minKey,
    endKey,
    maxRecordBytes,
  });
}

/** The versions of `batch` from `begin` on, as many as fit in `maxBytes`, but at least one when there is any. */
export function sliceBatch(batch: MessageBatch, begin: Version, maxBytes: number): MessageBatch {
  const from = begin === 0n ? 0 : batch.versionIndexAfter(begin - 1n);
  if (from === batch.versionCount) return MessageBatch.empty;
  const firstByte = byteAt(batch, from);
  let to = from + 1;
  while (to < batch.versionCount && byteAt(batch, to + 1) - firstByte <= maxBytes) to++;
  return from === 0 && to === batch.versionCount ? batch : cut(batch, from, to);
}

/** One batch of several that follow each other. The key interval is the smallest that holds them all. */
export function joinBatches(batches: readonly MessageBatch[]): MessageBatch {
  const [first] = batches;
  if (first === undefined) return MessageBatch.empty;
  if (batches.length === 1) return first;
  const total = (count: (batch: MessageBatch) => number) => batches.reduce((sum, batch) => sum + count(batch), 0);
  const recordCount = total((batch) => batch.recordCount);
  const versionCount = total((batch) => batch.versionCount);
  const byteLength = total((batch) => batch.byteLength);
  const joined = {
    bytes: new Uint8Array(byteLength),
    recordStarts: new Uint32Array(recordCount + 1),
    versions: new BigInt64Array(versionCount),
    versionRecords: new Uint32Array(versionCount + 1),
  };
  let [byte, record, version] = [0, 0, 0];
  for (const batch of batches) {
    joined.bytes.set(batch.bytes.subarray(0, batch.byteLength), byte);
    joined.versions.set(batch.versions.subarray(0, batch.versionCount), version);
    for (let i = 0; i <= batch.recordCount; i++)
      joined.recordStarts[record + i] = byte + (batch.recordStarts[i] as number);
    for (let i = 0; i <= batch.versionCount; i++)
      joined.versionRecords[version + i] = record + (batch.versionRecords[i] as number);
    byte += batch.byteLength;
    record += batch.recordCount;
    version += batch.versionCount;
  }
  return new MessageBatch({
    ...joined,
    byteLength,
    recordCount,
    versionCount,
    minKey: extreme(
      batches.map((batch) => batch.minKey),
      -1,
    ),
    endKey: extreme(
      batches.map((batch) => batch.endKey),
      1,
    ),
    maxRecordBytes: Math.max(...batches.map((batch) => batch.maxRecordBytes)),
  });
}

function bytesOf(array: Uint32Array | BigInt64Array): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

/** Where the records of versions[index] begin. */
function byteAt(batch: MessageBatch, index: number): number {
  return batch.recordStarts[batch.versionRecords[index] as number] as number;
}

/** The versions with an index in [from, to). It keeps the whole batch's key interval, which may then be larger than need be. */
function cut(batch: MessageBatch, from: number, to: number): MessageBatch {
  const firstRecord = batch.versionRecords[from] as number;
  const endRecord = batch.versionRecords[to] as number;
  const firstByte = byteAt(batch, from);
  const byteLength = byteAt(batch, to) - firstByte;
  return new MessageBatch({
    bytes: batch.bytes.subarray(firstByte, firstByte + byteLength),
    byteLength,
    recordStarts: batch.recordStarts.subarray(firstRecord, endRecord + 1).map((start) => start - firstByte),
    recordCount: endRecord - firstRecord,
    versions: batch.versions.subarray(from, to),
    versionRecords: batch.versionRecords.subarray(from, to + 1).map((record) => record - firstRecord),
    versionCount: to - from,
    minKey: batch.minKey,
    endKey: batch.endKey,
    maxRecordBytes: batch.maxRecordBytes,
  });
}

/** The smallest (sign -1) or largest (sign 1) key. */
function extreme(keys: readonly (Uint8Array | undefined)[], sign: -1 | 1): Uint8Array | undefined {
  return keys.reduce((best, key) => {
    if (best === undefined || key === undefined) return best ?? key;
    return Buffer.compare(key, best) * sign > 0 ? key : best;
  });
}
