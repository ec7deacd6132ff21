// What fuzzing has found, one test each. The inputs themselves are in corpus/.

import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { DirectoryContainer } from '../../src/container/directory-container.js';
import { printableBytes, toHex, utf8 } from '../../src/core/bytes.js';
import { BackupError } from '../../src/core/errors.js';
import { parseSnapshotFileName, rangeFileName, snapshotFileName } from '../../src/format/fdb/names.js';
import { decodeRangeFile } from '../../src/format/fdb/range-file-decoder.js';
import { parseSnapshotManifest } from '../../src/format/fdb/snapshot-manifest.js';
import { decodeJob, decodeVersion, encodeJob } from '../../src/job/records.js';
import { parseCursor } from '../../src/restore/log-applier.js';
import { encodeRangeFile } from '../format/encode-range-file.js';

const UID = 'ab'.repeat(16);

function refusal(call: () => unknown): BackupError {
  try {
    call();
  } catch (error) {
    if (BackupError.is(error)) return error;
    throw error;
  }
  throw new Error('it was taken');
}

describe('a value of the progress store', () => {
  it('that is a list in lists by the thousand is STORE_CORRUPT, and so is one of a million letters, with a short message', () => {
    for (const hostile of [
      '['.repeat(100_000) + ']'.repeat(100_000),
      `"${'a'.repeat(1_000_000)}"`,
      '{"a":'.repeat(50_000) + '1' + '}'.repeat(50_000),
    ]) {
      const error = refusal(() => decodeVersion('noop/1/0', utf8(`{"version":${hostile}}`)));
      expect(error.code).toBe('STORE_CORRUPT');
      expect(error.message.length).toBeLessThan(500);
    }
  });

  it('holds no version above 2^63 - 1', () => {
    expect(decodeVersion('noop/1/0', utf8('{"version":"9223372036854775807"}'))).toBe((1n << 63n) - 1n);
    expect(refusal(() => decodeVersion('noop/1/0', utf8('{"version":"9223372036854775808"}'))).code).toBe(
      'STORE_CORRUPT',
    );
  });

  it('whose ranges are not hex is STORE_CORRUPT, not a job without keys', () => {
    const good = new TextDecoder().decode(
      encodeJob({
        uid: 'x',
        submission: 's',
        state: 'Running',
        url: 'memory:',
        ranges: [{ begin: Uint8Array.of(0xaa), end: Uint8Array.of(0xbb) }],
        logOnly: false,
        firstVersion: 1n,
        startVersion: 1n,
      }),
    );
    expect(toHex(decodeJob('job/x', utf8(good)).ranges[0]!.begin)).toBe('aa');
    for (const bad of ['zz', 'a', 'aaz', 'AA']) {
      expect(refusal(() => decodeJob('job/x', utf8(good.replace('"aa"', `"${bad}"`)))).code).toBe('STORE_CORRUPT');
    }
  });
});

describe('a manifest', () => {
  const manifest = (versions: string) => utf8(`{${versions},"files":[],"totalBytes":0}`);

  it('whose version is beyond what JSON numbers hold is read exactly, or not at all', () => {
    const exact = manifest('"beginVersion":9007199254740993,"endVersion":9007199254740995');
    expect(parseSnapshotManifest(exact, 'm')).toMatchObject({
      beginVersion: 9007199254740993n,
      endVersion: 9007199254740995n,
    });
    for (const versions of [
      // The text of another member than the one that counts.
      '"beginVersion":5,"endVersion":12,"endVersion":1e400',
      '"beginVersion":5,"endVersion":"12","keyRanges":{"endVersion":12}',
      '"beginVersion":5,"endVersion":[],"x":{"endVersion":12}',
      '"beginVersion":5,"endVersion":9007199254740993,"endVersion":9007199254740992.5',
      '"beginVersion":5,"endVersion":9223372036854775807,"endVersion":9223372036854775806',
    ]) {
      expect(refusal(() => parseSnapshotManifest(manifest(versions), 'm')).code, versions).toBe('CORRUPT_FILE');
    }
  });

  it('names files by bytes: a name with another character is not cut to one', () => {
    const bytes = utf8('{"beginVersion":1,"endVersion":1,"files":["\\u0161"],"totalBytes":0}');
    expect(refusal(() => parseSnapshotManifest(bytes, 'm')).code).toBe('CORRUPT_FILE');
  });
});

describe('a range file', () => {
  it('with a key of a megabyte in the wrong place is refused with a message that can be read', () => {
    const begin = new Uint8Array(1_000_000).fill(0x80);
    const bytes = encodeRangeFile({ begin, end: Uint8Array.of(0x81) }, [], 1 << 21);
    const range = { begin: Uint8Array.of(1), end: Uint8Array.of(0x81) };
    const error = refusal(() => decodeRangeFile(bytes, { name: 'r', blockSize: 1 << 21, range }));
    expect(error.code).toBe('CORRUPT_FILE');
    expect(error.message.length).toBeLessThan(3000);
    expect(printableBytes(begin)).toMatch(/^(\\x80){256}… \(1000000 bytes\)$/);
  });
});

describe('names', () => {
  it('that are built can be parsed, up to the largest numbers', () => {
    const snapshot = { beginVersion: 1n, endVersion: 2n, totalBytes: Number.MAX_SAFE_INTEGER };
    expect(parseSnapshotFileName(snapshotFileName(snapshot))).toEqual(snapshot);
    expect(parseSnapshotFileName('snapshots/snapshot,1,2,9007199254740992')).toBeUndefined();
    const range = { snapshotBegin: 1n, folder: 2 ** 60, version: 1n, uid: UID, blockSize: 5 };
    expect(refusal(() => rangeFileName(range)).code).toBe('INVALID_NAME');
  });

  it('of a place in a log say a version', () => {
    expect(parseCursor('9223372036854775807:1')).toEqual({ version: (1n << 63n) - 1n, records: 1 });
    expect(parseCursor('9999999999999999999:1')).toBeUndefined();
  });
});

describe('the folder of a container', () => {
  it.each(['/tmp/ends with a space ', '/tmp/ends with a tab\t', '/tmp/a\x1f', '/tmp/50%/#?', '/tmp/ '])(
    '%j has a URL that leads back to it',
    (path) => {
      const container = new DirectoryContainer(path);
      expect(container.path).toBe(path);
      expect(fileURLToPath(container.url)).toBe(path);
      expect(new DirectoryContainer(container.url).path).toBe(path);
    },
  );

  it.each(['a\0b', 'file:///a%00b', '/tmp/\ud800'])('%j is INVALID_OPTION', (location) => {
    expect(refusal(() => new DirectoryContainer(location)).code).toBe('INVALID_OPTION');
  });
});
