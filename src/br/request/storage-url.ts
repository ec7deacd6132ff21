// A storage backend from a URL as BR's command line takes it: `local:///path`, `s3://bucket/prefix?access-key=…&secret-access-key=…`. As BR's pkg/storage/parse.go, but for what BR passes over in silence: a parameter that
// nobody knows, a flag that is neither true nor false and a host where there is none are refused, since the backup would not be what was asked for. Errors name parameters, never their values.

import { resolve } from 'node:path';
import { BackupError } from '../../core/errors.js';
import type { BrInit } from '../../format/br/messages.js';
import type { BrAzureCustomerKey } from '../../format/br/request-messages.js';
import { StorageBackend, azureCustomerKey } from './storage-backend.js';

type Parameters = ReadonlyMap<string, string>;

/** One letter is a drive of Windows, not a scheme. */
const SCHEME = /^([a-z][a-z0-9+.-]+):/i;

const S3_PARAMETERS = {
  endpoint: 'endpoint',
  region: 'region',
  'storage-class': 'storageClass',
  sse: 'sse',
  'sse-kms-key-id': 'sseKmsKeyId',
  acl: 'acl',
  'access-key': 'accessKey',
  'secret-access-key': 'secretAccessKey',
  'session-token': 'sessionToken',
  provider: 'provider',
  'role-arn': 'roleArn',
  'external-id': 'externalId',
  profile: 'profile',
} as const;

const GCS_PARAMETERS = {
  endpoint: 'endpoint',
  'storage-class': 'storageClass',
  'predefined-acl': 'predefinedAcl',
} as const;

const AZURE_PARAMETERS = {
  endpoint: 'endpoint',
  'access-tier': 'storageClass',
  'account-name': 'accountName',
  'account-key': 'sharedKey',
  'sas-token': 'accessSig',
  'encryption-scope': 'encryptionScope',
} as const;

/** Providers whose buckets are not addressed by path. */
const WITHOUT_PATH_STYLE: readonly string[] = ['alibaba', 'netease'];

/**
 * `noop://`, `local:///path`, `file:///path`, a path, `s3://bucket/prefix`, `gs://` or `gcs://bucket/prefix`, `azure://` or `azblob://container/prefix`, `hdfs://…`. Parameters as BR has them, with `-` or `_`. A `+` is a
 * plus: keys of AWS have some. Credentials of GCS are not read from a file (`credentials-file`): give their content to `StorageBackend.gcs`.
 *
 * INVALID_OPTION
 */
export function storageFromUrl(url: string): StorageBackend {
  if (typeof url !== 'string' || url === '') throw invalid('is empty');
  const scheme = SCHEME.exec(url)?.[1]?.toLowerCase();
  if (scheme === undefined) return StorageBackend.local(resolve(url));
  if (scheme === 'hdfs') return StorageBackend.hdfs(url);
  const parts = splitUrl(url);
  switch (scheme) {
    case 'local':
    case 'file':
      return localStorage(parts);
    case 'noop':
      return StorageBackend.noop();
    case 's3':
      return s3Storage(parts);
    case 'gs':
    case 'gcs':
      return gcsStorage(parts);
    case 'azure':
    case 'azblob':
      return azureStorage(parts);
    default:
      throw invalid(`has the scheme ${scheme}, which is none of local, file, noop, s3, gcs, gs, azure, azblob, hdfs`);
  }
}

interface UrlParts {
  readonly host: string;
  /** With the slash that it begins with. */
  readonly path: string;
  readonly parameters: Parameters;
}

/** By hand: URL makes a bucket's name lower case, and quotes the URL, with its secrets, where it fails. */
function splitUrl(url: string): UrlParts {
  const [, rest] = /^[^:]*:\/\/(.*)$/s.exec(url) ?? [];
  if (rest === undefined) throw invalid('has no // behind its scheme');
  if (rest.includes('#')) throw invalid('has a #: write it as %23');
  const question = rest.indexOf('?');
  const place = question === -1 ? rest : rest.slice(0, question);
  if (place.includes('@'))
    throw invalid('has an @ before its parameters: credentials are parameters, such as access-key');
  const slash = place.indexOf('/');
  const host = slash === -1 ? place : place.slice(0, slash);
  const path = slash === -1 ? '' : place.slice(slash);
  return {
    host: decoded(host, 'host'),
    path: decoded(path, 'path'),
    parameters: parametersOf(question === -1 ? '' : rest.slice(question + 1)),
  };
}

