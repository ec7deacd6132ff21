import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { MutationType, type VersionedMessage } from 'tidemark';
import { describe, expect, it, onTestFinished } from 'vitest';
import { History, formatRows, type ModelRows } from '../../../examples/level-host/history.js';
import { LevelDatabase, type LevelDatabaseOptions } from '../../../examples/level-host/level-database.js';
import { SeededRandom } from '../../../examples/level-host/random.js';
import { Transaction } from '../../../examples/level-host/transaction.js';
import { Workload } from '../../../examples/level-host/workload.js';
import { tempFolder } from './temp-folder.js';

const never = new AbortController().signal;
/** Longer than any test: versions move on by commits alone. */
const NO_HEARTBEAT = 3_600_000;

async function openDatabase(folder: string, options: LevelDatabaseOptions = {}): Promise<LevelDatabase> {
  const database = await LevelDatabase.open(join(folder, 'db'), {
    heartbeatInterval: NO_HEARTBEAT,
    random: new SeededRandom(1),
    ...options,
  });
  onTestFinished(() => database.close());
  return database;
}

const bytes = (text: string) => Buffer.from(text);

async function rowsOf(database: LevelDatabase): Promise<ModelRows> {
  const rows: ModelRows = new Map();
  for await (const [key, value] of database.rows())
    rows.set(Buffer.from(key).toString('hex'), Buffer.from(value).toString('hex'));
  return rows;
}

/** Everything in the log, merged over the tags. */
async function readAll(database: LevelDatabase, maxBytes = 1 << 20): Promise<VersionedMessage[]> {
  const messages: VersionedMessage[] = [];
  for (let tagId = 0; tagId < database.totalTags; tagId++) {
    for (let begin = 1n; begin <= database.durableVersion;) {
      const { batch, end } = await database.readLog({ tagId, begin, maxBytes, signal: never });
      for (const message of batch) {
        expect(message.version >= begin && message.version < end).toBe(true);
        messages.push(message);
      }
      expect(end).toBeGreaterThan(begin);
      begin = end;
    }
  }
  return messages.sort((a, b) =>
    a.version === b.version ? a.subsequence - b.subsequence : a.version < b.version ? -1 : 1,
  );
}

function expected(history: History): unknown[] {
  return history.transactions.flatMap(({ version, mutations }) =>
    mutations.map(({ type, param1, param2 }, i) => [version, i + 1, type, hex(param1), hex(param2)]),
  );
}

const hex = (data: Uint8Array) => Buffer.from(data).toString('hex');

const asList = (messages: VersionedMessage[]) =>
  messages.map(({ version, subsequence, mutation }) => [
    version,
    subsequence,
    mutation.type,
    hex(mutation.param1),
    hex(mutation.param2),
  ]);

