// S3's errors, and those of the way there, as the port's. What an SDK error carries along (the request's headers, and in them a session token) is left behind.

import type { BackupErrorFacts } from '../../core/errors.js';
import { AssertionError, BackupError } from '../../core/errors.js';

/** The parts of the SDK's errors, and of Node's, that are looked at. */
interface ErrorParts {
  readonly name?: unknown;
  readonly message?: unknown;
  readonly code?: unknown;
  readonly Code?: unknown;
  readonly $retryable?: unknown;
  readonly $metadata?: {
    readonly httpStatusCode?: unknown;
    readonly requestId?: unknown;
    readonly attempts?: unknown;
  };
}

/** Everything of an error that is worth keeping, and nothing that could hold a secret. */
export class S3RequestError extends Error {
  /** S3's code, such as `SlowDown`, or Node's, such as `ECONNRESET`. */
  readonly code: string;
  readonly httpStatusCode: number | undefined;
  /** For the store's operator. */
  readonly requestId: string | undefined;
  /** How often the SDK has tried. */
  readonly attempts: number;

  constructor(parts: ErrorParts) {
    const code = codeOf(parts);
    const text = typeof parts.message === 'string' && parts.message !== 'UnknownError' ? parts.message : '';
    super(text === '' || text === code ? code : `${code}: ${text.slice(0, MAX_MESSAGE)}`);
    this.name = 'S3RequestError';
    this.code = code;
    const { httpStatusCode, requestId, attempts } = parts.$metadata ?? {};
    this.httpStatusCode = typeof httpStatusCode === 'number' ? httpStatusCode : undefined;
    this.requestId = typeof requestId === 'string' ? requestId : undefined;
    this.attempts = typeof attempts === 'number' ? attempts : 1;
  }
}

/** Characters; a proxy on the way may answer with a page of HTML. */
const MAX_MESSAGE = 300;

function codeOf({ Code, name, code, $metadata }: ErrorParts): string {
  for (const known of [Code, name, code]) {
    if (typeof known === 'string' && !['', 'Error', 'Unknown', 'UnknownError'].includes(known)) return known;
  }
  if (typeof code === 'string' && code !== '') return code;
  const status = $metadata?.httpStatusCode;
  return typeof status === 'number' ? `HTTP ${status}` : 'connection failed';
}

/** What the SDK threw, without what must not be shown; undefined: it is none of its errors. */
export function requestError(error: unknown): S3RequestError | undefined {
  if (error instanceof S3RequestError) return error;
  if (BackupError.is(error) || error instanceof AssertionError || !(error instanceof Error)) return undefined;
  // A mistake in the code is no failed request: it is told as it is.
  if (error instanceof TypeError || error instanceof RangeError) return undefined;
  return new S3RequestError(error);
}

/** The S3 errors of one call, told apart. */
export function isNoSuchKey(error: S3RequestError): boolean {
  return error.code === 'NoSuchKey' || (error.code === 'NotFound' && error.httpStatusCode === 404);
}

export function isNoSuchBucket(error: S3RequestError): boolean {
  return error.code === 'NoSuchBucket';
}

/** The condition of a conditional write did not hold. */
export function isConditionFailed(error: S3RequestError): boolean {
  return error.code === 'PreconditionFailed' || error.httpStatusCode === 412;
}

/** Codes that a store answers with to what it does not know. */
export function isNotImplemented(error: S3RequestError): boolean {
  return (
    ['NotImplemented', 'MethodNotAllowed', 'UnsupportedOperation'].includes(error.code) ||
    error.httpStatusCode === 501 ||
    error.httpStatusCode === 405
  );
}

/** Refused for good: trying again with the same credentials and rights gives the same answer. */
const DENIED = new Set([
  'AccessDenied',
  'AccountProblem',
  'AllAccessDisabled',
  'InvalidAccessKeyId',
  'InvalidSecurity',
  'InvalidToken',
  'NotSignedUp',
  'SignatureDoesNotMatch',
  'UnauthorizedAccess',
  'Forbidden',
]);

/** Passing, though the store says "client error". */
const PASSING = new Set([
  'BadDigest',
  'ConditionalRequestConflict',
  'CredentialsProviderError',
  'ExpiredToken',
  'ExpiredTokenException',
  'IncompleteBody',
  'InternalError',
  // A try that was given up has stored the part once more, under another ETag (as with SSE-KMS): the file is written again.
  'InvalidPart',
  'NoSuchBucket',
  'OperationAborted',
  'RequestTimeout',
  'RequestTimeTooSkewed',
  'ServiceUnavailable',
  'SlowDown',
  'Throttling',
  'ThrottlingException',
  'TooManyRequests',
  'TokenRefreshRequired',
  'XAmzContentSHA256Mismatch',
  'XAmzContentChecksumMismatch',
]);

const ADVICE: Readonly<Record<string, string>> = {
  AccessDenied:
    'the credentials lack a right that this needs: see the policy in docs/guides/s3.md (without s3:ListBucket a missing object looks like this too)',
  BadDigest: 'bytes were changed on their way to the store',
  CredentialsProviderError:
    'the SDK has found no credentials: give them to openContainer, or set the machine up for it',
  ExpiredToken: 'the session token has expired: give openContainer a function that gets new ones',
  InvalidAccessKeyId: 'the store does not know this access key',
  NoSuchBucket: 'there is no such bucket: make it, or let create() make it (createBucket)',
  PermanentRedirect: 'the bucket is in another region: give its region',
  AuthorizationHeaderMalformed: "the region is not the bucket's: give its region",
  IllegalLocationConstraintException: "the region is not the bucket's: give its region",
  InvalidObjectState:
    'the object was moved to an archive (Glacier): restore it first, and keep backups out of that lifecycle rule',
  RequestTimeTooSkewed: "this machine's clock is wrong",
  SignatureDoesNotMatch: 'the secret access key is not the right one',
  SlowDown: 'the store asks for fewer requests',
};

function isPassing({ code, httpStatusCode }: S3RequestError): boolean {
  if (PASSING.has(code)) return true;
  if (httpStatusCode === undefined) return true; // No answer at all: the connection.
  return httpStatusCode >= 500 ? httpStatusCode !== 501 : httpStatusCode === 429 || httpStatusCode === 408;
}

export interface S3Call {
  /** What is being done, for messages: "storing", "listing" … */
  readonly doing: string;
  readonly file?: string | undefined;
}

/** The port's error for one of the SDK's; any other error as it is. */
export function backupError(error: unknown, call: S3Call, container: string): unknown {
  const request = requestError(error);
  return request === undefined ? error : errorOf(request, call, container);
}

export function errorOf(request: S3RequestError, { doing, file }: S3Call, container: string): BackupError {
  const facts: BackupErrorFacts = { file, container, cause: request };
  const what = file === undefined ? container : `${file} in ${container}`;
  if (isNoSuchKey(request)) return new BackupError('FILE_NOT_FOUND', `there is no file ${what}`, facts);
  const advice = ADVICE[request.code];
  const message = `${doing} ${what} failed: ${request.message}${advice === undefined ? '' : ` (${advice})`}`;
  if (DENIED.has(request.code) || (request.httpStatusCode === 403 && !isPassing(request)))
    return new BackupError('CONTAINER_ACCESS_DENIED', message, facts);
  return new BackupError('CONTAINER_UNAVAILABLE', message, { ...facts, retryable: isPassing(request) });
}
