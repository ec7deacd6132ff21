// Services that use an etcd as services do: configuration that is changed one key at a time and in transactions, queues that are filled and emptied at once, sessions with
// leases that are given back or run out. A few services are busy, most are not. A seed decides what is done; how it falls together is left to etcd.

import { setTimeout as sleep } from 'node:timers/promises';
import type { Etcd3, IDeleteRangeResponse, IRequestOp } from 'etcd3';
import { MutationType, type Mutation, type Version } from 'tidemark';
import { History, type ModelRows } from '../level-host/history.js';
import { SeededRandom, Zipf } from '../level-host/random.js';
import { keysWith, type RowRange } from './etcd-rows.js';

export const SERVICES = ['checkout', 'payments', 'search', 'catalog', 'accounts', 'shipping', 'mail', 'reports'];
const KEYS_PER_SERVICE = 400;
/** Operations per transaction while the cluster is filled; etcd takes 128. */
const FILL_BATCH = 100;
const CLIENTS = 8;
/** Seconds. etcd gives no lease for less than about two. */
const SESSION_TTL = 5;
/** Only etcd knows in which revision a lease ran out: the model leaves these keys to it. */
export const SESSIONS = 'sessions/';

export function configPrefix(service: string): string {
  return `config/${service}/`;
}

export interface WorkloadOptions {
  readonly seed: number;
  /** Transactions per second, about. */
  readonly rate: number;
}

export class Workload {
  /** Everything but the sessions: each change with the revision that etcd gave it. */
  readonly history = new History();
  readonly #client: Etcd3;
  readonly #random: SeededRandom;
  readonly #rate: number;
  readonly #services = new Zipf(SERVICES.length);
  readonly #keys = new Zipf(KEYS_PER_SERVICE);
  readonly #stopped = new Set<string>();
  readonly #underWay = new Set<Promise<void>>();
  #committed = 0;
  #jobs = 0;

  constructor(client: Etcd3, { seed, rate }: WorkloadOptions) {
    this.#client = client;
    this.#random = new SeededRandom(seed);
    this.#rate = rate;
  }

  get committed(): number {
    return this.#committed;
  }

  /** Each service's configuration, as it was long before anybody thought of a backup. */
  async fill(signal: AbortSignal): Promise<void> {
    const keys = SERVICES.flatMap((service) =>
      Array.from({ length: KEYS_PER_SERVICE }, (_, i) => configKey(service, i)),
    );
    for (let i = 0; i < keys.length; i += FILL_BATCH) {
      signal.throwIfAborted();
      await this.#transaction(keys.slice(i, i + FILL_BATCH).map((key) => put(key, this.#value())));
    }
  }

  /** Goes on until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const started = performance.now();
    const before = this.#committed;
    const client = async (): Promise<void> => {
      while (!signal.aborted) {
        const early = ((this.#committed - before) / this.#rate) * 1000 - (performance.now() - started);
        if (early > 1) await sleep(early, undefined, { signal }).catch(() => undefined);
        if (!signal.aborted) await this.#tracked(this.#work());
      }
    };
    await Promise.all(Array.from({ length: CLIENTS }, client));
  }

  /** From now on this service writes nothing; resolves when nothing of it is under way. */
  async stopService(service: string): Promise<void> {
    this.#stopped.add(service);
    await Promise.all(this.#underWay);
  }

  startService(service: string): void {
    this.#stopped.delete(service);
  }

  /** The accident. Resolves with the revision in which the keys went. */
  async deletePrefix(prefix: string): Promise<{ revision: Version; deleted: number }> {
    const answer = await this.#client.delete().prefix(prefix).exec();
    this.#recordClear(answer, prefix);
    return { revision: BigInt(answer.header.revision), deleted: Number(answer.deleted) };
  }

  /** What a service does that finds no configuration: it writes its defaults. */
  async writeDefaults(service: string): Promise<void> {
    await this.#transaction([0, 1, KEYS_PER_SERVICE].map((i) => put(configKey(service, i), Buffer.from('default'))));
  }

  /** What a restore has made of a range by `revision`, while no service wrote there. */
  recordRestored({ begin, end }: RowRange, rows: ModelRows, revision: Version): void {
    const clear = { type: MutationType.ClearRange, param1: begin, param2: end };
    const sets = [...rows].map(([key, value]) => ({
      type: MutationType.SetValue,
      param1: Buffer.from(key, 'hex'),
      param2: Buffer.from(value, 'hex'),
    }));
    this.history.record({ version: revision, mutations: [clear, ...sets] });
  }

  async #tracked(work: Promise<void>): Promise<void> {
    const underWay = work.finally(() => this.#underWay.delete(underWay));
    this.#underWay.add(underWay);
    await underWay;
    this.#committed++;
  }

  async #work(): Promise<void> {
    const random = this.#random;
    const service = this.#service();
    const dice = random.next();
    if (dice < 0.5) await this.#transaction([put(this.#configKey(service), this.#value())]);
    else if (dice < 0.7) await this.#release(service);
    else if (dice < 0.75) await this.#transaction([remove(this.#configKey(service))]);
    else if (dice < 0.9) await this.#enqueue(service);
    else if (dice < 0.92) await this.#emptyQueue(service);
    else await this.#session(service);
  }

