// Where a backup request has TiKV store its files. Holds the credentials of that place and shows them to nobody: not as text, as JSON, in errors or in a debugger's listing. `toMessage` is the one way to them, for the wire.

import { createHash } from 'node:crypto';
import { isAbsolute } from 'node:path';
import { inspect } from 'node:util';
import { isBytes } from '../../core/bytes.js';
import { BackupError } from '../../core/errors.js';
import { redactUrl, redactUrlIn } from '../../core/redact-url.js';
import type { BrInit } from '../../format/br/messages.js';
import type {
  BrAzureBlobStorage,
  BrAzureCustomerKey,
  BrBackend,
  BrCloudDynamic,
  BrGcs,
  BrS3,
  BrStorageBackend,
} from '../../format/br/request-messages.js';

/** Which storage it is: the name of its message. */
export type StorageKind = BrBackend['kind'];

/** What stands in a secret's place. */
const REDACTED = '***';

/** Fields that nobody sees. Of a provider that the protocol has no message for, only the provider knows which attributes are secret. */
const SECRETS: ReadonlySet<string> = new Set([
  'accessKey',
  'secretAccessKey',
  'sessionToken',
  'externalId',
  'credentialsBlob',
  'sharedKey',
  'accessSig',
  'encryptionKey',
  'encryptionKeySha256',
  'attrs',
]);

/** Fields that are URLs, which may have credentials in them. */
const URLS: ReadonlySet<string> = new Set(['endpoint', 'remote']);

const HEAD: Record<StorageKind, string> = {
  noop: 'noop://',
  local: 'local://',
  s3: 's3://',
  gcs: 'gcs://',
  hdfs: '',
  'azure-blob-storage': 'azure://',
  'cloud-dynamic': 'cloud-dynamic://',
};

/**
 * Immutable. Made by the function of its kind, from a URL as BR takes it (`storageFromUrl`), or from a message that was received. Storages that Tidemark has no container for are described just as well: it is TiKV that
 * writes there.
 */
export class StorageBackend {
  readonly kind: StorageKind;
  readonly #backend: BrInit<BrBackend>;

  private constructor(backend: BrInit<BrBackend>) {
    this.kind = backend.kind;
    this.#backend = backend;
  }

  /** Files are thrown away: for measuring a store. */
  static noop(): StorageBackend {
    return new StorageBackend({ kind: 'noop' });
  }

  /** A folder of each store's own disk, which had better be one that all of them mount: each store writes only what it leads. Absolute. */
  static local(path: string): StorageBackend {
    checkText('path', path);
    if (!isAbsolute(path)) throw invalid('path', `must be absolute, got ${JSON.stringify(path)}`);
    return new StorageBackend({ kind: 'local', path });
  }

  /** S3, and what speaks its protocol. An access key and its secret go together; without them the stores use their own. */
  static s3(settings: BrInit<BrS3>): StorageBackend {
    checkBucket(settings.bucket);
    checkEndpoint(settings.endpoint);
    if (isGiven(settings.accessKey) !== isGiven(settings.secretAccessKey)) {
      throw invalid(isGiven(settings.accessKey) ? 'secretAccessKey' : 'accessKey', 'is missing: they go together');
    }
    return new StorageBackend({ ...settings, kind: 's3' });
  }

  static gcs(settings: BrInit<BrGcs>): StorageBackend {
    checkBucket(settings.bucket);
    checkEndpoint(settings.endpoint);
    return new StorageBackend({ ...settings, kind: 'gcs' });
  }

  /**
   * Azure Blob Storage. Of several credentials a store takes a shared access signature (`accessSig`), then `sharedKey` with its `accountName`, then what its environment has. Encrypted there with an `encryptionScope` or
   * with a key of the customer's (`azureCustomerKey`), not both. `prefix` without a slash in front: the first folder would have no name.
   */
  static azure(settings: BrInit<BrAzureBlobStorage>): StorageBackend {
    checkBucket(settings.bucket);
    checkEndpoint(settings.endpoint);
    if (settings.prefix?.startsWith('/') === true) throw invalid('prefix', 'must not begin with a slash');
    if (settings.encryptionKey !== undefined) {
      checkCustomerKey(settings.encryptionKey);
      if (isGiven(settings.encryptionScope)) throw invalid('encryptionScope', 'excludes encryptionKey');
    }
    return new StorageBackend({ ...settings, kind: 'azure-blob-storage' });
  }

