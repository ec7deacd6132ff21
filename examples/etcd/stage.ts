// Everything that runs while the demo plays, and how all of it is stopped again, whatever happens: three etcds, the S3 server, the workload, the worker processes, the operator.

import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { S3Client } from '@aws-sdk/client-s3';
import type { Etcd3 } from 'etcd3';
import { BackupOperator, type BackupContainer, type Version } from 'tidemark';
import { number, openDisplay, type Bar, type Display } from '../level-host/display.js';
import { Children } from './children.js';
import type { DemoOptions } from '../level-host/demo-options.js';
import { currentRevision } from './etcd-rows.js';
import { s3Client } from './s3-server.js';
import { startServers, type Servers } from './servers.js';
import { backupContainer, etcdClient, progressStore } from './settings.js';
import { WorkerHost } from './worker-hosts.js';
import type { WorkerEnd } from './worker-messages.js';
import { Workload } from './workload.js';

/** Transactions per second. */
const RATE = 200;
const LOOK_INTERVAL = 50;
const PATIENCE = 60_000;
const DRAW_INTERVAL = 200;
export const HOSTS = ['host-a', 'host-b', 'host-c'] as const;
export type HostName = (typeof HOSTS)[number];

export class Stage {
  readonly options: DemoOptions;
  readonly display: Display;
  readonly restoreBar: Bar;
  /** Aborts on Ctrl-C, and when a process ends that should not. */
  readonly signal: AbortSignal;
  /** The cluster that is backed up, and that has the accident. */
  readonly services: Etcd3;
  /** An empty one, to restore into. */
  readonly spare: Etcd3;
  readonly operator: BackupOperator;
  readonly workload: Workload;
  /** Objects as they are, for the copy of the backup. */
  readonly s3: S3Client;
  readonly #children: Children;
  readonly #servers: Servers;
  readonly #coordination: Etcd3;
  readonly #abort: AbortController;
  readonly #hosts = new Map<HostName, WorkerHost>();
  readonly #stopWorkload = new AbortController();
  readonly #closing = new AbortController();
  readonly #drawing: Promise<void>;
  #working: Promise<void> = Promise.resolve();
  #snapshotsTaken = 0;

