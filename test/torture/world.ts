// A folder with everything that a run has on disk, and the database's clockwork: versions that come, a tail that is rolled back, new epochs.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { DirectoryContainer } from '../../src/container/directory-container.js';
import { BackupOperator } from '../../src/job/operator.js';
import { announceEpoch } from '../../src/job/recruiter-transactions.js';
import type { LogEpochInfo } from '../../src/ports/log-source.js';
import type { Version } from '../../src/core/version.js';
import { maxVersion } from '../../src/core/version.js';
import { FileProgressStore } from '../../src/progress/file-progress-store.js';
import type { SimRandom } from '../../src/testing/simulation/random.js';
import { writeLogState } from './log-state.js';
import type { Report } from './report.js';
import { FIRST_VERSION } from './truth.js';

/** ms between steps of the database, and versions in each: some 250 a second. */
const STEP = 20;
const MOST_VERSIONS = 10;
const LONGEST_TAIL = 40n;
/** ms: far longer than anything takes, on a busy machine too. */
const PATIENCE = 180_000;

export interface WorldOptions {
  /** Where the compiled code of the child processes is. */
  readonly code: string;
  readonly folder: string;
  readonly seed: number;
  readonly random: SimRandom;
  readonly report: Report;
  /** Default: in the folder. */
  readonly progressFolder?: string;
}

export class World {
  readonly code: string;
  readonly folder: string;
  readonly seed: number;
  readonly random: SimRandom;
  readonly report: Report;
  readonly logFolder: string;
  readonly progressFolder: string;
  readonly progressStore: FileProgressStore;
  readonly operator: BackupOperator;
  #known: Version = FIRST_VERSION - 1n;
  #committed: Version = FIRST_VERSION - 1n;
  #epochs: readonly LogEpochInfo[] = [{ epoch: 1, begin: FIRST_VERSION, end: undefined, totalTags: 2 }];
  #clockwork: NodeJS.Timeout | undefined;

  private constructor(options: WorldOptions) {
    this.code = options.code;
    this.folder = options.folder;
    this.seed = options.seed;
    this.random = options.random;
    this.report = options.report;
    this.logFolder = join(options.folder, 'log');
    this.progressFolder = options.progressFolder ?? join(options.folder, 'progress');
    this.progressStore = new FileProgressStore({ directory: this.progressFolder, generationCommits: 48 });
    this.operator = new BackupOperator(this.progressStore, { pollInterval: 100 });
  }

  static async make(options: WorldOptions): Promise<World> {
    const world = new World(options);
    mkdirSync(world.logFolder, { recursive: true });
    world.#publish();
    await announceEpoch(world.progressStore, world.epochs[0] as LogEpochInfo);
    return world;
  }

  get epochs(): readonly LogEpochInfo[] {
    return this.#epochs;
  }

  /** Inclusive. */
  get committed(): Version {
    return this.#committed;
  }

  containerUrl(name: string): string {
    return pathToFileURL(join(this.folder, name)).href;
  }

  container(name: string): DirectoryContainer {
    return new DirectoryContainer(join(this.folder, name));
  }

  /** The database is busy from now on. */
  start(): void {
    this.#clockwork ??= setInterval(() => {
      this.#known += BigInt(this.random.int(0, MOST_VERSIONS));
      this.#committed = maxVersion(this.#committed, this.#known - BigInt(this.random.int(0, Number(LONGEST_TAIL))));
      this.#publish();
    }, STEP);
  }

  /** Nothing is written any more, and everything that was is committed. */
  stop(): void {
    clearInterval(this.#clockwork);
    this.#clockwork = undefined;
    this.#committed = this.#known;
    this.#publish();
  }

  /** The log changes hands: some of the tail is lost, and the new epoch may have other tags. */
  recover(totalTags: number): void {
    const end = this.#committed + 1n + BigInt(this.random.int(0, Number(this.#known - this.#committed)));
    const old = this.#epochs.at(-1) as LogEpochInfo;
    if (end <= old.begin) return; // nothing was committed in it yet
    this.report.count('recoveries');
    this.report.count('versions rolled back', Number(this.#known - (end - 1n)));
    this.#epochs = [
      ...this.#epochs.slice(0, -1),
      { ...old, end },
      { epoch: old.epoch + 1, begin: end, end: undefined, totalTags },
    ];
    this.#known = end - 1n;
    this.#committed = end - 1n;
    this.#publish();
  }

  /** Looks again and again. False, and a problem: it never came. */
  async until(what: string, condition: () => boolean | Promise<boolean>): Promise<boolean> {
    const deadline = performance.now() + PATIENCE;
    while (!(await condition())) {
      if (performance.now() > deadline) {
        this.report.problem(`waited ${PATIENCE / 1000} s in vain: ${what}`);
        return false;
      }
      await sleep(50);
    }
    return true;
  }

  async close(): Promise<void> {
    clearInterval(this.#clockwork);
    await this.progressStore.close();
  }

  #publish(): void {
    writeLogState(this.logFolder, { known: this.#known, committed: this.#committed, epochs: this.#epochs });
  }
}
