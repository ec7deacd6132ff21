// Rule P24 of docs/protocol.md: whatever a worker was doing when it died, running the plan again is enough.

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { logRouterTag } from '../../src/core/version.js';
import { describeBackup } from '../../src/restore/describe.js';
import { GatedContainer, GatedLog, GatedStore, logFiles, writesTo, type Gate } from './gates.js';
import { World } from './world.js';

const TAG_0 = logRouterTag(0);

interface Gates {
  readonly store: GatedStore;
  readonly log: GatedLog;
  readonly container: GatedContainer;
}

/** Where a process dies: the call that it never gets past. */
interface Death {
  readonly title: string;
  readonly hold: (gates: Gates) => Gate;
}

const IN_CURRENT_EPOCH: Death[] = [
  { title: 'before its claim commits', hold: ({ store }) => store.hold('transact', { match: writesTo('owner/') }) },
  {
    title: 'after its claim has committed',
    hold: ({ store }) => store.hold('transact', { at: 'after', match: writesTo('owner/') }),
  },
  {
    title: 'before it has registered for a job',
    hold: ({ store }) => store.hold('transact', { match: writesTo('registered/') }),
  },
  {
    title: 'after it has registered for a job',
    hold: ({ store }) => store.hold('transact', { at: 'after', match: writesTo('registered/') }),
  },
  {
    title: 'before the job is called started',
    hold: ({ store }) => store.hold('transact', { match: writesTo('job/job') }),
  },
  { title: 'in its first peek', hold: ({ log }) => log.hold('peek') },
  { title: 'while it makes the container', hold: ({ container }) => container.hold('create') },
  {
    title: 'while it writes a file',
    hold: ({ container }) => container.hold('append', { at: 'after', match: logFiles }),
  },
  {
    title: 'after a file is finished',
    hold: ({ container }) => container.hold('finish', { at: 'after', match: logFiles }),
  },
  { title: 'before its save commits', hold: ({ store }) => store.hold('transact', { match: writesTo('progress/') }) },
  {
    title: 'after its save has committed',
    hold: ({ store }) => store.hold('transact', { at: 'after', match: writesTo('progress/') }),
  },
  { title: 'before it has popped', hold: ({ log }) => log.hold('pop', { match: ({ upTo }) => (upTo ?? 0n) > 3n }) },
  {
    title: 'after it has popped',
    hold: ({ log }) => log.hold('pop', { at: 'after', match: ({ upTo }) => (upTo ?? 0n) > 3n }),
  },
];

