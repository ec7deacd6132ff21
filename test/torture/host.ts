// The example host and its workers, killed at random moments while a client writes. What was acknowledged must be in every restored version at or above its own, whole; what was not may be there, whole, or not at all.

import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { DirectoryContainer } from '../../src/container/directory-container.js';
import { BackupError } from '../../src/core/errors.js';
import { toHex } from '../../src/core/bytes.js';
import type { Version } from '../../src/core/version.js';
import { BackupOperator } from '../../src/job/operator.js';
import { announceEpoch } from '../../src/job/recruiter-transactions.js';
import { FileProgressStore } from '../../src/progress/file-progress-store.js';
import { describeBackup } from '../../src/restore/describe.js';
import { restore } from '../../src/restore/restore.js';
import { MemoryRestoreTarget } from '../../src/testing/memory-restore-target.js';
import type { SimRandom } from '../../src/testing/simulation/random.js';
import { checkReport, differenceOf } from './checks.js';
import type { HostCommand, HostMessage, HostSettings } from './host-messages.js';
import { HostModel, lastTransaction } from './host-model.js';
import type { Report } from './report.js';

const TOTAL_TAGS = 2;
const JOBS = ['main', 'snapshots'] as const;
/** Transactions that wait for their acknowledgement at a time. */
const IN_FLIGHT = 32;
/** ms between looks whether more can be sent, and how many are. */
const SEND_INTERVAL = 20;
const SENT_AT_A_TIME = 5;
const LONGEST_LIFE = 2_500;
const LONGEST_FREEZE = 3_000;
const PATIENCE = 180_000;

export const HOST_KILLS = 'kills of the example host and its workers';

export interface HostRunOptions {
  readonly code: string;
  readonly folder: string;
  readonly seed: number;
  readonly random: SimRandom;
  readonly report: Report;
}

export async function runHost(options: HostRunOptions, kills: number): Promise<void> {
  mkdirSync(options.folder, { recursive: true });
  const run = new HostRun(options);
  try {
    await run.begin();
    await run.torture(kills);
    await run.comeToRest();
  } finally {
    await run.close();
  }
}

class HostRun {
  readonly #options: HostRunOptions;
  readonly #store: FileProgressStore;
  readonly #operator: BackupOperator;
  readonly #client: Client;
  readonly #workers: (Process | undefined)[] = [];
  #host: Process | undefined;

  constructor(options: HostRunOptions) {
    this.#options = options;
    this.#store = new FileProgressStore({ directory: this.#progressFolder, generationCommits: 48 });
    this.#operator = new BackupOperator(this.#store, { pollInterval: 100 });
    this.#client = new Client(options);
  }

  get #progressFolder(): string {
    return join(this.#options.folder, 'progress');
  }

