// The BR endpoint: stores the rows of the ranges that it is asked for as the SST files of a TiKV backup, and answers range by range. What takeBrBackup and serveBackup ask.

import { AbortScope } from '../../core/abort.js';
import { BufferPool } from '../../core/buffer-pool.js';
import { BackupError } from '../../core/errors.js';
import type { Version } from '../../core/version.js';
import type { BrStorageName } from '../../format/br/file-name.js';
import { loadCodec } from '../../format/sst/codecs/load-codec.js';
import { inlinePress } from '../../format/sst/inline-press.js';
import { loadCrc32c } from '../../format/sst/native-crc32c.js';
import type { BlockPress } from '../../format/sst/block-press.js';
import { checkedContainer } from '../../ports/checked-container.js';
import type { TxnBatch, TxnRangeSource } from '../../ports/txn-range-source.js';
import { RangeEngine } from '../../snapshot/range-engine.js';
import { RateLimiter } from '../../snapshot/rate-limiter.js';
import type { RegionSource, ScanVersions } from '../../snapshot/row-format.js';
import type { VersionSource } from '../../snapshot/versions.js';
import { SnapshotVersions } from '../../snapshot/versions.js';
import type { BrEndpointOptions, BrRangesRequest, ResolvedBrEndpoint } from './br-endpoint-options.js';
import { checkBrRequest, resolveBrEndpoint } from './br-endpoint-options.js';
import { BrFileNames } from './br-file-names.js';
import type { BrFormatOptions } from './br-format.js';
import { BrFormat } from './br-format.js';
import type { BrRangeResponse, BrRangeStored } from './br-range-response.js';
import { fileRegionOf } from './br-region.js';
import type { BrSnapshotWriterOptions } from './br-snapshot-writer.js';
import { BrSnapshotWriter } from './br-snapshot-writer.js';
import type { BatchKind } from './scanned-piece.js';
import { TXN_BATCHES, rawBatches } from './scanned-piece.js';

/** What all rows of a request have in common. */
type RowFacts = BrSnapshotWriterOptions['rows'];
/** What all its files have in common. */
type WriterFacts = Omit<BrSnapshotWriterOptions, 'region' | 'range' | 'signal' | 'onAnswer' | 'measure'>;

/** Where the rows of a request come from. */
interface Reading<Batch> {
  readonly versions: VersionSource;
  readonly source: RegionSource<Batch>;
  readonly batches: BatchKind<Batch>;
  readonly rowsAt: (endTs: Version) => RowFacts;
}

/** Of block buffers that nobody uses, at most; for all requests. */
const MAX_IDLE_BYTES = 16 << 20;

/**
 * Takes requests, several at a time if need be; those without a rate limit of their own share the endpoint's. Memory, per request: for each of the scans a batch of rows of the source and the blocks of two files that are not
 * stored yet (some MiB; with n threads up to (2n + 2) x 2 MiB each), and as much for each of twice `ioThreadSize` pieces that wait to be finished.
 */
export class BrEndpoint {
  readonly #options: ResolvedBrEndpoint;
  readonly #limiter: RateLimiter;
  readonly #buffers = new BufferPool({ maxIdleBytes: MAX_IDLE_BYTES });
  /** By storage: times in names only move forward, over all requests. */
  readonly #names = new Map<string, BrFileNames>();

  /** INVALID_OPTION */
  constructor(options: BrEndpointOptions) {
    this.#options = resolveBrEndpoint(options);
    this.#limiter = new RateLimiter(this.#options.rateLimit, this.#options.clock);
  }

