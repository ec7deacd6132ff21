// A disk that is full, read-only or closed to us, a process without file handles, a container that stands still: the backup waits, loses nothing, goes on when it can, and a job whose container never comes back fails alone.

import { chmodSync, chownSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describeBackup } from '../../src/restore/describe.js';
import { SimRandom } from '../../src/testing/simulation/random.js';
import { Child } from './child.js';
import { checkJobs, checkJobsAtRest, type CheckedJob } from './checks.js';
import { litter } from './litter.js';
import type { ChildSettings, Role } from './messages.js';
import { fillDisk, freeDisk, mountSmallDisk, remount, unmount } from './mount.js';
import type { Report } from './report.js';
import { FIRST_VERSION } from './truth.js';
import { World } from './world.js';

const NOBODY = 65_534;
const DISK_KIBIBYTES = 16 << 10;
const BAD: CheckedJob = { uid: 'bad', ranges: [] };
const GOOD: CheckedJob = { uid: 'good', ranges: [] };
/** A call that hangs keeps its file open, and leaves it unfinished: of each of the two tags a log file and its checksums, and what notes the time. */
const HANGING_FILES = 5;
/** Scenarios side by side. */
const SIDE_BY_SIDE = 3;

export interface DiskOptions {
  readonly code: string;
  readonly folder: string;
  readonly seed: number;
  readonly random: SimRandom;
  readonly report: Report;
  /** ms: how long a container stands still. */
  readonly hang: number;
}

interface Scenario {
  readonly name: string;
  /** What lies on a small disk of its own. */
  readonly disk?: 'bad' | 'progress';
  /** What happens between a backup that runs and one that has come to rest. */
  readonly play: (stage: Stage) => Promise<void>;
  /** The job whose disk is in trouble takes snapshots, too. */
  readonly snapshots?: boolean;
  readonly settings?: Partial<ChildSettings>;
  readonly uid?: number;
  readonly handleLimit?: number;
  /** The job whose container is in trouble fails. */
  readonly fails?: string;
}

export async function runDisk(options: DiskOptions): Promise<void> {
  const scenarios = scenariosOf(options);
  const next = scenarios.values();
  await Promise.all(
    Array.from({ length: SIDE_BY_SIDE }, async () => {
      for (const scenario of next) await runScenario(scenario, options);
    }),
  );
}

function scenariosOf({ hang }: DiskOptions): readonly Scenario[] {
  return [
    { name: 'a container that stands still and goes on', play: hangAndGoOn, settings: { jobStallTimeout: 4 * hang } },
    {
      name: 'a container that never comes back',
      play: hangForever,
      settings: { jobStallTimeout: 2_000 },
      fails: 'TIMEOUT',
    },
    { name: 'a full disk', disk: 'bad', snapshots: true, play: fillAndFree },
    {
      name: 'a disk that stays full',
      disk: 'bad',
      play: fillForGood,
      settings: { jobStallTimeout: 2_000 },
      fails: 'CONTAINER_UNAVAILABLE',
    },
    { name: 'a full disk under the progress store', disk: 'progress', play: fillStore },
    { name: 'a disk that becomes read-only', disk: 'bad', play: readOnly },
    { name: 'a folder that may not be entered', play: denied, ...(isRoot() ? { uid: NOBODY } : {}) },
    { name: 'a folder that may not be listed', play: unlisted, ...(isRoot() ? { uid: NOBODY } : {}) },
    { name: 'no file handles left', play: withoutHandles, handleLimit: 256 },
    { name: 'a disk that is full when a file gets its name', play: failRenames },
  ];
}

function isRoot(): boolean {
  return process.getuid?.() === 0;
}

