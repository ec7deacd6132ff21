// A fleet: every worker that has to run runs on one live host, and none on two (rules F1 to F7).

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FleetWorld } from './fleet-world.js';

describe('BackupFleet', () => {
  let world: FleetWorld;
  beforeEach(() => {
    world = new FleetWorld({ totalTags: 8 });
  });
  afterEach(() => world.end());

  it('one host runs everything', async () => {
    const a = world.host('a');
    await world.clock.advance(1_000);
    expect(a.events.slice(0, 4)).toEqual(['joined a', 'hosts a', 'assigned 1.0', 'workerStarted 1.0']);
    expect(world.loads()).toEqual({ a: 8 });
    expect(world.running(a)).toHaveLength(8);
  });

  it('several that start at once share the workers', async () => {
    const [a, b, c] = [world.host('a'), world.host('b'), world.host('c')];
    await world.clock.advance(2_000);
    expect(Object.values(world.loads()).sort()).toEqual([2, 3, 3]);
    expect(new Set(world.running(a, b, c)).size).toBe(8);
    expect(world.running(a, b, c)).toHaveLength(8);
  });

  it('a dead host is replaced', async () => {
    const [a, b] = [world.host('a'), world.host('b')];
    await world.clock.advance(2_000);
    a.kill();
    await world.clock.advance(12_000);
    expect(world.loads()).toEqual({ b: 8 });
    expect(world.running(b)).toHaveLength(8);
  });

  it('a stopped host hands over at once', async () => {
    const a = world.host('a');
    world.host('b');
    await world.clock.advance(2_000);
    a.abort();
    await world.clock.settle();
    await world.clock.advance(100);
    expect(world.loads()).toEqual({ b: 8 });
    expect(a.outcome()).toBe('resolved');
  });
});
