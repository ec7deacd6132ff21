import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MAX_VERSION } from '../../src/core/version.js';
import { parseVersionTimeName, versionTimeName } from '../../src/format/fdb/version-times.js';

describe('names of version times', () => {
  it('say version and time', () => {
    expect(versionTimeName({ version: 12n, time: 1763725284000 })).toBe(
      'properties/tidemark_times/0000000000000000012,1763725284000',
    );
  });

  it('come back as they went in, and are in version order', () => {
    const pair = fc.record({
      version: fc.bigInt({ min: 0n, max: MAX_VERSION }),
      time: fc.nat(Number.MAX_SAFE_INTEGER),
    });
    fc.assert(
      fc.property(pair, pair, (a, b) => {
        expect(parseVersionTimeName(versionTimeName(a))).toEqual(a);
        if (a.version < b.version) expect(versionTimeName(a) < versionTimeName(b)).toBe(true);
      }),
    );
  });

  it.each([
    { version: -1n, time: 0 },
    { version: MAX_VERSION + 1n, time: 0 },
    { version: 1n, time: -1 },
    { version: 1n, time: 0.5 },
    { version: 1n, time: NaN },
    { version: 1n, time: 2 ** 53 },
  ])('are not made of %o', (pair) => {
    expect(() => versionTimeName(pair)).toThrow(expect.objectContaining({ code: 'INVALID_NAME' }) as Error);
  });

  it.each([
    'properties/tidemark_times/12,5',
    'properties/tidemark_times/0000000000000000012,',
    'properties/tidemark_times/0000000000000000012,-5',
    'properties/tidemark_times/0000000000000000012,05',
    'properties/tidemark_times/0000000000000000012,5,6',
    'properties/tidemark_times/9999999999999999999,5',
    'properties/tidemark_times/0000000000000000012,9999999999999999',
    'properties/tidemark_times/x/0000000000000000012,5',
    'properties/0000000000000000012,5',
  ])('are not read from %s', (name) => {
    expect(parseVersionTimeName(name)).toBeUndefined();
  });
});
