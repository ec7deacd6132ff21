import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { MessageBatch } from '../../src/core/message-batch.js';
import { FlowLock } from '../../src/pipeline/flow-lock.js';
import { MessageQueue, type Cut } from '../../src/pipeline/message-queue.js';
import { batchOf, countReleases, set } from './helpers.js';

function places(cut: Cut): string[] {
  return cut.parts.flatMap(({ batch, firstRecord, endRecord }) =>
    [...batch].slice(firstRecord, endRecord).map((m) => `${m.version}:${m.subsequence}`),
  );
}

async function queueOf(...groups: readonly (readonly number[])[]) {
  const lock = new FlowLock(1_000_000);
  const queue = new MessageQueue({ nextVersion: 1n });
  const batches = [];
  for (const versions of groups) {
    const counted = countReleases(
      batchOf(versions.map((version, i) => set(version, i, `k${version}`, 'x'.repeat(version % 7)))),
    );
    batches.push(counted);
    queue.push(counted.batch, BigInt(Math.max(...versions)) + 1n, await lock.take(counted.batch.byteLength));
  }
  return { lock, queue, batches };
}

describe('MessageQueue', () => {
  it('cuts everything up to a version boundary, in order, over batches', async () => {
    const { queue } = await queueOf([1, 1, 2], [5, 5, 5], [9]);
    const cut = queue.cut(5n);
    expect(cut.end).toBe(6n);
    expect(places(cut)).toEqual(['1:0', '1:1', '2:2', '5:0', '5:1', '5:2']);
    expect(cut.messages).toBe(6);
    expect(cut.bytes).toBe(cut.parts.reduce((sum, p) => sum + p.batch.byteLength, 0));
  });

  it('never splits the messages of a version', async () => {
    const { queue } = await queueOf([1, 2, 2, 2, 3]);
    expect(places(queue.cut(1n))).toEqual(['1:0']);
    expect(places(queue.cut(2n))).toEqual(['1:0', '2:1', '2:2', '2:3']);
  });

  it('keeps messages until dropThrough: a round that is redone sees them again, and more', async () => {
    const { queue, lock, batches } = await queueOf([1, 2], [3, 4]);
    expect(places(queue.cut(3n))).toEqual(['1:0', '2:1', '3:0']);
    expect(places(queue.cut(3n))).toEqual(['1:0', '2:1', '3:0']);
    expect(places(queue.cut(4n))).toHaveLength(4);
    expect(places(queue.cut(2n))).toHaveLength(2);
    expect(queue.messages).toBe(4);
    expect(lock.activePermits).toBe(queue.bytes);
    queue.dropThrough(3n);
    expect(places(queue.cut(4n))).toEqual(['4:1']);
    expect(batches.map((b) => b.releases())).toEqual([1, 0]);
    expect(lock.activePermits).toBe(queue.bytes);
  });

  it('P2: only a cut moves nextVersion, past what was cut, and never back', async () => {
    const { queue } = await queueOf([1, 2], [3, 4]);
    expect([queue.nextVersion, queue.end]).toEqual([1n, 5n]);
    queue.cut(3n);
    expect(queue.nextVersion).toBe(4n);
    queue.cut(2n);
    expect(queue.nextVersion).toBe(4n);
    queue.dropThrough(3n);
    expect([queue.nextVersion, queue.end]).toEqual([4n, 5n]);
  });

  it('cuts an empty stretch: nextVersion moves although there are no messages', () => {
    const queue = new MessageQueue({ nextVersion: 10n });
    queue.push(MessageBatch.empty, 50n);
    const cut = queue.cut(49n);
    expect([cut.end, cut.messages, cut.bytes, queue.nextVersion, queue.end]).toEqual([50n, 0, 0, 50n, 50n]);
  });

  it('gives a batch that is cut in the middle back to the lock piece by piece, to the byte', async () => {
    const { queue, lock, batches } = await queueOf([1, 2, 3, 4, 5]);
    const total = lock.activePermits;
    let released = 0;
    for (let version = 1n; version <= 5n; version++) {
      const { bytes } = queue.cut(version);
      queue.dropThrough(version);
      released += bytes;
      expect(lock.activePermits).toBe(total - released);
      expect(queue.bytes).toBe(lock.activePermits);
      expect(batches[0]?.releases()).toBe(version === 5n ? 1 : 0);
    }
    expect(lock.activePermits).toBe(0);
  });

  it('P16: dropAfter drops what lies above the end of an epoch, and nothing below', async () => {
    const { queue, lock, batches } = await queueOf([1, 2], [3, 4, 5], [6, 7]);
    queue.cut(2n);
    queue.dropAfter(4n);
    expect([queue.end, queue.nextVersion, queue.messages]).toEqual([5n, 3n, 4]);
    expect(lock.activePermits).toBe(queue.bytes);
    expect(batches.map((b) => b.releases())).toEqual([0, 0, 1]);
    expect(places(queue.cut(4n))).toEqual(['1:0', '2:1', '3:0', '4:1']);
    queue.dropThrough(4n);
    expect(batches.map((b) => b.releases())).toEqual([1, 1, 1]);
    expect(lock.activePermits).toBe(0);
  });

  it('P16: what was dropped from the middle of a batch does not come back when the queue goes on', async () => {
    const { queue, lock } = await queueOf([1, 2, 3, 4]);
    queue.dropAfter(2n);
    const next = batchOf([set(3, 7, 'k'), set(4, 7, 'k')]);
    queue.push(next, 5n, await lock.take(next.byteLength));
    expect(places(queue.cut(4n))).toEqual(['1:0', '2:1', '3:7', '4:7']);
    queue.dropThrough(4n);
    expect([queue.batches, queue.bytes, lock.activePermits]).toEqual([0, 0, 0]);
  });

  it('P16: a log that rolls back what it had called committed is refused', async () => {
    const { queue } = await queueOf([1, 2, 3]);
    queue.cut(3n);
    expect(() => queue.dropAfter(2n)).toThrow(expect.objectContaining({ code: 'ADAPTER_CONTRACT', version: 2n }));
  });

  it('P22: dropAll releases everything and moves nextVersion past the queue; a later rollback does not move it back', async () => {
    const { queue, lock, batches } = await queueOf([1, 2], [3, 4]);
    queue.dropAll();
    expect([queue.nextVersion, queue.end, queue.bytes, queue.messages, queue.batches]).toEqual([5n, 5n, 0, 0, 0]);
    expect(batches.map((b) => b.releases())).toEqual([1, 1]);
    expect(lock.activePermits).toBe(0);
    queue.dropAfter(2n);
    expect([queue.nextVersion, queue.end]).toEqual([5n, 5n]);
  });

  it('P7: skipTo goes on behind a gap, only with an empty queue and only forward', async () => {
    const { queue } = await queueOf([1]);
    expect(() => queue.skipTo(9n)).toThrow(/empty queue/);
    queue.cut(1n);
    queue.dropThrough(1n);
    queue.skipTo(9n);
    expect([queue.nextVersion, queue.end]).toEqual([9n, 9n]);
    expect(() => queue.skipTo(8n)).toThrow(/skip back/);
  });

  it('refuses a reply with versions that were not asked for, and takes nothing over', () => {
    const queue = new MessageQueue({ nextVersion: 5n });
    const refused = expect.objectContaining({ code: 'ADAPTER_CONTRACT' }) as Error;
    expect(() => queue.push(batchOf([set(4, 0, 'k')]), 8n)).toThrow(refused);
    expect(() => queue.push(batchOf([set(8, 0, 'k')]), 8n)).toThrow(refused);
    expect(() => queue.push(MessageBatch.empty, 4n)).toThrow(refused);
    expect([queue.end, queue.messages]).toEqual([5n, 0]);
  });

  it('never cuts what was not pulled, never drops what was not cut', async () => {
    const { queue } = await queueOf([1, 2, 3]);
    expect(() => queue.cut(4n)).toThrow(/pulled only up to 4/);
    queue.cut(1n);
    expect(() => queue.dropThrough(2n)).toThrow(/cut only up to 2/);
  });

  it('accounts for every byte and releases every batch once, whatever the order of cuts and drops', async () => {
    const steps = fc.array(
      fc.oneof(
        fc.record({
          do: fc.constant('push' as const),
          versions: fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 6 }),
        }),
        fc.record({ do: fc.constantFrom('cut' as const, 'drop' as const, 'after' as const), at: fc.nat() }),
        fc.record({ do: fc.constant('all' as const) }),
      ),
      { maxLength: 40 },
    );
    await fc.assert(
      fc.asyncProperty(steps, async (list) => {
        const lock = new FlowLock(1_000);
        const queue = new MessageQueue({ nextVersion: 1n });
        const batches: { releases: () => number; batch: MessageBatch }[] = [];
        let model: string[] = [];
        let cutThrough = 0;
        for (const s of list) {
          if (s.do === 'push') {
            let version = Number(queue.end);
            const messages = s.versions.map((gap, i) => set((version += gap), i, `key${i}`));
            const counted = countReleases(batchOf(messages));
            if (counted.batch.recordCount > 0) {
              if (lock.activePermits + counted.batch.byteLength > 1_000) continue;
              batches.push(counted);
            }
            const releaser = counted.batch.isEmpty ? undefined : await lock.take(counted.batch.byteLength);
            queue.push(counted.batch, BigInt(version) + 1n, releaser);
            model.push(...messages.map((m) => `${m[0]}:${m[1]}`));
          } else if (s.do === 'all') {
            queue.dropAll();
            model = [];
          } else {
            // Not too far back, so that each step does something.
            const from = Math.max(0, cutThrough - 2);
            const version = from + (s.at % (Number(queue.end) - from));
            const below = (place: string) => Number(place.split(':')[0]) <= version;
            if (s.do === 'cut') {
              cutThrough = Math.max(cutThrough, version);
              expect(places(queue.cut(BigInt(version)))).toEqual(model.filter(below));
            } else if (s.do === 'drop' && version < queue.nextVersion) {
              queue.dropThrough(BigInt(version));
              model = model.filter((place) => !below(place));
            } else if (s.do === 'after' && version >= cutThrough) {
              queue.dropAfter(BigInt(version));
              model = model.filter(below);
            }
          }
          expect(lock.activePermits).toBe(queue.bytes);
          expect(queue.messages).toBe(model.length);
          expect(queue.nextVersion <= queue.end).toBe(true);
        }
        queue.dropAll();
        expect(lock.activePermits).toBe(0);
        expect(batches.every((b) => b.releases() === 1)).toBe(true);
      }),
    );
  });
});
