// A child process of the command line: runs the seeds that it is told and reports each.

import { simulate } from '../../src/testing/simulation/simulate.js';
import type { Assignment, ChildMessage } from './messages.js';
import { rulesOf } from './planted.js';

// Nobody reads the stacks of the many errors that are part of a run; to make them takes a tenth of its time.
Error.stackTraceLimit = 0;

function tell(message: ChildMessage): void {
  process.send?.(message);
}

async function run({ seeds, planted }: Assignment): Promise<void> {
  const rules = rulesOf(planted);
  for (const seed of seeds) {
    const { violation, hits, events, virtualMs } = await simulate({ seed, rules });
    tell({ seed, violation, hits, events, virtualMs });
  }
  tell('ready');
}

process.on('message', (assignment) => {
  run(assignment as Assignment).catch((error: unknown) => {
    console.error(error);
    process.exit(1);
  });
});
tell('ready');