function parametersOf(query: string): Parameters {
  const parameters = new Map<string, string>();
  for (const parameter of query.split('&')) {
    if (parameter === '') continue;
    const equals = parameter.indexOf('=');
    const name = equals === -1 ? parameter : parameter.slice(0, equals);
    const key = decoded(name, 'parameters').toLowerCase().replaceAll('_', '-');
    if (parameters.has(key)) throw invalid(`has the parameter ${key} twice`);
    parameters.set(key, equals === -1 ? '' : decoded(parameter.slice(equals + 1), `parameter ${key}`));
  }
  return parameters;
}

function localStorage({ host, path, parameters }: UrlParts): StorageBackend {
  if (host !== '') throw invalid('of a local storage has a host: an absolute path has three slashes, local:///path');
  checkKnown(parameters, []);
  return StorageBackend.local(path);
}

function s3Storage({ host, path, parameters }: UrlParts): StorageBackend {
  const flags = ['force-path-style', 'use-accelerate-endpoint', 'object-lock-enabled'];
  checkKnown(parameters, [...Object.keys(S3_PARAMETERS), ...flags]);
  const settings = pick(S3_PARAMETERS, parameters);
  const isVirtual =
    WITHOUT_PATH_STYLE.includes(settings.provider ?? '') || flag(parameters, 'use-accelerate-endpoint', false);
  return StorageBackend.s3({
    ...settings,
    ...(settings.endpoint === undefined ? {} : { endpoint: settings.endpoint.replace(/\/$/, '') }),
    bucket: host,
    prefix: trimSlashes(path),
    forcePathStyle: !isVirtual && flag(parameters, 'force-path-style', true),
    objectLockEnabled: flag(parameters, 'object-lock-enabled', false),
  });
}

function gcsStorage({ host, path, parameters }: UrlParts): StorageBackend {
  if (parameters.has('credentials-file')) {
    throw invalid('has the parameter credentials-file: read the file and pass its content to StorageBackend.gcs');
  }
  checkKnown(parameters, Object.keys(GCS_PARAMETERS));
  return StorageBackend.gcs({ ...pick(GCS_PARAMETERS, parameters), bucket: host, prefix: trimSlashes(path) });
}

function azureStorage({ host, path, parameters }: UrlParts): StorageBackend {
  checkKnown(parameters, [...Object.keys(AZURE_PARAMETERS), 'encryption-key']);
  const key = parameters.get('encryption-key');
  return StorageBackend.azure({
    ...pick(AZURE_PARAMETERS, parameters),
    bucket: host,
    prefix: trimSlashes(path),
    ...(key === undefined ? {} : { encryptionKey: customerKeyOf(key) }),
  });
}

/** BR takes the key's 32 bytes as they are. */
function customerKeyOf(text: string): BrInit<BrAzureCustomerKey> {
  const key = Buffer.from(text);
  if (key.length !== 32) throw invalid('has an encryption-key that is not of 32 bytes');
  return azureCustomerKey(key);
}

/** The parameters that are there, under their names in the message. */
function pick<T extends Readonly<Record<string, string>>>(
  names: T,
  parameters: Parameters,
): Partial<Record<T[keyof T], string>> {
  const settings: Partial<Record<string, string>> = {};
  for (const [parameter, field] of Object.entries(names)) {
    const value = parameters.get(parameter);
    if (value !== undefined) settings[field] = value;
  }
  return settings;
}

function checkKnown(parameters: Parameters, known: readonly string[]): void {
  for (const name of parameters.keys()) {
    if (!known.includes(name))
      throw invalid(`has a parameter ${JSON.stringify(name)} that is none of ${known.join(', ') || 'any'}`);
  }
}

function flag(parameters: Parameters, name: string, byDefault: boolean): boolean {
  const text = parameters.get(name);
  if (text === undefined) return byDefault;
  if (/^(?:1|t|true)$/i.test(text)) return true;
  if (/^(?:0|f|false)$/i.test(text)) return false;
  throw invalid(`has a parameter ${name} that is neither true nor false`);
}

function trimSlashes(path: string): string {
  return path.replace(/^\/+|\/+$/g, '');
}

function decoded(text: string, what: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    // The URIError says nothing more, and quotes the text.
    throw invalid(`has a % in its ${what} that is followed by no two hex digits: write it as %25`);
  }
}

function invalid(problem: string): BackupError {
  return new BackupError('INVALID_OPTION', `the URL of a storage ${problem}`);
}
