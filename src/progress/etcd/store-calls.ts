// The calls that the store makes of etcd: each ends in time, and its errors are the store's. It must never make a call twice by itself: what it cannot tell, its caller must know.

import type { Etcd3, ILeaseKeepAliveResponse, IRangeRequest, IRangeResponse, ITxnRequest, ITxnResponse } from 'etcd3';
import { AbortScope } from '../../core/abort.js';
import type { Clock } from '../../core/clock.js';
import { BackupError } from '../../core/errors.js';
import type { EtcdErrorOptions } from '../../etcd/errors.js';
import { asEtcdCall } from '../../etcd/errors.js';
import { revisionNumber } from '../../etcd/keys.js';

/** What is asked of a client. */
export type EtcdStoreClient = Pick<Etcd3, 'kv' | 'leaseClient' | 'watchClient'>;

/** A store that cannot be reached is that to everybody, whatever it is made of. */
export const storeErrors: EtcdErrorOptions = {
  codes: { unavailable: 'STORE_UNAVAILABLE', busy: 'STORE_UNAVAILABLE', 'stale-auth': 'STORE_UNAVAILABLE' },
};

interface CallOptions {
  readonly deadline: number;
}

export class StoreCalls {
  readonly #client: EtcdStoreClient;
  readonly #clock: Clock;
  readonly #timeout: number;
  #newest = 0;

  /** `timeout`: ms, of each call. */
  constructor(client: EtcdStoreClient, clock: Clock, timeout: number) {
    this.#client = client;
    this.#clock = clock;
    this.#timeout = timeout;
  }

  /** The newest revision that any answer has had: what is committed from now on has a larger one. */
  get newest(): number {
    return this.#newest;
  }

  async range(request: IRangeRequest): Promise<IRangeResponse> {
    const response = await this.#call('a read', async (options) => this.#client.kv.range(request, options));
    this.#heardOf(response.header.revision);
    return response;
  }

  async txn(request: ITxnRequest): Promise<ITxnResponse> {
    const response = await this.#call('a commit', async (options) => this.#client.kv.txn(request, options));
    this.#heardOf(response.header.revision);
    return response;
  }

  /** `ttl`: seconds. */
  async grantLease(id: string, ttl: number): Promise<void> {
    await this.#call('a new lease', async (options) =>
      this.#client.leaseClient.leaseGrant({ ID: id, TTL: ttl }, options),
    );
  }

  async revokeLease(id: string): Promise<void> {
    await this.#call('the end of a lease', async (options) =>
      this.#client.leaseClient.leaseRevoke({ ID: id }, options),
    );
  }

  /** False: the lease has ended. */
  async renewLease(id: string): Promise<boolean> {
    const { TTL } = await this.#call('the renewal of a lease', ({ deadline }) => this.#keepAliveOnce(id, deadline));
    return Number(TTL) > 0;
  }

  async #keepAliveOnce(id: string, deadline: number): Promise<ILeaseKeepAliveResponse> {
    const stream = await this.#client.leaseClient.leaseKeepAlive({ deadline });
    try {
      return await new Promise<ILeaseKeepAliveResponse>((resolve, reject) => {
        stream.on('data', resolve);
        stream.on('error', reject);
        stream.on('end', () => reject(new Error('14 UNAVAILABLE: the stream has ended')));
        stream.write({ ID: id });
      });
    } finally {
      // In this order: a stream that is cancelled while it can be written to counts as a failure of its host. The error that it then emits has its listener.
      stream.end();
      stream.cancel();
    }
  }

  /** gRPC's deadline ends the call itself; the clock's is for what comes before it, such as logging in. */
  async #call<T>(what: string, call: (options: CallOptions) => Promise<T>): Promise<T> {
    using scope = new AbortScope();
    const tooLate = this.#clock.sleep(this.#timeout, scope.signal).then(() => {
      throw new BackupError('STORE_UNAVAILABLE', `etcd: ${what} failed: no answer within ${this.#timeout} ms`, {
        retryable: true,
      });
    });
    const deadline = this.#clock.wallTime() + this.#timeout;
    return await asEtcdCall(what, () => Promise.race([call({ deadline }), tooLate]), storeErrors);
  }

  #heardOf(revision: string): void {
    this.#newest = Math.max(this.#newest, revisionNumber(revision));
  }
}