async function runScenario(scenario: Scenario, options: DiskOptions): Promise<void> {
  const { report } = options;
  const folder = join(options.folder, scenario.name.replaceAll(' ', '-'));
  const disk = scenario.disk === undefined ? undefined : join(folder, scenario.disk);
  const refusal = disk === undefined ? undefined : mountSmallDisk(disk, DISK_KIBIBYTES);
  if (refusal !== undefined) {
    // On a machine of our own it is a pity; where everything must be shown it is a failure.
    if ((process.env['CI'] ?? '') === '') report.say(`left out: ${scenario.name}: ${refusal}`);
    else report.problem(`${scenario.name}: no disk can be mounted: ${refusal}`);
    return;
  }
  const stage = await Stage.open(scenario, options, folder);
  try {
    await stage.begin();
    await scenario.play(stage);
    await stage.comeToRest();
    report.count('disk scenarios');
    report.say(`${scenario.name}: over`);
  } catch (error) {
    report.problem(`${scenario.name}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  } finally {
    await stage.close();
    if (disk !== undefined) unmount(disk);
  }
}

class Stage {
  readonly scenario: Scenario;
  readonly options: DiskOptions;
  readonly world: World;
  readonly #children: Child[] = [];

  private constructor(scenario: Scenario, options: DiskOptions, world: World) {
    this.scenario = scenario;
    this.options = options;
    this.world = world;
  }

  static async open(scenario: Scenario, options: DiskOptions, folder: string): Promise<Stage> {
    const { code, seed, report } = options;
    const random = new SimRandom(options.random.next32());
    return new Stage(scenario, options, await World.make({ code, folder, seed, random, report }));
  }

  get badFolder(): string {
    return join(this.world.folder, BAD.uid);
  }

  /** The workers of all tags. */
  get worker(): Child {
    return this.#children[0] as Child;
  }

  /** Two jobs, and a backup that runs. */
  async begin(): Promise<void> {
    const { world, scenario } = this;
    const common = { startVersion: FIRST_VERSION, firstVersion: FIRST_VERSION };
    const kind = scenario.snapshots === true ? { snapshotInterval: 500 } : { logOnly: true };
    const waiting = [
      world.operator.submit({ ...common, uid: 'good', url: world.containerUrl('good'), logOnly: true }),
      world.operator.submit({ ...common, uid: 'bad', url: world.containerUrl('bad'), ...kind }),
    ];
    for (const submitted of waiting)
      submitted.catch((error: unknown) => world.report.problem(`${scenario.name}: ${String(error)}`));
    await world.until('the jobs are submitted', async () => (await world.operator.list()).length === 2);
    // From now on the test itself only reads: what it wrote would be root's.
    if (scenario.uid !== undefined) giveAway(world.folder, scenario.uid);
    this.startChild('worker', scenario.settings);
    if (scenario.snapshots === true) this.startChild('snapshots');
    world.start();
    await this.until('both jobs store something', async () => {
      const jobs = await world.operator.list();
      return jobs.every(({ savedVersion }) => (savedVersion ?? -1n) > FIRST_VERSION);
    });
  }

  startChild(role: Role, settings: Partial<ChildSettings> = {}): Child {
    const { code, seed, logFolder, progressFolder, report } = this.world;
    const { uid, handleLimit } = this.scenario;
    const child = new Child({
      code,
      settings: { role, share: 0, shares: 1, seed, logFolder, progressFolder, ...settings },
      report,
      uid,
      handleLimit: role === 'worker' ? handleLimit : undefined,
    });
    this.#children.push(child);
    return child;
  }

  async until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
    await this.world.until(`${this.scenario.name}: ${what}`, condition);
  }

  /** The workers have met this trouble, and again. */
  async troubled(text: string): Promise<void> {
    const before = this.worker.count('retry', text);
    await this.until(`retries because of ${text}`, () => this.worker.count('retry', text) >= before + 2);
  }

  /** While the trouble lasts nothing that is there is wrong. */
  async check(): Promise<void> {
    await checkJobs(this.world, [GOOD, BAD], 3);
  }

  /** Everything is stored, of a job that has failed as far as it had come; everybody ends in good order, and leaves nothing. */
  async comeToRest(): Promise<void> {
    const { world, scenario } = this;
    await sleep(500);
    world.stop();
    const whole = scenario.fails === undefined ? [GOOD, BAD] : [GOOD];
    for (const { uid } of whole) {
      await this.until(`job ${uid} has stored all that is committed`, async () => {
        const { state, savedVersion, snapshot } = await world.operator.status(uid);
        const hasSnapshot = snapshot.interval === undefined || snapshot.last !== undefined;
        return hasSnapshot && state === 'Running' && (savedVersion ?? -1n) >= world.committed;
      });
    }
    const isHanging = scenario.fails === 'TIMEOUT';
    const allowed = isHanging ? HANGING_FILES : 0;
    for (const child of this.#children) await child.stop(allowed);
    await checkJobsAtRest(world, whole, 4);
    if (scenario.fails !== undefined) await this.#checkFailed(scenario.fails);
    for (const { uid } of [GOOD, BAD]) {
      const left = litter(join(world.folder, uid));
      if (left.length > allowed)
        world.report.problem(`${scenario.name}: nobody was killed, and left ${left.join(', ')}`);
    }
  }

  /** Up to its last good version it is whole. */
  async #checkFailed(code: string): Promise<void> {
    const { world, scenario } = this;
    const { state, failure } = await world.operator.status(BAD.uid);
    if (state !== 'Failed' || failure?.code !== code)
      world.report.problem(`${scenario.name}: the job is ${state}, ${failure?.code}: ${failure?.message}`);
    await checkJobs(world, [BAD], 4);
    const { maxRestorable } = await describeBackup(world.container(BAD.uid));
    if (failure === undefined || maxRestorable === undefined || maxRestorable < failure.lastGoodVersion)
      world.report.problem(
        `${scenario.name}: restorable up to ${maxRestorable}, good up to ${failure?.lastGoodVersion}`,
      );
  }

  async close(): Promise<void> {
    for (const child of this.#children) if (!child.isOver) await child.kill();
    await this.world.close();
  }
}

function giveAway(folder: string, uid: number): void {
  chownSync(folder, uid, uid);
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' }))
    chownSync(join(folder, name), uid, uid);
}

async function hangAndGoOn(stage: Stage): Promise<void> {
  stage.worker.send({ command: 'hold', url: stage.world.containerUrl(BAD.uid) });
  await sleep(stage.options.hang);
  await stage.check();
  stage.worker.send({ command: 'release' });
}

async function hangForever(stage: Stage): Promise<void> {
  stage.worker.send({ command: 'hold', url: stage.world.containerUrl(BAD.uid) });
  await stage.until('the job fails', () => stage.worker.count('jobFailed', BAD.uid) > 0);
}

async function fillAndFree(stage: Stage): Promise<void> {
  fillDisk(stage.badFolder);
  await stage.troubled('the disk is full');
  await stage.check();
  freeDisk(stage.badFolder);
}

async function fillForGood(stage: Stage): Promise<void> {
  fillDisk(stage.badFolder);
  await stage.until('the job fails', () => stage.worker.count('jobFailed', BAD.uid) > 0);
}

async function fillStore(stage: Stage): Promise<void> {
  fillDisk(stage.world.progressFolder);
  await stage.troubled('ENOSPC');
  await stage.check();
  freeDisk(stage.world.progressFolder);
}

async function readOnly(stage: Stage): Promise<void> {
  await remount(stage.badFolder, 'ro');
  await stage.troubled('EROFS');
  await stage.check();
  await remount(stage.badFolder, 'rw');
}

async function denied(stage: Stage): Promise<void> {
  chmodSync(stage.badFolder, 0);
  await stage.troubled('EACCES');
  chmodSync(stage.badFolder, 0o755);
}

/** Files can be written there, and nobody can see which there are: what needs to know says so, and deletes nothing. */
async function unlisted(stage: Stage): Promise<void> {
  const folder = join(stage.badFolder, 'plogs');
  chmodSync(folder, 0o300);
  const care = stage.startChild('care');
  await stage.until('the care cannot list', () => care.count('care failed', 'EACCES') >= 2);
  chmodSync(folder, 0o755);
}

async function withoutHandles(stage: Stage): Promise<void> {
  stage.worker.send({ command: 'eat' });
  await stage.troubled('EMFILE');
  await stage.check();
  stage.worker.send({ command: 'spare' });
}

async function failRenames(stage: Stage): Promise<void> {
  stage.worker.send({ command: 'failRename', count: 25 });
  await stage.troubled('the disk is full');
  await stage.check();
}
