// From a URL to a container, by its scheme.

import { execFile } from 'node:child_process';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, describe, expect, it } from 'vitest';
import { DirectoryContainer } from '../../src/container/directory-container.js';
import { MemoryContainer } from '../../src/container/memory-container.js';
import type { OpenContainerOptions } from '../../src/container/open-container.js';
import { openContainer, registerContainer } from '../../src/container/open-container.js';
import { S3Container } from '../../src/container/s3/s3-container.js';

const HOST = fileURLToPath(new URL('./fixtures/without-client-s3.ts', import.meta.url));

describe('openContainer', () => {
  let unregister: (() => void) | undefined;
  afterEach(() => unregister?.());

  it('opens a directory', async () => {
    const container = await openContainer(`file://${tmpdir()}/nothing-here`, { directory: { fsync: false } });
    expect(container).toBeInstanceOf(DirectoryContainer);
    expect(container.url).toBe(`file://${tmpdir()}/nothing-here`);
  });

  it.each([
    ['s3://bucket/name?region=r', 's3://bucket/name?region=r'],
    ['blobstore://key:secret@host/name?bucket=bkt', 'blobstore://host/name?bucket=bkt'],
  ])('opens %s in S3', async (url, shown) => {
    const container = await openContainer(url, { s3: { partSize: 6 << 20 } });
    expect(container.url).toBe(shown);
    if (!(container instanceof S3Container)) throw new Error('expected an S3Container');
    container.close();
  });

  it('opens what a host has registered, until it is removed', async () => {
    const seen: unknown[] = [];
    const known = new MemoryContainer();
    unregister = registerContainer('mine', (url, options) => {
      seen.push(url, options);
      return known;
    });
    const options: OpenContainerOptions = { directory: { fsync: false } };
    expect(await openContainer('MINE:abc', options)).toBe(known);
    expect(seen).toEqual(['MINE:abc', options]);
    expect(() => registerContainer('mine', () => known)).toThrow(expect.objectContaining({ code: 'INVALID_STATE' }));
    unregister();
    unregister();
    await expect(openContainer('mine:abc')).rejects.toMatchObject({ code: 'INVALID_OPTION' });
  });

  it.each(['', 'nowhere', '/a/b', 'azure://key:SECRET@host/n', 'c:\\backups'])(
    'refuses %j, and names the schemes that it knows',
    async (url) => {
      const error: unknown = await openContainer(url).catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({ code: 'INVALID_OPTION' });
      expect((error as Error).message).toContain('file://, s3://, blobstore://');
      expect((error as Error).message).not.toContain('SECRET');
    },
  );

  it('refuses what is no scheme, and those that it has itself', () => {
    const open = () => new MemoryContainer();
    for (const scheme of ['', 'A', 'a', 'a:', '1a', 'a b'])
      expect(() => registerContainer(scheme, open)).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
    for (const scheme of ['file', 's3', 'blobstore'])
      expect(() => registerContainer(scheme, open)).toThrow(expect.objectContaining({ code: 'INVALID_STATE' }));
    expect(() => registerContainer('mine', 'x' as never)).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
  });

  it('says which package is missing, and only to who needs it', async () => {
    const { stdout } = await promisify(execFile)(process.execPath, ['--import', 'tsx', HOST]);
    expect(JSON.parse(stdout)).toEqual([
      'file:///nothing-here',
      'PACKAGE_MISSING',
      'containers in S3 need the package @aws-sdk/client-s3: npm install @aws-sdk/client-s3',
    ]);
  });
});
