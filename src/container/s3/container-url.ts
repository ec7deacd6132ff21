// The two URL forms of a container in S3. Errors name the parameter that is wrong, and never a value that could be a secret.

import { BackupError } from '../../core/errors.js';
import { redactUrl } from '../../core/redact-url.js';
import type { S3Credentials } from '../s3-options.js';
import { guessRegion } from './region.js';
import type { S3Place } from './settings.js';
import { checkPlace } from './settings.js';

/** What a URL says. */
export interface S3Location extends S3Place {
  /** Without credentials; the same for everyone who names the same place in the same form. */
  readonly url: string;
  readonly endpoint?: string;
  readonly region?: string;
  readonly forcePathStyle?: boolean;
  readonly credentials?: S3Credentials;
  /** Added to every request. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly tuning: UrlTuning;
}

/** What FoundationDB's parameters say of things that are options here. */
export interface UrlTuning {
  readonly partSize?: number;
  readonly partsInParallel?: number;
  readonly requestTimeout?: number;
  /** ms */
  readonly connectTimeout?: number;
  readonly attempts?: number;
  readonly maxSockets?: number;
  readonly readAhead?: number;
  readonly checksums?: boolean;
}

/** INVALID_OPTION for what is neither form. `name` may be missing only where `isBucketEnough`. */
export function parseContainerUrl(url: string, isBucketEnough = false): S3Location {
  if (typeof url !== 'string') throw new BackupError('INVALID_OPTION', 'url must be a string');
  const shown = redactUrl(url);
  const scheme = /^([a-z0-9]+):\/\//i.exec(url)?.[1]?.toLowerCase();
  const parse = scheme === 's3' ? parseS3 : scheme === 'blobstore' ? parseBlobstore : undefined;
  if (parse === undefined) throw invalid(shown, 'it must begin with s3:// or blobstore://');
  const location = parse(url.slice(url.indexOf('://') + 3), (why) => invalid(shown, why));
  if (!isBucketEnough || location.name !== '') checkPlace(location);
  else checkPlace({ ...location, name: 'any' });
  return location;
}

type Refuse = (why: string) => BackupError;

function invalid(shown: string, why: string): BackupError {
  return new BackupError('INVALID_OPTION', `url ${JSON.stringify(shown)} cannot name a container: ${why}`);
}

/** `s3://bucket/name?region=r&endpoint=https://host:port&path_style=1` */
function parseS3(rest: string, refuse: Refuse): S3Location {
  const { path, query } = splitQuery(rest);
  const { first: bucket, rest: resource } = splitPath(path);
  if (path.includes('@') || bucket.includes(':'))
    throw refuse('credentials do not belong into an s3:// URL: the SDK finds them, or give them to openContainer');
  let region: string | undefined;
  let endpoint: string | undefined;
  let forcePathStyle: boolean | undefined;
  for (const [parameter, value] of parameters(query, refuse)) {
    if (parameter === 'region') region = value;
    else if (parameter === 'endpoint') endpoint = checkEndpoint(value, refuse);
    else if (parameter === 'path_style') forcePathStyle = wholeNumber(parameter, value, 0, 1, refuse) === 1;
    else
      throw refuse(
        `it has the unknown parameter "${parameter}": region, endpoint and path_style are known, the rest goes into options`,
      );
  }
  const name = trimSlash(resource);
  const shown = new URLSearchParams();
  if (endpoint !== undefined) shown.set('endpoint', endpoint);
  if (region !== undefined) shown.set('region', region);
  return {
    bucket,
    name,
    url: `s3://${bucket}/${name}${shown.size === 0 ? '' : `?${shown.toString()}`}`,
    tuning: {},
    ...defined({ region, endpoint, forcePathStyle }),
  };
}

function checkEndpoint(value: string, refuse: Refuse): string {
  if (/^https?:\/\/[^/?#@\s]+\/?$/i.test(value)) return value.replace(/\/$/, '');
  throw refuse('the parameter "endpoint" must be https://host:port, without credentials');
}

/** `blobstore://[key[:secret[:token]]@]host[:port]/name?bucket=b…`: as FoundationDB's tools take it. The parts of the credentials may be percent-encoded, which those that have a `:` or `@` must be. */
function parseBlobstore(text: string, refuse: Refuse): S3Location {
  const rest = text.replaceAll('&amp;', '&');
  const at = rest.indexOf('@');
  const written = at === -1 ? undefined : rest.slice(0, at);
  const { path, query } = splitQuery(rest.slice(at + 1));
  const { first: hostPort, rest: resource } = splitPath(path);
  const { host, port } = splitHost(hostPort, refuse);
  const read = readParameters(parameters(query, refuse), refuse);
  const { bucket, isSecure, usesSdkCredentials, headers, tuning } = read;
  if (bucket === undefined) throw refuse('the parameter "bucket" is missing');
  const region = read.region ?? guessRegion(host) ?? 'us-east-1';
  // A bucket named by the host is not named in the path as well.
  const isVirtual = host.toLowerCase().startsWith(`${bucket.toLowerCase()}.`);
  const server = isVirtual ? host.slice(bucket.length + 1) : host;
  const suffix = port === '' ? '' : `:${port}`;
  const credentials = usesSdkCredentials ? undefined : parseCredentials(written, refuse);
  const name = trimSlash(resource);
  const shown = new URLSearchParams({ bucket });
  if (read.region !== undefined) shown.set('region', region);
  if (!isSecure) shown.set('secure_connection', '0');
  return {
    bucket,
    name,
    url: `blobstore://${host}${suffix}/${name}?${shown.toString()}`,
    endpoint: `${isSecure ? 'https' : 'http'}://${server}${suffix}`,
    region,
    forcePathStyle: !isVirtual,
    tuning,
    headers,
    ...defined({ credentials }),
  };
}

function splitHost(hostPort: string, refuse: Refuse): { host: string; port: string } {
  const match = /^(\[[0-9a-f:.]+\]|[\w.-]+)(?::(\d{1,5}))?$/i.exec(hostPort);
  if (match === null)
    throw refuse('it has no host, or one that is none (credentials with a "/", ":" or "@" must be percent-encoded)');
  return { host: match[1] as string, port: match[2] ?? '' };
}

/** Undefined: the SDK is to find them. */
function parseCredentials(written: string | undefined, refuse: Refuse): S3Credentials | undefined {
  if (written === undefined || written === '') return undefined;
  const [accessKeyId = '', secretAccessKey = '', ...token] = written.split(':').map((part) => {
    try {
      return decodeURIComponent(part);
    } catch {
      throw refuse('its credentials are not percent-encoded as they should be');
    }
  });
  if (token.length > 1)
    throw refuse('its credentials have more than three parts: a ":" in one of them must be percent-encoded');
  if (accessKeyId === '' && secretAccessKey === '') return undefined;
  if (accessKeyId === '' || secretAccessKey === '')
    throw refuse(
      'it has only one of access key and secret: give both, or neither, or the credentials to openContainer',
    );
  const sessionToken = token[0] === '' ? undefined : token[0];
  return { accessKeyId, secretAccessKey, ...defined({ sessionToken }) };
}

interface BlobstoreParameters {
  bucket: string | undefined;
  region: string | undefined;
  isSecure: boolean;
  usesSdkCredentials: boolean;
  headers: Record<string, string>;
  tuning: UrlTuning;
}

/** FoundationDB's own limits of speed, which this client does not keep: it would be worse to pretend to. */
const RATE_LIMITS: readonly string[] = [
  'requests_per_second',
  'rps',
  'list_requests_per_second',
  'lrps',
  'write_requests_per_second',
  'wrps',
  'read_requests_per_second',
  'rrps',
  'delete_requests_per_second',
  'drps',
  'max_send_bytes_per_second',
  'sbps',
  'max_recv_bytes_per_second',
  'rbps',
];

/** What tunes FoundationDB's client and has nothing to tune here. Taken, so that one URL serves both. */
const WITHOUT_EFFECT: readonly string[] = [
  'connect_tries',
  'ct',
  'max_connection_life',
  'mcl',
  'multipart_max_part_size',
  'maxps',
  'multipart_retry_delay_ms',
  'mrd',
  'concurrent_uploads',
  'cu',
  'concurrent_lists',
  'cl',
  'concurrent_reads_per_file',
  'crpf',
  'crps',
  'read_block_size',
  'rbs',
  'read_ahead_blocks',
  'rab',
  'read_cache_blocks_per_file',
  'rcb',
  'global_connection_pool',
  'gcp',
  'max_delay_retryable_error',
  'dre',
  'max_delay_connection_failed',
  'dcf',
];

function readParameters(given: Iterable<readonly [string, string]>, refuse: Refuse): BlobstoreParameters {
  const headers: Record<string, string> = {};
  const tuning: { -readonly [K in keyof UrlTuning]: UrlTuning[K] } = {};
  const read: BlobstoreParameters = {
    bucket: undefined,
    region: undefined,
    isSecure: true,
    usesSdkCredentials: false,
    headers,
    tuning,
  };
  for (const [parameter, value] of given) {
    const number = (least: number, most: number) => wholeNumber(parameter, value, least, most, refuse);
    switch (parameter) {
      case 'bucket':
        read.bucket = value;
        break;
      case 'region':
        read.region = value;
        break;
      case 'header':
        addHeader(headers, value, refuse);
        break;
      case 'provider':
      case 'p':
        if (value !== 's3') throw refuse(`the parameter "${parameter}" must be s3: other providers are not known here`);
        break;
      case 'secure_connection':
      case 'sc':
        read.isSecure = number(0, 1) === 1;
        break;
      case 'sdk_auth':
      case 'sa':
        read.usesSdkCredentials = number(0, 1) === 1;
        break;
      case 'connect_timeout':
      case 'cto':
        tuning.connectTimeout = number(1, 3_600) * 1_000;
        break;
      case 'request_timeout_min':
      case 'rtom':
      case 'request_timeout':
      case 'rto':
        tuning.requestTimeout = number(1, 3_600) * 1_000;
        break;
      case 'request_tries':
      case 'rt':
        tuning.attempts = number(1, 100);
        break;
      case 'concurrent_requests':
      case 'cr':
        tuning.maxSockets = number(1, 10_000);
        break;
      case 'concurrent_writes_per_file':
      case 'cwpf':
      case 'cwps':
        tuning.partsInParallel = number(1, 256);
        break;
      case 'multipart_min_part_size':
      case 'minps':
        tuning.partSize = number(5 << 20, 5 * 2 ** 30);
        break;
      case 'enable_read_cache':
      case 'erc':
        if (number(0, 1) === 0) tuning.readAhead = 0;
        break;
      case 'enable_object_integrity_check':
      case 'eoic':
        tuning.checksums = number(0, 1) === 1;
        break;
      default:
        if (RATE_LIMITS.includes(parameter))
          throw refuse(`the parameter "${parameter}" limits FoundationDB's speed, and is not kept here: leave it out`);
        if (!WITHOUT_EFFECT.includes(parameter))
          throw refuse(
            `it has the unknown parameter "${parameter}": leave it out (docs/guides/s3.md lists those that are known)`,
          );
        number(0, Number.MAX_SAFE_INTEGER);
    }
  }
  return read;
}

/** Those that the SDK makes itself, and that would spoil a request. */
const OWN_HEADERS =
  /^(?:host|authorization|content-length|transfer-encoding|expect|connection|range|if-.*|x-amz-(?:date|content-sha256|security-token|checksum-.*|sdk-.*|meta-tidemark-upload))$/;

function addHeader(headers: Record<string, string>, value: string, refuse: Refuse): void {
  const colon = value.indexOf(':');
  const field = value.slice(0, Math.max(0, colon)).toLowerCase();
  const content = value.slice(colon + 1);
  if (!/^[!#$%&'*+.^`|~\w-]+$/.test(field) || !/^[\t\x20-\x7e]+$/.test(content))
    throw refuse('the parameter "header" must be <FieldName>:<FieldValue>');
  if (OWN_HEADERS.test(field)) throw refuse(`the parameter "header" must not set ${field}`);
  headers[field] = headers[field] === undefined ? content : `${headers[field]},${content}`;
}

function splitQuery(text: string): { path: string; query: string } {
  const question = text.indexOf('?');
  return question === -1
    ? { path: text, query: '' }
    : { path: text.slice(0, question), query: text.slice(question + 1) };
}

function splitPath(path: string): { first: string; rest: string } {
  const slash = path.indexOf('/');
  return slash === -1 ? { first: path, rest: '' } : { first: path.slice(0, slash), rest: path.slice(slash + 1) };
}

function trimSlash(name: string): string {
  return name.endsWith('/') ? name.slice(0, -1) : name;
}

function* parameters(query: string, refuse: Refuse): Generator<readonly [string, string], void, undefined> {
  for (const part of query.split('&')) {
    if (part === '') continue;
    const equals = part.indexOf('=');
    const name = equals === -1 ? part : part.slice(0, equals);
    if (!/^\w{1,64}$/.test(name)) throw refuse('it has a parameter that has no name');
    if (equals === -1) throw refuse(`the parameter "${name}" has no value`);
    try {
      yield [name, decodeURIComponent(part.slice(equals + 1))];
    } catch {
      throw refuse(`the parameter "${name}" is not percent-encoded as it should be`);
    }
  }
}

function wholeNumber(parameter: string, value: string, least: number, most: number, refuse: Refuse): number {
  const number = /^\d{1,16}$/.test(value) ? Number(value) : -1;
  if (number >= least && number <= most) return number;
  throw refuse(`the parameter "${parameter}" must be a whole number from ${least} to ${most}`);
}

/** Without what is undefined: exactOptionalPropertyTypes tells the two apart. */
function defined<T extends object>(values: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  const entries = Object.entries(values).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as { [K in keyof T]?: Exclude<T[K], undefined> };
}