  /**
   * The answers, as they come: for each piece of a region that is stored, and for each range that failed; their ranges cover the request exactly. Work begins with the first `next`, and ends early, leaving nothing unfinished
   * behind, when the iteration is left or the signal aborts (it then throws the signal's reason). All files are of one timestamp: where the source says VERSION_TOO_OLD, that is the answer. To ask again for what failed is the caller's part.
   *
   * Throws INVALID_OPTION; PACKAGE_MISSING for a compression whose package is not installed; what the source throws when it is asked for a timestamp, and goes on throwing.
   */
  request(request: BrRangesRequest): AsyncGenerator<BrRangeResponse, void, undefined> {
    checkBrRequest(request);
    const { kind, startTs = 0n, cf, apiVersion = 'v1' } = request;
    const { txn, raw } = this.#options;
    if (kind === 'txn' && txn !== undefined) {
      const rowsAt = (endTs: Version): RowFacts => ({ kind, startTs, endTs });
      return this.#request(request, {
        versions: txn,
        source: changesSince(txn, startTs),
        batches: TXN_BATCHES,
        rowsAt,
      });
    }
    if (kind === 'raw' && raw !== undefined) {
      const rows: RowFacts = { kind, cf, apiVersion };
      return this.#request(request, {
        versions: raw,
        source: raw,
        batches: rawBatches(apiVersion),
        rowsAt: () => rows,
      });
    }
    throw new BackupError('INVALID_OPTION', `kind must be one that the endpoint has a source of, got ${kind}`);
  }

  async *#request<Batch>(
    request: BrRangesRequest,
    reading: Reading<Batch>,
  ): AsyncGenerator<BrRangeResponse, void, undefined> {
    using scope = new AbortScope(request.signal);
    const { signal } = scope;
    signal.throwIfAborted();
    const facts = await this.#fileFacts(request, signal);
    const { kind, startTs = 0n, endTs } = request;
    const atLeast = kind === 'txn' ? startTs + 1n : 0n;
    const versions = await SnapshotVersions.open(
      { source: reading.versions, policy: this.#options, atLeast, version: endTs },
      signal,
    );
    try {
      yield* this.#answers(request, reading, { ...facts, rows: reading.rowsAt(versions.current) }, versions.current);
    } finally {
      await versions.close();
    }
  }

  #answers<Batch>(
    { ranges, batchSize, concurrency, signal }: BrRangesRequest,
    { source, batches }: Reading<Batch>,
    facts: WriterFacts,
    version: Version,
  ): AsyncGenerator<BrRangeResponse, void, undefined> {
    const { numThreads, ioThreadSize, clock } = this.#options;
    const options = { ...this.#options, source, numThreads: concurrency ?? numThreads };
    const engine = new RangeEngine<Batch, BrRangeStored>(options);
    return engine.request({ ranges, batchSize, versions: only(version), signal }, (respond, signal) => {
      const openWriter: BrFormatOptions<Batch>['openWriter'] = ({ region, begin, task }, onAnswer) =>
        new BrSnapshotWriter({
          ...facts,
          region: fileRegionOf(region),
          range: { startKey: begin, endKey: region.range.end },
          signal,
          onAnswer,
          measure: (work) => task.measure(work),
        });
      const policy = this.#options;
      return new BrFormat({ batches, openWriter, maxWaiting: ioThreadSize, policy, clock, signal, respond });
    });
  }

  async #fileFacts(request: BrRangesRequest, signal: AbortSignal): Promise<Omit<WriterFacts, 'rows'>> {
    const { clock, random, sstMaxSize } = this.#options;
    const { cipher, storage = 'local', rateLimit } = request;
    return {
      container: checkedContainer(request.container, clock),
      press: await this.#openPress(request, signal),
      buffers: this.#buffers,
      cipher,
      limiter: rateLimit === undefined ? this.#limiter : new RateLimiter(rateLimit, clock),
      clock,
      random,
      names: this.#namesFor(storage),
      sstMaxSize: request.sstMaxSize ?? sstMaxSize,
    };
  }

  /** One for all files of the request: with threads, they take turns with other requests. */
  async #openPress(
    { compression = 'zstd', compressionLevel: level }: BrRangesRequest,
    signal: AbortSignal,
  ): Promise<BlockPress> {
    const { threads } = this.#options;
    if (threads !== undefined) return await threads.press({ compression, level, signal });
    return inlinePress(await loadCodec(compression, { level }), await loadCrc32c());
  }

  #namesFor(storage: BrStorageName): BrFileNames {
    const { storeId, clock } = this.#options;
    const names = this.#names.get(storage) ?? new BrFileNames({ storage, storeId, clock });
    this.#names.set(storage, names);
    return names;
  }
}

/** The source's changes after `startTs`, as the engine asks for rows. */
function changesSince(source: TxnRangeSource, startTs: Version): RegionSource<TxnBatch> {
  return {
    regions: (request) => source.regions(request),
    scan: ({ version: endTs, ...request }) => source.scan({ ...request, startTs, endTs }),
  };
}

/** A BR backup is of one timestamp: there is no other to go on at. */
function only(version: Version): ScanVersions {
  return { hold: () => ({ version }), letGo: async () => undefined };
}
