// A client of the FileProgressStore is frozen (as by SIGSTOP) or dies (as by SIGKILL) at every single step that it takes on the disk, while others go on.

import { AsyncLocalStorage } from 'node:async_hooks';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { utf8 } from '../../src/core/bytes.js';
import { BackupError } from '../../src/core/errors.js';
import { FileProgressStore } from '../../src/progress/file-progress-store.js';
import { seededRandom } from '../../src/testing/conformance.js';
import { increment, read } from '../../src/testing/store-tools.js';

/** Called before and after every step on the disk; runs in the context of the client that takes it. */
type OnStep = (call: string, when: 'before' | 'after') => Promise<void> | undefined;

const hooks = vi.hoisted(() => ({ onStep: undefined as OnStep | undefined }));
const client = new AsyncLocalStorage<string>();

vi.mock('node:fs/promises', async (importOriginal) => {
  const original = await importOriginal<Record<string, unknown>>();
  const wrapped: Record<string, unknown> = { ...original };
  for (const call of ['link', 'lstat', 'mkdir', 'open', 'readdir', 'readFile', 'rename', 'rm']) {
    const run = original[call] as (...args: unknown[]) => Promise<unknown>;
    wrapped[call] = async (...args: unknown[]) => {
      await hooks.onStep?.(call, 'before');
      try {
        const result = await run(...args);
        // A process that dies loses nothing that the system has; the disk is not what is tried here, only slow.
        if (call === 'open') (result as FileHandle).sync = () => Promise.resolve();
        return result;
      } finally {
        await hooks.onStep?.(call, 'after');
      }
    };
  }
  return wrapped;
});

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'tidemark-'));
});
afterEach(() => {
  hooks.onStep = undefined;
  rmSync(directory, { recursive: true });
});

const GENERATION = 2;

function open(name: string): FileProgressStore {
  return new FileProgressStore({ directory: join(directory, name), generationCommits: GENERATION });
}

/** Runs one increment of a new client that is frozen at its `step`-th step. Undefined: it took fewer steps. */
function freezeAt(name: string, step: number) {
  return freezeAtStep(step, () => increment(open(name), 'counter'));
}

async function freezeAtStep<T>(
  step: number,
  work: () => Promise<T>,
): Promise<{ resume: () => void; done: Promise<T> } | undefined> {
  let steps = 0;
  let resume = () => {};
  let freeze = () => {};
  const frozen = new Promise<void>((resolve) => (freeze = resolve));
  const gate = new Promise<void>((resolve) => (resume = resolve));
  hooks.onStep = () => {
    if (client.getStore() !== 'victim' || ++steps !== step) return undefined;
    freeze();
    return gate;
  };
  const done = client.run('victim', work);
  const outcome = await Promise.race([frozen.then(() => 'frozen'), done.then(() => 'done')]);
  return outcome === 'frozen' ? { resume, done } : undefined;
}

async function count(store: FileProgressStore): Promise<number> {
  return Number((await read(store, 'counter')) ?? '0');
}

describe.each([0, 1])('a client whose commit follows %i others', (before) => {
  it('loses nothing and makes no second history when it is frozen at any step while generations pass', async () => {
    let step = 1;
    for (; ; step++) {
      const name = `resumed-${step}`;
      const others = open(name);
      for (let i = 0; i < before; i++) await increment(others, 'counter');
      const victim = await freezeAt(name, step);
      if (victim === undefined) break;
      for (let i = 0; i < 2 * GENERATION + 1; i++) await increment(others, 'counter');
      victim.resume();
      await victim.done;
      const expected = before + 2 * GENERATION + 2;
      expect(await count(others), `frozen at step ${step}, as others see it`).toBe(expected);
      expect(await count(open(name)), `frozen at step ${step}, read anew`).toBe(expected);
    }
    expect(step).toBeGreaterThan(25);
  }, 60_000);

  it('leaves the last committed state when it dies at any step', async () => {
    for (let step = 1; ; step++) {
      const name = `dead-${step}`;
      const others = open(name);
      for (let i = 0; i < before; i++) await increment(others, 'counter');
      if ((await freezeAt(name, step)) === undefined) break;
      const after = await count(open(name));
      expect([before, before + 1], `dead at step ${step}`).toContain(after);
      for (let i = 0; i < GENERATION + 1; i++) await increment(open(name), 'counter');
      expect(await count(others), `dead at step ${step}, and others went on`).toBe(after + GENERATION + 1);
      expect(after, 'the commit of a dead client came back').toBe((await count(open(name))) - GENERATION - 1);
    }
  }, 60_000);
});

