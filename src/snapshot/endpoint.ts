// The snapshot endpoint: stores the rows of the ranges that it is asked for as FoundationDB's range files, and answers range by range.

import { BufferPool } from '../core/buffer-pool.js';
import type { KeyRange } from '../core/key-range.js';
import type { Version } from '../core/version.js';
import type { BackupContainer } from '../ports/backup-container.js';
import type { KeyValueBatch } from '../ports/range-source.js';
import { RangeEngine } from './range-engine.js';
import { RangeFileFormat } from './range-file-format.js';
import type { RangeResponse, RangeStored } from './range-response.js';
import { RateLimiter } from './rate-limiter.js';
import type { EndpointOptions, ResolvedEndpoint } from './snapshot-options.js';
import { resolveEndpoint } from './snapshot-options.js';
import type { SnapshotVersions } from './versions.js';

export interface BackupRequest {
  readonly container: BackupContainer;
  /** Sorted and disjoint. */
  readonly ranges: readonly KeyRange[];
  /** At which to read. */
  readonly versions: SnapshotVersions;
  /** Names the folder of the files: the version at which the snapshot was begun. */
  readonly snapshotBegin: Version;
  /** Files that the snapshot has already: they are numbered on from there. Default 0. */
  readonly firstFile?: number;
  /** Regions that a scan worker takes at once. Default: the endpoint's. */
  readonly batchSize?: number;
  readonly signal?: AbortSignal;
}

/**
 * Takes requests, several at a time if need be; all of them share the rate limit and the buffers. Memory, per request: `channelBytes` of encoded rows that wait to be saved, and for each of the
 * `numThreads` scans a batch of rows of the source and the group of rows that is being encoded (1.25 MiB, or one row if that is larger). Buffers that nobody uses are kept, up to `channelBytes` for all requests.
 */
export class SnapshotEndpoint {
  readonly #options: ResolvedEndpoint;
  readonly #engine: RangeEngine<KeyValueBatch, RangeStored>;
  readonly #limiter: RateLimiter;
  readonly #buffers: BufferPool;

  /** INVALID_OPTION */
  constructor(options: EndpointOptions) {
    this.#options = resolveEndpoint(options);
    this.#engine = new RangeEngine(this.#options);
    this.#limiter = new RateLimiter(this.#options.rateLimit, this.#options.clock);
    this.#buffers = new BufferPool({ maxIdleBytes: this.#options.channelBytes });
  }

  /**
   * The answers, as they come. Work begins with the first `next`, and ends early, leaving nothing unfinished behind, when the iteration is left or the signal aborts (it then throws the signal's reason).
   * A version that has become too old is replaced by a newer one on the spot. Any other failure is an answer, for the rest of the region alone: to ask for it again is the caller's part.
   */
  request(request: BackupRequest): AsyncGenerator<RangeResponse, void, undefined> {
    const { container, snapshotBegin, firstFile = 0 } = request;
    const [endpoint, limiter, buffers] = [this.#options, this.#limiter, this.#buffers];
    return this.#engine.request(
      request,
      (respond) => new RangeFileFormat({ endpoint, limiter, buffers, container, snapshotBegin, firstFile, respond }),
    );
  }
}