  /** `hdfs:///path` or `hdfs://host:port/path` */
  static hdfs(remote: string): StorageBackend {
    checkText('remote', remote);
    if (!/^hdfs:\/\//i.test(remote)) throw invalid('remote', 'must be a URL hdfs://…');
    return new StorageBackend({ kind: 'hdfs', remote });
  }

  /** A provider that the protocol has no message for. All of `attrs` is taken for secret. */
  static cloudDynamic(settings: BrInit<BrCloudDynamic>): StorageBackend {
    checkText('providerName', settings.providerName);
    checkBucket(settings.bucket?.bucket);
    checkEndpoint(settings.bucket?.endpoint);
    return new StorageBackend({ ...settings, kind: 'cloud-dynamic' });
  }

  /** What a request asks for, as it came: nothing of it is checked. INVALID_OPTION if it says no storage, or one that this release does not know. */
  static fromMessage(message: BrInit<BrStorageBackend> | undefined): StorageBackend {
    const backend = message?.backend;
    if (backend === undefined)
      throw invalid('storage backend', 'is missing, or of a kind that this release does not know');
    return new StorageBackend({ ...backend });
  }

  /** With all secrets: for the wire, and for whoever opens the place. */
  toMessage(): BrInit<BrStorageBackend> {
    return { backend: this.#backend };
  }

  /** The message's fields with all secrets. Narrow it by `kind`. */
  reveal(): BrInit<BrBackend> {
    return this.#backend;
  }

  /** A text, such as an error of a store, without the secrets of this storage. */
  redactIn(text: string): string {
    const withoutUrls = urlsOf(this.#backend).reduce((redacted, url) => redactUrlIn(redacted, url), text);
    return secretsOf(this.#backend).reduce((redacted, secret) => redacted.replaceAll(secret, REDACTED), withoutUrls);
  }

  /** The place, without credentials and without what else describes it: `s3://bucket/prefix`. */
  get url(): string {
    const backend = this.#backend;
    if (backend.kind === 'noop') return 'noop:///';
    if (backend.kind === 'local') return `local://${backend.path ?? ''}`;
    if (backend.kind === 'hdfs') return redactUrl(backend.remote ?? '');
    const { bucket = '', prefix = '' } = backend.kind === 'cloud-dynamic' ? (backend.bucket ?? {}) : backend;
    return `${HEAD[backend.kind]}${bucket}${prefix === '' ? '' : `/${prefix.replace(/^\/+/, '')}`}`;
  }

  toString(): string {
    return this.url;
  }

  /** All that was set, each secret as `***`. */
  toJSON(): Record<string, unknown> {
    return shown(this.#backend);
  }

  [inspect.custom](): string {
    return `StorageBackend ${inspect(this.toJSON())}`;
  }
}

/** For Azure: what a store needs of a customer's AES-256 key. */
export function azureCustomerKey(key: Uint8Array): BrInit<BrAzureCustomerKey> {
  if (!isBytes(key) || key.length !== 32) throw invalid('key', 'must be 32 bytes');
  const encryptionKeySha256 = createHash('sha256').update(key).digest('base64');
  return { encryptionKey: Buffer.from(key).toString('base64'), encryptionKeySha256 };
}

function shown(fields: object): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(fields) as [string, unknown][]) {
    if (value === undefined || value === '' || name === 'unknown') continue;
    if (SECRETS.has(name)) result[name] = REDACTED;
    else if (URLS.has(name) && typeof value === 'string') result[name] = redactUrl(value);
    else result[name] = typeof value === 'object' && value !== null ? shown(value) : value;
  }
  return result;
}

function urlsOf(backend: BrInit<BrBackend>): string[] {
  if (backend.kind === 'noop' || backend.kind === 'local') return [];
  if (backend.kind === 'hdfs') return [backend.remote ?? ''];
  return [(backend.kind === 'cloud-dynamic' ? backend.bucket?.endpoint : backend.endpoint) ?? ''];
}

/** Longest first: one may be a part of another. */
function secretsOf(backend: object): string[] {
  const secrets: string[] = [];
  const collect = (fields: object, isSecret: boolean) => {
    for (const [name, value] of fields instanceof Map ? fields : Object.entries(fields)) {
      const isSecretToo = isSecret || SECRETS.has(String(name));
      if (typeof value === 'object' && value !== null && name !== 'unknown') collect(value as object, isSecretToo);
      else if (isSecretToo && typeof value === 'string' && value !== '') {
        // Of a token with parameters the signature alone, too: a URL may have them in another order.
        const signature = name === 'accessSig' ? (/(?:^|[?&])sig=([^&]+)/.exec(value)?.[1] ?? '') : '';
        for (const secret of signature === '' ? [value] : [value, signature, decodedOrNot(signature)]) {
          secrets.push(secret, encodeURIComponent(secret));
        }
      }
    }
  };
  collect(backend, false);
  return secrets.sort((a, b) => b.length - a.length);
}

function decodedOrNot(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function isGiven(text: string | undefined): boolean {
  return text !== undefined && text !== '';
}

function checkText(name: string, value: unknown): asserts value is string {
  if (typeof value !== 'string' || value === '') throw invalid(name, 'must be a text that is not empty');
}

function checkBucket(bucket: unknown): void {
  checkText('bucket', bucket);
  // A slash would be taken for the begin of the prefix by some stores and not by others.
  if (bucket.includes('/')) throw invalid('bucket', `must not have a slash, got ${JSON.stringify(bucket)}`);
}

function checkEndpoint(endpoint: string | undefined): void {
  if (!isGiven(endpoint)) return;
  if (!/^[a-z][a-z0-9+.-]*:\/\/[^/]/i.test(endpoint ?? '')) {
    throw invalid('endpoint', 'must be a URL with scheme and host, such as https://host:port');
  }
}

/** Never quotes the key. */
function checkCustomerKey({ encryptionKey = '', encryptionKeySha256 = '' }: BrInit<BrAzureCustomerKey>): void {
  const key = Buffer.from(encryptionKey, 'base64');
  const isRight = key.length === 32 && createHash('sha256').update(key).digest('base64') === encryptionKeySha256;
  if (!isRight) throw invalid('encryptionKey', 'must be 32 bytes with their SHA-256, both in base64: azureCustomerKey');
}

function invalid(name: string, problem: string): BackupError {
  return new BackupError('INVALID_OPTION', `${name} of a storage backend ${problem}`);
}
