// A random workload on etcd: puts, deletes of keys and ranges, transactions of many operations, leases that are revoked and that expire, large values, transactions that change nothing.

import type { Etcd3 } from 'etcd3';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Version } from '../../src/core/version.js';
import { seededRandom } from '../../src/testing/conformance.js';
import { latin1 } from './etcd-log-tools.js';

export interface WorkloadOptions {
  readonly seed: number;
  readonly steps: number;
  readonly prefix: string;
}

export interface KnownEvent {
  readonly key: string;
  /** undefined: deleted. */
  readonly value: string | undefined;
}

/** What each revision must hold, in order, where the workload knows it: not of leases, whose keys etcd deletes when and in which order it likes. */
export async function randomWorkload(client: Etcd3, options: WorkloadOptions): Promise<Map<Version, KnownEvent[]>> {
  const random = seededRandom(options.seed);
  const below = (n: number) => Math.floor(random() * n);
  const known = new Map<Version, KnownEvent[]>();
  const keyAt = (i: number) => `${options.prefix}${String(i).padStart(2, '0')}`;
  const newValue = () => Buffer.alloc(random() < 0.05 ? 30_000 : below(40), below(256));
  const leases: string[] = [];
  let expiring = false;

  const note = (revision: string, events: KnownEvent[]) => {
    if (events.length > 0) known.set(BigInt(revision), events);
  };

  async function put(): Promise<void> {
    const [key, value] = [keyAt(below(40)), newValue()];
    const { header } = await client.kv.put({ key: Buffer.from(key), value });
    note(header.revision, [{ key, value: latin1(value) }]);
  }

  async function deleteRange(): Promise<void> {
    const from = below(40);
    const { header, prev_kvs } = await client.kv.deleteRange({
      key: Buffer.from(keyAt(from)),
      range_end: Buffer.from(keyAt(from + 1 + below(4))),
      prev_kv: true,
    });
    note(
      header.revision,
      prev_kvs.map(({ key }) => ({ key: latin1(key), value: undefined })),
    );
  }

  /** Each key at most once: etcd refuses more. Some transactions delete only what is not there, or nothing at all. */
  async function transaction(): Promise<void> {
    const keys = new Set(Array.from({ length: below(60) }, () => below(50)));
    const operations = [...keys].map((i) => {
      const key = Buffer.from(keyAt(i));
      return random() < 0.6
        ? { request_put: { key, value: newValue() } }
        : { request_delete_range: { key, prev_kv: true } };
    });
    const { header, responses } = await client.kv.txn({ success: operations });
    const events = operations.flatMap((operation, i): KnownEvent[] => {
      if ('request_put' in operation && operation.request_put !== undefined) {
        const { key, value } = operation.request_put;
        return [{ key: latin1(key), value: latin1(value) }];
      }
      const deleted = responses[i]?.response_delete_range?.prev_kvs ?? [];
      return deleted.map(({ key }) => ({ key: latin1(key), value: undefined }));
    });
    note(header.revision, events);
  }

  async function lease(): Promise<void> {
    const { ID } = await client.leaseClient.leaseGrant({ TTL: 1 });
    for (let i = 0; i < 3; i++)
      await client.kv.put({ key: Buffer.from(keyAt(60 + below(20))), value: newValue(), lease: ID });
    if (random() < 0.5) leases.push(ID);
    else expiring = true;
  }

  async function revoke(): Promise<void> {
    const ID = leases.pop();
    // It may have expired.
    if (ID !== undefined) await client.leaseClient.leaseRevoke({ ID }).catch(() => undefined);
  }

  const steps = [put, put, put, deleteRange, transaction, transaction, lease, revoke];
  for (let i = 0; i < options.steps; i++) await (steps[below(steps.length)] as () => Promise<void>)();
  // etcd gives a lease its election's time on top, and looks for those that have ended every half second.
  if (expiring || leases.length > 0) await sleep(4_000);
  return known;
}
