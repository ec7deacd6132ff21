import { describe, expect, it } from 'vitest';
import { BrFileNames } from '../../src/br/backup/br-file-names.js';
import { utf8 } from '../../src/core/bytes.js';
import { parseBrFileName } from '../../src/format/br/file-name.js';
import { ManualClock } from '../../src/testing/manual-clock.js';

const region = { id: 7n, epochVersion: 9n };

class SetClock extends ManualClock {
  ms = 1000;
  override wallTime(): number {
    return this.ms;
  }
}

function namer() {
  const clock = new SetClock();
  const names = new BrFileNames({ storage: 'gcs', storeId: 4n, clock });
  const timeOf = (startKey: string, of = region) =>
    parseBrFileName(names.next({ region: of, startKey: utf8(startKey), isRaw: false }).of('write'))?.unixMs;
  return { clock, names, timeOf };
}

describe('BrFileNames', () => {
  it('says when a file was begun', () => {
    const { clock, timeOf } = namer();
    expect(timeOf('a')).toBe(1000);
    clock.ms = 2500.7;
    expect(timeOf('a')).toBe(2500);
  });

  it('different pieces share a millisecond, the same one again does not', () => {
    const { timeOf } = namer();
    expect([timeOf('a'), timeOf('b'), timeOf('a', { id: 8n, epochVersion: 9n })]).toEqual([1000, 1000, 1000]);
    expect([timeOf('b'), timeOf('a'), timeOf('b')]).toEqual([1001, 1001, 1002]);
  });

  it('never goes back', () => {
    const { clock, timeOf } = namer();
    clock.ms = 5000;
    expect(timeOf('a')).toBe(5000);
    clock.ms = 10;
    expect(timeOf('a')).toBe(5001);
    expect(timeOf('b')).toBe(5001);
    clock.ms = -5;
    expect(timeOf('b')).toBe(5002);
  });

  it('gives each piece a name of its own while the clock stands still, and remembers a bounded number', () => {
    const { names } = namer();
    const all = new Set<string>();
    for (let i = 0; i < 10_000; i++) {
      all.add(names.next({ region, startKey: utf8(String(i % 5_000)), isRaw: false }).of('default'));
    }
    expect(all.size).toBe(10_000);
  });

  it('a raw piece without a start key has neither hash nor time; a transactional one has both', () => {
    const { names } = namer();
    const raw = names.next({ region, startKey: utf8(''), isRaw: true });
    expect([raw.of('default'), raw.isUnique]).toEqual(['4_7_9_default.sst', false]);
    const txn = names.next({ region, startKey: utf8(''), isRaw: false });
    expect(txn.of('write')).toMatch(/^4_7_9_e3b0c442[0-9a-f]{56}_1000_write\.sst$/);
    expect(txn.isUnique).toBe(true);
    expect(names.next({ region, startKey: utf8('a'), isRaw: true }).isUnique).toBe(true);
  });
});
