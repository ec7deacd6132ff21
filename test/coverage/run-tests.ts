// Runs the tests with V8's coverage, and gives the path of the raw report.

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const VITEST = fileURLToPath(new URL('../../node_modules/vitest/vitest.mjs', import.meta.url));

export interface CoverageRun {
  readonly report: string;
  /** What ran has failed tests: what they cover counts all the same, but the command fails. */
  readonly hasFailed: boolean;
}

export interface CoverageRequest {
  readonly root: string;
  /** Of Vitest. */
  readonly config: string;
  /** Where the report goes. */
  readonly directory: string;
  /** Names of test files or folders, as `vitest run` takes them. Default: all. */
  readonly only?: readonly string[];
  /** Shows nothing of what the tests say. Default false. */
  readonly silent?: boolean;
}

export async function runTests({ root, config, directory, only = [], silent }: CoverageRequest): Promise<CoverageRun> {
  const options = ['run', '--config', config, '--root', root, `--coverage.reportsDirectory=${directory}`];
  const stdio = silent === true ? 'ignore' : 'inherit';
  const child = spawn(process.execPath, [VITEST, ...options, ...only], { cwd: root, stdio });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', resolve);
  });
  const report = join(directory, 'coverage-final.json');
  if (!existsSync(report)) throw new Error(`the tests ended with code ${code} and left no report`);
  return { report, hasFailed: code !== 0 };
}
