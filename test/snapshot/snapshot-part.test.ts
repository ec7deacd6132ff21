import { describe, expect, it } from 'vitest';
import { MAX_VERSION } from '../../src/core/version.js';
import {
  encodeSnapshotBegin,
  parseSnapshotBegin,
  parseSnapshotPartName,
  snapshotPartName,
} from '../../src/format/fdb/snapshot-part.js';
import { parseSnapshotSumsName } from '../../src/format/fdb/snapshot-sums.js';
import { key } from './world.js';

const id = '0123456789abcdef'.repeat(2);
const uid = 'fedcba9876543210'.repeat(2);

describe("a half snapshot's entries", () => {
  it('are told apart by their names, and from the checksums of whole snapshots', () => {
    for (const snapshotBegin of [0n, 211016146n, MAX_VERSION]) {
      for (const rest of [{ startedAt: 1_790_000_000_000 }, { uid }]) {
        const name = snapshotPartName({ snapshotBegin, id, ...rest });
        expect(parseSnapshotPartName(name)).toEqual({ snapshotBegin, id, ...rest });
        expect(parseSnapshotSumsName(name)).toBeUndefined();
      }
    }
    for (const name of ['', `1,${id}`, `1,${id},`, `x,${id},5`, `1,${id.slice(1)},5`, `${MAX_VERSION + 1n},${id},5`]) {
      expect(parseSnapshotPartName(`properties/tidemark_snapshot_part,${name}`)).toBeUndefined();
    }
    expect(() => snapshotPartName({ snapshotBegin: 1n, id })).toThrow('cannot be the name');
    expect(() => snapshotPartName({ snapshotBegin: -1n, id, uid })).toThrow('cannot be the name');
  });

  it('say what it is a snapshot of, and refuse anything else', () => {
    const ranges = [
      { begin: key(''), end: Uint8Array.of(0, 255) },
      { begin: key('a'), end: key('b') },
    ];
    const bytes = encodeSnapshotBegin(ranges);
    expect(parseSnapshotBegin(bytes, 'f')).toEqual(ranges);
    for (let at = 0; at < bytes.length; at++) {
      const damaged = bytes.slice();
      damaged[at]! ^= 1;
      expect(() => parseSnapshotBegin(damaged, 'f')).toThrow(
        expect.objectContaining({ code: 'CORRUPT_FILE', file: 'f' }) as Error,
      );
    }
    const backwards = encodeSnapshotBegin([{ begin: key('b'), end: key('a') }]);
    expect(() => parseSnapshotBegin(backwards, 'f')).toThrow('empty or backwards');
  });
});
