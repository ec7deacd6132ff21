// Which seeds run a fleet. Drawn apart from everything else: all other seeds run what they ran before there were fleets.

import type { SimRules } from './planted-rules.js';
import { SimRandom } from './random.js';

/** Share of the seeds. */
const FLEET_SHARE = 0.3;
/** Such that none of the seeds that had failed before there were fleets has one: they still run the world in which they failed. */
const FLEET_SALT = 0xf1ee76;

/** A planted bug of anything else stays in the worlds that are known to find it. */
export function hasFleet(seed: number, rules: SimRules): boolean {
  const concernsFleets = Object.keys(rules).length === 0 || rules.fleet !== undefined;
  return concernsFleets && new SimRandom(seed ^ FLEET_SALT).chance(FLEET_SHARE);
}
