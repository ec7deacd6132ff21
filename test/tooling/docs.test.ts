// The documentation as a whole: links lead somewhere, the index is complete, every rule of the protocol is explained and tested.

import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { codeWords, readText, repositoryUrl, tableBelow } from './source-facts.js';

const repository = fileURLToPath(repositoryUrl);
const pages = readdirSync(join(repository, 'docs'), { recursive: true, encoding: 'utf8' }).filter(
  (name) => name.endsWith('.md') && !name.startsWith('api'),
);
const texts = ['README.md', 'CHANGELOG.md', ...pages.map((name) => `docs/${name}`)];

/** The anchors that a page offers, by GitHub's rules. */
function anchors(path: string): Set<string> {
  const headings = readText(path)
    .replaceAll(/^```[\s\S]*?^```$/gm, '')
    .matchAll(/^#+ (.+)$/gm);
  return new Set(
    Array.from(headings, ([, text]) =>
      (text as string)
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
        .replaceAll(' ', '-'),
    ),
  );
}

function brokenLinks(path: string): string[] {
  const links = Array.from(readText(path).matchAll(/\]\(([^)\s]+)\)/g), (match) => match[1] as string);
  return links.filter((link) => {
    if (/^(https?|mailto):/.test(link)) return false;
    const [file, anchor] = link.split('#') as [string, string | undefined];
    const target = file === '' ? path : join(dirname(path), file);
    if (!existsSync(join(repository, target))) return true;
    return anchor !== undefined && !anchors(target).has(anchor);
  });
}

function testSources(): string {
  const files = readdirSync(join(repository, 'test'), { recursive: true, encoding: 'utf8' });
  return files
    .filter((name) => name.endsWith('.test.ts') && !name.startsWith('tooling'))
    .map((name) => readText(`test/${name}`))
    .join('\n');
}

const numbers = (count: number) => Array.from({ length: count }, (_, index) => index + 1);

/** P1 to P26 are about the log, S1 to S7 about scheduled snapshots, F1 to F7 about fleets. */
const RULES = [
  ...numbers(26).map((rule) => `P${rule}`),
  ...numbers(7).map((rule) => `S${rule}`),
  ...numbers(7).map((rule) => `F${rule}`),
];

describe('the documentation', () => {
  for (const path of texts) {
    it(`has no dead link in ${path}`, () => {
      expect(brokenLinks(path)).toEqual([]);
    });
  }

  it('has an index of all its pages', () => {
    const index = readText('docs/README.md');
    expect(pages.filter((name) => name !== 'README.md' && !index.includes(`](${name})`))).toEqual([]);
  });

  it('explains every rule of the protocol, and why it is there', () => {
    const rules = readText('docs/protocol.md')
      .split(/^(?=\*\*[PSF]\d+ · )/m)
      .slice(1);
    const explained = rules
      .filter((rule) => rule.includes('\n*Why:*'))
      .map((rule) => /^\*\*([PSF]\d+)/.exec(rule)?.[1] ?? '');
    expect(explained.sort()).toEqual([...RULES].sort());
  });

  it('lists every key of the progress store', () => {
    const keys = tableBelow(readText('docs/protocol.md'), '## What the progress store holds').flatMap((row) =>
      codeWords(row[0]),
    );
    const named = Array.from(readText('src/job/keys.ts').matchAll(/=>? ['`]([a-z]+)/g), (match) => match[1] as string);
    expect(new Set(keys.map((key) => key.split('/')[0]))).toEqual(new Set(named));
  });

  it('has a test for every rule, by its number', () => {
    const tests = testSources();
    const titles = Array.from(
      tests.matchAll(/\b(?:it|test|describe)(?:\.\w+)*(?:\([^'"`]*\))?\(\s*(['"`])(.*?)\1/g),
      (match) => match[2] as string,
    );
    const untested = RULES.filter((rule) => !titles.some((title) => new RegExp(`\\b${rule}\\b`).test(title)));
    expect(untested).toEqual([]);
  });

  it('has a script of every scenario, under the name that the page gives it', () => {
    const scenarios = readText('docs/protocol.md').matchAll(/^### (\d+)\. (.+)$/gm);
    const scripts = readText('test/worker/scenarios.test.ts');
    const named = Array.from(scenarios, ([, number, name]) => `${number as string}. ${name as string}`);
    expect(named.map((name) => Number.parseInt(name))).toEqual(numbers(11));
    expect(named.filter((name) => !scripts.toLowerCase().includes(`it('${name.toLowerCase()}`))).toEqual([]);
  });

  it('shows in the README the very example that is run', () => {
    const code = /^```ts\n([\s\S]*?)^```$/m.exec(readText('README.md'))?.[1];
    expect(code).toBe(readText('examples/quickstart.ts'));
  });

  it('gives in the README the commands of a newcomer, as scripts that exist', () => {
    const commands = Array.from(readText('README.md').matchAll(/\bnpm run ([\w:]+)/g), (match) => match[1] as string);
    const { scripts } = JSON.parse(readText('package.json')) as { scripts: Record<string, string> };
    expect(commands.filter((name) => !(name in scripts))).toEqual([]);
    expect(readText('README.md')).toContain('npm ci && npm run demo');
    expect(readText('README.md')).toContain('npm ci && npm test');
  });
});
