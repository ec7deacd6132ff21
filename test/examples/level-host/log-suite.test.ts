// The log over the socket keeps the LogSource contract, as the library's own suite has it.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { logSourceSuite, type LogUnderTest, type SuiteMessage } from 'tidemark/testing';
import { describe, it } from 'vitest';
import { tagOf } from '../../../examples/level-host/commit-log.js';
import { LevelDatabase } from '../../../examples/level-host/level-database.js';
import { LevelLogClient } from '../../../examples/level-host/log-client.js';
import { LogServer } from '../../../examples/level-host/log-server.js';
import { Transaction } from '../../../examples/level-host/transaction.js';

const TOTAL_TAGS = 4;

async function openLog(): Promise<LogUnderTest> {
  const folder = await mkdtemp(join(tmpdir(), 'level-host-'));
  const database = await LevelDatabase.open(join(folder, 'db'), {
    totalTags: TOTAL_TAGS,
    heartbeatInterval: 3_600_000, // the suite says itself when the version is to grow
  });
  const server = await LogServer.listen(database, join(folder, 'log.sock'));
  const client = new LevelLogClient(join(folder, 'log.sock'));
  return {
    source: client,
    epoch: { epoch: database.epoch, begin: 1n, totalTags: TOTAL_TAGS },
    commit: (messages) => database.commit(transactionOf(messages)),
    keyFor,
    cleanup: async () => {
      await client.close();
      await server.close();
      await database.close();
      await rm(folder, { recursive: true });
    },
  };
}

function transactionOf(messages: readonly SuiteMessage[]): Transaction {
  const transaction = new Transaction();
  for (const { key, value } of messages) transaction.set(key, value);
  return transaction;
}

/** The database chooses the tag by the key: tries one after the other until it chooses this one. */
function keyFor(tag: number, name: string): Uint8Array {
  for (let i = 0; ; i++) {
    const key = Buffer.from(`${name}/${i}`);
    if (tagOf(key, TOTAL_TAGS) === tag) return key;
  }
}

describe('LevelLogClient', () => {
  for (const { name, run } of logSourceSuite(openLog, { epochs: false })) it(name, run);
});
