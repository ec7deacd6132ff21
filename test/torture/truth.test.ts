// The database of the torture test: its rows can be worked out at any version without going through all of them.

import { expect, it } from 'vitest';
import type { LogEpochInfo } from '../../src/ports/log-source.js';
import { FIRST_VERSION, mutationsOf, replay, rowsAt } from './truth.js';

const EPOCHS: readonly LogEpochInfo[] = [
  { epoch: 1, begin: FIRST_VERSION, end: FIRST_VERSION + 700n, totalTags: 2 },
  { epoch: 2, begin: FIRST_VERSION + 700n, end: undefined, totalTags: 3 },
];

it('gives the same rows from the last eras alone as from the first version on', () => {
  const rows = new Map<string, Uint8Array>();
  let next = FIRST_VERSION;
  for (const distance of [0n, 511n, 700n, 4_096n, 6_000n]) {
    const version = FIRST_VERSION + distance;
    replay(rows, 7, EPOCHS, next, version);
    next = version + 1n;
    expect(rowsAt(7, EPOCHS, version), `version ${version}`).toEqual(rows);
  }
  expect(rows.size).toBeGreaterThan(50);
});

it('writes something else at the same version of another epoch, and the same when it is asked again', () => {
  const versions = Array.from({ length: 20 }, (_, i) => FIRST_VERSION + BigInt(i));
  const of = (epoch: number) => versions.map((version) => mutationsOf(7, epoch, version));
  expect(of(1)).toEqual(of(1));
  expect(of(2)).not.toEqual(of(1));
});
