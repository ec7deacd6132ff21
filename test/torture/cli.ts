// npm run torture -- [--kills N] [--seed S] [--only fleet,host,disk] [--dir FOLDER] [--keep]
// Kills real processes on a real disk, N times in all, and fills, freezes and takes away the disk. Exits with 1 when anything was wrong, after printing the seed and the folder that it keeps.

import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { SimRandom } from '../../src/testing/simulation/random.js';
import { compile } from './compile.js';
import { runDisk } from './disk.js';
import { KILLS, runFleet } from './fleet.js';
import { HOST_KILLS, runHost } from './host.js';
import { Report } from './report.js';
import { World } from './world.js';

const USAGE = 'npm run torture -- [--kills N] [--seed S] [--only fleet,host,disk] [--dir FOLDER] [--keep]';
const PARTS = ['fleet', 'host', 'disk'] as const;

function readOptions() {
  const { values } = parseArgs({
    options: {
      kills: { type: 'string', default: '120' },
      seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
      only: { type: 'string', default: PARTS.join(',') },
      dir: { type: 'string', default: tmpdir() },
      keep: { type: 'boolean', default: false },
    },
  });
  const whole = (name: 'kills' | 'seed') => {
    const value = Number(values[name]);
    if (!Number.isSafeInteger(value) || value < 0)
      throw new RangeError(`--${name} must be a whole number from 0 on, got ${values[name]}`);
    return value;
  };
  const parts = values.only.split(',');
  for (const part of parts)
    if (!PARTS.some((known) => known === part)) throw new RangeError(`--only: there is no part ${part}`);
  return { kills: whole('kills'), seed: whole('seed'), parts, dir: values.dir, keep: values.keep };
}

function optionsOrExit(): ReturnType<typeof readOptions> {
  try {
    return readOptions();
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : String(error)}\n\n${USAGE}`);
    process.exit(2);
  }
}

const { kills, seed, parts, dir, keep } = optionsOrExit();
await mkdir(dir, { recursive: true });
const folder = await mkdtemp(join(dir, 'tidemark-torture-'));
// Children that are not root read the code, too.
await chmod(folder, 0o755);
const code = join(folder, 'code');
await compile(code);
const report = new Report();
report.say(`seed ${seed}, in ${folder}`);
const random = new SimRandom(seed);

try {
  if (parts.includes('fleet')) {
    const world = await World.make({
      code,
      folder: join(folder, 'fleet'),
      seed,
      random: new SimRandom(random.next32()),
      report,
    });
    await runFleet(world, Math.ceil(kills * 0.7));
    await world.close();
  }
  if (parts.includes('host')) {
    const options = { code, folder: join(folder, 'host'), seed, random: new SimRandom(random.next32()), report };
    await runHost(options, Math.floor(kills * 0.3));
  }
  if (parts.includes('disk')) {
    // A minute in the long run.
    const hang = kills >= 100 ? 60_000 : 3_000;
    await runDisk({ code, folder: join(folder, 'disk'), seed, random: new SimRandom(random.next32()), report, hang });
  }
} catch (error) {
  report.problem(error instanceof Error ? (error.stack ?? error.message) : String(error));
}

console.log(`\n${report.summary()}\n`);
console.log(`${report.counted(KILLS) + report.counted(HOST_KILLS)} kills, ${report.problems.length} problems`);
if (report.problems.length > 0) {
  for (const problem of report.problems) console.log(`PROBLEM: ${problem}`);
  console.log(`again: npm run torture -- --kills ${kills} --seed ${seed}; what it left is in ${folder}`);
  process.exitCode = 1;
} else if (!keep) {
  await rm(folder, { recursive: true, force: true });
}
