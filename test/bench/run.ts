// npm run bench -- [--json] [--only NAME] [--size MiB] [--pairs N] [--directory DIR]
// Runs the benches one after the other and prints a table, or one JSON object of name -> {value, unit, goal, met, detail}.

import { parseArgs } from 'node:util';

import type { Bench, BenchOptions, Figures } from './bench.js';

/** By the name of the figures they give, or what those names begin with. Modules are loaded one at a time: a bench should not warm up another's code. */
const benches: readonly { readonly name: string; readonly load: () => Promise<{ readonly bench: Bench }> }[] = [
  { name: 'pipeline.full', load: () => import('./pipeline-full.js') },
  { name: 'pipeline.build', load: () => import('./pipeline-build.js') },
  { name: 'pipeline.routed', load: () => import('./pipeline-routed.js') },
  { name: 'merge', load: () => import('./merge.js') },
  { name: 'memory', load: () => import('./memory.js') },
  { name: 'eventloop', load: () => import('./eventloop.js') },
  { name: 'describe', load: () => import('./describe.js') },
];

const { values: args } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    only: { type: 'string' },
    size: { type: 'string' },
    pairs: { type: 'string' },
    directory: { type: 'string' },
  },
});

function wholeNumber(text: string | undefined, name: string): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1) throw new Error(`--${name} must be a whole number > 0, got ${text}`);
  return value;
}

const options: BenchOptions = {
  sizeMiB: wholeNumber(args.size, 'size'),
  pairs: wholeNumber(args.pairs, 'pairs'),
  directory: args.directory,
  log: (line) => process.stderr.write(`${line}\n`),
};

const only = args.only;
const chosen = benches.filter(({ name }) => only === undefined || name.startsWith(only));
if (chosen.length === 0)
  throw new Error(`--only ${String(only)}: there are ${benches.map(({ name }) => name).join(', ')}`);

const figures: Figures = {};
for (const { name, load } of chosen) {
  options.log?.(`${name} …`);
  const { bench } = await load();
  Object.assign(figures, await bench(options));
}

if (args.json) {
  console.log(JSON.stringify(figures, null, 2));
} else {
  for (const [name, { value, unit, goal, met, detail }] of Object.entries(figures)) {
    const shownDetail = typeof detail === 'string' ? detail : JSON.stringify(detail);
    const shown = value >= 1000 ? Math.round(value).toLocaleString('en') : value.toFixed(3);
    console.log(
      `${met ? 'met ' : 'MISS'} ${name.padEnd(24)} ${shown.padStart(12)} ${unit} (goal ${goal})\n     ${shownDetail}`,
    );
  }
}
