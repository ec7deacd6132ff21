import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { BackupContainer } from '../../src/ports/backup-container.js';
import { describeBackup } from '../../src/restore/describe.js';
import { verifyBackup } from '../../src/restore/verify.js';
import { SimRandom } from '../../src/testing/simulation/random.js';
import { etcdMissing } from '../servers/etcd.js';
import { compactedRevision, copyContainer, falseReports, restoreAndCompare } from './checks.js';
import { DatabaseWriter } from './database-writer.js';
import type { FleetHost } from './fleet-host.js';
import { FleetWorld } from './fleet-world.js';
import { Samples, type Sample } from './samples.js';

const TAGS = 8;
const ALL_TAGS = Array.from({ length: TAGS }, (_, tag) => tag);
/** ms: as short as is of use where other tests keep the machine busy. */
const LEASE_TIME = 3_000;
/** Stored twice: to be restored from snapshots, and from the log alone. */
const JOBS = ['rows', 'log'] as const;
/** ms between the begins of two snapshots. */
const SNAPSHOT_INTERVAL = 8_000;
/** Of a fresh etcd: the first revision that holds anything. */
const FIRST_REVISION = 2n;
/** Besides those of each disturbance. */
const MORE_RESTORES = 12;
/** ms: far longer than anything takes, on a busy machine too. */
const STEP_TIMEOUT = 240_000;

const missing = etcdMissing();

