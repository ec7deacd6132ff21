import { createHash } from 'node:crypto';
import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { StorageBackend, azureCustomerKey } from '../../src/br/request/storage-backend.js';
import { storageFromUrl } from '../../src/br/request/storage-url.js';

const invalid = (message: RegExp) =>
  expect.objectContaining({ code: 'INVALID_OPTION', message: expect.stringMatching(message) as string }) as Error;

describe('a storage from a URL', () => {
  it.each([
    ['local:///a/b', { kind: 'local', path: '/a/b' }],
    ['file:///a%20b', { kind: 'local', path: '/a b' }],
    ['/plain/path', { kind: 'local', path: '/plain/path' }],
    ['relative', { kind: 'local', path: `${process.cwd()}/relative` }],
    ['noop://', { kind: 'noop' }],
    ['hdfs://host:9000/x', { kind: 'hdfs', remote: 'hdfs://host:9000/x' }],
    [
      's3://Bucket/some/prefix/',
      { kind: 's3', bucket: 'Bucket', prefix: 'some/prefix', forcePathStyle: true, objectLockEnabled: false },
    ],
    [
      's3://b?access-key=AK&secret_access_key=a/b+c%3D&endpoint=http://minio:9000/&force-path-style=false&Region=eu&sse-kms-key-id=k',
      {
        kind: 's3',
        bucket: 'b',
        prefix: '',
        accessKey: 'AK',
        secretAccessKey: 'a/b+c=',
        endpoint: 'http://minio:9000',
        forcePathStyle: false,
        objectLockEnabled: false,
        region: 'eu',
        sseKmsKeyId: 'k',
      },
    ],
    [
      's3://b/?provider=alibaba',
      { kind: 's3', bucket: 'b', prefix: '', provider: 'alibaba', forcePathStyle: false, objectLockEnabled: false },
    ],
    [
      's3://b/?use-accelerate-endpoint=1',
      { kind: 's3', bucket: 'b', prefix: '', forcePathStyle: false, objectLockEnabled: false },
    ],
    [
      'gcs://g/p?storage-class=NEARLINE&predefined_acl=private',
      { kind: 'gcs', bucket: 'g', prefix: 'p', storageClass: 'NEARLINE', predefinedAcl: 'private' },
    ],
    ['gs://g', { kind: 'gcs', bucket: 'g', prefix: '' }],
    [
      'azure://c/p?account-name=n&account-key=k%2Bk&access-tier=Cool&sas-token=sv%3D1',
      {
        kind: 'azure-blob-storage',
        bucket: 'c',
        prefix: 'p',
        accountName: 'n',
        sharedKey: 'k+k',
        storageClass: 'Cool',
        accessSig: 'sv=1',
      },
    ],
    ['azblob://c?encryption-scope=s', { kind: 'azure-blob-storage', bucket: 'c', prefix: '', encryptionScope: 's' }],
    [
      `azure://c?encryption-key=${'k'.repeat(32)}`,
      {
        kind: 'azure-blob-storage',
        bucket: 'c',
        prefix: '',
        encryptionKey: azureCustomerKey(Buffer.from('k'.repeat(32))),
      },
    ],
  ])('%s', (url, expected) => {
    expect(storageFromUrl(url).reveal()).toEqual(expected);
  });

  it.each([
    ['', /empty/],
    ['local://tmp/x', /three slashes/],
    ['local:///x?sync=1', /sync/],
    ['s3:bucket', /no \/\//],
    ['s3:///prefix', /bucket/],
    ['s3://SECRET:SECRET@bucket/x', /access-key/],
    ['s3://b?secret-acess-key=SECRET', /secret-acess-key/],
    ['s3://b?access-key=SECRET', /secretAccessKey.*missing/],
    ['s3://b?secret-access-key=SECRET', /accessKey.*missing/],
    ['s3://b?force-path-style=maybeSECRET', /force-path-style/],
    ['s3://b?access-key=SECRET%zz&secret-access-key=x', /access-key.*%25/],
    ['s3://b?sse=a&sse=b', /sse twice/],
    ['s3://b?endpoint=minio:9000', /endpoint/],
    ['s3://b#SECRET', /%23/],
    ['gcs://b?credentials-file=/root/SECRET.json', /credentials-file/],
    ['azure://b?encryption-key=SECRET', /32 bytes/],
    [`azure://b?encryption-key=${'k'.repeat(32)}&encryption-scope=x`, /excludes/],
    ['ftp://b', /scheme ftp/],
  ])('is refused, and never quoted: %s', (url, message) => {
    let error: unknown;
    try {
      storageFromUrl(url);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toEqual(invalid(message));
    expect(inspect(error, { depth: 9 }).replace(/at .*/g, '')).not.toMatch(/SECRET/);
  });
});

describe('a storage', () => {
  const secret = 'S3CR3T';
  it.each([
    [
      StorageBackend.s3({
        bucket: 'b',
        prefix: 'p',
        accessKey: secret,
        secretAccessKey: secret,
        sessionToken: secret,
        externalId: secret,
        endpoint: `https://u:${secret}@h`,
      }),
      's3://b/p',
    ],
    [StorageBackend.gcs({ bucket: 'b', credentialsBlob: `{"private_key": "${secret}"}` }), 'gcs://b'],
    [StorageBackend.azure({ bucket: 'b', sharedKey: secret, accessSig: secret, accountName: 'n' }), 'azure://b'],
    [
      StorageBackend.azure({ bucket: 'b', encryptionKey: azureCustomerKey(Buffer.from(secret.padEnd(32, '.'))) }),
      'azure://b',
    ],
    [
      StorageBackend.cloudDynamic({
        providerName: 'x',
        bucket: { bucket: 'b', prefix: '/p' },
        attrs: new Map([['any', secret]]),
      }),
      'cloud-dynamic://b/p',
    ],
    [StorageBackend.hdfs(`hdfs://u:${secret}@h/x`), 'hdfs://u:***@h/x'],
    [
      StorageBackend.fromMessage({
        backend: { kind: 's3', bucket: 'b', secretAccessKey: secret, unknown: Buffer.from(secret) },
      }),
      's3://b',
    ],
  ])('shows none of its secrets: %s', (storage, url) => {
    const encoded = Buffer.from(secret.padEnd(32, '.')).toString('base64');
    const hash = createHash('sha256').update(secret.padEnd(32, '.')).digest('base64');
    expect(storage.url).toBe(url);
    for (const shown of [inspect(storage, { depth: 9, showHidden: true }), JSON.stringify(storage), String(storage)]) {
      for (const hidden of [secret, encoded, hash]) expect(shown).not.toContain(hidden);
    }
    const message = JSON.stringify(storage.toMessage(), (_name, value: unknown) =>
      value instanceof Map ? [...(value as Map<string, string>)] : value,
    );
    expect(message.includes(secret) || message.includes(encoded)).toBe(true);
  });

  it('takes its secrets out of texts', () => {
    const storage = StorageBackend.s3({ bucket: 'b', accessKey: 'AK', secretAccessKey: 'AK/+longer' });
    expect(storage.redactIn('AK/+longer, AK%2F%2Blonger and AK')).toBe('***, *** and ***');
    const dynamic = StorageBackend.cloudDynamic({
      providerName: 'x',
      bucket: { bucket: 'b' },
      attrs: new Map([['k', 'v4lue']]),
    });
    expect(dynamic.redactIn('a v4lue')).toBe('a ***');
    const azure = StorageBackend.azure({ bucket: 'c', accessSig: 'sv=2024&sig=a%2Fb%3D&se=9' });
    expect(azure.redactIn('?se=9&sig=a%2Fb%3D&sv=2024, or sig a/b=')).toBe('?se=9&sig=***&sv=2024, or sig ***');
    expect(StorageBackend.hdfs('hdfs://u:pw@h/x').redactIn('hdfs://u:pw@h/x is away')).toBe('hdfs://u:***@h/x is away');
  });

  it.each([
    [() => StorageBackend.local('relative'), /absolute/],
    [() => StorageBackend.local(''), /path/],
    [() => StorageBackend.s3({}), /bucket/],
    [() => StorageBackend.s3({ bucket: 'a/b' }), /slash/],
    [() => StorageBackend.gcs({ bucket: 'b', endpoint: 'host' }), /endpoint/],
    [() => StorageBackend.azure({ bucket: 'b', prefix: '/x' }), /slash/],
    [
      () => StorageBackend.azure({ bucket: 'b', encryptionKey: { encryptionKey: 'SECRET', encryptionKeySha256: '' } }),
      /encryptionKey/,
    ],
    [() => StorageBackend.hdfs('http://x'), /hdfs/],
    [() => StorageBackend.cloudDynamic({ providerName: '' }), /providerName/],
    [() => StorageBackend.cloudDynamic({ providerName: 'x' }), /bucket/],
    [() => StorageBackend.fromMessage({}), /missing/],
    [() => StorageBackend.fromMessage(undefined), /missing/],
    [() => azureCustomerKey(new Uint8Array(16)), /32 bytes/],
  ])('is checked: %s', (make, message) => {
    expect(make).toThrow(invalid(message));
  });
});
