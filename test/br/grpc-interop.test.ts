// Their client against our server, our client against their server, where "their" is a gRPC service that @grpc/proto-loader makes from TiKV's protocol: as written out in grpc-protos.ts, and the original's with KVPROTO_DIR.

import * as grpc from '@grpc/grpc-js';
import { afterEach, describe, expect, it } from 'vitest';
import { utf8 } from '../../src/core/bytes.js';
import { MemoryContainer } from '../../src/container/memory-container.js';
import { BackupRequestBuilder } from '../../src/br/request/backup-request-builder.js';
import { BrEndpoint } from '../../src/br/backup/br-endpoint.js';
import type { BackupServer } from '../../src/br/grpc/serve-backup.js';
import { serveBackup } from '../../src/br/grpc/serve-backup.js';
import { TikvBackupClient } from '../../src/br/grpc/tikv-backup-client.js';
import { StorageBackend, azureCustomerKey } from '../../src/br/request/storage-backend.js';
import { MemoryTxnSource } from '../../src/testing/memory-txn-source.js';
import { txnRows } from './backup-world.js';
import { HastyClock } from './fake-tikv.js';
import type { TheirBackup, Theirs } from './grpc-protos.js';
import { originalBackup, writtenBackup } from './grpc-protos.js';

type TheirClient = InstanceType<TheirBackup['Client']>;

const original = originalBackup();
const sides = [writtenBackup(), ...(original === undefined ? [] : [original])];

const closing: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

/** A server of theirs; answers with what the body gives, and returns what it was asked. */
async function theirServer({ service }: TheirBackup, body: (request: Theirs) => Iterable<Theirs>) {
  const requests: Theirs[] = [];
  const server = new grpc.Server();
  const backup = (call: grpc.ServerWritableStream<Theirs, Theirs>) => {
    requests.push(call.request);
    for (const answer of body(call.request)) call.write(answer);
    call.end();
  };
  server.addService(service, { backup });
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, bound) => {
      if (error === null) resolve(bound);
      else reject(error);
    }),
  );
  closing.push(() => server.forceShutdown());
  const client = await TikvBackupClient.open({ addresses: [`127.0.0.1:${port}`] });
  closing.push(() => client.close());
  return { client, requests };
}

function theirClient({ Client }: TheirBackup, server: BackupServer): TheirClient {
  const client = new Client(server.address ?? '', grpc.credentials.createInsecure());
  closing.push(() => client.close());
  return client;
}

async function call(client: TheirClient, request: Theirs): Promise<Theirs[]> {
  const stream = (client['backup'] as (request: Theirs) => AsyncIterable<Theirs>).call(client, request);
  const answers: Theirs[] = [];
  for await (const answer of stream) answers.push(answer);
  return answers;
}

const theirFile = (name: string, change: Theirs = {}): Theirs => ({
  name,
  sha256: Buffer.alloc(32, 7),
  start_key: Buffer.from('a'),
  end_key: Buffer.from('m'),
  start_version: '0',
  end_version: '18446744073709551615',
  crc64xor: '18446744073709551614',
  total_kvs: '3',
  total_bytes: '300',
  cf: 'write',
  size: '1499',
  cipher_iv: Buffer.alloc(16, 1),
  table_metas: [{ physical_id: '-5', crc64xor: '1', total_kvs: '2', total_bytes: '3' }],
  ...change,
});

