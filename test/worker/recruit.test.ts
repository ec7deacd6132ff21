// The recruiter: a recruit() call keeps the right workers running in its process (rules P23, P24, P11).

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Clock } from '../../src/core/clock.js';
import { BackupError } from '../../src/core/errors.js';
import { announceEpoch } from '../../src/job/recruiter-transactions.js';
import { logRouterTag } from '../../src/core/version.js';
import type { PlannedWorker } from '../../src/job/plan.js';
import type { LogSource, LogSystemInfo } from '../../src/ports/log-source.js';
import { describeBackup } from '../../src/restore/describe.js';
import type { BackupWorker } from '../../src/worker/backup-worker.js';
import { recruit, type RecruitOptions } from '../../src/worker/recruit.js';
import { GatedStore, readsFrom, type TransactionFacts, unavailable, writesTo } from './gates.js';
import { World, set } from './world.js';

const TAG_0 = logRouterTag(0);
const TAG_1 = logRouterTag(1);

interface Process {
  readonly workers: { readonly worker: BackupWorker; readonly planned: PlannedWorker }[];
  /** "epoch.tag CODE restart|final" of each worker that has failed. */
  readonly errors: string[];
  readonly ended: Promise<void>;
  /** undefined while it runs. */
  outcome(): 'resolved' | { error: unknown } | undefined;
  /** "epoch.tag state" of each worker since the beginning, in the order in which they were started. */
  states(): string[];
  stop(): Promise<void>;
}

/** The same log as an object of plain functions. */
function portOf(log: Required<LogSource>): Required<LogSource> {
  return {
    peek: (request) => log.peek(request),
    pop: (request) => log.pop(request),
    minKnownCommittedVersion: (request) => log.minKnownCommittedVersion(request),
    committedVersion: (signal) => log.committedVersion(signal),
    logSystem: (signal) => log.logSystem(signal),
  };
}

