// Is it serializable? Random transactions of several clients at once on a real server. etcd itself keeps the history of all revisions: a transaction that was committed at revision V must have read what a
// plain map held just before V, and one that only read what a plain map held at some revision while it ran.

import { Etcd3 } from 'etcd3';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { utf8 } from '../../src/core/bytes.js';
import { systemClock } from '../../src/core/clock.js';
import { BackupError } from '../../src/core/errors.js';
import { prefixRange, revisionNumber } from '../../src/etcd/keys.js';
import { watchRevisions } from '../../src/etcd/watch-stream.js';
import type { ProgressTransaction } from '../../src/ports/progress-store.js';
import { EtcdProgressStore } from '../../src/progress/etcd/etcd-progress-store.js';
import { seededRandom } from '../../src/testing/conformance.js';
import type { EtcdCluster } from '../servers/etcd.js';
import { etcdMissing, startEtcd } from '../servers/etcd.js';
import { FaultyClient } from './etcd-faults.js';

const missing = etcdMissing();
const TIMEOUT = 120_000;

type Step =
  | { readonly kind: 'get'; readonly key: string }
  | { readonly kind: 'range'; readonly begin: string; readonly end: string }
  | { readonly kind: 'set'; readonly key: string }
  | { readonly kind: 'clear'; readonly key: string }
  | { readonly kind: 'pause'; readonly turns: number };

type State = ReadonlyMap<string, string>;

interface Outcome {
  readonly name: string;
  readonly steps: readonly Step[];
  readonly isReadOnly: boolean;
  /** What each run of the body has read, as text. */
  readonly runs: string[][];
  /** The run whose result `transact` gave; undefined: it rejected with STORE_UNAVAILABLE. */
  committed: number | undefined;
  /** etcd's revision before the call and after it. */
  readonly before: number;
  after: number;
}

const KEYS = Array.from({ length: 14 }, (_, i) => `k/${String(i).padStart(2, '0')}`);
const LEASE = 'lease/x';

describe.skipIf(missing !== undefined)(`EtcdProgressStore${missing === undefined ? '' : `: ${missing}`}`, () => {
  let etcd: EtcdCluster;
  let observer: Etcd3;

  beforeAll(async () => {
    etcd = await startEtcd();
    observer = new Etcd3({ hosts: [...etcd.urls] });
  }, TIMEOUT);

  afterAll(async () => {
    observer.close();
    await etcd.stop();
  });

  const revisionNow = async () =>
    revisionNumber((await observer.kv.range({ key: Buffer.from('none') })).header.revision);

  it.each([
    { seed: 1, what: 'all goes well', faults: 0, maxOperations: 128 },
    { seed: 2, what: 'answers get lost and requests arrive twice and late', faults: 0.12, maxOperations: 128 },
    { seed: 3, what: 'transactions are larger than one of etcd', faults: 0, maxOperations: 8 },
    { seed: 4, what: 'they are larger, and answers get lost', faults: 0.12, maxOperations: 8 },
  ])(
    'every transaction is as if alone when $what (seed $seed)',
    async ({ seed, faults: rate, maxOperations }) => {
      const random = seededRandom(seed);
      const prefix = `serial-${seed}/`;
      const first = await revisionNow();
      const faults = { random, twice: rate, lost: rate, late: rate, overtaken: rate };
      const clients = Array.from({ length: 4 }, () => new FaultyClient(etcd.urls, faults));
      const outcomes: Outcome[] = [];
      const transact = async (client: FaultyClient, name: string) => {
        const store = new EtcdProgressStore({ client, prefix, maxOperations });
        const steps = randomSteps(random);
        const isReadOnly = !steps.some(({ kind }) => kind === 'set' || kind === 'clear');
        const runs: string[][] = [];
        const outcome = { name, steps, isReadOnly, runs, committed: undefined as number | undefined };
        const before = await revisionNow();
        try {
          outcome.committed = await store.transact(async (tx) => {
            const run = runs.push([]) - 1;
            await perform(tx, steps, `${name}.${run}`, runs[run] as string[]);
            if (!isReadOnly) tx.set(`mark/${name}`, utf8(String(run)));
            return run;
          });
        } catch (error) {
          if (!BackupError.is(error, 'STORE_UNAVAILABLE')) throw error;
        }
        outcomes.push({ ...outcome, before, after: await revisionNow() });
      };
      let isBusy = true;
      const leases = async () => {
        const store = new EtcdProgressStore({ client: observer, prefix });
        for (let i = 0; isBusy; i++) {
          const lease = await store.acquireLease({ key: LEASE, value: utf8(`lease ${i}`), ttl: 60_000 });
          await systemClock.sleep(random() * 20);
          await lease?.release();
          await systemClock.sleep(random() * 20);
        }
      };
      const leasing = leases();
      await Promise.all(
        clients.map(async (client, c) => {
          for (let i = 0; i < 40; i++) await transact(client, `${c}-${i}`);
        }),
      );
      isBusy = false;
      await leasing;
      await Promise.all(clients.map((client) => client.close()));

      const history = await historyOf(observer, prefix, first, await revisionNow());
      for (const outcome of outcomes) check(outcome, history);
      // What the test shows depends on it.
      expect(outcomes.filter(({ runs }) => runs.length > 1).length).toBeGreaterThan(5);
      expect(outcomes.filter(({ committed }) => committed === undefined).length > 0).toBe(rate > 0);
    },
    TIMEOUT,
  );
});

