// Reads SST files of RocksDB, and of TiKV's backups: look-ups, scans in both directions, and a check of the whole file. Never gives an entry whose block's checksum was not right, and never a row whose value the file cannot tell.

import { compareBytes, keyAfter, printableBytes } from '../../core/bytes.js';
import { compareInternalKeys } from './internal-key.js';
import type { SstRangeDeletion } from './range-deletions.js';
import type { SstFooter } from './read-footer.js';
import { VersionResolver } from './resolve-versions.js';
import { SstBatch } from './sst-batch.js';
import { refuseSst } from './sst-file.js';
import type { SstProperties } from './sst-properties.js';
import { type SstRange, type SstReaderOptions, SstTable } from './sst-table.js';
import { type VerifiedSst, verifySst } from './verify-sst.js';

export interface SstScanOptions extends SstRange {
  /** Descending. Default false. */
  readonly reverse?: boolean | undefined;
  /** A batch is good until the next one is asked for, as what an iterator of RocksDB points to: its memory is used again. A fifth faster; scans with `reverse` heed it not. Default false. */
  readonly reuse?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * An SST file: a block-based table of format version 2 to 5 in bytewise order, with any checksum and with the compressions none, snappy, zlib, lz4 and zstd (without dictionaries).
 *
 * Errors of all calls: CORRUPT_FILE and CHECKSUM_MISMATCH for damage, UNSUPPORTED_FORMAT for what is not read, PACKAGE_MISSING for a codec or hash that is not installed, ADAPTER_CONTRACT where `read` gives what it must not, and whatever it throws. Calls may run at the same time. There is nothing to close.
 */
export class SstReader {
  readonly #table: SstTable;
  readonly #resolver: VersionResolver;

  private constructor(table: SstTable) {
    this.#table = table;
    this.#resolver = new VersionResolver(table.file, table.rangeDeletions);
  }

  /** Reads footer, properties, index (of a partitioned one its upper level) and range deletions, which stay in memory. */
  static async open(options: SstReaderOptions): Promise<SstReader> {
    return new SstReader(await SstTable.open(options));
  }

  get footer(): SstFooter {
    return this.#table.footer;
  }

  get properties(): SstProperties {
    return this.#table.properties;
  }

  /** As they stand in the file. `rows` and `get` honour them; `entries` gives what they hide, too. */
  get rangeDeletions(): readonly SstRangeDeletion[] {
    return this.#table.rangeDeletions.all;
  }

  /** The value of the newest entry of a user key, in memory of its own; undefined if there is none or it is deleted. UNSUPPORTED_FORMAT as for `rows`. */
  async get(key: Uint8Array): Promise<Uint8Array | undefined> {
    for await (const batch of this.#batches({ from: key, to: keyAfter(key), reuse: true }, false)) {
      return this.#resolver.isRow(batch, 0) ? batch.value(0).slice() : undefined;
    }
    return undefined;
  }

  /** Every point entry, a batch for each block, none empty: of one user key the newest first (with `reverse` the oldest). */
  async *entries(options: SstScanOptions = {}): AsyncGenerator<SstBatch, void, undefined> {
    const reverse = options.reverse ?? false;
    for await (const batch of this.#batches(options, reverse)) yield reverse ? batch.reversed() : batch;
  }

  /**
   * Rows: every user key once, with its newest value; what is deleted is left out. No batch is empty. UNSUPPORTED_FORMAT at a key whose newest entry is a merge operand, a blob index or wide columns: its value is not in the file.
   */
  rows(options: SstScanOptions = {}): AsyncGenerator<SstBatch, void, undefined> {
    if (options.reverse === true) return this.#resolver.backward(this.#batches(options, true));
    return this.#resolver.forward(this.#batches(options, false));
  }

  /** Reads the whole file and checks all that can be checked of it; see `verifySst`. */
  verify(options: { readonly signal?: AbortSignal | undefined } = {}): Promise<VerifiedSst> {
    return verifySst(this.#table, options.signal);
  }

  /** Blocks in the order of keys or backward, each in ascending order itself. */
  async *#batches(options: SstScanOptions, backward: boolean): AsyncGenerator<SstBatch, void, undefined> {
    const { from, to, signal, reuse = false } = options;
    if (from !== undefined && to !== undefined && compareBytes(from, to) >= 0) return;
    const table = this.#table;
    const { globalSeqno } = table.properties;
    const decoder = table.newDecoder();
    /** The internal key at which the block before ends; backward, the one after begins. */
    let edge: Uint8Array | undefined;
    for await (const { handle, raw } of table.readDataBlocks({ from, to }, backward, signal)) {
      decoder.decode(raw, handle.offset);
      if (decoder.count === 0) continue;
      const [firstKey, lastKey] = [decoder.internalKey(0), decoder.internalKey(decoder.count - 1)];
      if (edge !== undefined)
        this.#checkNeighbours(backward ? lastKey : edge, backward ? edge : firstKey, handle.offset);
      edge = (backward ? firstKey : lastKey).slice();
      const places = reuse && !backward ? decoder.borrowedPlaces() : decoder.places();
      const batch = new SstBatch(places, decoder.isPlain, globalSeqno);
      const first = from === undefined ? 0 : batch.lowerBound(from);
      const last = to === undefined ? batch.count : batch.lowerBound(to);
      if (first < last) yield batch.slice(first, last);
    }
  }

  #checkNeighbours(last: Uint8Array, first: Uint8Array, offset: number): void {
    if (compareInternalKeys(last, first) < 0) return;
    const what = `a block begins at "${printableBytes(first)}", the one before it ends at "${printableBytes(last)}"`;
    refuseSst(this.#table.file, offset, what);
  }
}