describe.each(sides)('the protocol of TiKV, $origin', (side) => {
  it('reads our requests as they were meant', async () => {
    const { client, requests } = await theirServer(side, () => [
      { start_key: Buffer.from('t'), end_key: Buffer.from('u'), files: [] },
    ]);
    const request = new BackupRequestBuilder()
      .clusterId((1n << 64n) - 1n)
      .range(utf8('t'), utf8('u'))
      .subRanges([
        { startKey: utf8('t'), endKey: utf8('t1') },
        { startKey: utf8('t2'), endKey: utf8('u') },
      ])
      .versions({ since: 5n, at: (1n << 64n) - 1n })
      .rateLimit(1n << 40n)
      .concurrency(4)
      .compression('zstd', -7)
      .cipher({ method: 'aes192-ctr', key: new Uint8Array(24).fill(3) })
      .apiVersion('v2')
      .replicaRead()
      .context({ requestSource: 'tidemark', resourceControlContext: { resourceGroupName: 'backups' } })
      .storage('local:///backup')
      .build();
    // The server answers for more than it was asked: not believed.
    await expect(client.gather(request)).rejects.toMatchObject({ code: 'ADAPTER_CONTRACT' });
    expect(requests).toMatchObject([
      {
        cluster_id: '18446744073709551615',
        start_key: Buffer.from('t'),
        end_key: Buffer.from('u'),
        start_version: '5',
        end_version: '18446744073709551615',
        rate_limit: String(1n << 40n),
        concurrency: 4,
        compression_type: 'ZSTD',
        compression_level: -7,
        cipher_info: { cipher_type: 'AES192_CTR', cipher_key: Buffer.alloc(24, 3) },
        dst_api_version: 'V2',
        replica_read: true,
        is_raw_kv: false,
        cf: '',
        mode: 'SCAN',
        context: { request_source: 'tidemark', resource_control_context: { resource_group_name: 'backups' } },
        sub_ranges: [
          { start_key: Buffer.from('t'), end_key: Buffer.from('t1') },
          { start_key: Buffer.from('t2'), end_key: Buffer.from('u') },
        ],
        sorted_sub_ranges_groups: [],
        storage_backend: { backend: 'local', local: { path: '/backup' } },
      },
    ]);
  });

  it('reads our requests for raw KV', async () => {
    const { client, requests } = await theirServer(side, () => [{}]);
    const raw = new BackupRequestBuilder().clusterId(1n).raw('write').range(utf8(''), utf8('')).storage('noop://');
    expect(await client.gather(raw.build())).toMatchObject({ files: [], rounds: 1 });
    expect(requests).toMatchObject([
      {
        is_raw_kv: true,
        cf: 'write',
        compression_type: 'UNKNOWN',
        cipher_info: { cipher_type: 'PLAINTEXT' },
        start_version: '0',
        end_version: '0',
      },
    ]);
  });

  const everyS3Field = {
    ...{ bucket: 'b', prefix: 'p/q', endpoint: 'http://minio:9000', region: 'eu', storageClass: 'IA', sse: 'aws:kms' },
    ...{
      sseKmsKeyId: 'kms',
      acl: 'private',
      accessKey: 'AK',
      secretAccessKey: 'SK',
      sessionToken: 'ST',
      forcePathStyle: true,
    },
    ...{ roleArn: 'arn', externalId: 'ext', objectLockEnabled: true, provider: 'ceph', profile: 'prof' },
  };
  const key = azureCustomerKey(new Uint8Array(32).fill(5));
  it.each([
    [StorageBackend.noop(), 'noop', {}],
    [StorageBackend.local('/a b'), 'local', { path: '/a b' }],
    [StorageBackend.hdfs('hdfs://n:9/x'), 'hdfs', { remote: 'hdfs://n:9/x' }],
    [
      StorageBackend.s3(everyS3Field),
      's3',
      {
        ...{
          bucket: 'b',
          prefix: 'p/q',
          endpoint: 'http://minio:9000',
          region: 'eu',
          storage_class: 'IA',
          sse: 'aws:kms',
        },
        ...{ sse_kms_key_id: 'kms', acl: 'private', access_key: 'AK', secret_access_key: 'SK', session_token: 'ST' },
        ...{
          force_path_style: true,
          role_arn: 'arn',
          external_id: 'ext',
          object_lock_enabled: true,
          provider: 'ceph',
          profile: 'prof',
        },
      },
    ],
    [
      StorageBackend.gcs({
        bucket: 'g',
        prefix: 'x',
        endpoint: 'https://e',
        storageClass: 'NEARLINE',
        predefinedAcl: 'private',
        credentialsBlob: '{}',
      }),
      'gcs',
      {
        bucket: 'g',
        prefix: 'x',
        endpoint: 'https://e',
        storage_class: 'NEARLINE',
        predefined_acl: 'private',
        credentials_blob: '{}',
      },
    ],
    [
      StorageBackend.azure({
        bucket: 'c',
        prefix: 'x',
        endpoint: 'https://e',
        storageClass: 'Cool',
        accountName: 'n',
        sharedKey: 'k',
        accessSig: 's',
        encryptionKey: key,
      }),
      'azure_blob_storage',
      {
        ...{
          bucket: 'c',
          prefix: 'x',
          endpoint: 'https://e',
          storage_class: 'Cool',
          account_name: 'n',
          shared_key: 'k',
          access_sig: 's',
        },
        encryption_key: { encryption_key: key.encryptionKey, encryption_key_sha256: key.encryptionKeySha256 },
      },
    ],
    [
      StorageBackend.azure({ bucket: 'c', encryptionScope: 'scope' }),
      'azure_blob_storage',
      { bucket: 'c', encryption_scope: 'scope' },
    ],
    [
      StorageBackend.cloudDynamic({
        providerName: 'ks3',
        bucket: { bucket: 'b', region: 'r', prefix: 'p', endpoint: 'https://e', storageClass: 'c' },
        attrs: new Map([['token', 'T']]),
      }),
      'cloud_dynamic',
      {
        provider_name: 'ks3',
        bucket: { bucket: 'b', region: 'r', prefix: 'p', endpoint: 'https://e', storage_class: 'c' },
        attrs: { token: 'T' },
      },
    ],
  ] as [StorageBackend, string, Theirs][])('reads where the files are to go: %s', async (storage, kind, fields) => {
    const { client, requests } = await theirServer(side, () => [{}]);
    await client.gather(
      new BackupRequestBuilder().clusterId(1n).raw().range(utf8(''), utf8('')).storage(storage).build(),
    );
    expect(requests).toMatchObject([{ storage_backend: { backend: kind, [kind]: fields } }]);
  });

  it('is read by us: answers with files, and each kind of error', async () => {
    let round = 0;
    const { client } = await theirServer(side, () => {
      const range = { start_key: Buffer.from('a'), end_key: Buffer.from('m'), api_version: 'V1' };
      const errors: Theirs[] = [
        {
          region_error: {
            message: 'split',
            epoch_not_match: {
              current_regions: [{ id: '4', start_key: Buffer.from('a'), peers: [{ id: '1', store_id: '2' }] }],
            },
          },
        },
        { region_error: { message: 'moved', not_leader: { region_id: '4', leader: { id: '9', store_id: '3' } } } },
        { region_error: { server_is_busy: { reason: 'load', backoff_ms: '77' } } },
        {
          kv_error: {
            locked: { key: Buffer.from('k'), primary_lock: Buffer.from('p'), lock_version: '4', lock_ttl: '3000' },
          },
        },
      ];
      const error = errors[round++];
      if (error !== undefined) return [{ error: { msg: '', ...error } }];
      if (round === 5)
        return [{ ...range, files: [theirFile('1/2_3_write.sst'), theirFile('1/2_3_default.sst', { cf: 'default' })] }];
      return [{ error: { msg: '', cluster_id_error: { current: '3', request: '1' } } }];
    });
    const request = new BackupRequestBuilder()
      .clusterId(1n)
      .versions({ at: (1n << 64n) - 1n })
      .storage('noop://')
      .range(utf8('a'), utf8('m'));
    const seen: (string | undefined)[] = [];
    const locks: unknown[] = [];
    const options = {
      clock: new HastyClock(),
      onAnswer: ({ error }: { error?: Error | undefined }) => seen.push(error?.message.replace(/^[^ ]* /, '')),
      resolveLock: (lock: unknown) => Promise.resolve(locks.push(lock) - 1),
    };
    const { files } = await client.gather(request.build(), options);
    expect(seen).toEqual([
      'epochNotMatch: split',
      'notLeader: moved',
      'serverIsBusy',
      'key "k" is locked by the transaction of 4',
      undefined,
    ]);
    expect(locks).toMatchObject([{ lockVersion: 4n, lockTtl: 3000n, key: utf8('k') }]);
    expect(files).toMatchObject([
      {
        ...{
          name: '1/2_3_write.sst',
          crc64xor: (1n << 64n) - 2n,
          totalKvs: 3n,
          totalBytes: 300n,
          size: 1499n,
          cf: 'write',
          endVersion: (1n << 64n) - 1n,
        },
        tableMetas: [{ physicalId: -5n, crc64xor: 1n, totalKvs: 2n, totalBytes: 3n }],
      },
      { cf: 'default' },
    ]);
    await expect(client.gather(request.build(), options)).rejects.toMatchObject({ code: 'INVALID_OPTION' });
  });

  it('asks our server and reads its answers', async () => {
    const source = new MemoryTxnSource({ borders: [utf8('k0010')] });
    const at = source.commit(txnRows(20));
    const server = await serveBackup(new BrEndpoint({ txn: source, storeId: 4n }), {
      clusterId: 7n,
      openStorage: () => new MemoryContainer(),
    });
    closing.push(() => server.close());
    const client = theirClient(side, server);
    const request = {
      cluster_id: '7',
      start_key: Buffer.from('k'),
      end_version: String(at),
      compression_type: 'LZ4',
      storage_backend: { local: { path: '/x' } },
    };
    const answers = await call(client, request);
    expect(answers.map(({ start_key, end_key, error }) => [String(start_key), String(end_key), error])).toEqual(
      expect.arrayContaining([
        ['k', 'k0010', null],
        ['k0010', '', null],
      ]),
    );
    const files = answers.flatMap((answer) => answer['files'] as Theirs[]);
    expect(files.map(({ cf }) => cf)).toEqual(expect.arrayContaining(['write', 'default']));
    for (const file of files) {
      expect(file).toMatchObject({ start_version: '0', end_version: String(at), cipher_iv: Buffer.alloc(0) });
      expect(String(file['name'])).toMatch(/^4\/\d+_\d+_[0-9a-f]{64}_\d+_(?:write|default)\.sst$/);
      expect((file['sha256'] as Buffer).length).toBe(32);
    }
    expect(files.reduce((sum, { total_kvs }) => sum + Number(total_kvs), 0)).toBe(20);
    expect(await call(client, { ...request, cluster_id: '8' })).toMatchObject([
      { error: { detail: 'cluster_id_error', cluster_id_error: { current: '7', request: '8' } } },
    ]);
    expect(await call(client, { ...request, is_raw_kv: true, dst_api_version: 'V2' })).toMatchObject([
      { error: { msg: expect.stringMatching(/API version/) as string } },
    ]);
    await expect(call(client, { ...request, mode: 'FILE' })).rejects.toMatchObject({ code: grpc.status.UNIMPLEMENTED });
  });

  it('is told that our server has nothing of what belongs to other backups', async () => {
    const server = await serveBackup(
      {
        request: () => {
          throw new Error('not asked');
        },
      },
      { clusterId: 7n },
    );
    closing.push(() => server.close());
    const client = theirClient(side, server);
    const unary = (method: string) =>
      new Promise((_resolve, reject) => {
        (client[method] as (request: object, done: (error: Error) => void) => void).call(client, {}, reject);
      });
    const streaming = async (method: string) => {
      const stream = (client[method] as (request: object) => AsyncIterable<unknown>).call(client, {});
      for await (const answer of stream) expect(answer).toBeUndefined();
    };
    await expect(unary('prepare')).rejects.toMatchObject({ code: grpc.status.UNIMPLEMENTED });
    await expect(unary('cleanup')).rejects.toMatchObject({ code: grpc.status.UNIMPLEMENTED });
    await expect(streaming('CheckPendingAdminOp')).rejects.toMatchObject({ code: grpc.status.UNIMPLEMENTED });
    await expect(streaming('PrepareSnapshotBackup')).rejects.toMatchObject({ code: grpc.status.UNIMPLEMENTED });
  });
});
