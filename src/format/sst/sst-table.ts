// An opened file: footer, names of its meta blocks, properties, index and range deletions in memory; blocks are read when they are wanted. What reader and verify have in common.

import { checkWholeNumber } from '../../core/check-option.js';
import { type Clock, systemClock } from '../../core/clock.js';
import { BackupError } from '../../core/errors.js';
import { loadBlockChecksum } from './block-checksum.js';
import { BlockOpener, checkBlockBytes } from './block-opener.js';
import { type PlacedHandle, readBlocks } from './block-runs.js';
import type { BlockCodec, SstCompression } from './codec.js';
import { loadCodec } from './codecs/load-codec.js';
import { DataBlockDecoder } from './data-block.js';
import type { BlockHandle } from './footer.js';
import { type IndexBlock, type IndexForm, readIndexBlock } from './index-block.js';
import { readMetaEntries } from './meta-entries.js';
import { RangeDeletions } from './range-deletions.js';
import { decodeHandle, describeHandle, handleFits, readFooter, type SstFooter, TRAILER_BYTES } from './read-footer.js';
import { SstBatch } from './sst-batch.js';
import type { SstFile } from './sst-file.js';
import { readExactly, refuseSst } from './sst-file.js';
import { GLOBAL_SEQNO, readProperties, type SstProperties } from './sst-properties.js';

export interface SstReaderOptions extends SstFile {
  /** How blocks are decompressed; called once for each compression that the file has. Default: the optional packages. */
  readonly loadCodec?: ((compression: SstCompression) => Promise<BlockCodec>) | undefined;
  /** Most bytes of a block, stored or raw, and most bytes of its keys once they are whole. What takes more is refused with UNSUPPORTED_FORMAT, before memory is taken for it. From 1 KiB to 1 GiB, default 256 MiB. */
  readonly maxBlockBytes?: number | undefined;
  /** Scans read so many bytes at once, and twice as many ahead, in two reads. Default 1 MiB. */
  readonly readAheadBytes?: number | undefined;
  /** Scans let others run now and then. Default: the system's. */
  readonly clock?: Pick<Clock, 'yieldToHost'> | undefined;
}

/** Where a data block stands in the index. */
export interface IndexPlace {
  readonly index: IndexBlock;
  readonly at: number;
  /** Where `index` stands in the upper level of a partitioned index. */
  readonly partition: number | undefined;
}

export interface DataBlock {
  readonly handle: BlockHandle;
  readonly place: IndexPlace;
  /** Its checksum was right. */
  readonly raw: Uint8Array;
}

/** User keys: `from` inclusive, `to` exclusive. */
export interface SstRange {
  readonly from?: Uint8Array | undefined;
  readonly to?: Uint8Array | undefined;
}

export const PROPERTIES = 'rocksdb.properties';
export const RANGE_DELETIONS = 'rocksdb.range_del';
const DICTIONARY = 'rocksdb.compression_dict';

const DEFAULT_MAX_BLOCK_BYTES = 256 << 20;
/** The places of as many entries as there may be in such a block are still one piece of memory. */
const MAX_MAX_BLOCK_BYTES = 1 << 30;
const DEFAULT_READ_AHEAD_BYTES = 1 << 20;
/** Raw bytes of blocks between two turns of the event loop. */
const BYTES_PER_TURN = 4 << 20;

export class SstTable {
  readonly file: SstFile;
  readonly footer: SstFooter;
  readonly maxBlockBytes: number;
  readonly #opener: BlockOpener;
  #dataOpener: BlockOpener;
  readonly #readAheadBytes: number;
  readonly #clock: Pick<Clock, 'yieldToHost'>;
  #metaBlocks: ReadonlyMap<string, BlockHandle> = new Map();
  #properties: SstProperties | undefined;
  #index: IndexBlock | undefined;
  #rangeDeletions = new RangeDeletions([]);

