// The optional package: who does not encrypt does not need it.

import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { utf8 } from '../../src/core/bytes.js';
import { loadXxh3 } from '../../src/container/encrypted-xxh3.js';

const HOST = fileURLToPath(new URL('./fixtures/without-hash-wasm.ts', import.meta.url));

it('without hash-wasm the library works, plain containers are opened, and encrypted ones say what is missing', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, ['--import', 'tsx', HOST]);
  expect(JSON.parse(stdout)).toEqual([
    false,
    true,
    'PACKAGE_MISSING',
    'encrypted containers need the package hash-wasm: npm install hash-wasm',
  ]);
});

it.each([
  // As xxHash's own sanity checks have it.
  ['', '99aa06d3014798d86001c324468d497f'],
])('XXH3-128 of %j is that of the reference', async (text, expected) => {
  const hash = await loadXxh3();
  expect(Buffer.from(hash(utf8(text))).toString('hex')).toBe(expected);
  expect(Buffer.from(hash(utf8(text))).toString('hex')).toBe(expected);
});
