// A child process of the command line: runs the seeds that it is told and reports each.

import { simulate } from '../../src/testing/simulation/simulate.js';
import type { Assignment, SeedReport } from './messages.js';

// Nobody reads the stacks of the many errors that are part of a run; to make them takes a tenth of its time.
Error.stackTraceLimit = 0;

async function run({ from, to }: Assignment): Promise<void> {
  for (let seed = from; seed < to; seed++) {
    const { violation, hits, events, virtualMs } = await simulate({ seed });
    const report: SeedReport = { seed, violation, hits, events, virtualMs };
    process.send?.(report);
  }
  process.send?.('ready');
}

process.on('message', (assignment) => {
  run(assignment as Assignment).catch((error: unknown) => {
    console.error(error);
    process.exit(1);
  });
});
process.send?.('ready');
