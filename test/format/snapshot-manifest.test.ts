import { readFileSync } from 'node:fs';
import path from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { SnapshotManifest } from '../../src/format/fdb/snapshot-manifest.js';
import { encodeSnapshotManifest, parseSnapshotManifest } from '../../src/format/fdb/snapshot-manifest.js';
import { GOLDEN_NAMES, filesBelow, goldenContainer } from './golden.js';

const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1');
const name = (index: number) =>
  `kvranges/snapshot.000000000000000005/0/range,5,${index.toString(16).padStart(32, '0')},1048576`;

function manifest(part: Partial<SnapshotManifest> = {}): SnapshotManifest {
  return { beginVersion: 5n, endVersion: 7n, files: [name(0)], keyRanges: new Map(), totalBytes: 12, ...part };
}

describe('a manifest', () => {
  it('has its members in alphabetical order and no white space', () => {
    const keyRanges = new Map([[name(0), { begin: new Uint8Array(0), end: Uint8Array.of(0xff) }]]);
    expect(text(encodeSnapshotManifest(manifest({ keyRanges })))).toBe(
      `{"beginVersion":5,"endVersion":7,"files":["${name(0)}"],"keyRanges":{"${name(0)}":{"beginKey":"","endKey":"\\u00FF"}},"totalBytes":12}`,
    );
  });

  it('writes every byte of a key as the original does', () => {
    const end = Uint8Array.of(0, 8, 9, 10, 11, 12, 13, 0x1f, 0x20, 0x22, 0x2f, 0x5c, 0x7e, 0x7f, 0x80, 0xab, 0xff);
    const keyRanges = new Map([[name(0), { begin: new Uint8Array(0), end }]]);
    expect(text(encodeSnapshotManifest(manifest({ keyRanges })))).toContain(
      String.raw`"endKey":"\u0000\b\t\n\u000B\f\r\u001F \"/\\~\u007F\u0080\u00AB\u00FF"`,
    );
  });

  it('lists files in their own order and key ranges in byte order', () => {
    const range = { begin: new Uint8Array(0), end: Uint8Array.of(1) };
    const files = [name(3), name(1), name(2)];
    const encoded = text(encodeSnapshotManifest(manifest({ files, keyRanges: new Map(files.map((f) => [f, range])) })));
    const places = [...encoded.matchAll(/,(0{31}\d),1048576/g)].map((match) => match[1]?.at(-1));
    expect(places).toEqual(['3', '1', '2', '1', '2', '3']);
  });

  it('comes back as it was written', () => {
    const bytes = fc.uint8Array({ maxLength: 20 });
    const files = fc.uniqueArray(
      fc.nat(1000).map((index) => name(index)),
      { minLength: 1, maxLength: 5 },
    );
    fc.assert(
      fc.property(
        files,
        bytes,
        bytes,
        fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }),
        fc.maxSafeNat(),
        (list, begin, end, version, totalBytes) => {
          const original = {
            beginVersion: version,
            endVersion: version,
            files: list,
            keyRanges: new Map(list.map((file) => [file, { begin, end }])),
            totalBytes,
          };
          expect(parseSnapshotManifest(encodeSnapshotManifest(original), 'm')).toEqual(original);
        },
      ),
    );
  });
});

describe.each(GOLDEN_NAMES.filter((golden) => golden !== 'plogenc'))(
  'the manifests of golden container %s',
  (golden) => {
    const container = goldenContainer(golden);

    it.skipIf(container === undefined)('are rebuilt byte by byte (skipped where ../shared/golden is absent)', () => {
      const manifests = filesBelow(container!).filter((file) => file.startsWith('snapshots/'));
      expect(manifests.length).toBeGreaterThan(0);
      for (const file of manifests) {
        const bytes = readFileSync(path.join(container!, file));
        expect(text(encodeSnapshotManifest(parseSnapshotManifest(bytes, file)))).toBe(text(bytes));
      }
    });
  },
);