describe('a client that acquires a lease', () => {
  const KEY = 'lease/task';
  const acquire = (store: FileProgressStore, holder: string) =>
    store.acquireLease({ key: KEY, value: utf8(holder), ttl: 1000 });

  it.each([false, true])(
    'is not the second holder, at whatever step it is frozen (lease runs out: %s)',
    async (runsOut) => {
      for (let step = 1; ; step++) {
        let now = 0;
        const openOne = () =>
          new FileProgressStore({
            directory: join(directory, `lease-${runsOut}-${step}`),
            generationCommits: GENERATION,
            leaseTime: () => now,
          });
        const others = openOne();
        await increment(others, 'counter');
        const victim = await freezeAtStep(step, () => acquire(openOne(), 'victim'));
        if (victim === undefined) break;
        const other = await acquire(others, 'other');
        for (let i = 0; i < GENERATION + 1; i++) await increment(others, 'counter');
        if (runsOut) now += 1000;
        victim.resume();
        const lease = await victim.done;
        const holder = await read(openOne(), KEY);
        const held = [lease, other].filter((each) => each !== undefined);
        if (!runsOut) {
          expect(held, `frozen at step ${step}`).toHaveLength(1);
          expect(holder, `frozen at step ${step}`).toBe(lease === undefined ? 'other' : 'victim');
          await held[0]?.renew();
        } else {
          await expect(other?.renew() ?? Promise.reject(new BackupError('LEASE_LOST', ''))).rejects.toMatchObject({
            code: 'LEASE_LOST',
          });
          const outcome = await Promise.resolve(lease?.renew()).then(
            () => lease && 'renewed',
            () => 'lost',
          );
          expect(holder, `frozen at step ${step}`).toBe(outcome === 'renewed' ? 'victim' : undefined);
        }
      }
    },
    60_000,
  );
});

describe('many clients', () => {
  it.each([1, 2, 3, 4])('lose nothing however their steps interleave (seed %i)', async (seed) => {
    const random = seededRandom(seed);
    let running = 5;
    hooks.onStep = async () => {
      // Now and then one sleeps while the others take many steps; the last one does not wait for anybody.
      const turns = random() < 0.03 ? 200 : Math.floor(random() * 3);
      for (let i = 0; i < turns && running > 1; i++) await new Promise<void>((resolve) => setImmediate(resolve));
    };
    const perClient = 8;
    await Promise.all(
      Array.from({ length: running }, async () => {
        const store = open('store');
        for (let i = 0; i < perClient; i++) await increment(store, 'counter');
        running--;
      }),
    );
    expect(await count(open('store'))).toBe(5 * perClient);
  });

  it('leave nothing behind but the newest generation', async () => {
    const stores = [open('store'), open('store'), open('store')];
    await Promise.all(
      stores.map(async (store) => {
        for (let i = 0; i < 20; i++) await increment(store, 'counter');
      }),
    );
    // Cleaners that meet each other may leave something for the next one; it has come by now.
    for (let i = 0; i < GENERATION; i++) await increment(open('store'), 'counter');
    const names = readdirSync(join(directory, 'store'));
    expect(names.filter((name) => name.startsWith('log-'))).toHaveLength(1);
    expect(names.filter((name) => !name.startsWith('log-'))).toEqual(['genesis']);
    const files = readdirSync(join(directory, 'store', names.find((name) => name.startsWith('log-')) ?? ''));
    expect(files.filter((file) => !/^(state|commit-\d+)$/.test(file))).toEqual([]);
  });
});
