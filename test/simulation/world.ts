// A small world for tests of single parts: calm unless a test asks for faults.

import type { FaultRates } from '../../src/testing/simulation/faults.js';
import { SimFaults } from '../../src/testing/simulation/faults.js';
import { SimHits } from '../../src/testing/simulation/hits.js';
import type { SimWorld } from '../../src/testing/simulation/process.js';
import { SimRandom } from '../../src/testing/simulation/random.js';
import { SimScheduler } from '../../src/testing/simulation/scheduler.js';
import { SimTrace } from '../../src/testing/simulation/trace.js';

const NONE: FaultRates = {
  slow: 0,
  slowCallMs: 0,
  failBefore: { log: 0, store: 0, container: 0, source: 0 },
  failAfter: { log: 0, store: 0, container: 0, source: 0 },
  kill: 0,
  freeze: 0,
  watchEarly: 0,
  watchNever: 0,
  shortPeek: 0,
  hang: 0,
  noticeDelayMs: 5,
  cutOff: 0,
  slowRead: 0.5,
};

export function makeWorld(seed: number, rates: Partial<FaultRates> = {}): SimWorld {
  const random = new SimRandom(seed);
  const scheduler = new SimScheduler(random);
  const hits = new SimHits();
  const faults = new SimFaults(random, hits, { ...NONE, ...rates });
  return { random, scheduler, hits, faults, trace: new SimTrace(true, () => scheduler.now) };
}

/** Lets everything happen that will. */
export async function runAll(world: SimWorld): Promise<void> {
  await world.scheduler.run(() => false, world.scheduler.now + 60_000);
}
