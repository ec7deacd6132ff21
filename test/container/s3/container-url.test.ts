import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { HeadBucketCommand } from '@aws-sdk/client-s3';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseContainerUrl } from '../../../src/container/s3/container-url.js';
import { makeClient, openS3Container } from '../../../src/container/s3/open-s3-container.js';
import { guessRegion } from '../../../src/container/s3/region.js';
import { BackupError } from '../../../src/core/errors.js';

const SECRET = 'Se/cr+et=';

function errorOf(url: string): BackupError {
  try {
    parseContainerUrl(url);
  } catch (error) {
    if (BackupError.is(error)) return error;
    throw error;
  }
  throw new Error(`${url} was taken`);
}

describe('blobstore:// URLs', () => {
  it.each([
    [
      'blobstore://key:secret@host:80/dec_1_2017_0400?bucket=backups',
      {
        bucket: 'backups',
        name: 'dec_1_2017_0400',
        endpoint: 'https://host:80',
        region: 'us-east-1',
        forcePathStyle: true,
      },
    ],
    [
      'blobstore://k:s@10.0.0.1:9000/a/b?bucket=b-1&sc=0&region=eu',
      { endpoint: 'http://10.0.0.1:9000', region: 'eu', name: 'a/b' },
    ],
    [
      'blobstore://k:s:t@b-12345-us-west-2.s3.us-west-2.amazonaws.com/dailies?bucket=b-12345-us-west-2',
      { endpoint: 'https://s3.us-west-2.amazonaws.com', region: 'us-west-2', forcePathStyle: false },
    ],
    ['blobstore://k:s@[::1]:9000/n?bucket=bkt&secure_connection=0', { endpoint: 'http://[::1]:9000' }],
    ['blobstore://@host/n?bucket=bkt', { endpoint: 'https://host' }],
    ['blobstore://host/n/?bucket=bkt&amp;region=r', { name: 'n', region: 'r' }],
    [
      'blobstore://h/n?bucket=bkt&header=X-Amz-Storage-Class:STANDARD_IA',
      { headers: { 'x-amz-storage-class': 'STANDARD_IA' } },
    ],
    [
      'blobstore://h/n?bucket=bkt&minps=10485760&cwpf=7&rto=30&ct=5',
      { tuning: { partSize: 10_485_760, partsInParallel: 7, requestTimeout: 30_000 } },
    ],
    ['blobstore://h/n?bucket=bkt&erc=0&eoic=0&cr=9', { tuning: { readAhead: 0, checksums: false, maxSockets: 9 } }],
  ])('%s is understood', (url, expected) => {
    expect(parseContainerUrl(url)).toMatchObject(expected);
  });

  it('has credentials that are percent-decoded, or none', () => {
    const url = (text: string) => `blobstore://${text}host/n?bucket=bkt`;
    const credentials = (text: string) => parseContainerUrl(url(text)).credentials;
    expect(credentials('AK%2FID:a%3Ab%40c:to%25ken@')).toEqual({
      accessKeyId: 'AK/ID',
      secretAccessKey: 'a:b@c',
      sessionToken: 'to%ken',
    });
    expect(credentials(`key:${SECRET}@`)).toEqual({ accessKeyId: 'key', secretAccessKey: SECRET });
    expect(credentials('@')).toBeUndefined();
    expect(credentials('')).toBeUndefined();
    expect(parseContainerUrl('blobstore://k:s@host/n?bucket=bkt&sa=1').credentials).toBeUndefined();
  });

  it.each([
    ['blobstore://k:SECRET@host/n', 'bucket'],
    ['blobstore://k:SECRET@host/n?bucket=bkt&colour=red', '"colour"'],
    ['blobstore://k:SECRET@host/n?bucket=bkt&sc=2', '"sc"'],
    ['blobstore://k:SECRET@host/n?bucket=bkt&rt=x', '"rt"'],
    ['blobstore://k:SECRET@host/n?bucket=bkt&sbps=1000', '"sbps"'],
    ['blobstore://k:SECRET@host/n?bucket=bkt&provider=gcs', '"provider"'],
    ['blobstore://k:SECRET@host/n?bucket=bkt&header=Authorization:SECRET', 'authorization'],
    ['blobstore://k:SECRET@host/n?bucket=bkt&token=SECRET', '"token"'],
    ['blobstore://k:SECRET@host/?bucket=bkt', 'name'],
    ['blobstore://k:SECRET@host/a%20b?bucket=bkt', 'name'],
    ['blobstore://k:SECRET@host/../b?bucket=bkt', 'name'],
    ['blobstore://k:SECRET@/n?bucket=bkt', 'host'],
    ['blobstore://k:SECRET%zz@host/n?bucket=bkt', 'percent-encoded'],
    ['blobstore://k:SECRET:t:u@host/n?bucket=bkt', 'three parts'],
    ['blobstore://k:@host/n?bucket=bkt', 'only one'],
    ['blobstore://SECRET', 'bucket'],
  ])('%s is refused by name', (url, named) => {
    const error = errorOf(url);
    expect(error.code).toBe('INVALID_OPTION');
    expect(error.message).toContain(named);
    if (url.includes('@') || url.includes('=SECRET')) expect(error.message).not.toContain('SECRET');
  });

  it('gives back any credentials that were encoded, and shows none', () => {
    const part = fc
      .string({ unit: 'binary', minLength: 1, maxLength: 30 })
      .filter((text) => !/\p{Surrogate}/u.test(text));
    fc.assert(
      fc.property(part, part, fc.option(part, { nil: undefined }), (key, secret, token) => {
        const written = [key, secret, ...(token === undefined ? [] : [token])].map(encodeURIComponent).join(':');
        const location = parseContainerUrl(`blobstore://${written}@host:1/n?bucket=bkt&region=r`);
        expect(location.credentials).toEqual({
          accessKeyId: key,
          secretAccessKey: secret,
          ...(token === undefined ? {} : { sessionToken: token }),
        });
        expect(location.url).toBe('blobstore://host:1/n?bucket=bkt&region=r');
      }),
      { numRuns: 300 },
    );
  });

  it('never shows the secret, and fails only with INVALID_OPTION, whatever comes after it', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary-ascii', maxLength: 60 }), (rest) => {
        try {
          expect(parseContainerUrl(`blobstore://k:SECRET@${rest}`).url).not.toContain('SECRET');
        } catch (error) {
          expect(error).toMatchObject({ code: 'INVALID_OPTION' });
          expect((error as Error).message).not.toContain('SECRET');
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('s3:// URLs', () => {
  it.each([
    ['s3://bucket/name', { bucket: 'bucket', name: 'name', url: 's3://bucket/name' }],
    ['s3://bucket/a/b/c/', { name: 'a/b/c', url: 's3://bucket/a/b/c' }],
    ['s3://bucket/name?region=eu-west-1', { region: 'eu-west-1' }],
    ['S3://bucket/name?endpoint=http://host:9000/', { endpoint: 'http://host:9000' }],
    ['s3://bucket/name?path_style=1', { forcePathStyle: true }],
  ])('%s is understood', (url, expected) => {
    expect(parseContainerUrl(url)).toMatchObject(expected);
  });

  it.each([
    ['s3://k:SECRET@bucket/name', 'credentials'],
    ['s3://k:SECRET/bucket/name', 'credentials'],
    ['s3://bucket', 'name'],
    ['s3://bucket/', 'name'],
    ['s3:///name', 'bucket'],
    ['s3://bucket/name?sc=0', '"sc"'],
    ['s3://bucket/name?endpoint=ftp://x', '"endpoint"'],
    ['s3://bucket/name?endpoint=http://k:SECRET@x', '"endpoint"'],
    ['s3://bucket/name?region', '"region"'],
    ['http://bucket/name', 's3:// or blobstore://'],
  ])('%s is refused', (url, named) => {
    const error = errorOf(url);
    expect(error.code).toBe('INVALID_OPTION');
    expect(error.message).toContain(named);
    expect(error.message).not.toContain('SECRET');
  });
});

describe('openS3Container', () => {
  it.each([
    ['partSize', { partSize: 1_000_000 }],
    ['partSize', { partSize: 6 * 2 ** 30 }],
    ['partsInParallel', { partsInParallel: 0 }],
    ['readAhead', { readAhead: -1 }],
    ['checksums', { checksums: 'no' as never }],
    ['exclusiveWrites', { exclusiveWrites: 'hope' as never }],
    ['createBucket', { createBucket: 1 as never }],
    ['listingLag', { listingLag: NaN }],
    ['attempts', { attempts: 0 }],
    ['requestTimeout', { requestTimeout: 1 }],
    ['sdkAttempts', { sdkAttempts: 0 }],
    ['credentials', { credentials: { accessKeyId: 'x' } as never }],
  ])('refuses a wrong %s', (named, options) => {
    expect(() => openS3Container('s3://bucket/name?region=r', options)).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTION', message: expect.stringContaining(named) as string }),
    );
  });

  it('its client gives up a connection that says nothing, long before the try or a job’s time is over', async () => {
    const silent = createServer(() => undefined).listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const { port } = silent.address() as AddressInfo;
    const credentials = { accessKeyId: 'x', secretAccessKey: 'y' };
    const url = `s3://bucket/name?endpoint=http://127.0.0.1:${port}`;
    const client = makeClient(parseContainerUrl(url), { credentials, sdkAttempts: 1 });
    const abort = new AbortController();
    const asked = client.send(new HeadBucketCommand({ Bucket: 'bucket' }), { abortSignal: abort.signal });
    await once(silent, 'connection');
    const handler: object & { httpHandlerConfigs?: () => unknown } = client.config.requestHandler as object;
    expect(handler.httpHandlerConfigs?.()).toMatchObject({ socketTimeout: 20_000 });
    abort.abort();
    await expect(asked).rejects.toThrow();
    client.destroy();
    silent.close();
  });

  it('is called what its place is called, without credentials', () => {
    const container = openS3Container(`blobstore://key:${SECRET}@host:9000/n?bucket=bkt&region=r&sc=0&cwpf=2`);
    expect(container.url).toBe('blobstore://host:9000/n?bucket=bkt&region=r&secure_connection=0');
    container.close();
    container.close();
  });
});

describe('guessRegion', () => {
  it.each([
    ['s3.eu-west-1.amazonaws.com', 'eu-west-1'],
    ['bucket.s3.us-west-2.amazonaws.com', 'us-west-2'],
    ['s3.dualstack.ap-south-1.amazonaws.com', 'ap-south-1'],
    ['s3-us-west-2.amazonaws.com', 'us-west-2'],
    ['s3.amazonaws.com', undefined],
    ['mys3.example.com', undefined],
    ['oss-cn-beijing.aliyuncs.com', 'oss-cn-beijing'],
    ['127.0.0.1', undefined],
  ])('%s: %s', (host, region) => {
    expect(guessRegion(host)).toBe(region);
  });
});
