// Leases that do not keep others away: two processes take snapshots of one job at once, and each believes that it is alone. The fence in their transactions has to hold.

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { toHex, utf8 } from '../../src/core/bytes.js';
import type { ProgressStore } from '../../src/ports/progress-store.js';
import { restore } from '../../src/restore/restore.js';
import { verifyBackup } from '../../src/restore/verify.js';
import { MemoryRangeSource } from '../../src/testing/memory-range-source.js';
import { MemoryRestoreTarget } from '../../src/testing/memory-restore-target.js';
import { startSnapshots } from '../worker/snapshot-fakes.js';
import { World, set } from '../worker/world.js';
import { storeOf } from './helpers.js';

describe('a store whose leases', () => {
  let world: World;
  let runners: ReturnType<typeof startSnapshots>[];
  beforeEach(async () => {
    world = new World();
    runners = [];
    await world.announce();
    world.start(0, { uploadDelay: 1_000 });
  });
  afterEach(async () => {
    for (const runner of runners) await runner.stop();
    await world.end();
  });

  /** Two runners over two sources of one database, a job that wants a snapshot now and then, and what the snapshots restore to. */
  async function takeTogether(change: (store: ProgressStore) => ProgressStore): Promise<void> {
    const sources = [0, 1].map(() => new MemoryRangeSource({ borders: [utf8('m')], clock: world.clock }));
    const put = (...pairs: string[]) => {
      const version = world.put(0, ...pairs);
      for (const source of sources)
        source.commit(
          pairs.map((pair) => ({ mutation: set(pair) })),
          { version },
        );
      return version;
    };
    for (const rangeSource of sources)
      runners.push(
        startSnapshots(world, undefined, { rangeSource, progressStore: change(world.store), leaseTtl: 3_000 }),
      );
    await world.submit('job', { snapshotInterval: 20_000 });
    for (let i = 0; i < 8; i++) {
      put(`a=${i}`, `z=${i}`);
      await world.clock.advance(10_000);
    }
    const last = put('end=1');
    await world.clock.advance(30_000);
    const container = world.container('memory:job');
    const target = new MemoryRestoreTarget();
    await restore({ container, target, version: last, clock: world.clock });
    const rows = [...target.rows()].map(({ key, value }) => `${toHex(key)}=${toHex(value)}`);
    expect(rows).toEqual(sources[0]?.rowsAt(last).map(([key, value]) => `${toHex(key)}=${toHex(value)}`));
    const report = verifyBackup(container, { deep: true, clock: world.clock });
    await world.clock.advance(60_000);
    expect(await report).toMatchObject({ ok: true });
  }

  it('are given to all who ask and held by nobody: no snapshot, and no loop without a pause', async () => {
    let asked = 0;
    const store = storeOf(world.store, {
      acquireLease: async ({ key }) => {
        asked++;
        return { key, renew: async () => undefined, release: async () => undefined };
      },
    });
    const rangeSource = new MemoryRangeSource({ clock: world.clock });
    runners.push(startSnapshots(world, undefined, { rangeSource, progressStore: store }));
    await world.submit('job', { snapshotInterval: 20_000 });
    await world.clock.advance(2_000);
    expect(asked).toBeLessThan(1_000);
    expect(await world.names('memory:job', 'snapshots/')).toEqual([]);
  });

  it('are renewed although they have ended', async () => {
    await takeTogether((store) =>
      storeOf(store, {
        acquireLease: async (request) => {
          const lease = await store.acquireLease(request);
          return lease && { key: lease.key, renew: async () => undefined, release: () => lease.release() };
        },
      }),
    );
  });

  it('end as soon as they are taken', async () => {
    await takeTogether((store) =>
      storeOf(store, { acquireLease: (request) => store.acquireLease({ ...request, ttl: 1 }) }),
    );
  });
});
