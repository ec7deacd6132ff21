// A backup of a TiKV cluster, or of what answers like one, asked for over gRPC. Joins the stores' answers; how, gather-backup.ts knows.

import type { ChannelCredentials, ChannelOptions, Client } from '@grpc/grpc-js';
import { AbortScope } from '../../core/abort.js';
import { checkMethods } from '../../core/check-option.js';
import { BackupError } from '../../core/errors.js';
import { loadBrMessages } from '../../format/br/proto/load.js';
import type { BackupRequest } from '../request/backup-request.js';
import { backUpCluster } from '../request/cluster-backup.js';
import type { ClusterBackup, ClusterBackupMeta } from '../request/cluster-backup.js';
import { gatherBackup } from '../request/gather-backup.js';
import type { GatherOptions, GatheredBackup } from '../request/gather-backup.js';
import { GrpcBackupStore } from './grpc-store.js';
import { loadGrpc } from './load-grpc.js';

export interface TikvBackupClientOptions {
  /** `host:port` of every store of the cluster: each backs up the regions that it leads, and a region whose store is not named here is never backed up. */
  readonly addresses?: readonly string[];
  /** Of all addresses. Default: none, without TLS. */
  readonly credentials?: ChannelCredentials;
  /** Of all addresses. Default: a connection that is dead is noticed after 13 s, as in BR. */
  readonly channelOptions?: ChannelOptions;
  /** Stores that are connected already, by name; the clients (of @grpc/grpc-js) stay the caller's to close. */
  readonly clients?: Readonly<Record<string, Client>>;
}

export interface TikvBackupOptions extends GatherOptions {
  /** Where the backup becomes one. */
  readonly meta: ClusterBackupMeta;
}

/** ms, as BR has them. */
const CHANNEL_OPTIONS: ChannelOptions = { 'grpc.keepalive_time_ms': 10_000, 'grpc.keepalive_timeout_ms': 3_000 };

/**
 * ```ts
 * await using client = await TikvBackupClient.open({ addresses: ['tikv-0:20160', 'tikv-1:20160'] });
 * const { files } = await client.backup(request, { meta: { container }, signal });
 * ```
 */
export class TikvBackupClient implements AsyncDisposable {
  readonly #stores: readonly GrpcBackupStore[];
  readonly #owned: readonly Client[];
  readonly #scope = new AbortScope();
  readonly #running = new Set<Promise<unknown>>();

  private constructor(stores: readonly GrpcBackupStore[], owned: readonly Client[]) {
    this.#stores = stores;
    this.#owned = owned;
  }

  /** Connects with the first request. INVALID_OPTION, PACKAGE_MISSING. */
  static async open(options: TikvBackupClientOptions): Promise<TikvBackupClient> {
    const { addresses = [], clients = {}, credentials, channelOptions = {} } = options;
    checkStores([...addresses, ...Object.keys(clients)]);
    const messages = await loadBrMessages();
    const grpc = await loadGrpc();
    const owned = addresses.map((address) => ({
      name: address,
      client: new grpc.Client(address, credentials ?? grpc.credentials.createInsecure(), {
        ...CHANNEL_OPTIONS,
        ...channelOptions,
      }),
    }));
    const injected = Object.entries(clients).map(([name, client]) => {
      checkMethods(`clients.${name}`, client, 'Client of @grpc/grpc-js', ['makeServerStreamRequest']);
      return { name, client };
    });
    const stores = [...owned, ...injected].map(({ name, client }) => new GrpcBackupStore(name, client, messages));
    return new TikvBackupClient(
      stores,
      owned.map(({ client }) => client),
    );
  }

  /**
   * Has all stores back up what the request says, and writes `backupmeta` when every range of it is stored: then, and only then, there is a backup. See backUpCluster and gatherBackup for the errors. Several backups may run at
   * once.
   */
  async backup(request: BackupRequest, options: TikvBackupOptions): Promise<ClusterBackup> {
    const { meta, ...gather } = options;
    return await this.#run(gather, (own) => backUpCluster(request, this.#stores, own, meta));
  }

  /** The files alone: without a `backupmeta` nothing can restore them. For who keeps the meta data otherwise. See gatherBackup for the errors. */
  async gather(request: BackupRequest, options: GatherOptions = {}): Promise<GatheredBackup> {
    return await this.#run(options, (own) => gatherBackup(request, this.#stores, own));
  }

  /** Until it is done, or the client is closed. */
  async #run<T>(options: GatherOptions, body: (options: GatherOptions) => Promise<T>): Promise<T> {
    if (this.#scope.signal.aborted) throw closed();
    using scope = new AbortScope(options.signal);
    const onClose = () => scope.end(closed());
    this.#scope.signal.addEventListener('abort', onClose, { once: true });
    const work = body({ ...options, signal: scope.signal });
    this.#running.add(work);
    try {
      return await work;
    } finally {
      this.#running.delete(work);
      this.#scope.signal.removeEventListener('abort', onClose);
    }
  }

  /** Ends what runs (INVALID_STATE there), waits for it, and closes the connections that were made here. */
  async close(): Promise<void> {
    this.#scope.end();
    await Promise.allSettled(this.#running);
    for (const client of this.#owned) client.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

function checkStores(names: readonly string[]): void {
  if (names.length === 0) throw new BackupError('INVALID_OPTION', 'addresses must name the stores of the cluster');
  for (const name of names) {
    if (typeof name === 'string' && name !== '') continue;
    throw new BackupError('INVALID_OPTION', `addresses must be host:port, got ${JSON.stringify(name)}`);
  }
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) throw new BackupError('INVALID_OPTION', `addresses must differ, got ${twice} twice`);
}

function closed(): BackupError {
  return new BackupError('INVALID_STATE', 'the client of the backup service is closed');
}
