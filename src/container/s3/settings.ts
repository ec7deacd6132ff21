// The options of a container in S3, checked and with their defaults.

import type { S3Client } from '@aws-sdk/client-s3';
import { checkFlag, checkMethods, checkWholeNumber } from '../../core/check-option.js';
import type { Clock, Random } from '../../core/clock.js';
import { systemClock, systemRandom } from '../../core/clock.js';
import { BackupError } from '../../core/errors.js';
import { fileNameProblem } from '../../core/file-name.js';
import { checkListingLag } from '../../ports/listing-lag.js';
import type { S3ContainerOptions } from '../s3-options.js';

/** https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html */
const MIN_PART_SIZE = 5 << 20;
const MAX_PART_SIZE = 5 * 2 ** 30;

/** Where a backup lies in which bucket. */
export interface S3Place {
  readonly bucket: string;
  /** The backup's name: its files are `data/<name>/…`, its entry in the index is `backups/<name>`. May have `/`. */
  readonly name: string;
}

export interface S3Settings extends S3Place {
  readonly client: S3Client;
  /** Without credentials. */
  readonly url: string;
  readonly dataPrefix: string;
  readonly indexKey: string;
  readonly partSize: number;
  readonly partsInParallel: number;
  readonly readAhead: number;
  readonly checksums: boolean;
  readonly exclusiveWrites: 'atomic' | 'check-first';
  readonly createBucket: boolean;
  readonly listingLag: number;
  readonly attempts: number;
  readonly requestTimeout: number;
  readonly clock: Clock;
  readonly random: Random;
}

const DATA_FOLDER = 'data/';
export const INDEX_FOLDER = 'backups/';

/** INVALID_OPTION for what cannot be. */
export function checkSettings(client: S3Client, place: S3Place, url: string, options: S3ContainerOptions): S3Settings {
  checkMethods('client', client, 'S3Client', ['send', 'destroy']);
  checkFlag('checksums', options.checksums);
  checkFlag('createBucket', options.createBucket);
  checkListingLag(options.listingLag);
  const exclusiveWrites = options.exclusiveWrites ?? 'atomic';
  if (exclusiveWrites !== 'atomic' && exclusiveWrites !== 'check-first') {
    throw new BackupError(
      'INVALID_OPTION',
      `exclusiveWrites must be 'atomic' or 'check-first', got ${JSON.stringify(exclusiveWrites)}`,
    );
  }
  const { bucket, name } = checkPlace(place);
  return {
    client,
    bucket,
    name,
    url,
    dataPrefix: `${DATA_FOLDER}${name}/`,
    indexKey: `${INDEX_FOLDER}${name}`,
    partSize: checkWholeNumber('partSize', options.partSize ?? 8 << 20, MIN_PART_SIZE, MAX_PART_SIZE),
    partsInParallel: checkWholeNumber('partsInParallel', options.partsInParallel ?? 4, 1, 256),
    readAhead: checkWholeNumber('readAhead', options.readAhead ?? 16 << 20, 0, 2 ** 30),
    checksums: options.checksums ?? true,
    exclusiveWrites,
    createBucket: options.createBucket ?? true,
    listingLag: options.listingLag ?? 0,
    attempts: checkWholeNumber('attempts', options.attempts ?? 4, 1, 100),
    requestTimeout: checkWholeNumber('requestTimeout', options.requestTimeout ?? 60_000, 1_000, 3_600_000),
    clock: options.clock ?? systemClock,
    random: options.random ?? systemRandom,
  };
}

/** INVALID_OPTION unless it names a bucket and a backup. The name's characters are those that FoundationDB takes, so that its tools can open the backup too. */
export function checkPlace({ bucket, name }: S3Place): S3Place {
  if (typeof bucket !== 'string' || !/^[\w.-]{3,255}$/.test(bucket))
    throw new BackupError(
      'INVALID_OPTION',
      `bucket must be the name of a bucket, 3 to 255 letters, digits, "_", "-" and ".", got ${JSON.stringify(bucket)}`,
    );
  if (typeof name !== 'string' || !/^[\w./-]+$/.test(name) || fileNameProblem(name) !== undefined) {
    throw new BackupError(
      'INVALID_OPTION',
      `name must be a backup's name of letters, digits, "_", "-", "." and "/", without empty parts, got ${JSON.stringify(name)}`,
    );
  }
  return { bucket, name };
}
