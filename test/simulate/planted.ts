// The planted bugs by name.

import type { PlantedBug } from '../../src/testing/simulation/planted-bugs.js';
import { PLANTED_BUGS } from '../../src/testing/simulation/planted-bugs.js';

/** Throws a RangeError that lists the names there are. */
export function plantedBug(name: string): PlantedBug {
  const bug = PLANTED_BUGS.find((candidate) => candidate.name === name);
  if (bug !== undefined) return bug;
  const near = PLANTED_BUGS.filter((candidate) => candidate.name.includes(name));
  const names = (near.length === 0 ? PLANTED_BUGS : near).map((candidate) => `  ${candidate.name}`).join('\n');
  throw new RangeError(`--planted must be the name of a planted bug, got "${name}"; there are\n${names}`);
}

export function rulesOf(name: string | undefined): PlantedBug['rules'] {
  return name === undefined ? {} : plantedBug(name).rules;
}
