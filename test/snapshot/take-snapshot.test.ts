import { describe, expect, it } from 'vitest';
import { MemoryContainer } from '../../src/container/memory-container.js';
import { takeSnapshot } from '../../src/snapshot/take-snapshot.js';
import { MemoryRangeSource } from '../../src/testing/memory-range-source.js';
import { set, checkSnapshot, key } from './world.js';

describe('takeSnapshot', () => {
  it('stores every row at one version, and the manifest that covers the ranges', async () => {
    const source = new MemoryRangeSource({ borders: [key('c'), key('m')], version: 10n });
    source.commit([set('a', '1'), set('b', '2'), set('d', '3'), set('x', '4')]);
    const container = new MemoryContainer();
    const result = await takeSnapshot({ source, container, ranges: [] });
    source.commit([set('a', 'later')]);
    expect(result).toMatchObject({ beginVersion: 11n, endVersion: 11n, rows: 4, isNew: true, resumedFiles: 0 });
    await checkSnapshot(container, source, result);
    expect(source.heldVersions).toEqual([]);
  });
});
