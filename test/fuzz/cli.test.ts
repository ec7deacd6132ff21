// The fuzzer can fail: planted mistakes are found, named, saved and replayed, and a case that never ends is killed.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';

const folder = mkdtempSync(path.join(tmpdir(), 'tidemark-fuzz-test-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function fuzz(...options: string[]) {
  const cli = path.join(import.meta.dirname, 'cli.ts');
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--import', 'tsx', cli, ...options], {
    encoding: 'utf8',
  });
  return { status, output: stdout + stderr };
}

const saved = (target: string) => readdirSync(path.join(folder, target)).map((file) => path.join(folder, target, file));

describe('npm run fuzz', () => {
  it('finds a mistake behind five conditions by coverage, which blind mutation does not', () => {
    const common = ['--target', 'planted-deep', '--jobs', '1', '--seed', '5', '--save', folder];
    const blind = fuzz(...common, '--cases', '60000', '--blind');
    expect(blind.output).toContain('clean');
    expect(blind.status).toBe(0);
    const guided = fuzz(...common, '--cases', '60000');
    expect(guided.output).toContain('planted-deep FAILS: TypeError: the planted mistake');
    expect(guided.status).toBe(1);
    const [file = ''] = saved('planted-deep');
    const replayed = fuzz('--replay', file);
    expect(replayed.output).toContain('TypeError: the planted mistake');
    expect(replayed.status).toBe(1);
  }, 120_000);

  it('kills a case that never ends, and saves its input', () => {
    const { output, status } = fuzz(
      '--target',
      'planted-loop',
      '--cases',
      '20000',
      '--jobs',
      '1',
      '--seed',
      '1',
      '--patience',
      '3',
      '--save',
      folder,
    );
    expect(output).toContain('planted-loop FAILS: no progress for 3 s');
    expect(output).toContain('--replay');
    expect(status).toBe(1);
    expect(saved('planted-loop').length).toBeGreaterThan(0);
  }, 120_000);

  it('names an input that takes more memory than its target may', () => {
    const { output, status } = fuzz(
      '--target',
      'planted-memory',
      '--cases',
      '5000',
      '--jobs',
      '1',
      '--seed',
      '1',
      '--save',
      folder,
    );
    expect(output).toMatch(/planted-memory FAILS: took 5[0-9]{7} bytes/);
    expect(status).toBe(1);
  }, 120_000);
});
