// Reads a whole file and checks all that can be checked: what a backup says of itself is believed only after this.

import { compareBytes, printableBytes } from '../../core/bytes.js';
import type { DataBlockDecoder } from './data-block.js';
import { INTERNAL_BYTES } from './entry-types.js';
import type { BlockHandle } from './footer.js';
import { compareInternalKeys, userKeyOf } from './internal-key.js';
import { describeHandle, TRAILER_BYTES } from './read-footer.js';
import { readExactly, refuseSst } from './sst-file.js';
import type { SstCounters } from './sst-properties.js';
import { type DataBlock, type IndexPlace, PROPERTIES, RANGE_DELETIONS, type SstTable } from './sst-table.js';

/** What was counted. */
export interface VerifiedSst extends SstCounters {
  /** User keys of the first and the last point entry; undefined without any. */
  readonly smallestKey: Uint8Array | undefined;
  readonly largestKey: Uint8Array | undefined;
}

const PARTITIONED_FILTER = 'partitionedfilter.';
const MAX_GAP_READ_BYTES = 1 << 20;

/**
 * Every block's checksum, of data, index, filters and all others; that internal keys ascend over the whole file; that every index key bounds its block; that the blocks fill the file without overlap, with nothing but zeros between them; that the counters of the
 * properties are those of the entries. Throws for the first thing that is wrong.
 */
export async function verifySst(table: SstTable, signal?: AbortSignal): Promise<VerifiedSst> {
  const data = new DataCheck(table);
  for await (const block of table.readDataBlocks({}, false, signal)) data.check(block);
  const others = await readOtherBlocks(table, signal);
  await checkGaps(table, [...data.handles, ...others], signal);
  const counted = data.counted(endOfData(table, others));
  checkCounters(table, counted);
  return counted;
}

/** The data blocks, one after the other. */
class DataCheck {
  readonly handles: BlockHandle[] = [];
  readonly #table: SstTable;
  readonly #decoder: DataBlockDecoder;
  #smallestKey: Uint8Array | undefined;
  /** Internal key of the last entry so far. */
  #last: Uint8Array | undefined;
  /** Where the last block so far stands in the index. */
  #before: IndexPlace | undefined;
  #entries = 0;
  #deletions = 0;
  #merges = 0;
  #rawKeyBytes = 0;
  #rawValueBytes = 0;

  constructor(table: SstTable) {
    this.#table = table;
    this.#decoder = table.newDecoder();
  }

  check({ handle, place, raw }: DataBlock): void {
    const decoder = this.#decoder;
    this.handles.push(handle);
    decoder.decode(raw, handle.offset);
    if (decoder.count === 0) this.#refuse(handle, 'a data block without entries');
    const first = decoder.internalKey(0);
    const last = decoder.internalKey(decoder.count - 1).slice();
    this.#checkFirst(handle, place, first);
    this.#checkBounds(handle, place, last);
    this.#last = last;
    this.#before = place;
    this.#entries += decoder.count;
    this.#deletions += decoder.deletions;
    this.#merges += decoder.merges;
    this.#rawKeyBytes += decoder.keyTotal;
    this.#rawValueBytes += decoder.valueTotal;
  }

  /** A look-up goes to the first block whose index key is not below: the blocks before must hold nothing of what is here. */
  #checkFirst(handle: BlockHandle, { index, at, partition }: IndexPlace, first: Uint8Array): void {
    this.#smallestKey ??= userKeyOf(first).slice();
    const last = this.#last;
    if (last !== undefined && compareInternalKeys(last, first) >= 0) {
      this.#refuse(handle, `begins at "${printableBytes(first)}", the block before ends at "${printableBytes(last)}"`);
    }
    const stated = index.firstKey(at);
    if (stated !== undefined && compareBytes(stated, first) !== 0) {
      this.#refuse(handle, `begins at "${printableBytes(first)}", the index says at "${printableBytes(stated)}"`);
    }
    const before = this.#before;
    if (before === undefined) return;
    const ofPartition = before.partition !== partition && before.partition !== undefined;
    if (
      before.index.compareToKey(first, before.at) <= 0 ||
      (ofPartition && this.#table.index.compareToKey(first, before.partition) <= 0)
    ) {
      this.#refuse(handle, `begins at "${printableBytes(first)}", which the index looks for in the block before`);
    }
  }

