// Workers, snapshots and care in processes that are killed at random moments, frozen, and started again, over the deterministic database.

import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Child } from './child.js';
import { checkJobs, checkJobsAtRest, type CheckedJob } from './checks.js';
import { litter, newestCommit, removeLitter } from './litter.js';
import type { Role } from './messages.js';
import { FIRST_VERSION, PART } from './truth.js';
import type { World } from './world.js';

/** Processes side by side. The workers share the log's tags; of the others each can do the work of all. */
const SLOTS: readonly { readonly role: Role; readonly share: number; readonly shares: number }[] = [
  { role: 'worker', share: 0, shares: 2 },
  { role: 'worker', share: 1, shares: 2 },
  { role: 'snapshots', share: 0, shares: 2 },
  { role: 'snapshots', share: 1, shares: 2 },
  { role: 'care', share: 0, shares: 1 },
];

const JOBS: readonly CheckedJob[] = [
  { uid: 'main', ranges: [] },
  { uid: 'snapshots', ranges: [] },
  { uid: 'part', ranges: [PART] },
];

/** Long enough to open the store, claim a tag and write; a few get further. */
const MOST_OPERATIONS = 500;
/** ms of a process's life, counted from its start or from when it is ready. */
const LONGEST_LIFE = 3_000;
/** ms: a process that was to kill itself, and has nothing to do, is killed. */
const LONGEST_WAIT = 5_000;
const LONGEST_FREEZE = 4_000;
const MOST_TAGS = 3;
const MOST_PROBLEMS = 10;

export async function runFleet(world: World, kills: number): Promise<void> {
  const { report, random } = world;
  await submitJobs(world);
  world.start();
  const slots = SLOTS.map((slot) => new Slot(world, slot));
  // A run that is as wrong as this shows no more by going on.
  const done = () => report.counted(KILLS) >= kills || report.problems.length >= MOST_PROBLEMS;
  let living = true;
  const checking = checkNowAndThen(world, () => living, kills);
  const recovering = recoverNowAndThen(world, () => living, kills);
  await Promise.all(slots.map((slot) => slot.torture(done)));
  living = false;
  await Promise.all([checking, recovering]);
  if (report.problems.length >= MOST_PROBLEMS)
    return Promise.all(slots.map((slot) => slot.stop())).then(() => undefined);
  report.say(`${report.counted(KILLS)} kills; from now on nobody is`);
  for (const slot of slots) await slot.start();
  if (random.chance(0.5)) world.recover(random.int(1, MOST_TAGS));
  await comeToRest(world, slots);
  await checkJobsAtRest(world, JOBS, 8);
  await checkLitter(world, slots);
}

export const KILLS = 'kills of the fleet';

async function submitJobs(world: World): Promise<void> {
  const { operator } = world;
  const common = { startVersion: FIRST_VERSION, firstVersion: FIRST_VERSION };
  // They are Running once there are workers: those who wait for it are told in `comeToRest`.
  const waiting = [
    operator.submit({ ...common, uid: 'main', url: world.containerUrl('main'), logOnly: true }),
    operator.submit({ ...common, uid: 'snapshots', url: world.containerUrl('snapshots'), snapshotInterval: 1_500 }),
    operator.submit({
      ...common,
      uid: 'part',
      url: world.containerUrl('part'),
      ranges: [PART],
      snapshotInterval: 4_000,
    }),
  ];
  for (const submitted of waiting)
    submitted.catch((error: unknown) => world.report.problem(`a job was not started: ${String(error)}`));
  await world.until('the jobs are submitted', async () => (await operator.list()).length === JOBS.length);
}

/** One process at a time, and those that a successor has overtaken while they were frozen. */
class Slot {
  readonly #world: World;
  readonly #slot: (typeof SLOTS)[number];
  #child: Child | undefined;
  #hadTwin = false;

  constructor(world: World, slot: (typeof SLOTS)[number]) {
    this.#world = world;
    this.#slot = slot;
  }