describe('recruit', () => {
  let world: World;
  const processes: Process[] = [];
  beforeEach(() => {
    world = new World({ totalTags: 2 });
  });
  afterEach(async () => {
    await Promise.allSettled(processes.splice(0).map((process) => process.stop()));
    await world.end();
  });

  /** A process of the host that calls recruit(). */
  function start(options: Partial<RecruitOptions> = {}, { listens = true } = {}): Process {
    const stop = new AbortController();
    const workers: Process['workers'] = [];
    const errors: string[] = [];
    const onWorkerError: RecruitOptions['onWorkerError'] = (error, { backupEpoch, tag }, willRestart) => {
      const code = BackupError.is(error) ? error.code : String(error);
      errors.push(`${backupEpoch}.${tag} ${code} ${willRestart ? 'restart' : 'final'}`);
    };
    const ended = recruit({
      logSource: world.log,
      progressStore: world.store,
      openContainer: (url) => world.container(url),
      clock: world.clock,
      concurrentWrites: 2,
      signal: stop.signal,
      onWorker: (worker, planned) => workers.push({ worker, planned }),
      ...(listens ? { onWorkerError } : {}),
      ...options,
    });
    let outcome: ReturnType<Process['outcome']>;
    ended.then(
      () => (outcome = 'resolved'),
      (error: unknown) => (outcome = { error }),
    );
    const process: Process = {
      workers,
      errors,
      ended,
      outcome: () => outcome,
      states: () => workers.map(({ worker, planned }) => `${planned.backupEpoch}.${planned.tag} ${worker.state}`),
      stop: () => {
        stop.abort(new BackupError('INVALID_STATE', 'stopped by the test'));
        return ended;
      },
    };
    processes.push(process);
    return process;
  }

  /** Commits versions up to `last`, over all tags of the current epoch in turn. */
  function write(last: bigint): void {
    const { log } = world;
    while (log.knownVersion < last) {
      const version = log.knownVersion + 1n;
      log.commit([{ tag: Number(version) % log.totalTags, mutation: set(`k${version}`) }]);
    }
  }

  async function expectWhole(uid: string, last: bigint): Promise<void> {
    const description = await describeBackup(world.container(`memory:${uid}`), { deep: true });
    expect(description).toMatchObject({ gaps: [], problems: [], minRestorable: 1n, maxRestorable: last });
    const versions = new Set((await world.mutations(uid)).map((mutation) => Number(mutation.split('/')[1])));
    expect(versions.size).toBe(Number(last));
  }

  it('announces the epoch, then starts a worker for each of its tags', async () => {
    const store = new GatedStore(world.store);
    const process = start({ progressStore: store });
    await world.clock.settle();
    expect(store.committed[0]?.writes.has('epoch')).toBe(true);
    expect(world.record('epoch')).toEqual({ epoch: 1, begin: '1', totalTags: 2 });
    await world.clock.advance(1_000);
    expect(process.states()).toEqual(['1.0 NOOPMode.Waiting', '1.1 NOOPMode.Waiting']);
    expect(process.workers.map(({ planned }) => planned)).toEqual([
      { recruitedEpoch: 1, backupEpoch: 1, tag: 0, totalTags: 2, startVersion: 1n },
      { recruitedEpoch: 1, backupEpoch: 1, tag: 1, totalTags: 2, startVersion: 1n },
    ]);
  });

  it('shows each worker before it runs, so that no event is missed', async () => {
    const states: string[] = [];
    start({
      onWorker: (worker, { tag }) => {
        states.push(`${tag} ${worker.state}`);
        worker.on('state', (state) => states.push(`${tag} ${state}`));
      },
    });
    await world.clock.advance(1_000);
    expect(states.filter((text) => text.startsWith('1'))).toEqual([
      '1 Initializing',
      '1 CheckingBackupKey',
      '1 NOOPMode.Popping',
      '1 NOOPMode.Waiting',
    ]);
  });

  it('looks at the plan again and again without starting anyone twice', async () => {
    const process = start({ planInterval: 100 });
    await world.clock.advance(20_000);
    expect(process.workers).toHaveLength(2);
  });

  it('passes the knobs on to its workers', async () => {
    start({ uploadDelay: 1_000 });
    await world.clock.advance(100);
    await world.submit('job');
    write(4n);
    await world.clock.advance(1_100);
    expect(await world.stretches('job')).toEqual(['0:[1, 5)', '1:[1, 5)']);
  });

  it('after a recovery it drains the old epoch and starts the new one’s workers', async () => {
    const { clock, log } = world;
    const process = start();
    await clock.advance(100);
    await world.submit('job', { logOnly: true });
    write(10n);
    log.recover({ totalTags: 3 });
    write(20n);
    await clock.advance(12_000);
    expect(process.states()).toEqual([
      '1.0 Displaced',
      '1.1 Displaced',
      '1.0 Completed',
      '1.1 Completed',
      '2.0 PullMode.Pulling',
      '2.1 PullMode.Pulling',
      '2.2 PullMode.Pulling',
    ]);
    expect(log.popped(2, TAG_0)).toBeUndefined();
    await world.tellOldestEpoch();
    await clock.advance(12_000);
    expect(log.popped(2, TAG_0)).toBe(20n);
    expect(process.errors).toEqual([]);
    await expectWhole('job', 20n);
  });

  it('an old epoch that needs no worker is called done, so that pops of the new one are not withheld for ever', async () => {
    const { clock, log } = world;
    const process = start();
    write(10n);
    await clock.advance(1_000);
    log.recover();
    write(20n);
    await clock.advance(1_000);
    expect(process.states().slice(2)).toEqual(['2.0 NOOPMode.Waiting', '2.1 NOOPMode.Waiting']);
    await world.tellOldestEpoch();
    await clock.advance(6_000);
    expect(log.popped(2, TAG_0)).toBe(20n);
  });

  it('recoveries one right after the other end with the newest epoch’s workers only, and nothing is lost', async () => {
    const { clock, log } = world;
    const process = start();
    await clock.advance(100);
    await world.submit('job', { logOnly: true });
    for (let epoch = 2; epoch <= 5; epoch++) {
      write(BigInt(epoch) * 10n);
      log.recover({ totalTags: 1 + (epoch % 3) });
      await clock.advance(epoch % 2 === 0 ? 0 : 300);
    }
    write(60n);
    for (let i = 0; i < 4; i++) {
      await clock.advance(12_000);
      await world.tellOldestEpoch();
    }
    const running = process.workers.filter(({ worker }) => worker.state.startsWith('PullMode'));
    expect(running.map(({ planned }) => `${planned.backupEpoch}.${planned.tag}`)).toEqual(['5.0', '5.1', '5.2']);
    expect(process.errors).toEqual([]);
    await expectWhole('job', 60n);
  });

  it('a worker that dies of something that may pass is reported, and started again from recorded state', async () => {
    const { clock } = world;
    let failures = 0;
    const metricsInterval = 7_777;
    const failing: Clock = {
      now: () => clock.now(),
      wallTime: () => clock.wallTime(),
      yieldToHost: () => clock.yieldToHost(),
      sleep: (ms, signal) =>
        ms === metricsInterval && failures-- > 0
          ? Promise.reject(new TypeError('the test says so'))
          : clock.sleep(ms, signal),
    };
    const process = start({ clock: failing, metricsInterval, retryMaxDelay: 6_000 });
    await clock.advance(100);
    await world.submit('job', { logOnly: true });
    write(10n);
    await clock.advance(12_000);
    // A mistake of the host's, outside of any call that is tried again.
    failures = 1;
    write(12n);
    await clock.advance(100);
    write(14n);
    await clock.advance(4_000);
    expect(process.errors).toHaveLength(1);
    expect(process.errors[0]).toMatch(/^1\.[01] TypeError.* restart$/);
    expect(process.workers).toHaveLength(2);
    write(20n);
    await clock.advance(15_000);
    expect(process.workers).toHaveLength(3);
    expect(process.workers[2]?.planned.startVersion).toBeGreaterThan(10n);
    await expectWhole('job', 20n);
  });

  /** Somebody else discards what this tag has not stored, while its worker is about to ask for it. */
  async function makeGap(tag: number): Promise<void> {
    const { clock, log } = world;
    log.delay('peek', 200);
    write(log.knownVersion + 2n);
    await clock.advance(100);
    write(log.knownVersion + 10n);
    await log.pop({ epoch: log.epoch, tag: logRouterTag(tag), upTo: log.committed });
    await clock.advance(200);
    log.delay('peek', 0);
  }

  it('a worker that meets LOG_GAP is reported and not started again; the others go on', async () => {
    const { clock } = world;
    const process = start({ planInterval: 1_000 });
    await clock.advance(100);
    await world.submit('job');
    write(10n);
    await clock.advance(12_000);
    await makeGap(1);
    await clock.advance(60_000);
    expect(process.errors).toEqual(['1.1 LOG_GAP final']);
    expect(process.workers).toHaveLength(2);
    expect(process.outcome()).toBeUndefined();
    expect(process.states()).toEqual(['1.0 PullMode.Pulling', '1.1 Failed']);
    expect(world.record('progress/1/0')).toMatchObject({ savedVersion: '22' });
    expect(world.record('progress/1/1')).toMatchObject({ savedVersion: '10' });
  });

  it('after LOG_GAP it is back once no job is active: NOOP mode passes the gap, and a job that is submitted then is stored', async () => {
    const { clock, operator } = world;
    const store = new GatedStore(world.store);
    const process = start({ planInterval: 1_000, progressStore: store });
    await clock.advance(100);
    await world.submit('job');
    write(10n);
    await clock.advance(12_000);
    await makeGap(1);
    await clock.advance(10_000);
    expect(process.states()).toEqual(['1.0 PullMode.Pulling', '1.1 Failed']);
    // A store that is away when it looks for active jobs only delays it.
    let isAway = 0;
    const looksForJobs = ({ reads, writes }: TransactionFacts) =>
      reads.size === 1 && reads.has('started') && writes.size === 0;
    store.on(
      'transact',
      () => {
        isAway++;
        throw unavailable();
      },
      { match: looksForJobs, count: 3 },
    );
    await operator.abort('job');
    await clock.advance(20_000);
    expect(isAway).toBe(3);
    expect(process.outcome()).toBeUndefined();
    expect(process.errors).toEqual(['1.1 LOG_GAP final']);
    expect(process.states()).toEqual(['1.0 NOOPMode.Waiting', '1.1 Failed', '1.1 NOOPMode.Waiting']);
    const { completeFrom } = await world.submit('next');
    const last = world.log.knownVersion + 4n;
    write(last);
    await clock.advance(12_000);
    expect(process.errors).toHaveLength(1);
    expect(await operator.status('next')).toMatchObject({ state: 'Running', savedVersion: last });
    expect(await world.mutations('next')).toHaveLength(Number(last - completeFrom) + 1);
  });

  it('without onWorkerError it rejects with what is final, after its workers have stopped', async () => {
    const { clock } = world;
    const process = start({}, { listens: false });
    await clock.advance(100);
    await world.submit('job');
    write(10n);
    await clock.advance(12_000);
    await makeGap(1);
    await clock.advance(1_000);
    expect(process.outcome()).toMatchObject({ error: { code: 'LOG_GAP', tag: TAG_1 } });
    expect(process.states()).toEqual(['1.0 Stopped', '1.1 Failed']);
    expect(clock.pendingTimers).toBe(0);
    expect(world.store.watches).toBe(0);
  });

  it('in the next epoch it is back for the tag of a worker that had failed for good', async () => {
    const { clock, log } = world;
    const process = start();
    await clock.advance(100);
    await world.submit('job');
    await makeGap(1);
    expect(process.errors).toEqual(['1.1 LOG_GAP final']);
    log.recover();
    await clock.advance(1_000);
    expect(process.states().filter((text) => text.startsWith('2.'))).toEqual([
      '2.0 PullMode.Pulling',
      '2.1 PullMode.Pulling',
    ]);
  });

  it('several processes share the tags, and another can take over the tags of one that is gone', async () => {
    const { clock } = world;
    let takesOver = false;
    const one = start({ tags: (_epoch, tag) => tag === 0 });
    const two = start({ tags: (_epoch, tag) => tag === 1 || takesOver });
    await clock.advance(100);
    await world.submit('job', { logOnly: true });
    write(10n);
    await clock.advance(12_000);
    expect([one.states(), two.states()]).toEqual([['1.0 PullMode.Pulling'], ['1.1 PullMode.Pulling']]);
    await one.stop();
    write(15n);
    takesOver = true;
    await clock.advance(20_000);
    expect(two.states()).toEqual(['1.1 PullMode.Pulling', '1.0 PullMode.Pulling']);
    expect(two.workers[1]?.planned.startVersion).toBe(11n);
    await expectWhole('job', 15n);
  });

  it('several processes drain an old epoch together', async () => {
    const { clock, log } = world;
    const tags = (parity: number) => (epoch: number, tag: number) => (epoch + tag) % 2 === parity;
    const [one, two] = [start({ tags: tags(0) }), start({ tags: tags(1) })];
    await clock.advance(100);
    await world.submit('job', { logOnly: true });
    write(10n);
    log.recover();
    write(20n);
    await clock.advance(12_000);
    await world.tellOldestEpoch();
    await clock.advance(12_000);
    expect(one.states()).toEqual(['1.1 Displaced', '1.1 Completed', '2.0 PullMode.Pulling']);
    expect(two.states()).toEqual(['1.0 Displaced', '1.0 Completed', '2.1 PullMode.Pulling']);
    await expectWhole('job', 20n);
  });

  it('of two processes with the same tags the later one has them: the other does not take them back in this epoch', async () => {
    const { clock, log } = world;
    const older = start({ planInterval: 500 });
    await clock.advance(1_000);
    const later = start({ planInterval: 500 });
    await clock.advance(20_000);
    expect(older.states()).toEqual(['1.0 Displaced', '1.1 Displaced']);
    expect(later.states()).toEqual(['1.0 NOOPMode.Waiting', '1.1 NOOPMode.Waiting']);
    expect(older.errors).toEqual([]);
    // In the next epoch both try again, and one of them has each tag.
    log.recover();
    await clock.advance(20_000);
    const states = [...older.states(), ...later.states()].filter((text) => text.startsWith('2.'));
    expect(states.filter((text) => text.endsWith('NOOPMode.Waiting')).sort()).toEqual([
      '2.0 NOOPMode.Waiting',
      '2.1 NOOPMode.Waiting',
    ]);
  });

  it('abort stops everything: workers, timers, watches, and the promise resolves', async () => {
    const { clock, store } = world;
    const process = start();
    await clock.advance(100);
    await world.submit('job');
    write(10n);
    await clock.advance(1_000);
    await process.stop();
    expect(process.outcome()).toBe('resolved');
    expect(process.states()).toEqual(['1.0 Stopped', '1.1 Stopped']);
    expect(clock.pendingTimers).toBe(0);
    expect(store.watches).toBe(0);
    write(20n);
    await clock.advance(60_000);
    expect(process.workers).toHaveLength(2);
    expect(await world.stretches('job')).toEqual([]);
  });

  it('abort also ends a recruiter whose store or log does not answer', async () => {
    const store = new GatedStore(world.store);
    store.hold('transact');
    const process = start({ progressStore: store });
    await world.clock.settle();
    await process.stop();
    expect(process.outcome()).toBe('resolved');
    const silent: LogSource = {
      ...portOf(world.log),
      logSystem: () => ({ [Symbol.asyncIterator]: () => ({ next: () => new Promise(() => undefined) }) }),
    };
    const deaf = start({ logSource: silent });
    await world.clock.advance(10_000);
    expect(deaf.workers).toEqual([]);
    await deaf.stop();
    expect(deaf.outcome()).toBe('resolved');
    expect(world.clock.pendingTimers).toBe(0);
  });

  it('a signal that has aborted before starts nothing', async () => {
    const process = start({ signal: AbortSignal.abort(new Error('before')) });
    await process.ended;
    expect(process.workers).toEqual([]);
    expect(world.record('epoch')).toBeUndefined();
  });

  it('a store that cannot be reached for a while only delays it', async () => {
    const store = new GatedStore(world.store);
    store.fail('transact', unavailable(), { count: 3 });
    store.fail('transact', unavailable(), { at: 'after', match: writesTo('epoch') });
    const process = start({ progressStore: store });
    await world.clock.advance(10_000);
    expect(process.states()).toEqual(['1.0 NOOPMode.Waiting', '1.1 NOOPMode.Waiting']);
  });

  it('a permanent error of the store rejects, after the workers have stopped', async () => {
    const { clock } = world;
    const store = new GatedStore(world.store);
    const process = start({ progressStore: store, planInterval: 3_000 });
    await clock.advance(1_000);
    const permanent = new BackupError('STORE_CORRUPT', 'the test says so');
    store.fail('transact', permanent, { match: readsFrom('epoch') });
    await clock.advance(3_000);
    expect(process.outcome()).toEqual({ error: permanent });
    expect(process.states()).toEqual(['1.0 Stopped', '1.1 Stopped']);
    expect(clock.pendingTimers).toBe(0);
  });

  it('epochs that contradict each other reject with INVALID_EPOCHS', async () => {
    const holes: Required<LogSource> = {
      ...portOf(world.log),
      logSystem: async function* (signal): AsyncIterable<LogSystemInfo> {
        for await (const info of world.log.logSystem(signal)) {
          yield { ...info, epochs: [{ epoch: 0, begin: 0n, end: 0n, totalTags: 1 }, ...info.epochs] };
        }
      },
    };
    await expect(start({ logSource: holes }).ended).rejects.toMatchObject({ code: 'INVALID_EPOCHS', epoch: 1 });
  });

  it('a process that hears of a recovery late starts nothing in the epoch that is over', async () => {
    const { clock, log } = world;
    await announceEpoch(world.store, { epoch: 2, begin: 1n, totalTags: 2 });
    const process = start();
    await clock.advance(20_000);
    expect(process.workers).toEqual([]);
    expect(process.outcome()).toBeUndefined();
    log.recover();
    await clock.advance(1_000);
    expect(process.states()).toEqual(['2.0 NOOPMode.Waiting', '2.1 NOOPMode.Waiting']);
  });

  it('a log that never changes hands needs to be told of its epoch', async () => {
    const { log } = world;
    const { logSystem: _logSystem, ...single } = portOf(log);
    await expect(start({ logSource: single }).ended).rejects.toMatchObject({
      code: 'INVALID_OPTION',
      message: /epoch/,
    });
    const process = start({ logSource: single, epoch: { epoch: 1, begin: 1n, end: undefined, totalTags: 2 } });
    write(5n);
    await world.clock.advance(1_000);
    expect(process.states()).toEqual(['1.0 NOOPMode.Waiting', '1.1 NOOPMode.Waiting']);
    expect(log.popped(1, TAG_0)).toBe(5n);
  });

  it('an option that no worker can run with is refused at the door', async () => {
    const process = start({ lockBytes: -1 });
    await world.clock.advance(1_000);
    expect(process.outcome()).toMatchObject({ error: { code: 'INVALID_OPTION' } });
  });
});
