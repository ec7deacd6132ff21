// docs/simulation.md says what the code does.

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { PLANTED_BUGS } from '../../src/testing/simulation/planted-bugs.js';
import { USAGE } from './options.js';

const page = readFileSync(new URL('../../docs/simulation.md', import.meta.url), 'utf8');

describe('docs/simulation.md', () => {
  it('lists every planted bug with what it breaks, and no other', () => {
    const rows = page.split('\n').filter((line) => line.startsWith('| '));
    for (const { name, breaks } of PLANTED_BUGS) {
      const row = rows.find((line) => line.startsWith(`| ${name} |`));
      expect(row, name).toBeDefined();
      expect(row).toContain(`| ${breaks} |`);
    }
    const section = page.slice(page.indexOf('## Planted bugs'), page.indexOf('## For users'));
    const listed = section.split('\n').filter((line) => /^\| [^-]/.test(line)).length - 1;
    expect(listed).toBe(PLANTED_BUGS.length);
  });

  it('has every option', () => {
    const options = [...USAGE.matchAll(/^ {2}(--[a-z]+)/gm)].map(([, option]) => String(option));
    expect(options.length).toBeGreaterThan(5);
    for (const option of options.filter((name) => name !== '--help')) expect(page).toContain(option);
  });
});