function randomSteps(random: () => number): Step[] {
  const key = () => KEYS[Math.floor(random() * KEYS.length)] as string;
  const steps: Step[] = [];
  const writes = random() < 0.8;
  for (let i = 0; i < 2 + random() * 6; i++) {
    const chance = random();
    if (chance < 0.25) steps.push({ kind: 'get', key: random() < 0.2 ? LEASE : key() });
    else if (chance < 0.45) {
      const [begin, end] = [key(), key()].sort() as [string, string];
      steps.push(random() < 0.2 ? { kind: 'range', begin: ' ', end: '~' } : { kind: 'range', begin, end });
    } else if (chance < 0.6) steps.push({ kind: 'pause', turns: Math.floor(random() * 10) });
    else if (writes) steps.push({ kind: random() < 0.5 ? 'set' : 'clear', key: key() });
  }
  return steps;
}

const isMark = (key: string) => key.startsWith('mark/');

async function perform(tx: ProgressTransaction, steps: readonly Step[], value: string, seen: string[]): Promise<void> {
  const decoder = new TextDecoder();
  for (const step of steps) {
    if (step.kind === 'get') {
      const got = await tx.get(step.key);
      seen.push(got === undefined ? 'nothing' : decoder.decode(got));
    } else if (step.kind === 'range') {
      const entries = (await tx.getRange(step.begin, step.end)).filter((entry) => !isMark(entry.key));
      seen.push(entries.map((entry) => `${entry.key}=${decoder.decode(entry.value)}`).join());
    } else if (step.kind === 'set') tx.set(step.key, utf8(value));
    else if (step.kind === 'clear') tx.clear(step.key);
    else for (let i = 0; i < step.turns; i++) await systemClock.yieldToHost();
  }
}

/** What `perform` reads when the store is a map. */
function model(before: State, steps: readonly Step[], value: string): string[] {
  const state = new Map(before);
  const seen: string[] = [];
  for (const step of steps) {
    if (step.kind === 'get') seen.push(state.get(step.key) ?? 'nothing');
    else if (step.kind === 'range') {
      const keys = [...state.keys()].filter((key) => key >= step.begin && key < step.end && !isMark(key)).sort();
      seen.push(keys.map((key) => `${key}=${state.get(key)}`).join());
    } else if (step.kind === 'set') state.set(step.key, value);
    else if (step.kind === 'clear') state.delete(step.key);
  }
  return seen;
}

interface History {
  readonly states: ReadonlyMap<number, State>;
  /** Of each mark: the revisions at which it was set, and to what. */
  readonly marks: ReadonlyMap<string, readonly { readonly revision: number; readonly run: number }[]>;
}

async function historyOf(client: Etcd3, prefix: string, first: number, last: number): Promise<History> {
  // Something to wait for, that no store has written.
  const end = await client.kv.put({ key: Buffer.from(`${prefix}end`), value: Buffer.from('x') });
  const { key, range_end } = prefixRange(Buffer.from(prefix));
  const data = `${prefix}keys/`;
  const states = new Map<number, State>([[first, new Map()]]);
  const marks = new Map<string, { revision: number; run: number }[]>();
  let state = new Map<string, string>();
  let revision = first;
  const stream = watchRevisions(
    client,
    { key, rangeEnd: range_end, startRevision: BigInt(first + 1) },
    { signal: new AbortController().signal },
  );
  for await (const { events, revision: upTo } of stream) {
    for (const { type, kv } of events) {
      const at = revisionNumber(kv.mod_revision);
      // Revisions of others in between have the state of before.
      for (; revision < at - 1; revision++) states.set(revision + 1, state);
      if (at !== revision) state = new Map(state);
      revision = at;
      states.set(at, state);
      const name = kv.key.toString();
      if (!name.startsWith(data)) continue;
      const short = name.slice(data.length);
      if (type === 'Delete') state.delete(short);
      else state.set(short, kv.value.toString());
      if (isMark(short)) {
        marks.set(short, [...(marks.get(short) ?? []), { revision: at, run: Number(kv.value.toString()) }]);
      }
    }
    if (upTo >= BigInt(end.header.revision)) break;
  }
  for (; revision < last; revision++) states.set(revision + 1, state);
  return { states, marks };
}

function check(outcome: Outcome, { states, marks }: History): void {
  const { name, steps, isReadOnly, runs, committed, before, after } = outcome;
  const readsOf = (run: number, revision: number) => model(states.get(revision) as State, steps, `${name}.${run}`);
  if (isReadOnly) {
    const reads = runs[committed as number];
    const places = [];
    for (let revision = before; revision <= after; revision++) {
      if (JSON.stringify(readsOf(0, revision)) === JSON.stringify(reads)) places.push(revision);
    }
    expect(places, `transaction ${name} has a place between ${before} and ${after}`).not.toEqual([]);
    return;
  }
  const commits = marks.get(`mark/${name}`) ?? [];
  expect(commits.length, `commits of transaction ${name}`).toBeLessThanOrEqual(1);
  if (committed !== undefined) {
    expect(commits.map(({ run }) => run)).toEqual([committed]);
    expect(commits[0]?.revision).toBeGreaterThan(before);
    expect(commits[0]?.revision).toBeLessThanOrEqual(after);
  }
  for (const { run, revision } of commits) {
    expect(runs[run], `what transaction ${name} has read, committed at ${revision}`).toEqual(
      readsOf(run, revision - 1),
    );
  }
}
