// The range source of the LevelDB host keeps the RangeSource contract, as the library's own suite has it.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { rangeSourceSuite, type RangeSourceUnderTest, type SuiteChange } from 'tidemark/testing';
import { describe, it } from 'vitest';
import { LevelDatabase } from '../../../examples/level-host/level-database.js';
import { LevelRangeSource } from '../../../examples/level-host/range-source.js';
import { Transaction } from '../../../examples/level-host/transaction.js';

/** More than any case asks for one version. */
const MANY_TIMES = 20;

async function openSource(): Promise<RangeSourceUnderTest> {
  const folder = await mkdtemp(join(tmpdir(), 'level-host-'));
  const database = await LevelDatabase.open(join(folder, 'db'), {
    heartbeatInterval: 3_600_000, // the suite says itself when the version is to grow
  });
  const source = new LevelRangeSource(database, { maxVersions: 8 });
  return {
    source,
    commit: (changes) => database.commit(transactionOf(changes)),
    changeRegion: (key) => {
      source.splitAt(key);
      return Promise.resolve();
    },
    collectGarbage: async (version) => {
      for (let i = 0; i < MANY_TIMES; i++) await source.releaseVersion(version);
    },
    cleanup: async () => {
      await source.close();
      await database.close();
      await rm(folder, { recursive: true });
    },
  };
}

function transactionOf(changes: readonly SuiteChange[]): Transaction {
  const transaction = new Transaction();
  for (const change of changes) {
    if ('value' in change) transaction.set(change.key, change.value);
    else transaction.clearRange(change.begin, change.end);
  }
  return transaction;
}

describe('LevelRangeSource', () => {
  for (const { name, run } of rangeSourceSuite(openSource)) it(name, run);
});
