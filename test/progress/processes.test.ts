// Clients of one FileProgressStore in several processes, some of which are killed or stopped.

import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { utf8 } from '../../src/core/bytes.js';
import { machineTime } from '../../src/core/clock.js';
import { FileProgressStore } from '../../src/progress/file-progress-store.js';
import { seededRandom } from '../../src/testing/conformance.js';
import { increment, read, write } from '../../src/testing/store-tools.js';

const CLIENT = fileURLToPath(new URL('./fixtures/store-client.ts', import.meta.url));

/** ms that a stopped holder has its lease for: see the fixture. */
const HOLD_MS = 700;

let directory: string;
let children: Client[] = [];
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tidemark-'));
  children = [];
});
afterEach(async () => {
  for (const child of children) child.process.kill('SIGKILL');
  await Promise.all(children.map((child) => child.ended));
  await rm(directory, { recursive: true });
});

interface Client {
  readonly process: ChildProcess;
  /** Increments that it has seen committed. */
  acknowledged: number;
  /** Resolves with the exit code, undefined when it was killed. */
  readonly ended: Promise<number | undefined>;
  /** Resolves once it has said this. */
  said(line: string): Promise<void>;
}

function start(generationCommits: number, task: string, argument = ''): Client {
  const child = spawn(
    process.execPath,
    ['--import', 'tsx', CLIENT, directory, String(generationCommits), task, argument],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  const lines: string[] = [];
  let onLine = () => {};
  const client: Client = {
    process: child,
    acknowledged: 0,
    ended: new Promise((resolve) => child.once('close', (code) => resolve(code ?? undefined))),
    said: async (line) => {
      while (!lines.includes(line)) await new Promise<void>((resolve) => (onLine = resolve));
    },
  };
  let rest = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    const complete = (rest + text).split('\n');
    rest = complete.pop() ?? '';
    lines.push(...complete);
    client.acknowledged += complete.filter((line) => line.startsWith('done')).length;
    onLine();
  });
  children.push(client);
  return client;
}

async function count(): Promise<number> {
  return Number((await read(new FileProgressStore({ directory }), 'counter')) ?? '0');
}

it('processes that increment one counter at once lose no increment', async () => {
  const clients = [1, 2, 3].map(() => start(16, 'increment', '60'));
  expect(await Promise.all(clients.map((client) => client.ended))).toEqual([0, 0, 0]);
  expect(await count()).toBe(180);
});

it('a process that is killed at any moment leaves the last committed state', async () => {
  const random = seededRandom(11);
  const rounds = 4;
  let clients = [start(4, 'increment', '1000000'), start(4, 'increment', '1000000')];
  for (let round = 0; round < rounds; round++) {
    const [victim, other] = clients as [Client, Client];
    await victim.said(`done ${1 + Math.floor(random() * 10)}`);
    await new Promise((resolve) => setTimeout(resolve, random() * 8));
    victim.process.kill('SIGKILL');
    await victim.ended;
    clients = [other, start(4, 'increment', '1000000')];
  }
  for (const client of clients) client.process.kill('SIGKILL');
  await Promise.all(children.map((client) => client.ended));
  const acknowledged = children.reduce((sum, client) => sum + client.acknowledged, 0);
  const counter = await count();
  // Each kill may have come between a commit and its acknowledgement.
  expect(counter).toBeGreaterThanOrEqual(acknowledged);
  expect(counter).toBeLessThanOrEqual(acknowledged + children.length);
}, 60_000);

it('a process that was stopped before its link() while others committed a thousand times loses nothing and forks nothing', async () => {
  const others = new FileProgressStore({ directory, generationCommits: 50 });
  await increment(others, 'counter');
  const stopped = start(50, 'stop-before-link', '3');
  await stopped.said('stopping');
  await Promise.all(Array.from({ length: 1000 }, (_, i) => write(others, { [`key/${i % 10}`]: String(i) })));
  await increment(others, 'counter');
  expect(stopped.acknowledged).toBe(0);
  stopped.process.kill('SIGCONT');
  expect(await stopped.ended).toBe(0);
  await increment(others, 'counter');
  expect(await read(others, 'counter')).toBe('6');
  expect(await count()).toBe(6);
}, 60_000);

it('a watch hears of what another process commits, without waiting for its poll', async () => {
  const store = new FileProgressStore({ directory, pollInterval: 60_000 });
  const client = start(256, 'watch');
  await client.said('watching');
  const { signal } = new AbortController();
  const gone = store.watch('gone', undefined, signal);
  await write(store, { go: 'yes' });
  await gone;
  expect(await client.ended).toBe(0);
  expect(await store.transact((tx) => tx.get('gone'))).toEqual(utf8('yes'));
});

const LEASE = 'lease/task';

it('a lease of a process that is killed goes to another one when its time is over, and not before', async () => {
  const ttl = 1500;
  const holder = start(16, 'hold-lease', String(ttl));
  await holder.said('held');
  const taken = machineTime();
  holder.process.kill('SIGKILL');
  await holder.ended;
  const store = new FileProgressStore({ directory });
  const ask = () => store.acquireLease({ key: LEASE, value: utf8('another'), ttl: 60_000 });
  const firstAnswer = await ask();
  // On a machine this slow nothing is shown; on any other it is refused.
  if (machineTime() - taken < ttl / 2) expect(firstAnswer).toBeUndefined();
  await store.watch(LEASE, utf8('holder'), new AbortController().signal);
  expect(firstAnswer ?? (await ask())).toBeDefined();
  expect(await read(store, LEASE)).toBe('another');
  await store.close();
}, 30_000);

it.each(['renew', 'fenced', 'renew-in-commit', 'fenced-in-commit'])(
  'a holder that is stopped until its lease has gone to another gets no further (%s)',
  async (what) => {
    const holder = start(16, 'stopped-holder', what);
    await holder.said('stopping');
    const store = new FileProgressStore({ directory });
    await store.watch(LEASE, utf8('holder'), new AbortController().signal);
    expect(await read(store, LEASE)).toBeUndefined();
    expect(await store.acquireLease({ key: LEASE, value: utf8('another'), ttl: 600_000 })).toBeDefined();
    await write(store, { result: 'by another' });
    holder.process.kill('SIGCONT');
    expect(await holder.ended).toBe(0);
    await holder.said(what.startsWith('renew') ? 'LEASE_LOST' : 'fenced');
    expect(await read(store, 'result')).toBe('by another');
    expect(await read(store, LEASE)).toBe('another');
    await store.close();
  },
  30_000,
);

it('a holder that is stopped past its lease finds it lost, although nobody else has taken it', async () => {
  const holder = start(16, 'stopped-holder', 'renew');
  await holder.said('stopping');
  await new Promise((resolve) => setTimeout(resolve, HOLD_MS + 50));
  holder.process.kill('SIGCONT');
  await holder.said('LEASE_LOST');
  expect(await holder.ended).toBe(0);
  expect(await read(new FileProgressStore({ directory }), LEASE)).toBeUndefined();
}, 30_000);

it('of processes that contend for a lease one at a time holds it', async () => {
  const clients = [1, 2, 3].map(() => start(16, 'contend', '8'));
  expect(await Promise.all(clients.map((client) => client.ended))).toEqual([0, 0, 0]);
  expect(await count()).toBe(24);
}, 30_000);
