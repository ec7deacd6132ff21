// A job's URL may hold a secret. Workers open the container with it; nobody else is shown it.

import { inspect } from 'node:util';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { MemoryContainer } from '../../src/container/memory-container.js';
import { BackupError } from '../../src/core/errors.js';
import { describeBackup } from '../../src/restore/describe.js';
import { World } from './world.js';

const SECRET = 'wJalrXUtnFEMI';
const URL = `blobstore://key:${SECRET}@host:80/job?bucket=b`;
const SHOWN = 'blobstore://key:***@host:80/job?bucket=b';

let world: World;
beforeEach(async () => {
  world = new World();
  await world.announce();
});
afterEach(() => world.end());

it('opens the container by the whole URL, and shows it without the secret', async () => {
  const opened: string[] = [];
  const container = new MemoryContainer({ url: URL });
  world.start(0, {
    openContainer: (url) => {
      opened.push(url);
      return container;
    },
  });
  await world.submit('job', { url: URL });
  world.put(0, 'a');
  await world.clock.advance(20_000);
  expect(new Set(opened)).toEqual(new Set([URL]));
  const status = await world.operator.status('job');
  expect(status.url).toBe(SHOWN);
  expect(inspect([status, await world.operator.list()], { depth: 10 })).not.toContain(SECRET);
  expect((await describeBackup(container)).url).toBe(SHOWN);
  expect(world.record('job/job')?.['url']).toBe(URL);
});

it.each([
  ['a BackupError', () => new BackupError('CONTAINER_UNAVAILABLE', `opening ${URL} failed`, { container: URL })],
  ['an error of the client', () => new Error(`opening ${URL} failed`)],
  ['an error with a cause', () => new Error(`opening ${URL} failed`, { cause: new Error(`no ${URL}`) })],
  ['a text', () => `opening ${URL} failed`],
])('a job that failed of %s which quotes its URL says so without the secret', async (_what, error) => {
  const { worker, events } = world.start(0, {
    jobStallTimeout: 10_000,
    // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- an adapter may reject with anything
    openContainer: () => Promise.reject(error()),
  });
  const seen: unknown[] = [];
  worker.on('jobFailed', (...args) => seen.push(args));
  worker.on('retry', (...args) => seen.push(args));
  world.request('job', { url: URL }).catch(() => undefined);
  await world.clock.settle();
  world.put(0, 'a');
  await world.clock.advance(60_000);
  const status = await world.operator.status('job');
  expect(status.state).toBe('Failed');
  expect(status.failure?.message).toContain(SHOWN);
  expect(seen.length).toBeGreaterThan(0);
  expect(inspect([status, events, seen], { depth: 10 })).not.toContain(SECRET);
});

it.each([
  ['a cause', () => new Error('not opened', { cause: new Error(`no ${URL}`) })],
  ['what Node adds to it', () => Object.assign(new TypeError('Invalid URL'), { code: 'ERR_INVALID_URL', input: URL })],
])('an error that quotes the URL in %s only is told without that', async (_what, error) => {
  for (const options of [
    { openContainer: () => Promise.reject(error()) },
    {
      openContainer: () => Object.assign(new MemoryContainer({ url: URL }), { create: () => Promise.reject(error()) }),
    },
  ]) {
    const { worker } = world.start(0, { jobStallTimeout: 10_000, versionTimeInterval: 0, ...options });
    const seen: unknown[] = [];
    worker.on('jobFailed', (...args) => seen.push(args));
    worker.on('retry', (...args) => seen.push(args));
    world.request('job', { url: URL }).catch(() => undefined);
    await world.clock.settle();
    world.put(0, 'a');
    await world.clock.advance(60_000);
    expect(inspect(seen, { depth: 10 })).toContain(error().message);
    expect(inspect(seen, { depth: 10 })).not.toContain(SECRET);
    await world.end();
    world = new World();
    await world.announce();
  }
});
