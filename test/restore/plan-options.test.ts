// What a plan is asked for is checked as strictly as what a restore is.

import { describe, expect, it } from 'vitest';
import { restoreSet } from '../../src/restore/restore-set.js';
import { versionAt } from '../../src/restore/wanted-version.js';
import { newContainer, putLog, putMarker } from './container-builder.js';

async function backup() {
  const container = await newContainer();
  await putMarker(container);
  await putLog(container, { begin: 1n, end: 50n, tag: 0, totalTags: 1 });
  return container;
}

describe('options of a plan', () => {
  it.each([
    ['baseline', { baseline: 'full' }, /baseline.*full/],
    ['firstVersion', { firstVersion: 1 }, /firstVersion.*1/],
    ['firstVersion', { firstVersion: -1n }, /firstVersion.*-1/],
    ['ranges', { ranges: [] }, /ranges must not be an empty list/],
    ['ranges', { ranges: [{ begin: Buffer.from('b'), end: Buffer.from('a') }] }, /ranges\[0\]/],
  ])('%s %o is refused', async (_, options, message) => {
    const container = await backup();
    await expect(restoreSet({ container, version: 5n, ...(options as object) })).rejects.toMatchObject({
      code: 'INVALID_OPTION',
      message: expect.stringMatching(message) as string,
    });
  });

  it.each([NaN, -1, Infinity])('a time of %d is refused', async (time) => {
    await expect(versionAt(await backup(), time)).rejects.toMatchObject({ code: 'INVALID_OPTION' });
  });
});
