// docs/guarantees.md names commands, tests and calls of ports; here it is held to those that exist.

import { existsSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { codeWords, interfaceMembers, readText, repositoryUrl, tableBelow } from './source-facts.js';

const page = readText('docs/guarantees.md');

/** Where each interface of a port is declared, and its members that are no calls. */
const PORTS: readonly { readonly name: string; readonly file: string; readonly values?: readonly string[] }[] = [
  { name: 'LogSource', file: 'src/ports/log-source.ts' },
  { name: 'BackupContainer', file: 'src/ports/backup-container.ts', values: ['url', 'decrypts', 'listingLag'] },
  { name: 'BackupFile', file: 'src/ports/backup-container.ts', values: ['name'] },
  { name: 'ProgressStore', file: 'src/ports/progress-store.ts' },
  { name: 'ProgressTransaction', file: 'src/ports/progress-store.ts' },
  { name: 'Lease', file: 'src/ports/progress-store.ts', values: ['key'] },
  { name: 'RangeSource', file: 'src/ports/range-source.ts' },
  { name: 'RestoreTarget', file: 'src/ports/restore-target.ts' },
  { name: 'Clock', file: 'src/core/clock.ts' },
  { name: 'Random', file: 'src/core/clock.ts' },
];

const calls = PORTS.flatMap(({ name, file, values = [] }) =>
  interfaceMembers(file, name)
    .filter((member) => !values.includes(member))
    .map((member) => `${name}.${member}`),
);

/** Each promise: its heading, and the text up to the next one. */
const promises = (page.split('## What is promised')[1] ?? '')
  .split(/^## /m)[0]!
  .split(/^### /m)
  .slice(1)
  .map((text) => ({ title: text.split('\n')[0] as string, text }));

const exists = (path: string) => existsSync(new URL(path, repositoryUrl));

/** What of a command is not there: a script of the package, or a path of a test. */
function missingOf(command: string): string[] {
  const script = /^npm run (\S+)/.exec(command)?.[1];
  if (script !== undefined) {
    const { scripts } = JSON.parse(readText('package.json')) as { scripts: Record<string, string> };
    const source = /\btest\/\S+\.ts/.exec(scripts[script] ?? '')?.[0];
    return scripts[script] === undefined || (source !== undefined && !exists(source)) ? [command] : [];
  }
  return command.split(' ').filter((word) => word.startsWith('test/') && !exists(word));
}

const isCommand = (word: string) => /^(npm run \S|npx vitest run)/.test(word);

describe('docs/guarantees.md', () => {
  it('numbers its promises without a gap', () => {
    expect(promises.map(({ title }) => title.split(' ')[0])).toEqual(promises.map((_, index) => `G${index + 1}`));
    expect(promises.length).toBeGreaterThanOrEqual(15);
  });

  for (const { title, text } of promises) {
    it(`says what ${title.split(' ')[0] ?? ''} rests on, and how it is tested`, () => {
      const [, rest, tested] = /^\*Rests on:\* (.+)$[\s\S]*^\*Tested:\*$\n\n([\s\S]+)/m.exec(text) ?? [];
      const named = codeWords(rest).filter((word) => /^[A-Z]\w+\.\w+$/.test(word));
      expect(named.filter((call) => !calls.includes(call))).toEqual([]);
      expect(codeWords(tested).filter(isCommand).length).toBeGreaterThan(0);
    });
  }

  it('names no command, script or test that is not there', () => {
    const words = codeWords(page);
    expect(words.filter(isCommand).flatMap(missingOf)).toEqual([]);
    expect(words.filter((word) => /^(test|src|docs)\/\S+$/.test(word) && !exists(word))).toEqual([]);
  });

  it('says of every call of every port what has to hold, and what comes of it if it does not', () => {
    const rows = tableBelow(page, '## What every port has to keep');
    expect(rows.flatMap((row) => codeWords(row[0])).sort()).toEqual([...calls].sort());
    for (const row of rows) {
      expect(row).toHaveLength(3);
      expect(row).not.toContain('');
    }
  });
});
