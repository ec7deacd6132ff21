// Everything that runs while the demo plays, and how all of it is stopped again, whatever happens: the host with its log server, the workload, the workers' processes, the operator.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath, pathToFileURL } from 'node:url';
import {
  announceEpoch,
  BackupOperator,
  DirectoryContainer,
  FileProgressStore,
  runSnapshots,
  type SnapshotEvent,
} from 'tidemark';
import type { DemoOptions } from './demo-options.js';
import { number, openDisplay, type Bar, type Display } from './display.js';
import { LevelDatabase } from './level-database.js';
import { LogServer } from './log-server.js';
import { SeededRandom } from './random.js';
import { LevelRangeSource } from './range-source.js';
import { WorkerFleet, type ProcessEnd } from './worker-fleet.js';
import { Workload } from './workload.js';

/** Transactions per second: a demo of 40,000 is busy for 20 seconds. */
const RATE = 2_000;
const LOOK_INTERVAL = 50;
const PATIENCE = 30_000;
const DRAW_INTERVAL = 200;
/** Small ones, so that a demo has several. */
const REGION_BYTES = 1 << 20;

export class Stage {
  readonly options: DemoOptions;
  readonly folder: string;
  readonly database: LevelDatabase;
  readonly operator: BackupOperator;
  readonly fleet: WorkerFleet;
  readonly workload: Workload;
  readonly display: Display;
  readonly restoreBar: Bar;
  /** Aborts on Ctrl-C, and when a worker ends that should not. */
  readonly signal: AbortSignal;
  readonly #abort: AbortController;
  readonly #server: LogServer;
  readonly #drawing: NodeJS.Timeout;
  readonly #rangeSource: LevelRangeSource;
  readonly #stopSnapshots = new AbortController();
  #snapshots: Promise<void> = Promise.resolve();
  #snapshotsTaken = 0;