  #container(uid: string): DirectoryContainer {
    return new DirectoryContainer(join(this.#options.folder, uid));
  }

  async begin(): Promise<void> {
    const { folder, report } = this.#options;
    await announceEpoch(this.#store, { epoch: 1, begin: 1n, totalTags: TOTAL_TAGS });
    const url = (uid: string) => pathToFileURL(join(folder, uid)).href;
    const waiting = [
      this.#operator.submit({ uid: 'main', url: url('main'), startVersion: 1n, logOnly: true }),
      this.#operator.submit({ uid: 'snapshots', url: url('snapshots'), startVersion: 0n, snapshotInterval: 2_000 }),
    ];
    for (const submitted of waiting)
      submitted.catch((error: unknown) => report.problem(`a job was not started: ${String(error)}`));
    await this.#until('the jobs are submitted', async () => (await this.#operator.list()).length === JOBS.length);
    this.#startHost();
    for (let tag = 0; tag < TOTAL_TAGS; tag++) this.#startWorker(tag);
  }

  async torture(kills: number): Promise<void> {
    const { random, report } = this.#options;
    const step = Math.max(5, Math.round(kills / 4));
    let checkAt = step;
    while (report.counted(HOST_KILLS) < kills && report.problems.length < 10) {
      // Some hosts do not even come to have their database open.
      if (random.chance(0.9)) await this.#until('the host is open', () => this.#client.hasHost);
      await sleep(random.int(0, LONGEST_LIFE));
      const dice = random.next();
      if (dice < 0.5) await this.#killHost();
      else if (dice < 0.8) await this.#killWorker(random.int(0, TOTAL_TAGS - 1));
      else if (dice < 0.9) await this.#freezeHost();
      else await this.#freezeWorker(random.int(0, TOTAL_TAGS - 1));
      if (report.counted(HOST_KILLS) < checkAt) continue;
      checkAt += step;
      report.say(
        `${report.counted(HOST_KILLS)} kills of the host and its workers, ${this.#client.acknowledged} commits`,
      );
      await this.#check(3, false);
    }
  }

  /** Liveness: everything that was acknowledged is stored, the jobs complete, and everybody ends in good order. */
  async comeToRest(): Promise<void> {
    const { report } = this.#options;
    if (this.#host?.isOver !== false) this.#startHost();
    await sleep(1_000);
    await this.#until('the host has acknowledged all', () => this.#client.pause());
    const lastVersion = this.#client.lastVersion;
    await this.#until('the log is stored as far as the last commit', async () => {
      const jobs = await this.#operator.list();
      return jobs.every(({ state, savedVersion }) => state === 'Running' && (savedVersion ?? -1n) >= lastVersion);
    });
    await this.#until('there is a snapshot', async () => {
      return (await this.#operator.status('snapshots')).snapshot.last !== undefined;
    });
    for (const uid of JOBS) await this.#operator.discontinue(uid);
    for (const uid of JOBS)
      await this.#until(`job ${uid} completes`, async () => (await this.#operator.status(uid)).state === 'Completed');
    for (const worker of this.#workers) await worker?.stop('stopped');
    await this.#host?.stop('stopped');
    await this.#check(6, true);
    for (const uid of JOBS) {
      const { maxRestorable } = await describeBackup(this.#container(uid));
      if (maxRestorable === undefined || maxRestorable < lastVersion)
        report.problem(`job ${uid} is restorable up to ${maxRestorable}, ${lastVersion} was acknowledged`);
    }
    report.count('transactions acknowledged', this.#client.acknowledged);
  }

  async close(): Promise<void> {
    this.#client.close();
    for (const process of [...this.#workers, this.#host]) await process?.kill();
    await this.#store.close();
  }

  #startHost(): void {
    const { code, folder, seed, random, report } = this.#options;
    const settings: HostSettings = {
      seed,
      databaseFolder: join(folder, 'database'),
      progressFolder: this.#progressFolder,
      socket: join(folder, 'log.sock'),
      totalTags: TOTAL_TAGS,
      ...(random.chance(0.3) ? { killAtOperation: Math.floor(300 ** random.next()) } : {}),
    };
    const script = join(code, 'test/torture/host-process.js');
    const host = new Process('the host', script, settings, report, settings.killAtOperation !== undefined);
    this.#host = host;
    report.count('processes started: host');
    host.on((message) => this.#client.hear(host, message as HostMessage));
    void host.ended.then(async () => {
      if (!host.wasKilled) return;
      report.count(HOST_KILLS);
      report.count('kills: example host');
      // It may have killed itself, at any moment.
      if (this.#host === host && !this.#client.isClosed) this.#startHost();
    });
  }

  #startWorker(tagId: number): void {
    const { code, folder, report } = this.#options;
    const script = join(code, 'examples/level-host/worker-process.js');
    const socket = join(folder, 'log.sock');
    const settings = { socket, progressFolder: this.#progressFolder, epoch: 1, tagId, totalTags: TOTAL_TAGS };
    this.#workers[tagId] = new Process(`the worker of tag ${tagId}`, script, settings, report);
    report.count('processes started: worker of the host');
  }

  /** Another one is started as soon as it has ended. */
  async #killHost(): Promise<void> {
    await this.#host?.kill();
  }

  async #killWorker(tag: number): Promise<void> {
    await this.#workers[tag]?.kill();
    this.#options.report.count(HOST_KILLS);
    this.#options.report.count('kills: worker of the host');
    this.#startWorker(tag);
  }

  async #freezeHost(): Promise<void> {
    const { random, report } = this.#options;
    const host = this.#host;
    host?.signal('SIGSTOP');
    report.count('freezes: example host');
    await sleep(random.int(100, LONGEST_FREEZE));
    host?.signal('SIGCONT');
  }

  async #freezeWorker(tag: number): Promise<void> {
    const { random, report } = this.#options;
    const frozen = this.#workers[tag];
    frozen?.signal('SIGSTOP');
    report.count('freezes: worker of the host');
    await sleep(random.int(100, LONGEST_FREEZE));
    const isOvertaken = random.chance(0.5);
    if (isOvertaken) {
      this.#startWorker(tag);
      await sleep(random.int(500, LONGEST_FREEZE));
    }
    frozen?.signal('SIGCONT');
    if (isOvertaken) await frozen?.stop('stopped', 'displaced');
  }

  /** Restores some versions of each job and compares them with what was acknowledged. */
  async #check(versionsPerJob: number, atRest: boolean): Promise<void> {
    const { random, report } = this.#options;
    for (const uid of JOBS) {
      const container = this.#container(uid);
      if (!(await container.exists())) continue;
      const { windows, problems } = await describeBackup(container);
      for (const { message } of problems) report.problem(`job ${uid} of the host: ${message}`);
      const [first, last] = [windows[0], windows.at(-1)];
      if (first === undefined || last === undefined) continue;
      const versions = [first.min, last.max];
      while (versions.length < versionsPerJob) {
        const { min, max } = random.pick(windows);
        versions.push(min + BigInt(random.int(0, Number(max - min))));
      }
      for (const version of versions) await this.#checkVersion(uid, version);
      await checkReport(this.#options, { uid }, container, atRest);
    }
  }

  async #checkVersion(uid: string, version: Version): Promise<void> {
    const { report } = this.#options;
    const target = new MemoryRestoreTarget();
    try {
      const { bytesRead, snapshot } = await restore({ container: this.#container(uid), target, version });
      report.count(
        `versions restored and compared: host, job ${uid}${snapshot === undefined ? '' : ', from a snapshot'}`,
      );
      report.count('bytes restored from', bytesRead);
    } catch (error) {
      const code = BackupError.is(error) ? error.code : 'no code';
      report.problem(`job ${uid} of the host at ${version} cannot be restored: ${code} ${String(error)}`);
      return;
    }
    const rows = new Map([...target.rows()].map(({ key, value }) => [toHex(key), value]));
    const problem = this.#client.problemOf(rows, version);
    if (problem !== undefined) report.problem(`job ${uid} of the host at ${version}: ${problem}`);
  }

  async #until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
    const deadline = performance.now() + PATIENCE;
    while (!(await condition())) {
      if (performance.now() > deadline) throw new Error(`waited ${PATIENCE / 1000} s in vain: ${what}`);
      await sleep(50);
    }
  }
}

/** The database's client: knows what it has sent, and what was acknowledged at which version. It outlives every host. */
class Client {
  readonly #report: Report;
  readonly #atRestart: HostModel;
  readonly #restored: HostModel;
  /** Both ascending: a host commits in the order in which it is asked. */
  readonly #acknowledged: { readonly number: number; readonly version: Version }[] = [];
  readonly #sending: NodeJS.Timeout;
  #host: Process | undefined;
  /** The last transaction that may be in the database. */
  #sent = 0;
  /** Of those, the last one of which the outcome is known. */
  #settled = 0;
  #isPaused = false;
  isClosed = false;

  constructor({ seed, report }: HostRunOptions) {
    this.#report = report;
    this.#atRestart = new HostModel(seed);
    this.#restored = new HostModel(seed);
    this.#sending = setInterval(() => this.#send(), SEND_INTERVAL);
  }

  get acknowledged(): number {
    return this.#acknowledged.length;
  }

  get hasHost(): boolean {
    return this.#host?.isOver === false;
  }

  get lastVersion(): Version {
    return this.#acknowledged.at(-1)?.version ?? 0n;
  }

  hear(host: Process, message: HostMessage): void {
    if (message.kind === 'open') this.#begin(host, message.last, message.digest);
    else if (message.kind === 'committed') this.#acknowledge(message.number, BigInt(message.version));
    else if (message.kind === 'snapshot') this.#report.count('snapshots of the example host');
    else if (message.kind === 'problem') this.#report.problem(`the host: ${message.message}`);
  }

  /** Sends nothing more; true once the outcome of everything sent is known. */
  pause(): boolean {
    this.#isPaused = true;
    return this.hasHost && this.#settled === this.#sent;
  }

  close(): void {
    this.isClosed = true;
    clearInterval(this.#sending);
  }

  /** What is wrong with rows that were restored to `version`; undefined: nothing. */
  problemOf(rows: Map<string, Uint8Array>, version: Version): string | undefined {
    const number = lastTransaction(rows);
    const next = this.#acknowledged.findIndex((commit) => commit.version > version);
    const above = next === -1 ? undefined : this.#acknowledged[next];
    const below = next === -1 ? this.#acknowledged.at(-1) : this.#acknowledged[next - 1];
    if (below !== undefined && number < below.number)
      return `transaction ${below.number} was acknowledged at ${below.version}, and the last one in it is ${number}`;
    if (above !== undefined && number >= above.number)
      return `transaction ${above.number} was committed at ${above.version}, and the last one in it is ${number}`;
    if (number > this.#sent) return `the last transaction in it is ${number}, and ${this.#sent} was the last one sent`;
    return differenceOf(rows, this.#restored.rowsAfter(number));
  }

  /** The host has its database open: what was acknowledged is in it, and of the rest a beginning, whole. */
  #begin(host: Process, last: number, digest: string): void {
    const acknowledged = this.#acknowledged.at(-1)?.number ?? 0;
    if (last < acknowledged || last > this.#sent)
      this.#report.problem(
        `the host opened with transaction ${last}; acknowledged ${acknowledged}, sent ${this.#sent}`,
      );
    if (digest !== this.#atRestart.digestAfter(last))
      this.#report.problem(`the host opened with rows that are not those after transaction ${last}`);
    this.#report.count('databases compared when the host opened them');
    this.#sent = last;
    this.#settled = last;
    this.#host = host;
  }

  #acknowledge(number: number, version: Version): void {
    const last = this.#acknowledged.at(-1);
    if (last !== undefined && (number <= last.number || version <= last.version))
      this.#report.problem(
        `transaction ${number} at ${version} was acknowledged after ${last.number} at ${last.version}`,
      );
    this.#acknowledged.push({ number, version });
    this.#settled = number;
  }

  #send(): void {
    const host = this.#host;
    if (host === undefined || host.isOver || this.#isPaused) return;
    for (let i = 0; i < SENT_AT_A_TIME && this.#sent - this.#settled < IN_FLIGHT; i++) {
      host.send({ command: 'commit', number: ++this.#sent });
    }
  }
}

/** A process of this part, from outside. */
class Process {
  readonly name: string;
  readonly ended: Promise<void>;
  readonly #process: ChildProcess;
  readonly #report: Report;
  #errors = '';
  #mayDie: boolean;
  #expected: readonly string[] = [];
  #outcome: string | undefined;
  #hasSpoken = false;
  isOver = false;
  wasKilled = false;

  constructor(name: string, script: string, settings: unknown, report: Report, killsItself = false) {
    this.#report = report;
    this.#mayDie = killsItself;
    this.#process = fork(script, [JSON.stringify(settings)], {
      execArgv: ['--enable-source-maps'],
      stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
    });
    this.name = `${name} (pid ${this.#process.pid})`;
    this.#process.stderr?.setEncoding('utf8').on('data', (text: string) => (this.#errors += text));
    // A worker says how it ended; the host's own end is one in good order.
    this.on((message) => {
      this.#hasSpoken = true;
      if (typeof message !== 'object' || message === null) return;
      if ('end' in message) this.#outcome = (message.end as { outcome: string }).outcome;
      else if ('kind' in message && message.kind === 'end') this.#outcome = 'stopped';
    });
    this.ended = this.#awaitEnd();
  }

  on(listener: (message: unknown) => void): void {
    this.#process.on('message', listener);
  }

  send(command: HostCommand): void {
    // What cannot be sent any more was sent to a host that has died.
    if (this.#process.connected) this.#process.send(command, () => undefined);
  }

  signal(name: 'SIGSTOP' | 'SIGCONT'): void {
    this.#process.kill(name);
  }

  async kill(): Promise<void> {
    this.#mayDie = true;
    this.#process.kill('SIGKILL');
    await this.ended;
  }

  /** Lets it end in good order, in one of these ways. */
  async stop(...outcomes: readonly string[]): Promise<void> {
    this.#expected = outcomes;
    this.#process.kill('SIGCONT');
    this.#process.kill('SIGTERM');
    const patience = new AbortController();
    const late = sleep(PATIENCE, true, { signal: patience.signal }).catch(() => false);
    if (await Promise.race([this.ended.then(() => false), late])) {
      this.#report.problem(`${this.name} did not end when it was asked to`);
      await this.kill();
    }
    patience.abort();
  }

  async #awaitEnd(): Promise<void> {
    const [code, signal] = (await once(this.#process, 'close')) as [number | null, string | null];
    this.isOver = true;
    this.wasKilled = signal === 'SIGKILL';
    if (this.wasKilled && this.#mayDie) return;
    const errors = this.#errors.trim();
    // It was asked to stop before it could hear anything.
    if (signal === 'SIGTERM' && this.#expected.length > 0 && !this.#hasSpoken) return;
    if (this.#outcome !== undefined && this.#expected.includes(this.#outcome) && errors === '') {
      this.#report.count('processes that ended in good order');
      return;
    }
    this.#report.problem(
      `${this.name} ended: ${this.#outcome ?? 'without a word'}, code ${code}, ${signal}: ${errors}`,
    );
  }
}
