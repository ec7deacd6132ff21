// The programs of the operator's guide are those that the compiler has seen.

import { readdirSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';

const repository = new URL('../../../', import.meta.url);
const text = (path: string) => readFileSync(new URL(path, repository), 'utf8');

it('shows each of the programs as it is', () => {
  const shown = Array.from(text('docs/guides/etcd.md').matchAll(/^```ts\n([\s\S]*?)^```$/gm), (match) => match[1]);
  const programs = readdirSync(new URL('examples/etcd/guide', repository)).map((name) =>
    text(`examples/etcd/guide/${name}`),
  );
  expect(shown.sort()).toEqual(programs.sort());
});
