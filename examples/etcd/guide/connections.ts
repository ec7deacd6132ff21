// connections.ts: what the other programs talk to.

import { Etcd3 } from 'etcd3';
import { EtcdProgressStore } from 'tidemark/progress/etcd';
import { ETCD_GRPC_OPTIONS } from 'tidemark/source/etcd';

const setting = (name: string): string => {
  const value = process.env[name];
  if (value === undefined) throw new Error(`the environment variable ${name} is not set`);
  return value;
};

/** `CLUSTER` is backed up, in `COORDINATION` the processes meet, `TARGET` is restored into. With TLS or users: the client's own `credentials` and `auth`. */
export function connect(name: 'CLUSTER' | 'COORDINATION' | 'TARGET'): Etcd3 {
  return new Etcd3({ hosts: setting(name).split(','), grpcOptions: ETCD_GRPC_OPTIONS });
}

/** Who does what, and how far the backup is: the same prefix for all of them. */
export const storeIn = (coordination: Etcd3) => new EtcdProgressStore({ client: coordination, prefix: 'tidemark/' });

/** `s3://bucket/name`, with the credentials that the AWS SDK finds; or `file:///…`. */
export const backupUrl = setting('BACKUP');