  private constructor(options: SstReaderOptions, footer: SstFooter, opener: BlockOpener, maxBlockBytes: number) {
    this.file = options;
    this.footer = footer;
    this.maxBlockBytes = maxBlockBytes;
    this.#opener = opener;
    this.#dataOpener = opener;
    this.#clock = options.clock ?? systemClock;
    this.#readAheadBytes = checkWholeNumber(
      'readAheadBytes',
      options.readAheadBytes ?? DEFAULT_READ_AHEAD_BYTES,
      1,
      1 << 30,
    );
  }

  static async open(options: SstReaderOptions): Promise<SstTable> {
    const maxBlockBytes = options.maxBlockBytes ?? DEFAULT_MAX_BLOCK_BYTES;
    checkWholeNumber('maxBlockBytes', maxBlockBytes, 1024, MAX_MAX_BLOCK_BYTES);
    checkWholeNumber('size', options.size, 0);
    const footer = await readFooter(options);
    const checksum = await loadBlockChecksum(footer.checksumType);
    const load = options.loadCodec ?? loadCodec;
    const opener = new BlockOpener({
      file: options,
      checksum,
      loadCodec: (compression) => load(compression),
      maxBlockBytes,
    });
    const table = new SstTable(options, footer, opener, maxBlockBytes);
    await table.#load();
    return table;
  }

  async #load(): Promise<void> {
    const { footer } = this;
    this.#metaBlocks = this.#readMetaindex(await this.#readUncompressed(footer.metaindex, 'the metaindex'));
    if (this.#metaBlocks.has(DICTIONARY)) this.#dataOpener = this.#opener.withDictionary();
    this.#properties = await this.#readProperties();
    this.#index = this.readIndex(footer.index.offset, await this.readMetaBlock(footer.index));
    const rangeDeletions = this.#metaBlocks.get(RANGE_DELETIONS);
    if (rangeDeletions === undefined) this.#checkRangeDeletions(0);
    else this.#rangeDeletions = await this.#readRangeDeletions(rangeDeletions);
  }

  /** Without them rows would come back that were deleted. */
  #checkRangeDeletions(found: number): void {
    const stated = this.properties.counters.rangeDeletions ?? 0;
    if (stated === found) return;
    const { offset } = this.footer.metaindex;
    refuseSst(this.file, offset, `the file has ${found} range deletions and states ${stated}`);
  }

  get properties(): SstProperties {
    return this.#properties as SstProperties;
  }

  get metaBlocks(): ReadonlyMap<string, BlockHandle> {
    return this.#metaBlocks;
  }

  /** Of data blocks, or of index blocks where the index is partitioned. */
  get index(): IndexBlock {
    return this.#index as IndexBlock;
  }

  get rangeDeletions(): RangeDeletions {
    return this.#rangeDeletions;
  }

  newDecoder(rangeDeletions = false): DataBlockDecoder {
    const { file, maxBlockBytes, properties } = this;
    return new DataBlockDecoder({
      file,
      maxBlockBytes,
      globalSeqno: properties.globalSeqno !== undefined,
      rangeDeletions,
    });
  }

  /** A block of any kind but data: raw, its checksum checked. */
  async readMetaBlock(handle: BlockHandle): Promise<Uint8Array> {
    const bytes = await this.#readStored(handle);
    await this.#opener.prepare(bytes, handle.offset);
    return this.#opener.open(bytes, handle.offset);
  }

  /** `form`: of the file's index, or of another block that is written as it is. */
  readIndex(offset: number, raw: Uint8Array, form: IndexForm = this.properties.indexForm): IndexBlock {
    const { file, footer, maxBlockBytes } = this;
    return readIndexBlock({ file, form, end: footer.offset, maxBlockBytes }, offset, raw);
  }

  /** Data blocks that may hold keys of the range, raw, in the order of keys or backward. */
  async *readDataBlocks(
    range: SstRange,
    backward: boolean,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<DataBlock, void, undefined> {
    const handles = this.#handles(range, backward);
    let sinceTurn = 0;
    for await (const run of readBlocks(this.file, handles, this.#readAheadBytes)) {
      for (const { bytes, handle, place } of run) {
        signal?.throwIfAborted();
        if (!this.#dataOpener.isReady(bytes)) await this.#dataOpener.prepare(bytes, handle.offset);
        const raw = this.#dataOpener.open(bytes, handle.offset);
        yield { handle, place, raw };
        // What native codecs give is freed in a turn of the event loop only; and others want to run, too.
        sinceTurn += raw.length;
        if (sinceTurn < BYTES_PER_TURN) continue;
        sinceTurn = 0;
        await this.#clock.yieldToHost();
      }
    }
  }

  async *#handles(range: SstRange, backward: boolean): AsyncGenerator<PlacedHandle<IndexPlace>, void, undefined> {
    if (!this.properties.partitionedIndex) return yield* placesIn(this.index, range, backward);
    let edge = backward ? this.footer.offset : 0;
    for (const { handle: partition, place } of placesIn(this.index, range, backward)) {
      const index = this.readIndex(partition.offset, await this.readMetaBlock(partition));
      for (const placed of placesIn(index, range, backward, place.at)) {
        // Within an index block this is checked already; no block may be read twice, or a small file could be read for ever.
        const { handle } = placed;
        const end = handle.offset + handle.size + TRAILER_BYTES;
        if (backward ? end > edge : handle.offset < edge) {
          refuseSst(this.file, partition.offset, `${describeHandle(handle)} where the index says`);
        }
        edge = backward ? handle.offset : end;
        yield placed;
      }
    }
  }

  /** What is kept as objects must be in the file in such numbers that it is worth the memory. */
  async #readUncompressed(handle: BlockHandle, what: string): Promise<Uint8Array> {
    const bytes = await this.#readStored(handle);
    if (bytes[handle.size] !== 0 && this.#opener.checksumIsRight(bytes)) {
      refuseSst(this.file, handle.offset, `${what} is compressed, which RocksDB never does`);
    }
    return this.#opener.open(bytes, handle.offset);
  }

  #readStored({ offset, size }: BlockHandle): Promise<Uint8Array> {
    checkBlockBytes(this.file, offset, size, this.maxBlockBytes);
    return readExactly(this.file, offset, size + TRAILER_BYTES);
  }

  #readMetaindex(raw: Uint8Array): ReadonlyMap<string, BlockHandle> {
    const { file, footer } = this;
    const { offset } = footer.metaindex;
    const blocks = new Map<string, BlockHandle>();
    for (const [name, value] of readMetaEntries(file, offset, raw)) {
      const handle = decodeHandle(value, 0, value.length)?.handle;
      if (handle === undefined) return refuseSst(file, offset, 'the metaindex holds no block handle');
      if (!handleFits(handle, footer.offset)) refuseSst(file, offset, describeHandle(handle));
      blocks.set(name, handle);
    }
    this.#checkDisjoint([...blocks.values(), footer.metaindex, footer.index]);
    return blocks;
  }

  /** No block under two names: a small file could have a large one read for ever. */
  #checkDisjoint(handles: BlockHandle[]): void {
    let end = 0;
    for (const handle of handles.sort((a, b) => a.offset - b.offset)) {
      if (handle.offset < end) {
        refuseSst(this.file, handle.offset, `${describeHandle(handle)} alone: another one is there, too`);
      }
      end = handle.offset + handle.size + TRAILER_BYTES;
    }
  }

  async #readProperties(): Promise<SstProperties> {
    const { file, footer } = this;
    const handle = this.#metaBlocks.get(PROPERTIES);
    if (handle === undefined) return refuseSst(file, footer.metaindex.offset, 'the file has no properties');
    const bytes = await this.#readStored(handle);
    if (bytes[handle.size] !== 0) {
      refuseSst(file, handle.offset, 'the properties are compressed, which RocksDB does not read');
    }
    const raw = this.#opener.openUnchecked(bytes, handle.offset);
    if (this.#opener.checksumIsRight(bytes)) {
      return readProperties(file, footer, handle.offset, readMetaEntries(file, handle.offset, raw));
    }
    // An ingesting RocksDB may have set the global sequence number where it stands; the checksum stays that of the file as it was written, with 0 there.
    this.#checkWithoutSeqno(handle, bytes);
    return readProperties(file, footer, handle.offset, readMetaEntries(file, handle.offset, raw));
  }

  #checkWithoutSeqno(handle: BlockHandle, bytes: Uint8Array): void {
    const copy = bytes.slice();
    try {
      const raw = copy.subarray(0, handle.size);
      const seqno = readMetaEntries(this.file, handle.offset, raw).get(GLOBAL_SEQNO);
      if (seqno?.length === 8) seqno.fill(0);
    } catch (error) {
      // Not even entries: the checksum below says all there is to say.
      if (!BackupError.is(error)) throw error;
    }
    this.#opener.open(copy, handle.offset);
  }

  async #readRangeDeletions(handle: BlockHandle): Promise<RangeDeletions> {
    const decoder = this.newDecoder(true);
    decoder.decode(await this.#readUncompressed(handle, 'the block of range deletions'), handle.offset);
    this.#checkRangeDeletions(decoder.count);
    const batch = new SstBatch(decoder.places(), false, this.properties.globalSeqno);
    return new RangeDeletions(
      Array.from({ length: batch.count }, (_, i) => ({
        begin: batch.key(i),
        end: batch.value(i),
        seqno: batch.seqno(i),
      })),
    );
  }
}

function* placesIn(
  index: IndexBlock,
  { from, to }: SstRange,
  backward: boolean,
  partition?: number,
): Generator<PlacedHandle<IndexPlace>, void, undefined> {
  const first = from === undefined ? 0 : index.lowerBound(from);
  // The block behind the one that may hold `to` holds larger keys only.
  const last = to === undefined ? index.count - 1 : Math.min(index.lowerBound(to), index.count - 1);
  for (let i = 0; i <= last - first; i++) {
    const at = backward ? last - i : first + i;
    yield { handle: index.handle(at), place: { index, at, partition } };
  }
}
