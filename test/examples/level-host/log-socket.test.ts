import { connect } from 'node:net';
import { join } from 'node:path';
import { BackupError, logRouterTag } from 'tidemark';
import { describe, expect, it, onTestFinished } from 'vitest';
import { LevelDatabase } from '../../../examples/level-host/level-database.js';
import { LevelLogClient } from '../../../examples/level-host/log-client.js';
import { LogServer } from '../../../examples/level-host/log-server.js';
import { Transaction } from '../../../examples/level-host/transaction.js';
import { Workload } from '../../../examples/level-host/workload.js';
import { tempFolder } from './temp-folder.js';

const never = new AbortController().signal;

async function startHost(heartbeatInterval = 3_600_000) {
  const folder = await tempFolder();
  const path = join(folder, 'log.sock');
  const database = await LevelDatabase.open(join(folder, 'db'), { heartbeatInterval });
  const server = await LogServer.listen(database, path);
  const client = new LevelLogClient(path);
  onTestFinished(async () => {
    await client.close();
    await server.close();
    await database.close();
  });
  return { path, database, server, client };
}

const peekFrom = (begin: bigint, signal: AbortSignal = never) => ({
  epoch: 1,
  tag: logRouterTag(0),
  begin,
  maxBytes: 1 << 20,
  signal,
});

const commitSomething = (database: LevelDatabase) =>
  database.commit(new Transaction().set(Buffer.from('key'), Buffer.from('value')));

describe('the log over a socket', () => {
  it('is the log that the host has', async () => {
    const { database, client } = await startHost();
    const workload = new Workload(database, { seed: 3, rate: Infinity });
    await workload.run(200, never);
    let messages = 0;
    for (let id = 0; id < 4; id++) {
      const tag = logRouterTag(id);
      const reply = await client.peek({ ...peekFrom(1n), tag, maxBytes: 1 << 30 });
      const own = await database.readLog({ tagId: id, begin: 1n, maxBytes: 1 << 30, signal: never });
      expect([...reply.batch]).toEqual([...own.batch]);
      expect(reply.batch.minKey).toEqual(own.batch.minKey);
      expect(reply.batch.endKey).toEqual(own.batch.endKey);
      expect(reply).toMatchObject({
        end: own.end,
        minKnownCommittedVersion: database.durableVersion,
        popped: undefined,
      });
      messages += reply.batch.recordCount;
    }
    expect(messages).toBe(workload.history.transactions.reduce((sum, { mutations }) => sum + mutations.length, 0));
    expect(await client.committedVersion(never)).toBe(database.durableVersion);
  });

  it('answers a peek beyond the end when something is committed', async () => {
    const { database, client } = await startHost();
    const first = await commitSomething(database);
    const peek = client.peek(peekFrom(first + 1n));
    expect(await client.minKnownCommittedVersion({ epoch: 1, signal: never })).toBe(first);
    const second = await commitSomething(database);
    expect((await peek).end).toBe(second + 1n);
  });

  it('pops', async () => {
    const { database, client } = await startHost();
    const version = await commitSomething(database);
    await client.pop({ epoch: 1, tag: logRouterTag(0), upTo: version });
    expect(await client.peek(peekFrom(1n))).toMatchObject({
      popped: version,
      end: version + 1n,
      batch: { recordCount: 0 },
    });
  });

  it('rejects a peek with the reason for which it was aborted, and goes on', async () => {
    const { database, client } = await startHost();
    const abort = new AbortController();
    const peek = client.peek(peekFrom(1_000_000n, abort.signal));
    await client.committedVersion(never);
    const reason = new Error('enough');
    abort.abort(reason);
    await expect(peek).rejects.toBe(reason);
    await expect(client.peek(peekFrom(1n, abort.signal))).rejects.toBe(reason);
    expect(await client.committedVersion(never)).toBe(database.durableVersion);
  });

  it('refuses epochs and tags that the log does not have, for good', async () => {
    const { client } = await startHost();
    const wrongEpoch = client.peek({ ...peekFrom(1n), epoch: 2 });
    await expect(wrongEpoch).rejects.toSatisfy((error) => BackupError.is(error) && !error.retryable);
    await expect(client.pop({ epoch: 1, tag: logRouterTag(4), upTo: 1n })).rejects.toThrow('There is no tag 4');
  });

  it('fails what was asked when the server goes away, with an error that is worth a retry, and connects again', async () => {
    const { path, database, server, client } = await startHost();
    const version = await commitSomething(database);
    const peek = client.peek(peekFrom(version + 1n));
    await client.committedVersion(never);
    await Promise.all([expect(peek).rejects.not.toBeInstanceOf(BackupError), server.close()]);
    await expect(client.committedVersion(never)).rejects.not.toBeInstanceOf(BackupError);

    const again = await LogServer.listen(database, path);
    expect(await client.committedVersion(never)).toBe(version);
    await client.close();
    await again.close();
  });

  it('outlives a client that sends nonsense', async () => {
    const { path, database, client } = await startHost();
    const socket = connect(path);
    await new Promise((resolve) => socket.once('connect', resolve));
    const closed = new Promise((resolve) => socket.once('close', resolve));
    socket.on('error', () => {});
    socket.write(Buffer.alloc(64, 0xff));
    await closed;
    expect(await client.committedVersion(never)).toBe(database.durableVersion);
  });
});
