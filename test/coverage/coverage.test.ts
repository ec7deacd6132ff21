import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { describePlace, renderPage } from './page.js';
import { checkReasons, compareReasons, type NamedPlace } from './reasons.js';
import { addCounts, countFile, percent, readReport, type FileReport } from './report.js';
import { runTests } from './run-tests.js';
import { uncoveredPlaces, type UncoveredPlace } from './uncovered.js';

const FIXTURES = fileURLToPath(new URL('./fixtures/', import.meta.url));

describe('a coverage run', () => {
  let directory: string;
  let report: FileReport;
  let places: readonly UncoveredPlace[];

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'tidemark-coverage-'));
    const config = join(FIXTURES, 'vitest.config.ts');
    const run = await runTests({ root: FIXTURES, config, directory, silent: true });
    expect(run.hasFailed).toBe(false);
    report = (await readReport(run.report, FIXTURES)).get('shapes.ts') as FileReport;
    places = uncoveredPlaces('shapes.ts', report, await readFile(join(FIXTURES, 'shapes.ts'), 'utf8'));
  });

  afterAll(() => rm(directory, { recursive: true, force: true }));

  it('names each place that did not run, the largest that none around it explains', () => {
    expect(places.map(({ code, part }) => [code, part])).toEqual([
      ['export function neverCalled(): string {', undefined],
      ["if (value < 0) throw new RangeError('negative');", 'never true'],
      ['if (value > 100) {', 'never true'],
      ["if (value < 10) return 'small';", 'never false'],
      ["const shown = name ?? 'nobody';", "'nobody'"],
      ["return kind === 'a' ? shown : 'never';", "'never'"],
      ["case 'b':", undefined],
      ['ignore();', undefined],
      ['function ignore(): void {}', undefined],
    ]);
  });

  it('gives the line of each, for whoever looks it up', async () => {
    const lines = (await readFile(join(FIXTURES, 'shapes.ts'), 'utf8')).split('\n');
    for (const { line, code } of places) expect(lines[line - 1]?.trim()).toBe(code);
  });

  it('counts lines, branches and functions', () => {
    const counts = countFile(report);
    expect(counts.functions).toEqual({ covered: 4, total: 6 });
    expect(counts.lines.covered).toBeLessThan(counts.lines.total);
    expect(addCounts([counts, counts]).branches.total).toBe(2 * counts.branches.total);
  });
});

describe('percentages', () => {
  it('never say 100 while something is missing', () => {
    expect(percent({ covered: 9_999, total: 10_000 })).toBe('99.9');
    expect(percent({ covered: 3, total: 3 })).toBe('100.0');
    expect(percent({ covered: 0, total: 0 })).toBe('-');
  });
});

describe('the list of reasons', () => {
  const place = (code: string, part?: string): UncoveredPlace => ({ file: 'src/a.ts', line: 1, code, part });
  const compare = (entries: readonly NamedPlace[], places: readonly UncoveredPlace[]) =>
    compareReasons(
      [{ reason: 'cannot be provoked', places: entries }],
      places,
      new Map([['src/a.ts', '  one();\n  two();\n']]),
    );

  it('explains places by their text, wherever they are', () => {
    const { explained, unexplained } = compare([{ file: 'src/a.ts', code: 'one();' }], [place('one();'), place('two();')]);
    expect(explained).toEqual([{ place: place('one();'), reason: 'cannot be provoked' }]);
    expect(unexplained).toEqual([place('two();')]);
  });

  it('takes no second place for the first, unless it says how many', () => {
    const twice = [place('one();'), place('one();')];
    expect(compare([{ file: 'src/a.ts', code: 'one();' }], twice).unexplained).toHaveLength(1);
    expect(compare([{ file: 'src/a.ts', code: 'one();', times: 2 }], twice).unexplained).toEqual([]);
  });

  it('takes no part of a line for another part, or for the whole', () => {
    const entry = { file: 'src/a.ts', code: 'one();', part: 'never true' };
    expect(compare([entry], [place('one();')]).unexplained).toHaveLength(1);
    expect(compare([entry], [place('one();', 'never true')]).unexplained).toEqual([]);
  });

  it('tells what ran this time from what is gone', () => {
    const entries = ['one();', 'three();'].map((code) => ({ file: 'src/a.ts', code }));
    const lost = { file: 'src/b.ts', code: 'one();' };
    const { covered, gone } = compare([...entries, lost], []);
    expect(covered).toEqual([entries[0]]);
    expect(gone).toEqual([entries[1], lost]);
  });

  it('has no empty reasons and nothing twice', () => {
    const entry = { file: 'src/a.ts', code: 'one();' };
    expect(checkReasons([{ reason: 'cannot be provoked', places: [entry] }])).toEqual([]);
    expect(checkReasons([{ reason: '', places: [] }])).toEqual(['"" is no reason']);
    expect(checkReasons([{ reason: 'cannot be provoked', places: [entry, entry] }])).toHaveLength(1);
    expect(checkReasons([{ reason: 'cannot be provoked', places: [{ ...entry, times: 1 }] }])).toHaveLength(1);
  });
});

describe('the page', () => {
  it('quotes code whatever is in it', () => {
    expect(describePlace({ code: 'x ?? 0', part: '0' })).toBe('`x ?? 0`: `0`');
    expect(describePlace({ code: 'if (x) y();', part: 'never true' })).toBe('`if (x) y();`: never true');
    expect(describePlace({ code: 'throw `a`;', part: undefined })).toBe('`` throw `a`; ``');
  });

  it('has a table by folder and the places by file', () => {
    const counts = countFile({ statementMap: {}, fnMap: {}, branchMap: {}, s: {}, f: {}, b: {} });
    const explained = [
      { place: { file: 'src/core/a.ts', line: 3, code: 'one();', part: undefined }, reason: 'cannot be provoked' },
    ];
    const comparison = { explained, unexplained: [], covered: [], gone: [] };
    const files = new Map([
      ['src/core/a.ts', counts],
      ['src/core/b.ts', counts],
    ]);
    const page = renderPage({ files, comparison }, '# Coverage\n');
    expect(page).toContain('| `src/core` | 0 | - |');
    expect(page).toContain('1 of 2 files ran whole');
    expect(page).toContain('### src/core/a.ts\n\n- `one();` — cannot be provoked\n');
  });
});
