// The servers that the demo starts, each with its data in the demo's temp folder.

import { join } from 'node:path';
import type { Children } from './children.js';
import { EtcdServer } from './etcd-server.js';
import { S3Server } from './s3-server.js';

export interface Servers {
  /** What the services use, and what is backed up. */
  readonly services: EtcdServer;
  /** Where the worker processes coordinate: progress that is kept in the cluster which is backed up would be backed up as well, or have to be left out. */
  readonly coordination: EtcdServer;
  /** To restore into. */
  readonly spare: EtcdServer;
  readonly s3: S3Server;
  /** Ends all of them. */
  stop(): Promise<void>;
}

export async function startServers(children: Children, signal: AbortSignal): Promise<Servers> {
  const starting = [
    EtcdServer.start(children, 'services', signal),
    EtcdServer.start(children, 'coordination', signal),
    EtcdServer.start(children, 'spare', signal),
    S3Server.start(children, join(children.folder, 's3'), signal),
  ] as const;
  const stop = async () => {
    for (const started of await Promise.allSettled(starting))
      if (started.status === 'fulfilled') await started.value.stop();
  };
  try {
    const [services, coordination, spare, s3] = await Promise.all(starting);
    return { services, coordination, spare, s3, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
