// npm run bench -- [--json] [--only NAME] [--size MiB] [--pairs N] [--directory DIR]
// Runs the benches one after the other and prints a table, or one JSON object of name -> {value, unit, goal, met, detail}.

import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import type { Bench, BenchOptions, Figures } from './bench.js';

/** By the name of the figures they give, or what those names begin with. Each runs in a process of its own: no bench inherits what another has compiled or left behind. */
const benches: readonly { readonly name: string; readonly load: () => Promise<{ readonly bench: Bench }> }[] = [
  { name: 'pipeline.full', load: () => import('./pipeline-full.js') },
  { name: 'pipeline.build', load: () => import('./pipeline-build.js') },
  { name: 'pipeline.routed', load: () => import('./pipeline-routed.js') },
  { name: 'merge', load: () => import('./merge.js') },
  { name: 'memory', load: () => import('./memory.js') },
  { name: 'eventloop', load: () => import('./eventloop.js') },
  { name: 'describe', load: () => import('./describe.js') },
  { name: 'schedule', load: () => import('./schedule.js') },
  { name: 'snapshot', load: () => import('./snapshot.js') },
  { name: 'restore', load: () => import('./restore.js') },
  { name: 'sst.write', load: () => import('./sst-write.js') },
  { name: 'sst.scan', load: () => import('./sst-scan.js') },
  { name: 's3', load: () => import('./s3.js') },
  { name: 'etcd.lag', load: () => import('./etcd-lag.js') },
  { name: 'br.threads', load: () => import('./br-threads.js') },
  { name: 'fleet.handover', load: () => import('./fleet-handover.js') },
];

const { values: args } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    only: { type: 'string' },
    size: { type: 'string' },
    pairs: { type: 'string' },
    directory: { type: 'string' },
    /** Within: the one bench that this process is for. */
    child: { type: 'string' },
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

async function inProcess(name: string): Promise<Figures> {
  const worker = fork(fileURLToPath(import.meta.url), [...process.argv.slice(2), '--child', name], {
    stdio: 'inherit',
  });
  const exited = once(worker, 'exit');
  let result: Figures | undefined;
  worker.on('message', (message) => (result = message as Figures));
  await exited;
  if (result === undefined) throw new Error(`the bench ${name} ended without a result`);
  return result;
}

const child = benches.find(({ name }) => name === args.child);
if (child !== undefined) {
  const { bench } = await child.load();
  const result = await bench(options);
  await new Promise<void>((resolve) => process.send?.(result, () => resolve()));
  process.exit();
}

const only = args.only;
const chosen = benches.filter(({ name }) => only === undefined || name.startsWith(only));
if (chosen.length === 0)
  throw new Error(`--only ${String(only)}: there are ${benches.map(({ name }) => name).join(', ')}`);

const figures: Figures = {};
for (const { name } of chosen) {
  options.log?.(`${name} …`);
  Object.assign(figures, await inProcess(name));
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
