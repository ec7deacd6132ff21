// Everything that the fleet's tests run in: an etcd that is backed up, another one in which the fleet coordinates, a store for files, and the hosts' processes. Two etcds, so that a host can be cut off from
// one of them alone: it then still reads the log and writes files, and must know by itself that it may not. It also keeps the history of the one free of the other's writes.

import { setTimeout as sleep } from 'node:timers/promises';
import { Etcd3 } from 'etcd3';
import { BackupOperator } from '../../src/job/operator.js';
import { openContainer } from '../../src/container/open-container.js';
import type { BackupContainer } from '../../src/ports/backup-container.js';
import type { JobState } from '../../src/job/records.js';
import { EtcdProgressStore } from '../../src/progress/etcd/etcd-progress-store.js';
import { ETCD_GRPC_OPTIONS } from '../../src/source/etcd/options.js';
import { S3_CREDENTIALS, startS3, type S3Server } from '../servers/s3.js';
import { startEtcd, type EtcdCluster } from '../servers/etcd.js';
import { FleetHost } from './fleet-host.js';
import type { Assignment, Ledger } from './ledger.js';
import { monotonicNow } from './messages.js';
import { StoreHistory } from './store-history.js';

/** ms: far longer than anything takes, on a busy machine too. */
const PATIENCE = 90_000;
/** Of each host, in the message of a test that waits in vain. */
const SHOWN_MESSAGES = 40;
const STORE_PREFIX = 'backup/';

export interface FleetWorldOptions {
  readonly tags: number;
  /** ms */
  readonly leaseTime: number;
}

/** ms since the host was disturbed. */
export interface HandOver {
  /** When its lease ended in the store; NaN: it has not. */
  readonly leaseEnded: number;
  /** When the last of its tags was assigned to another host. */
  readonly assigned: number;
  /** When the last of its tags was claimed by a worker of another host. */
  readonly claimed: number;
}

export class FleetWorld {
  readonly options: FleetWorldOptions;
  /** Of the etcd that is backed up. */
  readonly database: Etcd3;
  readonly operator: BackupOperator;
  readonly hosts: FleetHost[] = [];
  readonly #servers: Servers;
  readonly #coordination: Etcd3;
  readonly #history: StoreHistory;
  readonly #listeners = new Set<() => void>();

  static async start(options: FleetWorldOptions): Promise<FleetWorld> {
    const servers = await startServers();
    return new FleetWorld(servers, options);
  }

