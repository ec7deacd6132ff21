// What the tests of the etcd adapters do to a cluster.

import { Etcd3 } from 'etcd3';
import { asBuffer, rangeOf } from '../../src/etcd/keys.js';
import type { KeyRange } from '../../src/core/key-range.js';
import type { RestoreOperation } from '../../src/ports/restore-target.js';
import { etcdBatch } from '../../src/source/etcd/target-batch.js';
import { ETCD_GRPC_OPTIONS } from '../../src/source/etcd/options.js';

export function clientOf(urls: readonly string[]): Etcd3 {
  return new Etcd3({ hosts: [...urls], grpcOptions: ETCD_GRPC_OPTIONS });
}

/** In one transaction, in order; gives its revision. */
export async function commit(client: Etcd3, operations: readonly RestoreOperation[]): Promise<bigint> {
  const { puts, deletes, ranges } = etcdBatch(operations, []);
  const { header } = await client.kv.txn({
    success: [
      ...puts.map(({ key, value }) => ({ request_put: { key: asBuffer(key), value: asBuffer(value) } })),
      ...deletes.map((key) => ({ request_delete_range: { key: asBuffer(key) } })),
      ...ranges.map(({ begin, end }) => ({ request_delete_range: rangeOf(begin, end) })),
    ],
  });
  return BigInt(header.revision);
}

/** As etcd itself has them, at a revision or now: `key=value` as text of one character per byte. */
export async function rowsOf(client: Etcd3, { begin, end }: KeyRange, revision?: bigint): Promise<string[]> {
  const at = revision === undefined ? {} : { revision: String(revision) };
  const { kvs } = await client.kv.range({ ...rangeOf(begin, end), ...at });
  return kvs.map(({ key, value }) => `${key.toString('latin1')}=${value.toString('latin1')}`);
}

export async function compact(client: Etcd3, revision: bigint): Promise<void> {
  await client.kv.compact({ revision: String(revision), physical: true });
}