describe('a transaction', () => {
  it('takes effect in order, as a whole, at a version above all earlier ones', async () => {
    const database = await openDatabase(await tempFolder());
    const first = await database.commit(new Transaction().set(bytes('a'), bytes('1')).set(bytes('b'), bytes('2')));
    const second = await database.commit(
      new Transaction()
        .clearRange(bytes('a'), bytes('z'))
        .set(bytes('c'), bytes('3'))
        .set(bytes('d'), bytes('4'))
        .clear(bytes('d'))
        .set(bytes('z'), bytes('5')),
    );
    expect(second).toBeGreaterThan(first);
    expect(formatRows(await rowsOf(database))).toBe('63 33\n7a 35\n');
  });

  it('adds little-endian numbers of the operand’s length and wraps around', async () => {
    const database = await openDatabase(await tempFolder());
    const n = bytes('n');
    await database.commit(new Transaction().add(n, Uint8Array.of(0xff, 0x01)));
    await database.commit(new Transaction().add(n, Uint8Array.of(0x01, 0x00)).add(n, Uint8Array.of(0x00, 0xff)));
    expect(await database.get(n)).toEqual(Buffer.of(0x00, 0x01));
    await database.commit(new Transaction().add(n, Uint8Array.of(0x02, 0x00, 0x07)));
    expect(await database.get(n)).toEqual(Buffer.of(0x02, 0x01, 0x07));
    await database.commit(new Transaction().add(n, Uint8Array.of(0xff)));
    expect(await database.get(n)).toEqual(Buffer.of(0x01));
  });

  it('gets a version of its own, with gaps, when many are committed at once', async () => {
    const database = await openDatabase(await tempFolder());
    const commits = Array.from({ length: 100 }, (_, i) =>
      database.commit(new Transaction().set(bytes(`k${i}`), bytes('v'))),
    );
    const versions = await Promise.all(commits);
    expect(new Set(versions).size).toBe(100);
    expect(versions).toEqual([...versions].sort((a, b) => (a < b ? -1 : 1)));
    expect(database.durableVersion).toBe(versions.at(-1));
    expect(versions.at(-1)).toBeGreaterThan(1_000n);
  });

  it.each([1, 2, 3])('leaves the rows and the log that the workload’s own model expects (seed %i)', async (seed) => {
    const database = await openDatabase(await tempFolder());
    const workload = new Workload(database, { seed, rate: Infinity });
    await workload.run(400, never);
    const { history } = workload;
    expect(await rowsOf(database)).toEqual(history.rowsAt(history.lastVersion));
    expect(asList(await readAll(database))).toEqual(expected(history));
    expect(asList(await readAll(database, 100))).toEqual(expected(history));
  });
});

describe('the log', () => {
  it('spreads a transaction over the tags', async () => {
    const database = await openDatabase(await tempFolder());
    const transaction = new Transaction();
    for (let i = 0; i < 100; i++) transaction.set(bytes(`key ${i}`), bytes('value'));
    await database.commit(transaction);
    for (let tagId = 0; tagId < 4; tagId++) {
      const { batch } = await database.readLog({ tagId, begin: 1n, maxBytes: 1 << 20, signal: never });
      expect(batch.recordCount).toBeGreaterThan(5);
      expect(batch.versionCount).toBe(1);
    }
  });

  it('gives whole versions only, and one that is larger than the limit alone', async () => {
    const database = await openDatabase(await tempFolder(), { totalTags: 1 });
    const small = new Transaction().set(bytes('a'), bytes('small'));
    const large = new Transaction().set(bytes('b'), Buffer.alloc(500)).set(bytes('c'), Buffer.alloc(500));
    const versions = await Promise.all([small, large, small].map((transaction) => database.commit(transaction)));
    const [first, second, third] = versions as [bigint, bigint, bigint];
    const read = async (begin: bigint) => {
      const { batch, end } = await database.readLog({ tagId: 0, begin, maxBytes: 200, signal: never });
      return { versions: [...batch].map(({ version }) => version), end };
    };
    expect(await read(1n)).toEqual({ versions: [first], end: first + 1n });
    expect(await read(first + 1n)).toEqual({ versions: [second, second], end: second + 1n });
    expect(await read(second + 1n)).toEqual({ versions: [third], end: database.durableVersion + 1n });
  });

  it('waits for a commit when nothing is known beyond the begin, and moves on by heartbeats when there is none', async () => {
    const database = await openDatabase(await tempFolder(), { heartbeatInterval: 20 });
    const begin = database.durableVersion + 1n;
    const { batch, end } = await database.readLog({ tagId: 2, begin, maxBytes: 100, signal: never });
    expect(batch.isEmpty).toBe(true);
    expect(end).toBeGreaterThan(begin);
  });

  it('forgets what is popped, and really frees the space', async () => {
    const database = await openDatabase(await tempFolder(), { totalTags: 2 });
    const workload = new Workload(database, { seed: 7, rate: Infinity });
    await workload.run(300, never);
    const { storedBytes } = await database.logSize();
    const middle = workload.history.transactions[150]?.version ?? 0n;
    await database.popLog(0, middle);
    const left = await database.logSize();
    expect(left.storedBytes).toBeLessThan(storedBytes);
    expect(left.storedBytes + left.poppedBytes).toBe(storedBytes);

    const { batch, popped } = await database.readLog({ tagId: 0, begin: 1n, maxBytes: 1 << 30, signal: never });
    expect(popped).toBe(middle);
    expect(batch.firstVersion).toBeGreaterThan(middle);
    const other = await database.readLog({ tagId: 1, begin: 1n, maxBytes: 1 << 30, signal: never });
    expect(other.popped).toBeUndefined();
    expect(other.batch.firstVersion).toBeLessThan(middle);
  });

  it('ignores a pop that is lower than one before, and refuses one of what is not durable', async () => {
    const database = await openDatabase(await tempFolder());
    const version = await database.commit(new Transaction().set(bytes('a'), bytes('1')));
    await database.popLog(1, version);
    await database.popLog(1, version - 1n);
    await expect(database.popLog(1, version + 1n)).rejects.toThrow(RangeError);
    const { popped } = await database.readLog({ tagId: 1, begin: 1n, maxBytes: 100, signal: never });
    expect(popped).toBe(version);
  });
});

