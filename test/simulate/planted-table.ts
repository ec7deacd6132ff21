// npx tsx test/simulate/planted-table.ts [SEEDS] [NAME]
// The table of docs/simulation.md: each planted bug (or those whose name holds NAME), the checks that find it, and how many of the seeds 1 to SEEDS do. Takes its time.

import { PLANTED_BUGS } from '../../src/testing/simulation/planted-bugs.js';
import { PLANTED_SEEDS } from '../../src/testing/simulation/planted-search.js';
import { simulate } from '../../src/testing/simulation/simulate.js';

Error.stackTraceLimit = 0;

async function print(seeds: number, part: string): Promise<void> {
  console.log(`| bug | breaks | found by | seeds of ${seeds} | first |\n| --- | --- | --- | --- | --- |`);
  for (const { name, breaks, rules, foundBy } of PLANTED_BUGS) {
    if (!name.includes(part)) continue;
    const counts = new Map<string, number>();
    let first: number | undefined;
    let found = 0;
    for (let seed = 1; seed <= seeds; seed++) {
      const { violation } = await simulate({ seed, rules });
      if (violation === undefined || !foundBy.includes(violation.check)) continue;
      first ??= seed;
      found++;
      counts.set(violation.check, (counts.get(violation.check) ?? 0) + 1);
    }
    const checks = [...counts].sort(([, a], [, b]) => b - a).map(([check, count]) => `${check}: ${count}`);
    console.log(`| ${name} | ${breaks} | ${checks.join('; ')} | ${found} | ${first ?? 'none'} |`);
  }
}

print(Number(process.argv[2] ?? PLANTED_SEEDS), process.argv[3] ?? '').catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
