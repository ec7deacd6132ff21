// The container suite's cases for what a container says of its listings. One that says nothing, or that they lag, is held to nothing here: the other cases wait before they look.

import assert from 'node:assert/strict';
import type { BackupContainer } from '../ports/backup-container.js';
import { statedListingLag } from '../ports/listing-lag.js';
import type { ContainerCase } from './container-tools.js';
import { list, made, names, put } from './container-tools.js';

const ROUNDS = 20;

/** A case for a container that says that its listings are exact. */
function exact(check: (container: BackupContainer, other: BackupContainer) => Promise<void>): ContainerCase[1] {
  return made(async (container, reopen) => {
    if (container.listingLag === 0) await check(container, await reopen());
  });
}

export const listingCases: readonly ContainerCase[] = [
  [
    'listingLag is left out or a number of ms, the same for every adapter of the place',
    async (container, reopen) => {
      const stated = statedListingLag(container);
      assert.equal(statedListingLag(await reopen()), stated);
    },
  ],
  [
    'where listings do not lag, a file is listed as soon as finish has resolved, by every adapter',
    exact(async (container, other) => {
      const finished: string[] = [];
      for (let round = 0; round < ROUNDS; round++) {
        // In a folder that has been listed before, and in one that is new.
        const name = round % 2 === 0 ? `logs/${round}` : `new${round}/a`;
        await put(container, name, 'x');
        finished.push(name);
        const expected = [...finished].sort();
        assert.deepEqual(await names(other, ''), expected, `round ${round}, another adapter`);
        assert.deepEqual(await names(container, ''), expected, `round ${round}`);
      }
    }),
  ],
  [
    'where listings do not lag, a file is not listed any more as soon as deleteFile has resolved, by every adapter',
    exact(async (container, other) => {
      const left = Array.from({ length: ROUNDS }, (_, i) => `logs/${String(i).padStart(2, '0')}`);
      await Promise.all(left.map((name) => put(container, name, 'x')));
      assert.deepEqual(await names(other, 'logs/'), left);
      for (let name = left.shift(); name !== undefined; name = left.shift()) {
        await container.deleteFile(name);
        assert.deepEqual(await names(other, 'logs/'), left, `without ${name}, another adapter`);
        assert.deepEqual(await names(container, 'logs/'), left, `without ${name}`);
      }
    }),
  ],
  [
    'where listings do not lag, a file that was replaced is listed in its new size, and one that is back is listed again',
    exact(async (container, other) => {
      for (let size = 1; size <= ROUNDS; size++) {
        await put(container, 'a', 'x'.repeat(size));
        assert.deepEqual(await list(other, ''), [{ name: 'a', size }]);
        if (size % 3 === 0) await other.deleteFile('a');
        if (size % 3 === 0) assert.deepEqual(await list(container, ''), []);
      }
    }),
  ],
];
