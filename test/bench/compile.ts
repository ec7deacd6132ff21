// Compiles the benches and what they measure into .tmp/bench, as the package itself is compiled: what is measured is what users get. Under tsx, whose hooks stay in the process, an SST file is scanned at two thirds of the speed.
//
//   tsx test/bench/compile.ts && node .tmp/bench/test/bench/run.js

import { execFileSync } from 'node:child_process';
import { cp, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const OUT = path.join(ROOT, '.tmp', 'bench');
/** C++ programs lie beside what starts them. */
const WITH_PROGRAMS = path.join('test', 'format', 'sst');

interface Manifest {
  readonly name: string;
  readonly type: string;
  readonly exports: Readonly<Record<string, string | { readonly default: string }>>;
}

const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc');
execFileSync(process.execPath, [tsc, '-p', 'tsconfig.bench.json'], { cwd: ROOT, stdio: 'inherit' });

// The examples import the library by its name.
const { name, type, exports: built } = JSON.parse(await readFile(path.join(ROOT, 'package.json'), 'utf8')) as Manifest;
const compiled: Record<string, string> = {};
for (const [subpath, target] of Object.entries(built)) {
  if (typeof target !== 'string') compiled[subpath] = target.default.replace('./dist/', './src/');
}
await writeFile(path.join(OUT, 'package.json'), JSON.stringify({ name, type, exports: compiled }));

await mkdir(path.join(OUT, WITH_PROGRAMS), { recursive: true });
await cp(path.join(ROOT, WITH_PROGRAMS), path.join(OUT, WITH_PROGRAMS), {
  recursive: true,
  filter: (source) => !source.endsWith('.ts'),
});

// Scripts that run in processes of their own are named by their files.
for (const entry of await readdir(OUT, { recursive: true, withFileTypes: true })) {
  if (!entry.isFile() || !entry.name.endsWith('.js')) continue;
  const file = path.join(entry.parentPath, entry.name);
  const code = await readFile(file, 'utf8');
  const renamed = code.replace(/(new URL\('[^']+)\.ts(', import\.meta\.url\))/g, '$1.js$2');
  if (renamed !== code) await writeFile(file, renamed);
}