  private constructor(
    options: DemoOptions,
    folder: string,
    database: LevelDatabase,
    server: LogServer,
    abort: AbortController,
  ) {
    this.options = options;
    this.folder = folder;
    this.database = database;
    this.#server = server;
    this.#abort = abort;
    this.signal = abort.signal;
    this.#rangeSource = new LevelRangeSource(database, { regionBytes: REGION_BYTES });
    this.operator = new BackupOperator(new FileProgressStore({ directory: this.#progressFolder }), {
      pollInterval: 200,
    });
    const { epoch, totalTags } = database;
    const settings = { socket: socketIn(folder), progressFolder: this.#progressFolder, epoch, totalTags };
    this.fleet = new WorkerFleet(settings, (error) => abort.abort(error));
    this.workload = new Workload(database, { seed: options.seed, rate: RATE });
    this.display = openDisplay();
    this.#drawing = this.#drawBars();
    this.restoreBar = this.display.bar('restore');
  }

  static async open(options: DemoOptions, abort: AbortController): Promise<Stage> {
    const folder = await mkdtemp(join(tmpdir(), 'tidemark-demo-'));
    const database = await LevelDatabase.open(join(folder, 'database'), { random: new SeededRandom(options.seed + 1) });
    const server = await LogServer.listen(database, socketIn(folder));
    const stage = new Stage(options, folder, database, server, abort);
    const { epoch, totalTags } = database;
    try {
      await announceEpoch(new FileProgressStore({ directory: stage.#progressFolder }), { epoch, begin: 1n, totalTags });
      return stage;
    } catch (error) {
      await stage.close();
      throw error;
    }
  }

  get #progressFolder(): string {
    return join(this.folder, 'progress');
  }

  /** Where the first job's container is; with --out it is kept. */
  get mainContainer(): string {
    return join(this.mainRows ?? this.folder, 'container');
  }

  get secondContainer(): string {
    return join(this.folder, 'second-container');
  }

  /** Where the container of the job with snapshots is; with --out it is kept. */
  get snapshotContainer(): string {
    return join(this.snapshotRows ?? join(this.folder, 'snapshots'), 'container');
  }

  /** Where the rows are kept to which the main job's backup must restore. */
  get mainRows(): string | undefined {
    return this.options.out && resolve(this.options.out);
  }

  /** The same for the job with snapshots. */
  get snapshotRows(): string | undefined {
    return this.mainRows && join(this.mainRows, 'snapshots');
  }

  /** Pictures outlive the demo, so that they can be looked at. */
  get picture(): string {
    return this.mainRows === undefined ? join(tmpdir(), 'tidemark-demo.svg') : join(this.mainRows, 'backup.svg');
  }

  get snapshotPicture(): string {
    return this.picture.replace(/\.svg$/, '-snapshots.svg');
  }

  get expiredPicture(): string {
    return this.picture.replace(/\.svg$/, '-expired.svg');
  }

  startWorkers(): void {
    for (let tagId = 0; tagId < this.database.totalTags; tagId++) this.fleet.start(tagId);
  }

  /** Takes snapshots for the jobs that want them, in this process: only here can the LevelDB be read. Goes on until `stopSnapshots`. */
  startSnapshots(): void {
    this.#snapshots = runSnapshots({
      progressStore: new FileProgressStore({ directory: this.#progressFolder }),
      rangeSource: this.#rangeSource,
      openContainer: (url) => new DirectoryContainer(fileURLToPath(url)),
      signal: this.#stopSnapshots.signal,
      pollInterval: 200,
      snapshot: { blockSize: 64 << 10, maxFileSize: 1 << 20 },
      onEvent: (event) => this.#tellSnapshot(event),
    }).catch((error: unknown) => {
      if (!this.#stopSnapshots.signal.aborted) this.#abort.abort(error);
    });
  }

  async stopSnapshots(): Promise<void> {
    this.#stopSnapshots.abort(new Error('the demo stops'));
    await this.#snapshots;
  }

  get snapshotsTaken(): number {
    return this.#snapshotsTaken;
  }

  /** How each of them ended, the killed ones too. */
  async stopWorkers(): Promise<readonly ProcessEnd[]> {
    clearInterval(this.#drawing);
    return this.fleet.stop();
  }

  /** Looks again and again; gives up with an error that says what never came. */
  async until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
    const deadline = performance.now() + PATIENCE;
    while (!(await condition())) {
      if (performance.now() > deadline) throw new Error(`Waited ${PATIENCE / 1000} s in vain: ${what}`);
      await this.pause(LOOK_INTERVAL);
    }
  }

  /** The promise's value, unless it takes too long. */
  async within<T>(what: string, promise: Promise<T>): Promise<T> {
    let done = false;
    const mark = promise.finally(() => (done = true));
    await this.until(what, () => done);
    return mark;
  }

  async pause(ms: number): Promise<void> {
    this.signal.throwIfAborted();
    await sleep(ms, undefined, { signal: this.signal });
  }

  /** Ends every process, timer and socket and removes the temp folder. */
  async close(): Promise<void> {
    this.display.stop();
    await this.stopWorkers();
    await this.stopSnapshots();
    await this.#rangeSource.close();
    await this.#server.close();
    await this.database.close();
    await rm(this.folder, { recursive: true, force: true });
  }

  #tellSnapshot(event: SnapshotEvent): void {
    if (event.kind === 'finished') {
      const { beginVersion, files, rows } = event.snapshot;
      this.#snapshotsTaken++;
      this.display.say(
        `    snapshot ${this.#snapshotsTaken}, at version ${number(beginVersion)}: ${number(rows)} rows in ${files.length} files`,
      );
    } else if (event.kind === 'failed') {
      this.#abort.abort(event.error);
    }
  }

  #drawBars(): NodeJS.Timeout {
    const workload = this.display.bar('workload');
    const tags = Array.from({ length: this.database.totalTags }, (_, tagId) => this.display.bar(`tag ${tagId}`));
    return setInterval(() => {
      const { transactions } = this.options;
      workload.update(this.workload.committed, transactions, `${number(this.workload.committed)} transactions`);
      const durable = this.database.durableVersion;
      for (const { tagId, progress, savedVersion } of this.fleet.workers) {
        const note = `${number(durable - savedVersion)} versions behind${progress?.paused === true ? ', paused' : ''}`;
        tags[tagId]?.update(Number(savedVersion), Number(durable), note);
      }
    }, DRAW_INTERVAL);
  }
}

export function urlOf(folder: string): string {
  return pathToFileURL(folder).href;
}

function socketIn(folder: string): string {
  return join(folder, 'log.sock');
}
