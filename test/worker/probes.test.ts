// Where a worker says that it has been: for simulations, which count it. It must cost nothing that grows with the messages.

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { utf8 } from '../../src/core/bytes.js';
import { workerRules } from '../../src/worker/rules.js';
import type { WorkerPath } from '../../src/worker/worker-path.js';
import { World } from './world.js';

describe('the paths of a run', () => {
  let world: World;
  let met: WorkerPath[];
  const rules = { ...workerRules, met: (path: WorkerPath) => void met.push(path) };
  beforeEach(async () => {
    world = new World();
    met = [];
    await world.announce();
  });
  afterEach(() => world.end());

  it('are told in the order in which they are taken', async () => {
    world.start(0, { rules });
    world.put(0, 'a');
    await world.clock.advance(6_000);
    await world.submit('job');
    world.put(0, 'b');
    await world.clock.advance(11_000);
    await world.operator.discontinue('job');
    await world.clock.advance(15_000);
    expect(world.log.popped(1, { locality: -2, id: 0 })).toBe(2n);
    const firsts = [...new Set(met)];
    const order: WorkerPath[] = [
      'P12 begins where the plan says',
      'P06 noop recorded',
      'P02 firstVersion above the start version: the true-up',
      'P03 set Running',
      'P25 checksums written',
      'P04 round saved',
      'P08 stop version set',
      'P08 completed',
      'P09 job leaves a run',
    ];
    expect(firsts.filter((path) => order.includes(path))).toEqual(order);
  });

  it('are not told message by message', async () => {
    world.start(0, { rules });
    // Its edges cross every batch: the router looks at each message.
    await world.submit('job', { ranges: [{ begin: utf8('k5'), end: utf8('l5') }] });
    await world.clock.advance(10_000);
    const countOf = async (versions: number) => {
      met = [];
      for (let i = 0; i < versions; i++) world.put(0, `k${i}`, `l${i}`);
      await world.clock.advance(12_000);
      return met.length;
    };
    const few = await countOf(1);
    expect(few).toBeGreaterThan(2);
    expect(await countOf(2_000)).toBeLessThanOrEqual(few + 10);
    expect(met).toContain('P19 batch message by message');
  });
});