  private constructor(options: DemoOptions, children: Children, servers: Servers, abort: AbortController) {
    this.#children = children;
    this.options = options;
    this.#servers = servers;
    this.#abort = abort;
    this.signal = abort.signal;
    this.services = etcdClient(servers.services.url);
    this.spare = etcdClient(servers.spare.url);
    this.#coordination = etcdClient(servers.coordination.url);
    this.s3 = s3Client(servers.s3.endpoint);
    this.operator = new BackupOperator(progressStore(this.#coordination), { pollInterval: 200 });
    this.workload = new Workload(this.services, { seed: options.seed, rate: RATE });
    this.display = openDisplay();
    this.#drawing = this.#draw().catch((error: unknown) => abort.abort(error));
    this.restoreBar = this.display.bar('restore');
  }

  static async open(options: DemoOptions, abort: AbortController): Promise<Stage> {
    const children = await Children.open();
    try {
      return new Stage(options, children, await startServers(children, abort.signal), abort);
    } catch (error) {
      await children.close();
      throw error;
    }
  }

  host(name: HostName): WorkerHost {
    const host = this.#hosts.get(name);
    if (host === undefined) throw new Error(`${name} was not started`);
    return host;
  }

  get snapshotsTaken(): number {
    return this.#snapshotsTaken;
  }

  /** Pictures outlive the demo, so that they can be looked at. */
  get picture(): string {
    const { out } = this.options;
    return out === undefined ? join(tmpdir(), 'tidemark-demo-etcd.svg') : join(resolve(out), 'backup.svg');
  }

  openContainer(): BackupContainer {
    return backupContainer(this.s3);
  }

  startHost(name: HostName): WorkerHost {
    const { services, coordination, s3 } = this.#servers;
    const host = new WorkerHost(
      this.#children,
      { host: name, services: services.url, coordination: coordination.url, s3Endpoint: s3.endpoint },
      {
        onSaid: (from, line) => this.display.say(`    ${from}: ${line}`),
        onSnapshot: (from, { version, rows, files }) => {
          this.#snapshotsTaken++;
          this.display.say(
            `    ${from}: snapshot ${this.#snapshotsTaken}, at revision ${number(BigInt(version))}: ${number(rows)} rows in ${files} files`,
          );
        },
        onUnexpectedEnd: (error) => this.#abort.abort(error),
      },
    );
    this.#hosts.set(name, host);
    return host;
  }

  /** How each of them ended that was not killed. */
  async stopHosts(): Promise<readonly WorkerEnd[]> {
    const living = [...this.#hosts.values()].filter(({ isKilled }) => !isKilled);
    return Promise.all(living.map((host) => host.stop()));
  }

  /** Until `stopWorkload`. */
  startWorkload(): void {
    this.#working = this.workload.run(this.#stopWorkload.signal).catch((error: unknown) => this.#abort.abort(error));
  }

  async stopWorkload(): Promise<void> {
    this.#stopWorkload.abort(new Error('the demo stops'));
    await this.#working;
  }

  /** Says what comes now, and lets a share of the workload go by before the scene ends. */
  async scene<T>(title: string, share: number, action: () => Promise<T>): Promise<T> {
    this.display.say(`• ${title}`);
    const wanted = this.workload.committed + Math.round(this.options.transactions * share);
    const result = await action();
    await this.until('the workload goes on', () => this.workload.committed >= wanted);
    return result;
  }

  tell(line: string): void {
    this.display.say(`    ${line}`);
  }

  /** Looks again and again; gives up with an error that says what never came. */
  async until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
    const deadline = performance.now() + PATIENCE;
    while (!(await condition())) {
      if (performance.now() > deadline) throw new Error(`Waited ${PATIENCE / 1000} s in vain: ${what}`);
      this.signal.throwIfAborted();
      await sleep(LOOK_INTERVAL, undefined, { signal: this.signal });
    }
  }

  /** Ends every process, timer and connection and removes the temp folder. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#drawing;
    this.display.stop();
    await this.stopWorkload();
    await this.stopHosts();
    for (const client of [this.services, this.spare, this.#coordination]) client.close();
    this.s3.destroy();
    await this.#servers.stop();
    await this.#children.close();
  }

  /** Until the stage closes. */
  async #draw(): Promise<void> {
    const workload = this.display.bar('workload');
    const hosts = HOSTS.map((name) => ({ name, bar: this.display.bar(name) }));
    while (!this.#closing.signal.aborted) {
      const revision = await currentRevision(this.services);
      const { committed } = this.workload;
      const note = `${number(committed)} transactions, revision ${number(revision)}`;
      workload.update(Math.min(committed, this.options.transactions), this.options.transactions, note);
      for (const { name, bar } of hosts) drawHost(bar, this.#hosts.get(name), revision);
      await sleep(DRAW_INTERVAL, undefined, { signal: this.#closing.signal }).catch(() => undefined);
    }
  }
}

/** How far behind the tag of its that is furthest behind. */
function drawHost(bar: Bar, host: WorkerHost | undefined, revision: Version): void {
  if (host === undefined) return;
  const { tags } = host.progress;
  if (tags.length === 0) return bar.update(0, 1, host.isKilled ? 'killed' : 'no tags');
  const saved = tags.map(({ savedVersion }) => BigInt(savedVersion)).reduce((a, b) => (a < b ? a : b));
  const behind = revision > saved ? revision - saved : 0n;
  const names = tags.map(({ tag }) => tag).sort();
  bar.update(Number(saved), Number(revision), `tags ${names.join(', ')}: ${number(behind)} revisions behind`);
}