  /** One life after the other, each with its own end. */
  async torture(done: () => boolean): Promise<void> {
    const { random, report } = this.#world;
    while (!done()) {
      const dice = random.next();
      if (dice < 0.45) await this.#killItself();
      else if (dice < 0.85) await this.#kill();
      else await this.#freeze(done);
      if (this.#child?.isOver === true) report.count(`restarts: ${this.#slot.role}`);
    }
  }

  /**
   * The one that goes on when all is over. It is started anew if another has had its tags at the same time: if that one had learned of a recovery, claimed, and died, the one that it displaced does not
   * take the tag back before the next epoch (see `recruit`: whoever starts a second recruiter for a tag restarts it when it dies; BackupFleet does by itself).
   */
  async start(): Promise<void> {
    if (this.#hadTwin) await this.stop();
    if (this.#child?.isOver !== false) this.#child = this.#make();
  }

  async stop(): Promise<void> {
    await this.#child?.stop();
    this.#child = undefined;
  }

  #make(killAtOperation?: number): Child {
    this.#hadTwin = false;
    const { code, seed, logFolder, progressFolder, report } = this.#world;
    const settings = { ...this.#slot, seed, logFolder, progressFolder };
    return new Child({
      code,
      settings: killAtOperation === undefined ? settings : { ...settings, killAtOperation },
      report,
    });
  }

  async #killItself(): Promise<void> {
    const { random } = this.#world;
    const child = await this.#begin(Math.floor(MOST_OPERATIONS ** random.next()));
    await Promise.race([child.ended, sleep(LONGEST_WAIT)]);
    if (child.isOver) this.#countKill('in a disk operation');
    else await this.#killNow(child);
  }

  async #kill(): Promise<void> {
    const { random } = this.#world;
    const child = await this.#begin();
    // Some do not even come to life.
    if (random.chance(0.9)) await this.#untilReady(child);
    if (random.chance(0.5)) await Promise.race([this.#untilItActs(child), sleep(LONGEST_WAIT)]);
    await sleep(random.int(0, LONGEST_LIFE));
    await this.#killNow(child);
  }

  /** Sometimes another process takes its place meanwhile; then both live, and one of them finds itself displaced. */
  async #freeze(done: () => boolean): Promise<void> {
    const { random, report } = this.#world;
    const child = await this.#begin();
    await this.#untilReady(child);
    await sleep(random.int(0, LONGEST_LIFE / 2));
    if (child.isOver || done()) return;
    child.signal('SIGSTOP');
    report.count(`freezes: ${this.#slot.role}`);
    const isOvertaken = random.chance(0.5);
    if (isOvertaken) {
      this.#child = this.#make();
      this.#hadTwin = true;
    }
    await sleep(random.int(100, LONGEST_FREEZE));
    child.signal('SIGCONT');
    await sleep(random.int(0, 1_000));
    if (!isOvertaken) return;
    report.count(`overtaken while frozen: ${this.#slot.role}`);
    if (random.chance(0.5)) await child.stop();
    else await this.#killNow(child);
  }

  /** The one before goes on if it can. */
  async #begin(killAtOperation?: number): Promise<Child> {
    if (this.#child?.isOver === false && killAtOperation === undefined) return this.#child;
    if (this.#child?.isOver === false) await this.#killNow(this.#child);
    return (this.#child = this.#make(killAtOperation));
  }

  async #untilReady(child: Child): Promise<void> {
    const what = `${child.name} is ready`;
    await this.#world.until(what, () => child.isReady || child.isOver);
  }

  async #untilItActs(child: Child): Promise<void> {
    while (!child.isOver && !child.hasActed) await sleep(20);
  }

  async #killNow(child: Child): Promise<void> {
    if (child.isOver) return;
    await child.kill();
    this.#countKill('from outside');
  }

  #countKill(how: string): void {
    const { report } = this.#world;
    report.count(KILLS);
    report.count(`kills: ${this.#slot.role}, ${how}`);
    const count = report.counted(KILLS);
    if (count % 10 === 0) report.say(`${count} kills, committed ${this.#world.committed - FIRST_VERSION} versions`);
  }
}

async function checkNowAndThen(world: World, living: () => boolean, kills: number): Promise<void> {
  const step = Math.max(5, Math.round(kills / 8));
  for (let next = step; living();) {
    await sleep(100);
    if (world.report.counted(KILLS) < next) continue;
    next = world.report.counted(KILLS) + step;
    await checkJobs(world, JOBS, 4);
  }
}

async function recoverNowAndThen(world: World, living: () => boolean, kills: number): Promise<void> {
  const step = Math.max(4, Math.round(kills / 10));
  for (let next = step; living();) {
    await sleep(100);
    if (world.report.counted(KILLS) < next) continue;
    next += step;
    world.recover(world.random.int(1, MOST_TAGS));
  }
}

/** Liveness: with nobody in the way everything is stored, every job has its snapshot, and everybody ends in good order. */
async function comeToRest(world: World, slots: readonly Slot[]): Promise<void> {
  await sleep(1_000);
  world.stop();
  const { operator, report } = world;
  for (const { uid } of JOBS) {
    await world.until(`job ${uid} has stored all that is committed`, async () => {
      const { state, savedVersion } = await operator.status(uid);
      return state === 'Running' && savedVersion !== undefined && savedVersion >= world.committed;
    });
    const { snapshot } = await operator.status(uid);
    if (snapshot.interval !== undefined)
      await world.until(
        `job ${uid} has a snapshot`,
        async () => (await operator.status(uid)).snapshot.last !== undefined,
      );
  }
  for (const slot of slots) await slot.stop();
  report.high('commits of the progress store', newestCommit(world.progressFolder));
  report.say('everything is stored, and everybody has stopped');
}

/** What is left of unfinished files is that of killed processes: once it is cleaned away, processes that end in good order leave none. */
async function checkLitter(world: World, slots: readonly Slot[]): Promise<void> {
  const { report } = world;
  const containers = JOBS.map(({ uid }) => join(world.folder, uid));
  for (const { uid } of JOBS) {
    report.count('temporary files of killed processes', litter(join(world.folder, uid)).length);
    await world.container(uid).cleanTemporaryFiles({ olderThan: 0 });
  }
  for (const folder of containers)
    for (const name of litter(folder)) report.problem(`${name} in ${folder} was not cleaned away`);
  world.start();
  for (const slot of slots) await slot.start();
  await sleep(3_000);
  await comeToRest(world, slots);
  await checkJobsAtRest(world, JOBS, 3);
  for (const folder of containers)
    for (const name of litter(folder)) report.problem(`${name} in ${folder} was left by nobody who was killed`);
  await removeLitter(world.progressStore);
  const left = readdirSync(world.progressFolder).filter((name) => name !== 'genesis');
  if (left.length !== 1) report.problem(`the progress store holds more than its newest generation: ${left.join(', ')}`);
  for (const name of litter(world.progressFolder)) report.problem(`${name} was left in the progress store`);
}