  /** Several keys at once, if nobody else has released meanwhile. */
  async #release(service: string): Promise<void> {
    const key = `releases/${service}`;
    const { kvs } = await this.#client.get(key).exec();
    const changed = new Set(Array.from({ length: 1 + this.#random.below(12) }, () => this.#configKey(service)));
    const operations = [...changed].map((name) => (this.#random.chance(0.9) ? put(name, this.#value()) : remove(name)));
    const number = Number(kvs[0]?.value.toString() ?? '0') + 1;
    await this.#transaction([put(key, Buffer.from(String(number))), ...operations], {
      key,
      revision: kvs[0]?.mod_revision ?? '0',
    });
  }

  async #enqueue(service: string): Promise<void> {
    const key = `queue/${service}/${String(++this.#jobs).padStart(8, '0')}`;
    await this.#transaction([put(key, this.#random.bytes(this.#random.mixedSize(200)))]);
  }

  async #emptyQueue(service: string): Promise<void> {
    const prefix = `queue/${service}/`;
    this.#recordClear(await this.#client.delete().prefix(prefix).exec(), prefix);
  }

  /** Half of them are given back by and by, the others run out. */
  async #session(service: string): Promise<void> {
    const { ID } = await this.#client.leaseClient.leaseGrant({ TTL: SESSION_TTL });
    const name = `${SESSIONS}${service}/${ID}`;
    await this.#client.put(name).value(`since ${this.#committed}`).lease(ID);
    await this.#client.put(`${name}/address`).value('10.0.0.1').lease(ID);
    if (this.#random.chance(0.5)) await this.#client.leaseClient.leaseRevoke({ ID });
  }

  /** A compare that fails changes nothing and is no error: somebody else was quicker. */
  async #transaction(operations: readonly Operation[], unless?: { key: string; revision: string }): Promise<void> {
    const answer = await this.#client.kv.txn({
      compare:
        unless === undefined
          ? []
          : [{ key: Buffer.from(unless.key), target: 'Mod', result: 'Equal', mod_revision: unless.revision }],
      success: operations.map(({ request }) => request),
    });
    const changes = operations.filter((_, i) => {
      // Null where the operation is a put, whatever the client's types say.
      const deletion = answer.responses[i]?.response_delete_range as IDeleteRangeResponse | null | undefined;
      return deletion?.deleted !== '0';
    });
    // A transaction that deleted what was not there has no revision of its own.
    if (!answer.succeeded || changes.length === 0) return;
    const mutations = changes.map(({ mutation }) => mutation);
    this.history.record({ version: BigInt(answer.header.revision), mutations });
  }

  #recordClear({ header, deleted }: IDeleteRangeResponse, prefix: string): void {
    if (deleted === '0') return;
    const { begin, end } = keysWith(prefix);
    const mutation = { type: MutationType.ClearRange, param1: begin, param2: end };
    this.history.record({ version: BigInt(header.revision), mutations: [mutation] });
  }

  #service(): string {
    for (;;) {
      const service = SERVICES[this.#services.pick(this.#random)] as string;
      if (!this.#stopped.has(service)) return service;
    }
  }

  #configKey(service: string): string {
    return configKey(service, this.#keys.pick(this.#random));
  }

  #value(): Uint8Array {
    return this.#random.bytes(this.#random.chance(0.005) ? 20_000 : this.#random.mixedSize(1_500) - 1);
  }
}

/** What etcd is asked for, and what the model makes of it. */
interface Operation {
  readonly request: IRequestOp;
  readonly mutation: Mutation;
}

function put(key: string, value: Uint8Array): Operation {
  const name = Buffer.from(key);
  return {
    request: { request_put: { key: name, value: Buffer.from(value) } },
    mutation: { type: MutationType.SetValue, param1: name, param2: value },
  };
}

function remove(key: string): Operation {
  const name = Buffer.from(key);
  return {
    request: { request_delete_range: { key: name } },
    mutation: { type: MutationType.ClearRange, param1: name, param2: Buffer.concat([name, Buffer.of(0)]) },
  };
}

function configKey(service: string, number: number): string {
  return `${configPrefix(service)}${String(number).padStart(5, '0')}`;
}