describe('P24 a dead worker is replaced by running the plan again', () => {
  let world: World;
  let gates: Gates;
  beforeEach(async () => {
    world = new World();
    const container = new GatedContainer(world.container('memory:job'));
    gates = { store: new GatedStore(world.store), log: new GatedLog(world.log), container };
    await world.announce();
  });
  afterEach(() => world.end());

  function write(last: bigint): void {
    while (world.log.knownVersion < last) world.put(0, `k${world.log.knownVersion + 1n}`);
  }

  /** Everything from `first` to `last` is in the job's files, and the files leave no gap from there. */
  async function expectStored(first: number, last: number): Promise<void> {
    const versions = new Set((await world.mutations('job')).map((mutation) => Number(mutation.split('/')[1])));
    const expected = Array.from({ length: last - first + 1 }, (_, index) => first + index);
    expect([...versions].sort((a, b) => a - b)).toEqual(expected);
    const description = await describeBackup(world.container('memory:job'), { deep: true });
    expect(description).toMatchObject({
      gaps: [],
      problems: [],
      logBegin: BigInt(first),
      contiguousLogEnd: BigInt(last) + 1n,
    });
  }

  /** Options of the process that dies: its own view of store, log and container. */
  const doomed = () => ({
    store: gates.store,
    log: gates.log,
    openContainer: () => gates.container,
    retryMaxDelay: 100,
  });

  for (const { title, hold } of IN_CURRENT_EPOCH) {
    it(`in the current epoch, ${title}`, async () => {
      const { clock, log, operator } = world;
      const gate = hold(gates);
      const dying = world.start(0, doomed());
      await clock.settle();
      const submitted = world.request('job');
      write(3n);
      await clock.advance(11_000);
      write(6n);
      await clock.advance(11_000);
      expect(gate.isReached).toBe(true);
      // It does not come back: the call that was held is never answered.
      await dying.stop();
      const [replacement] = await world.recruit();
      write(10n);
      await clock.advance(20_000);
      expect(replacement?.outcome()).toBeUndefined();
      expect(await submitted).toMatchObject({ completeFrom: 1n });
      await expectStored(1, 10);
      expect(log.popped(1, TAG_0)).toBe(10n);
      await operator.discontinue('job');
      await clock.advance(20_000);
      expect((await operator.status('job')).state).toBe('Completed');
    });
  }

  it.each<[string, (gates: Gates) => Gate]>([
    ['before its noop commits', ({ store }) => store.hold('transact', { match: writesTo('noop/') })],
    ['after its noop has committed', ({ store }) => store.hold('transact', { at: 'after', match: writesTo('noop/') })],
    ['before it has popped', ({ log }) => log.hold('pop')],
    ['after it has popped', ({ log }) => log.hold('pop', { at: 'after' })],
  ])('in NOOP mode, %s', async (_title, hold) => {
    const { clock, log } = world;
    write(5n);
    const gate = hold(gates);
    const dying = world.start(0, doomed());
    await clock.advance(6_000);
    expect(gate.isReached).toBe(true);
    await dying.stop();
    const recorded = world.record('noop/1/0') === undefined ? 1 : 6;
    const submitted = world.request('job');
    await clock.settle();
    await world.recruit();
    write(10n);
    await clock.advance(20_000);
    expect(await submitted).toMatchObject({ completeFrom: BigInt(recorded) });
    await expectStored(recorded, 10);
    expect(log.popped(1, TAG_0)).toBe(10n);
  });

  it.each<[string, (gates: Gates) => Gate]>([
    ['before its claim commits', ({ store }) => store.hold('transact', { match: writesTo('owner/1/0') })],
    [
      'after its claim has committed',
      ({ store }) => store.hold('transact', { at: 'after', match: writesTo('owner/1/0') }),
    ],
    ['while it writes a file', ({ container }) => container.hold('append', { match: logFiles })],
    ['before its save commits', ({ store }) => store.hold('transact', { match: writesTo('progress/1/0') })],
    [
      'after its save has committed',
      ({ store }) => store.hold('transact', { at: 'after', match: writesTo('progress/1/0') }),
    ],
    ['before it has popped', ({ log }) => log.hold('pop')],
    ['before it says that it is done', ({ store }) => store.hold('transact', { match: writesTo('done/') })],
    [
      'after it has said that it is done',
      ({ store }) => store.hold('transact', { at: 'after', match: writesTo('done/') }),
    ],
  ])('draining an old epoch, %s', async (_title, hold) => {
    const { clock, log } = world;
    const first = world.start(0);
    void world.request('job');
    write(3n);
    await clock.advance(11_000);
    write(7n);
    await first.stop();
    log.recover();
    write(10n);
    const gate = hold(gates);
    await world.announce();
    const dying = world.start(0, { ...doomed(), epoch: 1, endVersion: 7n, startVersion: 4n });
    await clock.advance(11_000);
    expect(gate.isReached).toBe(true);
    await dying.stop();
    const replacements = await world.recruit();
    await clock.advance(11_000);
    expect(replacements.slice(0, -1).map(({ outcome }) => outcome())).toEqual(
      replacements.slice(0, -1).map(() => ({ outcome: 'completed' })),
    );
    expect(world.record('done/1/0')).toEqual({ done: true });
    await world.tellOldestEpoch();
    write(12n);
    await clock.advance(11_000);
    await expectStored(1, 12);
    expect(log.popped(2, TAG_0)).toBe(12n);
  });
});
