// npm run coverage [-- --write] [--only <tests…>] [--of <path of src>] [--report <file>]
// Which lines, branches and functions of src no test runs, and why. Exits with 1 when a place has no reason, a reason is of code that is gone, or a test fails.
//   --write   writes docs/coverage.md
//   --only    runs these tests alone: `--only test/core`. The rest of src is then not covered, so look at a part of it with --of
//   --of      tells of the files whose path begins so: `--of src/core`
//   --report  takes a raw report of an earlier run (coverage-final.json) instead of running the tests

import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { introduction } from './introduction.js';
import { describePlace, folderRows, renderPage } from './page.js';
import { checkReasons, compareReasons, type Comparison, type NamedPlace, type Reason } from './reasons.js';
import { countFile, percent, readReport, type FileCounts, type FileReport } from './report.js';
import { runTests } from './run-tests.js';
import { uncoveredPlaces } from './uncovered.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const CONFIG = join(ROOT, 'test/coverage/vitest.config.ts');
const PAGE = 'docs/coverage.md';
const REASONS = 'test/coverage/uncovered.json';

function readOptions() {
  const { values } = parseArgs({
    options: {
      write: { type: 'boolean', default: false },
      only: { type: 'string', multiple: true, default: [] },
      of: { type: 'string', default: 'src/' },
      report: { type: 'string' },
    },
  });
  if (values.write && (values.only.length > 0 || values.of !== 'src/'))
    throw new RangeError('--write is of everything: leave --only and --of out');
  return values;
}

async function readReasons(): Promise<Reason[]> {
  return JSON.parse(await readFile(join(ROOT, REASONS), 'utf8')) as Reason[];
}

async function readSources(files: Iterable<string>): Promise<Map<string, string>> {
  const sources = new Map<string, string>();
  for (const file of files)
    if (existsSync(join(ROOT, file))) sources.set(file, await readFile(join(ROOT, file), 'utf8'));
  return sources;
}

function printTable(files: ReadonlyMap<string, FileCounts>): void {
  const cell = (text: string) => text.padStart(11);
  console.log(`\n${'folder'.padEnd(28)}${['lines %', 'branches %', 'functions %'].map((head) => head.padStart(13)).join('')}`);
  for (const [name, { lines, branches, functions }] of folderRows(files))
    console.log(`${name.padEnd(28)}${[lines, branches, functions].map((count) => `  ${cell(percent(count))}`).join('')}`);
}

function printComparison({ explained, unexplained, covered, gone }: Comparison): void {
  const name = ({ file, code, part }: NamedPlace) => `${file}  ${describePlace({ code, part })}`;
  console.log(`\n${explained.length} places that did not run have a reason in ${REASONS}`);
  for (const entry of covered) console.log(`no longer needed? it ran this time: ${name(entry)}`);
  for (const entry of gone) console.log(`GONE, no longer needed: ${name(entry)}`);
  for (const place of unexplained)
    console.log(`UNEXPLAINED ${place.file}:${place.line}  ${describePlace(place)}`);
  console.log(`${unexplained.length} unexplained, ${gone.length} gone`);
}

/** Files that were changed while the tests ran: the report is of their former lines. */
async function changedSince(start: number, files: Iterable<string>): Promise<string[]> {
  const changed: string[] = [];
  for (const file of files) if ((await stat(join(ROOT, file))).mtimeMs > start) changed.push(file);
  return changed;
}

const { write, only, of, report } = readOptions();
const start = report === undefined ? Date.now() : (await stat(report)).mtimeMs;
const scratch = await mkdtemp(join(tmpdir(), 'tidemark-coverage-'));
try {
  const run = report === undefined ? await runTests({ root: ROOT, config: CONFIG, directory: scratch, only }) : { report, hasFailed: false };
  const reports: [string, FileReport][] = [...(await readReport(run.report, ROOT))].filter(([file]) => file.startsWith(of));
  const sources = await readSources(reports.map(([file]) => file));
  const files = new Map(reports.map(([file, counts]) => [file, countFile(counts)]));
  const places = reports.flatMap(([file, counts]) => uncoveredPlaces(file, counts, sources.get(file) ?? ''));
  const reasons = await readReasons();
  const comparison = compareReasons(reasons, places, sources, (file) => file.startsWith(of));
  printTable(files);
  printComparison(comparison);
  const wrong = checkReasons(reasons);
  for (const message of wrong) console.log(`${REASONS}: ${message}`);
  if (write) await writeFile(join(ROOT, PAGE), renderPage({ files, comparison }, introduction));
  const changed = await changedSince(start, sources.keys());
  for (const file of changed) console.log(`CHANGED while the tests ran, so not what is said here: ${file}`);
  if (run.hasFailed) console.log('tests have FAILED: see above');
  const isClean =
    !run.hasFailed && changed.length === 0 && comparison.unexplained.length + comparison.gone.length + wrong.length === 0;
  process.exitCode = isClean ? 0 : 1;
} finally {
  await rm(scratch, { recursive: true, force: true });
}