  #checkBounds(handle: BlockHandle, { index, at, partition }: IndexPlace, last: Uint8Array): void {
    const upper = this.#table.index;
    if (index.compareToKey(last, at) <= 0 && (partition === undefined || upper.compareToKey(last, partition) <= 0)) {
      return;
    }
    this.#refuse(handle, `ends at "${printableBytes(last)}", behind its index key "${printableBytes(index.key(at))}"`);
  }

  counted(dataBytes: number): VerifiedSst {
    const ranges = this.#table.rangeDeletions.all;
    let rawKeyBytes = this.#rawKeyBytes;
    let rawValueBytes = this.#rawValueBytes;
    for (const { begin, end } of ranges) {
      rawKeyBytes += begin.length + INTERNAL_BYTES;
      rawValueBytes += end.length;
    }
    return {
      entries: this.#entries + ranges.length,
      deletions: this.#deletions + ranges.length,
      merges: this.#merges,
      rangeDeletions: ranges.length,
      dataBlocks: this.handles.length,
      dataBytes: this.handles.length === 0 ? 0 : dataBytes,
      rawKeyBytes,
      rawValueBytes,
      smallestKey: this.#smallestKey,
      largestKey: this.#last && userKeyOf(this.#last),
    };
  }

  #refuse(handle: BlockHandle, what: string): never {
    return refuseSst(this.#table.file, handle.offset, `the data block ${what}`);
  }
}

/** All blocks but data; each is read, so that its checksum is checked. */
async function readOtherBlocks(table: SstTable, signal: AbortSignal | undefined): Promise<BlockHandle[]> {
  const { index, properties, metaBlocks, footer } = table;
  const handles = [footer.metaindex, footer.index];
  if (properties.partitionedIndex) {
    for (let i = 0; i < index.count; i++) handles.push(index.handle(i));
  }
  let partitionedFilter = false;
  for (const [name, handle] of metaBlocks) {
    handles.push(handle);
    signal?.throwIfAborted();
    // Properties and range deletions were read when the file was opened; the properties' checksum has a rule of its own.
    if (name === PROPERTIES || name === RANGE_DELETIONS) continue;
    const raw = await table.readMetaBlock(handle);
    if (!name.startsWith(PARTITIONED_FILTER)) continue;
    // Each index of filters leads to its filters again: many of them could have the file read for ever.
    if (partitionedFilter) refuseSst(table.file, handle.offset, 'the file has more than one partitioned filter');
    partitionedFilter = true;
    handles.push(...(await readFilters(table, handle, raw, signal)));
  }
  return handles;
}

/** The index of filters is written as the index of data is. */
async function readFilters(
  table: SstTable,
  { offset }: BlockHandle,
  raw: Uint8Array,
  signal: AbortSignal | undefined,
): Promise<BlockHandle[]> {
  const form = { ...table.properties.indexForm, firstKeys: false, strict: false };
  const filters = table.readIndex(offset, raw, form);
  const handles: BlockHandle[] = [];
  for (let i = 0; i < filters.count; i++) {
    signal?.throwIfAborted();
    await table.readMetaBlock(filters.handle(i));
    handles.push(filters.handle(i));
  }
  return handles;
}

/** Between blocks stands nothing but the padding of aligned ones: what is there instead is a block that nothing leads to, or damage. */
async function checkGaps(table: SstTable, handles: BlockHandle[], signal: AbortSignal | undefined): Promise<void> {
  const { file, footer } = table;
  const sorted = [...handles].sort((a, b) => a.offset - b.offset);
  let end = 0;
  for (const handle of [...sorted, { offset: footer.offset, size: 0 }]) {
    if (handle.offset < end) refuseSst(file, handle.offset, `${describeHandle(handle)}: another one is there`);
    for (let at = end; at < handle.offset;) {
      signal?.throwIfAborted();
      const bytes = await readExactly(file, at, Math.min(handle.offset - at, MAX_GAP_READ_BYTES));
      const strange = bytes.findIndex((byte) => byte !== 0);
      if (strange >= 0) refuseSst(file, at + strange, 'there are bytes that belong to no block');
      at += bytes.length;
    }
    end = handle.offset + handle.size + TRAILER_BYTES;
  }
}

/** Data blocks come first, with their padding; what comes behind them is another block. */
function endOfData({ footer }: SstTable, others: readonly BlockHandle[]): number {
  return others.reduce((least, { offset }) => Math.min(least, offset), footer.offset);
}

function checkCounters(table: SstTable, counted: SstCounters): void {
  const { file, properties, metaBlocks } = table;
  for (const [name, stated] of Object.entries(properties.counters)) {
    const found = counted[name as keyof SstCounters];
    if (stated === undefined || stated === found) continue;
    const what = `the properties state ${stated} for ${name}, the file has ${found}`;
    refuseSst(file, metaBlocks.get(PROPERTIES)?.offset ?? 0, what);
  }
}
