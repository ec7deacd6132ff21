// How a container in S3 is opened and used: plain values only, so that the main face can name them without the AWS SDK.

import type { Clock, Random } from '../core/clock.js';

/** An access key. Better given here than in a URL: a job's URL is stored in the progress store. */
export interface S3Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** Of temporary credentials. */
  readonly sessionToken?: string | undefined;
  /** When they end. A function that gave them is asked again before that. */
  readonly expiration?: Date | undefined;
}

/** How a container uses its store. */
export interface S3ContainerOptions {
  /**
   * Bytes of a part of a multipart upload, 5 MiB to 5 GiB. A file no longer than this goes in one request. Default 8 MiB. An upload has 10,000 parts at most, so that a file may have 78 GiB with the default; a longer one is INVALID_STATE.
   */
  readonly partSize?: number | undefined;
  /**
   * Parts of this container under way at once, 1 to 256, whatever the number of files being written. Default 4. An `append` waits while there are so many. Together they hold `partSize` bytes each, and each file being
   * written one more.
   */
  readonly partsInParallel?: number | undefined;
  /** Bytes that reads may fetch ahead, for all files together, from 0 (none) to 1 GiB. Default 16 MiB. Only a file that is read on where the last read ended is read ahead, up to 4 MiB at a time. */
  readonly readAhead?: number | undefined;
  /**
   * Whether uploads carry a CRC-32 that the store checks. Default true. For stores that do not know these headers; with a client of your own build it with `requestChecksumCalculation: 'WHEN_REQUIRED'` as well.
   */
  readonly checksums?: boolean | undefined;
  /**
   * How a file is written that must not exist yet.
   *
   * - `'atomic'` (default): with `If-None-Match: *`. Whether the store heeds it is found out with an object of its own before the first such write: EXCLUSIVE_WRITE_UNSUPPORTED if it does not.
   * - `'check-first'`: by looking first. Exact inside this process, **not between processes**: two hosts may both believe that they have made the file. Only where nothing else writes to the container at the same time.
   */
  readonly exclusiveWrites?: 'atomic' | 'check-first' | undefined;
  /** Whether `create` makes the bucket if there is none. Default true. */
  readonly createBucket?: boolean | undefined;
  /** How long a listing may be behind, ms. Default 0, which is true of S3 since December 2020; a store that is not strongly consistent needs its own figure. */
  readonly listingLag?: number | undefined;
  /** How often a call is tried in all while it fails for a passing reason, 1 to 100. The SDK's own attempts come on top, inside each. Default 4. */
  readonly attempts?: number | undefined;
  /** ms that one try of a call may take, the SDK's attempts included, 1,000 to 3,600,000; a second more for every 256 KiB that it carries. Default 60,000. */
  readonly requestTimeout?: number | undefined;
  readonly clock?: Clock | undefined;
  readonly random?: Random | undefined;
}

/** As S3ContainerOptions, and how the client is made. */
export interface OpenS3Options extends S3ContainerOptions {
  /** Wins over the URL's. Default: the URL's; without any, what the SDK finds (environment, shared files, the machine's role). */
  readonly credentials?: S3Credentials | (() => Promise<S3Credentials>) | undefined;
  /** Wins over the URL's. */
  readonly region?: string | undefined;
  /** For `s3:` URLs, where the store is not AWS: `https://host:port`. Wins over the URL's. */
  readonly endpoint?: string | undefined;
  /** Whether the bucket is named in the path and not in the host name. Default: true where there is an endpoint. */
  readonly forcePathStyle?: boolean | undefined;
  /** Attempts of the SDK in each try, 1 to 20. Default 3. */
  readonly sdkAttempts?: number | undefined;
}