describe.skipIf(missing !== undefined)(`a fleet of processes${missing === undefined ? '' : `: ${missing}`}`, () => {
  const seed = Math.floor(Math.random() * 2 ** 31);
  const random = new SimRandom(seed);
  let world: FleetWorld;
  let writer: DatabaseWriter;
  let samples: Samples;
  /** Those that should be at work. */
  let fleet: FleetHost[] = [];
  const containers = new Map<string, BackupContainer>();
  let isBroken = false;

  /** The story goes on from step to step: after one that has failed the others say nothing. */
  function step(name: string, body: () => Promise<void>): void {
    it(
      name,
      async ({ skip }) => {
        if (isBroken) skip('an earlier step has failed');
        isBroken = true;
        await body();
        isBroken = false;
      },
      STEP_TIMEOUT,
    );
  }

  const others = (host: FleetHost) => fleet.filter((other) => other !== host);
  const balanced = (hosts: readonly FleetHost[]) =>
    world.until(`balance among ${hosts.map(({ name }) => name).join(', ')}`, () => world.isBalanced(hosts));

  /** The times are figures, no promise: test/bench/fleet-handover.ts measures. */
  async function takenOver(from: FleetHost, tags: readonly number[], since: number): Promise<void> {
    const { leaseEnded, assigned, claimed } = await world.handOver(from, tags, since);
    const [ended, given, taken] = [leaseEnded, assigned, claimed].map(Math.round);
    const times = `its lease ended after ${ended} ms, all were assigned to others after ${given} ms and claimed after ${taken} ms`;
    console.log(`${from.name}, ${tags.length} tags: ${times} (lease time ${LEASE_TIME})`);
    await balanced(others(from));
  }

  beforeAll(async () => {
    console.log(`seed ${seed}`);
    world = await FleetWorld.start({ tags: TAGS, leaseTime: LEASE_TIME });
    writer = new DatabaseWriter(world.database, random.next32());
    samples = new Samples(world.database, writer);
    for (const job of JOBS) containers.set(job, await world.container(job));
  }, STEP_TIMEOUT);

  afterAll(async () => {
    await Promise.all([writer?.stop(), samples?.stop()]);
    await world?.close();
  }, STEP_TIMEOUT);

  step('shares eight tags out over three hosts', async () => {
    fleet = await Promise.all(['a', 'b', 'c'].map((name) => world.addHost(name)));
    await balanced(fleet);
  });

  step('stores two jobs from the first revision on', async () => {
    const common = { startVersion: 0n, firstVersion: FIRST_REVISION };
    const submitted = await Promise.all([
      world.operator.submit({
        ...common,
        uid: 'rows',
        url: world.containerUrl('rows'),
        snapshotInterval: SNAPSHOT_INTERVAL,
      }),
      world.operator.submit({ ...common, uid: 'log', url: world.containerUrl('log'), logOnly: true }),
    ]);
    expect(submitted.map(({ completeFrom }) => completeFrom)).toEqual([FIRST_REVISION, FIRST_REVISION]);
    writer.start();
    samples.start();
    await world.goOn(ALL_TAGS);
  });

  step('hands the tags of a host that is killed to the others', async () => {
    const victim = random.pick(fleet);
    const tags = world.ledger.tagsOf(victim.name);
    const at = await victim.kill();
    await samples.note('a host was killed');
    await takenOver(victim, tags, at);
    fleet = others(victim);
    await world.goOn(tags);
  });

  step('gives a host that joins its share', async () => {
    fleet.push(await world.addHost('d'));
    await samples.note('a host joined');
    await balanced(fleet);
  });

  step('goes on without a host that is frozen past its lease, and with it when it has woken up', async () => {
    const victim = random.pick(fleet);
    const tags = world.ledger.tagsOf(victim.name);
    const at = victim.freeze();
    await samples.note('a host was frozen');
    await takenOver(victim, tags, at);
    // Its successors have stored what it may still hold in its memory.
    await world.goOn(tags);
    const thawed = victim.thaw();
    await samples.note('a host woke up');
    await world.until(`${victim.name} to find its lease lost`, () => victim.hasTold('leaseLost', thawed));
    await balanced(fleet);
  });

  step('goes on without a host that cannot reach the store, which stops its workers by itself', async () => {
    const victim = random.pick(fleet);
    const tags = world.ledger.tagsOf(victim.name);
    const at = victim.cut();
    await samples.note('a host was cut off');
    await world.until(
      `${victim.name} to stop its workers`,
      () => victim.hasTold('leaseLost', at) && victim.runningTags.size === 0,
    );
    await takenOver(victim, tags, at);
    await world.goOn(tags);
    // What it had sent to the store arrives now.
    victim.mend();
    await samples.note('a host was connected again');
    await balanced(fleet);
  });

  step('hands the tags of a host over that is stopped, which ends its lease', async () => {
    const leaving = random.pick(fleet);
    const tags = world.ledger.tagsOf(leaving.name);
    const at = await leaving.stop();
    await world.catchUp();
    expect(world.ledger.leaseOf(leaving.name)).toBeUndefined();
    await samples.note('a host was stopped');
    await takenOver(leaving, tags, at);
    fleet = others(leaving);
  });

  step('completes jobs that are discontinued, and stops', async () => {
    await world.goOn(ALL_TAGS);
    await samples.note('at the end');
    await Promise.all([writer.stop(), samples.stop()]);
    await samples.take();
    for (const job of JOBS) await world.operator.discontinue(job);
    for (const job of JOBS) await world.awaitState(job, 'Completed');
    await Promise.all(fleet.map((host) => host.stop()));
    await world.catchUp();
    expect(world.ledger.liveHosts).toEqual([]);
    expect(world.problems).toEqual([]);
    expect(writer.problems).toEqual([]);
  });

  step('let nobody record anything but the owner, under its lease, in order', async () => {
    expect(world.ledger.problems).toEqual([]);
    expect(falseReports(world.ledger, world.hosts)).toEqual([]);
    expect(world.ledger.saves.filter(({ kind }) => kind === 'saved').length).toBeGreaterThan(TAGS);
    await Promise.resolve();
  });

  step('discarded nothing that is not stored', async () => {
    const compacted = await compactedRevision(world.database);
    for (let tag = 0; tag < TAGS; tag++)
      expect(world.ledger.savedVersion(tag) ?? -1n, `tag ${tag}`).toBeGreaterThanOrEqual(compacted);
    // It did discard what is stored.
    expect(compacted).toBeGreaterThan(FIRST_REVISION);
  });

  step('left no gap in any tag, and no file that is not as it should be', async () => {
    // One as it lies in S3, the other from a copy of its files, which is quicker.
    containers.set('log', await copyContainer(containers.get('log') as BackupContainer));
    for (const container of containers.values()) {
      const { problems, gaps, complete, tags, windows } = await describeBackup(container);
      expect(problems).toEqual([]);
      // Beyond what was asked for each tag ends where its last file does.
      const end = BigInt(writer.lastRevision);
      expect(gaps.filter(({ kind, begin }) => kind !== 'end' || begin <= end)).toEqual([]);
      expect(tags.map(({ covered }) => covered.length)).toEqual(Array.from({ length: TAGS }, () => 1));
      expect(complete[0]?.begin).toBe(FIRST_REVISION);
      expect(windows.at(-1)?.max).toBeGreaterThanOrEqual(end);
      const verified = await verifyBackup(container, { deep: true });
      expect(verified.problems.filter(({ harmless }) => !harmless)).toEqual([]);
      expect(verified.unchecked).toEqual([]);
    }
  });

  step('restores exactly what etcd had, at moments of every disturbance', async () => {
    expect(samples.contradictions()).toEqual([]);
    const chosen = [...chooseSamples()];
    for (const [job, container] of containers) {
      const { minRestorable } = await describeBackup(container);
      const restorable = chosen.filter(({ revision }) => BigInt(revision) >= (minRestorable as bigint));
      expect(restorable.length).toBeGreaterThan(job === 'log' ? chosen.length - 1 : 1);
      const copy = job === 'log' ? container : await copyContainer(container);
      for (const sample of restorable) expect(await restoreAndCompare(copy, sample)).toBeUndefined();
      console.log(`job ${job}: restored ${restorable.length} of ${samples.all.length} samples`);
    }
    // Once out of the store itself.
    const last = samples.all.at(-1) as Sample;
    expect(await restoreAndCompare(containers.get('rows') as BackupContainer, last)).toBeUndefined();
    console.log(`${writer.writes} writes, ${world.ledger.saves.length} saves, ${world.ledger.claims.length} claims`);
  });

  /** The first of each disturbance, the last of all, and any. */
  function chooseSamples(): Set<Sample> {
    const moments = new Set(samples.all.map(({ moment }) => moment));
    const chosen = new Set(
      [...moments].map((moment) => samples.all.find((sample) => sample.moment === moment) as Sample),
    );
    chosen.add(samples.all.at(-1) as Sample);
    for (let more = 0; more < MORE_RESTORES; more++) chosen.add(random.pick(samples.all));
    return chosen;
  }
});
