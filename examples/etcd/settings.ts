// What the demo and its worker processes must agree on, and nothing else: in a real installation this is each process's configuration.

import type { S3Client } from '@aws-sdk/client-s3';
import { Etcd3 } from 'etcd3';
import type { BackupContainer, ProgressStore } from 'tidemark';
import { S3Container } from 'tidemark/container/s3';
import { EtcdProgressStore } from 'tidemark/progress/etcd';
import { ETCD_GRPC_OPTIONS } from 'tidemark/source/etcd';

export const TOTAL_TAGS = 4;
export const JOB = 'services';
const PROGRESS_PREFIX = 'tidemark/';
/** Where the backup is: its objects are `data/<name>/…` in the bucket, as FoundationDB's blob stores have it. */
export const BUCKET = 'backups';
const BACKUP_NAME = 'services';
export const OBJECT_PREFIX = `data/${BACKUP_NAME}/`;
export const CONTAINER_URL = `s3://${BUCKET}/${BACKUP_NAME}`;

export function etcdClient(url: string): Etcd3 {
  return new Etcd3({ hosts: [url], grpcOptions: ETCD_GRPC_OPTIONS });
}

export function progressStore(client: Etcd3): ProgressStore {
  return new EtcdProgressStore({ client, prefix: PROGRESS_PREFIX });
}

export function backupContainer(client: S3Client): BackupContainer {
  return new S3Container({ client, bucket: BUCKET, name: BACKUP_NAME });
}
