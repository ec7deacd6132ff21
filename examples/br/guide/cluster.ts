// cluster.ts: the two sides of TiKV's backup service.

import { openContainer } from 'tidemark';
import { BackupRequestBuilder, BrEndpoint, serveBackup, TikvBackupClient } from 'tidemark/br';
import type { BackupServer, ClusterBackup, TxnRangeSource } from 'tidemark/br';

/** Asks all stores of a cluster for a table at a timestamp. They write the files themselves, to a storage that all of them reach; `backupmeta` is written from here. */
export async function askCluster(cluster: {
  readonly stores: readonly string[];
  readonly id: bigint;
  readonly tableId: bigint;
  readonly timestamp: bigint;
  readonly storage: string;
}): Promise<ClusterBackup> {
  const { stores, id, tableId, timestamp, storage } = cluster;
  const request = new BackupRequestBuilder()
    .clusterId(id)
    .table(tableId, 'all')
    .versions({ at: timestamp })
    .storage(storage)
    .compression('zstd')
    .build();
  await using client = await TikvBackupClient.open({ addresses: stores });
  return await client.backup(request, { meta: { container: await openContainer(storage) } });
}

/** Answers such requests from your own database: it is then one store, which leads all regions. */
export async function serve(source: TxnRangeSource, clusterId: bigint, folder: string): Promise<BackupServer> {
  const endpoint = new BrEndpoint({ txn: source });
  return await serveBackup(endpoint, { clusterId, localFolders: [folder], address: '127.0.0.1:0' });
}
