// Leases of a store that holds its whole state in memory (ProgressState).
//
// A lease that has run out is removed by a commit of its own, by whoever looks at the store next, before anything else is done with what was read. So in the order of all
// commits a lease ends at one place, like any other key, and nobody can see it ended while somebody else still commits as if it lived: a transaction that read it conflicts
// with the removal. It also means that leases leave nothing behind.

import { BackupError } from '../core/errors.js';
import type { Lease, LeaseRequest } from '../ports/progress-store.js';
import { checkLeaseRequest, encodeLease } from './lease-record.js';
import type { ProgressState, ProgressWrites } from './progress-state.js';
import { checkProgressKey } from './progress-key.js';

/** What a decision leads to: nothing is written without `writes`. */
export interface LeaseDecision<T> {
  readonly result: T;
  readonly writes?: ProgressWrites;
}

export interface LeaseTable {
  /** ms, by the clock that all clients of the store share. */
  leaseNow(): number;
  /** Decides on the newest state, from which leases that have ended by `now` are removed, and commits the decision; decides again when another commit came first. */
  decide<T>(decision: (state: ProgressState, now: number) => LeaseDecision<T>): Promise<T>;
}

/** `id`: see LeaseRecord. */
export async function acquireLease(table: LeaseTable, request: LeaseRequest, id: string): Promise<Lease | undefined> {
  checkLeaseRequest(request);
  checkProgressKey(request.key);
  const { key, ttl } = request;
  const value = new Uint8Array(request.value);
  const acquired = await table.decide((state, now) => {
    const held = state.lease(key);
    // Our own: an earlier try took effect without our knowing.
    if (held !== undefined) return { result: held.id === id };
    return { result: true, writes: new Map([[key, encodeLease({ id, ttl, endsAt: now + ttl, value })]]) };
  });
  return acquired ? new HeldLease(table, { key, value, ttl }, id) : undefined;
}

class HeldLease implements Lease {
  readonly #table: LeaseTable;
  readonly #request: LeaseRequest;
  readonly #id: string;

  constructor(table: LeaseTable, request: LeaseRequest, id: string) {
    this.#table = table;
    this.#request = request;
    this.#id = id;
  }

  get key(): string {
    return this.#request.key;
  }

  async renew(): Promise<void> {
    const { key, value, ttl } = this.#request;
    const endsAt = await this.#table.decide((state, now) => {
      if (state.lease(key)?.id !== this.#id) return { result: undefined };
      const renewed = { id: this.#id, ttl, endsAt: now + ttl, value };
      return { result: renewed.endsAt, writes: new Map([[key, encodeLease(renewed)]]) };
    });
    // A process that was stopped in between may have renewed it up to a moment that has passed.
    if (endsAt === undefined || this.#table.leaseNow() >= endsAt) {
      throw new BackupError('LEASE_LOST', `the lease ${key} has ended`);
    }
  }

  async release(): Promise<void> {
    const { key } = this.#request;
    await this.#table.decide((state) => ({
      result: undefined,
      ...(state.lease(key)?.id === this.#id ? { writes: new Map([[key, undefined]]) } : {}),
    }));
  }
}