describe('a restart', () => {
  it('finds rows, versions, log and pops as they were', async () => {
    const folder = await tempFolder();
    const before = await LevelDatabase.open(join(folder, 'db'), { heartbeatInterval: NO_HEARTBEAT, totalTags: 3 });
    const workload = new Workload(before, { seed: 11, rate: Infinity });
    await workload.run(100, never);
    const middle = workload.history.transactions[50]?.version ?? 0n;
    await before.popLog(2, middle);
    await before.close();

    const after = await openDatabase(folder);
    expect(after.totalTags).toBe(3);
    expect(after.durableVersion).toBe(before.durableVersion);
    expect(await rowsOf(after)).toEqual(workload.history.rowsAt(workload.history.lastVersion));
    const { popped } = await after.readLog({ tagId: 2, begin: 1n, maxBytes: 100, signal: never });
    expect(popped).toBe(middle);
    expect(await after.commit(new Transaction().clear(bytes('a')))).toBeGreaterThan(before.durableVersion);
  });

  it('after a crash finds every acknowledged transaction, with its log', async () => {
    const folder = await tempFolder();
    const database = await openDatabase(folder);
    const workload = new Workload(database, { seed: 13, rate: Infinity });
    await workload.run(200, never);
    // What a crash would leave: the files as they are, while the database is open.
    await cp(join(folder, 'db'), join(folder, 'crashed', 'db'), { recursive: true });
    const recovered = await openDatabase(join(folder, 'crashed'));
    expect(recovered.durableVersion).toBe(workload.history.lastVersion);
    expect(await rowsOf(recovered)).toEqual(workload.history.rowsAt(workload.history.lastVersion));
    expect(asList(await readAll(recovered))).toEqual(expected(workload.history));
  });

  it('refuses commits once closed', async () => {
    const folder = await tempFolder();
    const database = await LevelDatabase.open(join(folder, 'db'));
    const waiting = database.commit(new Transaction().set(bytes('a'), bytes('1')));
    await database.close();
    await expect(waiting).resolves.toBeGreaterThan(0n);
    await expect(database.commit(new Transaction())).rejects.toThrow('closed');
  });
});

it('the model is not the database: it knows adds, clears and order by itself', () => {
  const history = new History();
  const set = { type: MutationType.SetValue, param1: bytes('k'), param2: Uint8Array.of(0xff, 0x00, 0x05) };
  history.record({
    version: 20n,
    mutations: [{ type: MutationType.AddValue, param1: bytes('k'), param2: Uint8Array.of(1, 0) }],
  });
  history.record({ version: 10n, mutations: [set] });
  history.record({
    version: 30n,
    mutations: [{ type: MutationType.ClearRange, param1: bytes('k'), param2: bytes('k\0') }],
  });
  expect(formatRows(history.rowsAt(15n))).toBe('6b ff0005\n');
  expect(formatRows(history.rowsAt(20n))).toBe('6b 0001\n');
  expect(formatRows(history.rowsAt(30n))).toBe('');
});
