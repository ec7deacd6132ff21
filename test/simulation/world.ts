// A small world for tests of single parts: calm unless a test asks for faults.

import type { FaultRates } from '../../src/testing/simulation/faults.js';
import { CALM, SimFaults } from '../../src/testing/simulation/faults.js';
import { SimHits } from '../../src/testing/simulation/hits.js';
import type { SimWorld } from '../../src/testing/simulation/process.js';
import { SimRandom } from '../../src/testing/simulation/random.js';
import { SimScheduler } from '../../src/testing/simulation/scheduler.js';
import { SimTrace } from '../../src/testing/simulation/trace.js';

const NONE: FaultRates = { ...CALM, slowRead: 0.5 };

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
