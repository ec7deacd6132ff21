// An etcd client whose commits get lost, arrive late or arrive twice, as they do when connections break: what it sends is real, and so is the server.

import type { ICallable } from 'etcd3';
import { Etcd3, KVClient } from 'etcd3';
import type { EtcdStoreClient } from '../../src/progress/etcd/store-calls.js';
import { systemClock } from '../../src/core/clock.js';

export interface CommitFaults {
  /** Of each commit, in [0, 1). */
  readonly random: () => number;
  /** How often the answer to the first copy is lost and a second one is sent, as etcd3 does. */
  readonly twice: number;
  /** How often the answer is lost and the caller told so. */
  readonly lost: number;
  /** How often the caller is told that nobody knows, while the request is still on its way. */
  readonly late: number;
  /** How often the first copy arrives after the second. */
  readonly overtaken: number;
}

export class FaultyClient implements EtcdStoreClient {
  readonly kv: KVClient;
  readonly leaseClient: EtcdStoreClient['leaseClient'];
  readonly watchClient: EtcdStoreClient['watchClient'];
  readonly #real: Etcd3;
  readonly #faults: CommitFaults;
  readonly #onTheirWay: Promise<unknown>[] = [];

  constructor(urls: readonly string[], faults: CommitFaults) {
    this.#real = new Etcd3({ hosts: [...urls] });
    this.#faults = faults;
    this.leaseClient = this.#real.leaseClient;
    this.watchClient = this.#real.watchClient;
    const callable: ICallable<unknown> = {
      exec: async <T>(_service: string, method: string, params: object) =>
        (await (method === 'txn' ? this.#txn(params) : this.#real.kv.range(params))) as T,
      withConnection: () => Promise.reject(new Error('not used')),
      markFailed: () => undefined,
      callOptionsFactory: undefined,
    };
    this.kv = new KVClient(callable);
  }

  /** When all that was on its way has arrived. */
  async close(): Promise<void> {
    await Promise.all(this.#onTheirWay);
    this.#real.close();
  }

  async #txn(params: object): Promise<unknown> {
    const send = () => this.#real.kv.txn(params);
    const { random, twice, lost, late, overtaken } = this.#faults;
    const chance = random();
    if (chance < twice) {
      await send();
      return send();
    }
    if (chance < twice + lost) {
      await send();
      throw new Error('14 UNAVAILABLE: Connection dropped');
    }
    if (chance < twice + lost + late) {
      this.#later(send);
      throw new Error('4 DEADLINE_EXCEEDED: Deadline exceeded');
    }
    if (chance < twice + lost + late + overtaken) this.#later(send);
    return send();
  }

  #later(send: () => Promise<unknown>): void {
    this.#onTheirWay.push(systemClock.sleep(this.#faults.random() * 60).then(send));
  }
}