  private constructor(servers: Servers, options: FleetWorldOptions) {
    this.options = options;
    this.#servers = servers;
    this.database = clientOf(servers.database);
    this.#coordination = clientOf(servers.coordination);
    this.operator = new BackupOperator(new EtcdProgressStore({ client: this.#coordination, prefix: STORE_PREFIX }), {
      pollInterval: 200,
    });
    this.#history = new StoreHistory(this.#coordination, STORE_PREFIX);
  }

  get ledger(): Ledger {
    return this.#history.ledger;
  }

  /** Of all hosts, and of the history. */
  get problems(): string[] {
    const { failure, ledger } = this.#history;
    return [
      ...(failure === undefined ? [] : [failure]),
      ...ledger.problems,
      ...this.hosts.flatMap((host) => host.problems.map((problem) => `host ${host.name}: ${problem}`)),
    ];
  }

  containerUrl(name: string): string {
    return `s3://backups/${name}?endpoint=${this.#servers.storage.url}&region=us-east-1`;
  }

  container(name: string): Promise<BackupContainer> {
    return openContainer(this.containerUrl(name), { s3: { credentials: S3_CREDENTIALS } });
  }

  async addHost(host: string): Promise<FleetHost> {
    const added = await FleetHost.start(
      {
        host,
        storePort: portOf(this.#servers.coordination),
        storePrefix: STORE_PREFIX,
        databaseUrl: urlOf(this.#servers.database),
        tags: this.options.tags,
        leaseTime: this.options.leaseTime,
        storageCredentials: S3_CREDENTIALS,
      },
      () => this.#awake(),
    );
    this.hosts.push(added);
    return added;
  }

  /** Every tag has a worker, and these hosts have as many as one another, give or take one. */
  isBalanced(hosts: readonly FleetHost[]): boolean {
    const loads = new Map(hosts.map(({ name }) => [name, 0]));
    for (let tag = 0; tag < this.options.tags; tag++) {
      const worker = this.ledger.workerOf(tag);
      const load = worker === undefined ? undefined : loads.get(worker);
      if (worker === undefined || load === undefined) return false;
      loads.set(worker, load + 1);
    }
    return Math.max(...loads.values()) - Math.min(...loads.values()) <= 1;
  }

  /** Waits for something that the store's history or a host tells. Rejects when it does not come, or when something is wrong. */
  async until(what: string, condition: () => boolean): Promise<void> {
    const deadline = performance.now() + PATIENCE;
    while (!condition()) {
      if (this.problems.length > 0) throw new Error(`while waiting for ${what}: ${this.problems.join('\n')}`);
      const left = deadline - performance.now();
      if (left <= 0) throw new Error(`waited ${PATIENCE / 1000} s in vain for ${what}. ${this.#describe()}`);
      await this.#change(Math.min(left, 1_000));
    }
  }

  /** More than there is now has been stored of these tags. */
  async goOn(tags: readonly number[]): Promise<void> {
    const before = new Map(tags.map((tag) => [tag, this.ledger.savedVersion(tag) ?? -1n]));
    await this.until(`new files of tags ${tags.join(', ')}`, () =>
      [...before].every(([tag, version]) => (this.ledger.savedVersion(tag) ?? -1n) > version),
    );
  }

  /** Every tag that was the host's has a worker of another host. How long that took. */
  async handOver(from: FleetHost, tags: readonly number[], since: number): Promise<HandOver> {
    const { claims, assignments, leaseEnds } = this.ledger;
    const first = (all: readonly Assignment[], tag: number) =>
      all.find((each) => each.tag === tag && each.at > since && each.host !== from.name)?.at;
    const last = (all: readonly Assignment[]) => Math.max(...tags.map((tag) => first(all, tag) ?? NaN)) - since;
    await this.until(`all tags of host ${from.name} to be claimed by others`, () =>
      tags.every((tag) => first(claims, tag) !== undefined),
    );
    const end = leaseEnds.find(({ host, at }) => host === from.name && at > since);
    return { leaseEnded: (end?.at ?? NaN) - since, assigned: last(assignments), claimed: last(claims) };
  }

  async awaitState(job: string, wanted: JobState): Promise<void> {
    const deadline = performance.now() + PATIENCE;
    for (;;) {
      const { state } = await this.operator.status(job);
      if (state === wanted) return;
      if (performance.now() > deadline)
        throw new Error(`job ${job} is ${state}, and does not become ${wanted}. ${this.#describe()}`);
      await sleep(100);
    }
  }

  /** Everything that has been written to the store so far is in the ledger. */
  catchUp(): Promise<void> {
    return this.#history.catchUp();
  }

  /** Whatever has happened: no process, port or file is left. */
  async close(): Promise<void> {
    await Promise.all(this.hosts.map((host) => host.dispose()));
    await this.#history.close();
    this.database.close();
    this.#coordination.close();
    await this.#servers.stop();
  }

  async #change(longest: number): Promise<void> {
    const patience = new AbortController();
    const told = new Promise<void>((resolve) => this.#listeners.add(resolve));
    const late = sleep(longest, undefined, { signal: patience.signal }).catch(() => undefined);
    await Promise.race([told, this.#history.change(), late]);
    patience.abort();
  }

  #awake(): void {
    for (const resolve of this.#listeners) resolve();
    this.#listeners.clear();
  }

  #describe(): string {
    const { ledger } = this;
    const tags = Array.from(
      { length: this.options.tags },
      (_, tag) => `tag ${tag}: ${ledger.workerOf(tag) ?? 'nobody'}, saved ${ledger.savedVersion(tag) ?? 'nothing'}`,
    );
    const hosts = this.hosts.flatMap(({ name, messages }) => {
      const told = messages
        .filter(({ kind }) => kind !== 'saved' && kind !== 'popped' && kind !== 'noop')
        .slice(-SHOWN_MESSAGES);
      return told.map(({ at, ...message }) => `${name} at ${Math.round(at)}: ${JSON.stringify(message)}`);
    });
    return [
      `It is ${Math.round(monotonicNow())}. Hosts that live: ${ledger.liveHosts.join(', ')}`,
      ...tags,
      ...hosts,
    ].join('\n');
  }
}

interface Servers {
  readonly database: EtcdCluster;
  readonly coordination: EtcdCluster;
  readonly storage: S3Server;
  stop(): Promise<void>;
}

/** All of them, or none is left. */
async function startServers(): Promise<Servers> {
  const starting = [startEtcd(), startEtcd(), startS3()] as const;
  const stop = async () => {
    for (const started of await Promise.allSettled(starting))
      if (started.status === 'fulfilled') await started.value.stop();
  };
  try {
    const [database, coordination, storage] = await Promise.all(starting);
    return { database, coordination, storage, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

function urlOf(etcd: EtcdCluster): string {
  return etcd.urls[0] as string;
}

function portOf(etcd: EtcdCluster): number {
  return Number(new URL(urlOf(etcd)).port);
}

function clientOf(etcd: EtcdCluster): Etcd3 {
  return new Etcd3({ hosts: [...etcd.urls], grpcOptions: ETCD_GRPC_OPTIONS });
}
