// The paths that a run must meet: they cover every rule of docs/protocol.md, and each of them is counted somewhere.

import { readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { readText, repositoryUrl } from '../tooling/source-facts.js';
import { expectedPaths, missingPaths } from './paths.js';
import { missingAfter } from './rare-paths.js';
import { RULE_PATHS } from './rule-paths.js';

/** `P01` … `P26`, `S1` … `S7`, `F1` … `F7` */
const rules = [...readText('docs/protocol.md').matchAll(/^\*\*([PSF])(\d+) · /gm)].map(
  ([, letter, number]) => `${letter}${letter === 'P' ? String(number).padStart(2, '0') : number}`,
);

const source = ['src/worker/', 'src/testing/simulation/']
  .flatMap((folder) => readdirSync(new URL(folder, repositoryUrl)).map((name) => `${folder}${name}`))
  .map((path) => readText(path))
  .join('\n');

describe('the paths that a simulation must meet', () => {
  it('every rule of the protocol has one', () => {
    expect(rules).toHaveLength(26 + 7 + 7);
    expect(rules.filter((rule) => !expectedPaths().some((path) => path.startsWith(`${rule} `)))).toEqual([]);
  });

  it('each path of a rule begins with the name of one', () => {
    expect(Object.keys(RULE_PATHS).filter((path) => !rules.includes(path.split(' ')[0] as string))).toEqual([]);
  });

  it('each path of a rule is declared and counted', () => {
    const uncounted = Object.keys(RULE_PATHS).filter((path) => {
      const literal = path.includes("'") ? `"${path}"` : `'${path}'`;
      return source.split(literal).length - 1 < 2 && !path.startsWith('S4 stopped: the job is ');
    });
    expect(uncounted).toEqual([]);
  });

  it('names those that were not met, the rare ones only after many seeds', () => {
    expect(missingPaths(Object.fromEntries(expectedPaths().map((path) => [path, 1])))).toEqual([]);
    expect(missingPaths({})).toEqual(expectedPaths());
    const rare = Object.entries(RULE_PATHS).flatMap(([path, met]) => (typeof met === 'number' ? [path] : []));
    expect(rare).not.toEqual([]);
    expect(missingAfter(500, expectedPaths()).filter((path) => rare.includes(path))).toEqual([]);
    expect(missingAfter(1_000_000, rare)).toEqual(rare);
  });
});
