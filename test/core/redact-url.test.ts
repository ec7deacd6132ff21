import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BackupError } from '../../src/core/errors.js';
import { redactUrl, redactUrlIn } from '../../src/core/redact-url.js';

describe('redactUrl', () => {
  it.each([
    ['blobstore://key:secret@host:80/name?bucket=b', 'blobstore://key:***@host:80/name?bucket=b'],
    ['blobstore://key:secret:token@host/name?bucket=b', 'blobstore://key:***@host/name?bucket=b'],
    ['blobstore://:secret@host/name', 'blobstore://:***@host/name'],
    ['blobstore://@host:80/name?bucket=b', 'blobstore://@host:80/name?bucket=b'],
    ['blobstore://key@host/name?bucket=b', 'blobstore://key@host/name?bucket=b'],
    ['blobstore://key:se/cr+et=@host/name', 'blobstore://key:***@host/name'],
    ['blobstore://key:se@cr?et@host/name', 'blobstore://key:***@host/name'],
    ['blobstore://h/n?bucket=b&header=Authorization:Basic', 'blobstore://h/n?bucket=b&header=***'],
    ['azure://host/n?sig=abc&SECRET_key=x&region=r', 'azure://host/n?sig=***&SECRET_key=***&region=r'],
    ['blobstore://h/n?bucket=b&amp;header=X:y&amp;sig=z', 'blobstore://h/n?bucket=b&amp;header=***&amp;sig=***'],
    [' blobstore://key:secret@host/name', ' blobstore://key:***@host/name'],
    ['"blobstore://key:secret@host/name"', '"blobstore://key:***@host/name"'],
    ['blobstore:/key:secret@host/name', 'blobstore:/key:***@host/name'],
    ['blobstore:key:secret@host/name', 'blobstore:key:***@host/name'],
    ['blobstore://key:secret/name?bucket=b', 'blobstore://key:***'],
    ['s3://key:secret/bucket/name', 's3://key:***'],
    ['blobstore://host:9000/name?bucket=b', 'blobstore://host:9000/name?bucket=b'],
    ['blobstore://[::1]:9000/name?bucket=b', 'blobstore://[::1]:9000/name?bucket=b'],
    ['s3://bucket/name?region=r', 's3://bucket/name?region=r'],
    ['s3://bucket/name?endpoint=https://host:9000', 's3://bucket/name?endpoint=https://host:9000'],
    ['file:///a:b@c/d', 'file:///a:b@c/d'],
    ['file:/a:b@c/d', 'file:/a:b@c/d'],
    ['C:\\a@b', 'C:\\a@b'],
    ['memory:', 'memory:'],
    ['memory:a:b', 'memory:a:b'],
    ['/a/b@c', '/a/b@c'],
  ])('%s is shown as %s', (url, shown) => {
    expect(redactUrl(url)).toBe(shown);
    expect(redactUrl(shown)).toBe(shown);
  });

  it('shows no secret, whatever characters it has', () => {
    const secret = fc
      .string({ minLength: 8, maxLength: 40 })
      .filter((text) => !'blobstore://key:***@host'.includes(text));
    fc.assert(
      fc.property(secret, fc.webQueryParameters(), (text, query) => {
        expect(redactUrl(`blobstore://key:${text}@host/name?${query.replaceAll('@', '')}`).split('@')[0]).toBe(
          'blobstore://key:***',
        );
      }),
    );
  });

  it('an error names its container without the secret, and texts can be freed of it', () => {
    const url = 'blobstore://key:secret@host/name?bucket=b';
    expect(new BackupError('CONTAINER_UNAVAILABLE', 'x', { container: url }).container).not.toContain('secret');
    expect(redactUrlIn(`opening ${url} failed`, url)).toBe(`opening ${redactUrl(url)} failed`);
  });
});
