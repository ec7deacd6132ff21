// From a URL to a container with a client of its own.

import type { S3ClientConfig } from '@aws-sdk/client-s3';
import { S3Client } from '@aws-sdk/client-s3';
import { checkFlag, checkWholeNumber } from '../../core/check-option.js';
import { BackupError } from '../../core/errors.js';
import type { OpenS3Options, S3Credentials } from '../s3-options.js';
import type { S3Location } from './container-url.js';
import { parseContainerUrl } from './container-url.js';
import { S3Container } from './s3-container.js';

/** ms */
const CONNECT_TIMEOUT = 10_000;
/** ms without a byte either way, after which the SDK tries again on another connection. One that a router has dropped answers nothing, ever: it must not use up all the time of a try, nor that of a worker's job (`jobStallTimeout`). */
const SILENCE_TIMEOUT = 20_000;
/** ms after which a connection that nobody uses is closed. */
const IDLE_TIMEOUT = 30_000;
const MAX_SOCKETS = 64;

/**
 * `s3://bucket/name[?region=r&endpoint=https://host:port&path_style=1]`, or `blobstore://[key[:secret[:token]]@]host[:port]/name?bucket=b[&region=r…]` as FoundationDB's tools have it. Both mean the same objects. The
 * container owns its client: call `close` when you are done with it, though a client that is idle holds nothing after half a minute.
 *
 * Throws INVALID_OPTION; no request is made.
 */
export function openS3Container(url: string, options: OpenS3Options = {}): S3Container {
  const location = parseContainerUrl(url);
  const client = makeClient(location, options);
  try {
    const { bucket, name, tuning } = location;
    const { partSize, partsInParallel, requestTimeout, attempts, readAhead, checksums } = tuning;
    return new S3Container(
      {
        partSize,
        partsInParallel,
        requestTimeout,
        attempts,
        readAhead,
        checksums,
        ...given(options),
        client,
        bucket,
        name,
        url: location.url,
      },
      () => client.destroy(),
    );
  } catch (error) {
    client.destroy();
    throw error;
  }
}

/** Without what is undefined, which would win over the URL. */
function given(options: OpenS3Options): OpenS3Options {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}

export function makeClient(location: S3Location, options: OpenS3Options): S3Client {
  checkFlag('forcePathStyle', options.forcePathStyle);
  checkCredentials(options.credentials);
  const endpoint = options.endpoint ?? location.endpoint;
  const region = options.region ?? location.region;
  const credentials = options.credentials ?? location.credentials;
  const sockets = { keepAlive: true, maxSockets: location.tuning.maxSockets ?? MAX_SOCKETS, timeout: IDLE_TIMEOUT };
  const checksums = options.checksums ?? location.tuning.checksums ?? true;
  const config: S3ClientConfig = {
    maxAttempts: checkWholeNumber('sdkAttempts', options.sdkAttempts ?? 3, 1, 20),
    requestHandler: {
      connectionTimeout: location.tuning.connectTimeout ?? CONNECT_TIMEOUT,
      socketTimeout: SILENCE_TIMEOUT,
      httpAgent: sockets,
      httpsAgent: sockets,
    },
    requestChecksumCalculation: checksums ? 'WHEN_SUPPORTED' : 'WHEN_REQUIRED',
    responseChecksumValidation: checksums ? 'WHEN_SUPPORTED' : 'WHEN_REQUIRED',
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(region === undefined ? (endpoint === undefined ? {} : { region: 'us-east-1' }) : { region }),
    forcePathStyle: options.forcePathStyle ?? location.forcePathStyle ?? endpoint !== undefined,
    ...(credentials === undefined ? {} : { credentials: identityProvider(credentials) }),
  };
  const client = new S3Client(config);
  addHeaders(client, location.headers ?? {});
  return client;
}

function identityProvider(
  credentials: NonNullable<OpenS3Options['credentials']>,
): NonNullable<Exclude<S3ClientConfig['credentials'], undefined>> {
  const withoutUndefined = ({ accessKeyId, secretAccessKey, sessionToken, expiration }: S3Credentials) => ({
    accessKeyId,
    secretAccessKey,
    ...(sessionToken === undefined ? {} : { sessionToken }),
    ...(expiration === undefined ? {} : { expiration }),
  });
  if (typeof credentials !== 'function') return withoutUndefined(credentials);
  return async () => withoutUndefined(await credentials());
}

function checkCredentials(credentials: OpenS3Options['credentials']): void {
  if (credentials === undefined || typeof credentials === 'function') return;
  const { accessKeyId, secretAccessKey } = credentials;
  if (typeof accessKeyId === 'string' && typeof secretAccessKey === 'string' && accessKeyId !== '') return;
  throw new BackupError(
    'INVALID_OPTION',
    'credentials must be an access key id and its secret, or a function that gives them',
  );
}

function addHeaders(client: S3Client, headers: Readonly<Record<string, string>>): void {
  if (Object.keys(headers).length === 0) return;
  client.middlewareStack.add(
    (next) => (args) => {
      const { request } = args as { request?: { headers?: Record<string, string> } };
      if (request?.headers !== undefined) Object.assign(request.headers, headers);
      return next(args);
    },
    { step: 'build', name: 'tidemarkHeaders' },
  );
}
