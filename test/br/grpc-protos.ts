// TiKV's backup protocol for @grpc/proto-loader: written out here from its facts (packages, messages, names, numbers, types), apart from what the library knows of them; or, with KVPROTO_DIR, a checkout of pingcap/kvproto.

import { existsSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as grpc from '@grpc/grpc-js';
import * as protoLoader from '@grpc/proto-loader';

/** Of a file: what it imports, and its messages and enums. A field is `name=number:type`, with `*` behind the type when it is repeated; `|` begins a oneof's fields. */
interface ProtoFacts {
  readonly package: string;
  readonly imports?: readonly string[];
  readonly messages: Readonly<Record<string, string>>;
  readonly enums?: Readonly<Record<string, string>>;
  readonly services?: Readonly<Record<string, readonly string[]>>;
}

const FILES: Readonly<Record<string, ProtoFacts>> = {
  metapb: {
    package: 'metapb',
    messages: {
      RegionEpoch: 'conf_ver=1:uint64 version=2:uint64',
      Peer: 'id=1:uint64 store_id=2:uint64 is_witness=4:bool',
      Region: 'id=1:uint64 start_key=2:bytes end_key=3:bytes region_epoch=4:RegionEpoch peers=5:Peer*',
    },
  },
  encryptionpb: {
    package: 'encryptionpb',
    messages: {},
    enums: { EncryptionMethod: 'UNKNOWN=0 PLAINTEXT=1 AES128_CTR=2 AES192_CTR=3 AES256_CTR=4 SM4_CTR=5' },
  },
  errorpb: {
    package: 'errorpb',
    imports: ['metapb'],
    messages: {
      NotLeader: 'region_id=1:uint64 leader=2:metapb.Peer',
      RegionNotFound: 'region_id=1:uint64',
      EpochNotMatch: 'current_regions=1:metapb.Region*',
      ServerIsBusy: 'reason=1:string backoff_ms=2:uint64',
      Error:
        'message=1:string not_leader=2:NotLeader region_not_found=3:RegionNotFound epoch_not_match=5:EpochNotMatch server_is_busy=6:ServerIsBusy',
    },
  },
  kvrpcpb: {
    package: 'kvrpcpb',
    messages: {
      KeyRange: 'start_key=1:bytes end_key=2:bytes',
      LockInfo: 'primary_lock=1:bytes lock_version=2:uint64 key=3:bytes lock_ttl=4:uint64',
      KeyError: 'locked=1:LockInfo retryable=2:string abort=3:string',
      ResourceControlContext: 'resource_group_name=1:string override_priority=3:uint64',
      Context:
        'region_id=1:uint64 request_source=24:string resource_control_context=28:ResourceControlContext cluster_id=35:uint64',
    },
    enums: { APIVersion: 'V1=0 V1TTL=1 V2=2' },
  },
  brpb: {
    package: 'backup',
    imports: ['metapb', 'encryptionpb', 'errorpb', 'kvrpcpb'],
    messages: {
      TableMeta: 'physical_id=1:int64 crc64xor=2:uint64 total_kvs=3:uint64 total_bytes=4:uint64',
      File: 'name=1:string sha256=2:bytes start_key=3:bytes end_key=4:bytes start_version=5:uint64 end_version=6:uint64 crc64xor=7:uint64 total_kvs=8:uint64 total_bytes=9:uint64 cf=10:string size=11:uint64 cipher_iv=12:bytes table_metas=13:TableMeta*',
      ClusterIDError: 'current=1:uint64 request=2:uint64',
      Error:
        'msg=1:string | detail cluster_id_error=3:ClusterIDError kv_error=4:kvrpcpb.KeyError region_error=5:errorpb.Error',
      CipherInfo: 'cipher_type=1:encryptionpb.EncryptionMethod cipher_key=2:bytes',
      SortedSubRanges: 'sub_ranges=1:kvrpcpb.KeyRange*',
      Noop: '',
      Local: 'path=1:string',
      S3: 'endpoint=1:string region=2:string bucket=3:string prefix=4:string storage_class=5:string sse=6:string acl=7:string access_key=8:string secret_access_key=9:string force_path_style=10:bool sse_kms_key_id=11:string role_arn=12:string external_id=13:string object_lock_enabled=14:bool session_token=15:string provider=16:string profile=17:string',
      GCS: 'endpoint=1:string bucket=2:string prefix=3:string storage_class=4:string predefined_acl=5:string credentials_blob=6:string',
      AzureCustomerKey: 'encryption_key=1:string encryption_key_sha256=2:string',
      AzureBlobStorage:
        'endpoint=1:string bucket=2:string prefix=3:string storage_class=4:string account_name=5:string shared_key=6:string access_sig=8:string encryption_scope=9:string encryption_key=10:AzureCustomerKey',
      Bucket: 'endpoint=1:string region=3:string bucket=4:string prefix=5:string storage_class=6:string',
      CloudDynamic: 'bucket=1:Bucket provider_name=2:string attrs=3:map<string,string>',
      HDFS: 'remote=1:string',
      StorageBackend:
        '| backend noop=1:Noop local=2:Local s3=3:S3 gcs=4:GCS cloud_dynamic=5:CloudDynamic hdfs=6:HDFS azure_blob_storage=7:AzureBlobStorage',
      BackupRequest:
        'cluster_id=1:uint64 start_key=2:bytes end_key=3:bytes start_version=4:uint64 end_version=5:uint64 rate_limit=7:uint64 concurrency=8:uint32 storage_backend=9:StorageBackend is_raw_kv=10:bool cf=11:string compression_type=12:CompressionType compression_level=13:int32 cipher_info=14:CipherInfo dst_api_version=15:kvrpcpb.APIVersion sub_ranges=16:kvrpcpb.KeyRange* replica_read=17:bool mode=18:BackupMode unique_id=19:string context=20:kvrpcpb.Context sorted_sub_ranges_groups=21:SortedSubRanges*',
      BackupResponse: 'error=1:Error start_key=2:bytes end_key=3:bytes files=4:File* api_version=5:kvrpcpb.APIVersion',
      CheckAdminRequest: '',
      CheckAdminResponse: 'error=1:Error',
      PrepareRequest: 'save_to_storage=1:bool',
      PrepareResponse: 'error=1:Error unique_id=2:string',
      CleanupRequest: 'unique_id=1:string',
      CleanupResponse: 'error=1:Error success=2:bool',
      PrepareSnapshotBackupRequest: 'lease_in_seconds=3:uint64',
      PrepareSnapshotBackupResponse: 'last_lease_is_valid=4:bool',
    },
    enums: { CompressionType: 'UNKNOWN=0 LZ4=1 SNAPPY=2 ZSTD=3', BackupMode: 'SCAN=0 FILE=1' },
    services: {
      Backup: [
        'backup(BackupRequest) returns (stream BackupResponse)',
        'CheckPendingAdminOp(CheckAdminRequest) returns (stream CheckAdminResponse)',
        'PrepareSnapshotBackup(stream PrepareSnapshotBackupRequest) returns (stream PrepareSnapshotBackupResponse)',
        'prepare(PrepareRequest) returns (PrepareResponse)',
        'cleanup(CleanupRequest) returns (CleanupResponse)',
      ],
    },
  },
};

/** As proto-loader gives messages with the options below: texts for 64-bit numbers and enums. */
export type Theirs = Readonly<Record<string, unknown>>;

export interface TheirBackup {
  readonly service: grpc.ServiceDefinition;
  readonly Client: grpc.ServiceClientConstructor;
  /** `written here`, or the checkout. */
  readonly origin: string;
}

const LOADING: protoLoader.Options = { keepCase: true, longs: String, enums: String, oneofs: true, defaults: true };

/** The service as written out here. */
export function writtenBackup(): TheirBackup {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-proto-'));
  mkdirSync(folder, { recursive: true });
  for (const [name, facts] of Object.entries(FILES)) writeFileSync(join(folder, `${name}.proto`), protoText(facts));
  return load(join(folder, 'brpb.proto'), [folder], 'written here');
}

/** The original's, where KVPROTO_DIR says there is a checkout. */
export function originalBackup(): TheirBackup | undefined {
  const checkout = process.env['KVPROTO_DIR'];
  if (checkout === undefined || !existsSync(join(checkout, 'proto', 'brpb.proto'))) return undefined;
  return load(join(checkout, 'proto', 'brpb.proto'), [join(checkout, 'proto'), join(checkout, 'include')], checkout);
}

function load(file: string, includeDirs: string[], origin: string): TheirBackup {
  const loaded = grpc.loadPackageDefinition(protoLoader.loadSync(file, { ...LOADING, includeDirs }));
  const Client = (loaded['backup'] as grpc.GrpcObject)['Backup'] as grpc.ServiceClientConstructor;
  return { service: Client.service, Client, origin };
}

export function protoText({ package: name, imports = [], messages, enums = {}, services = {} }: ProtoFacts): string {
  return [
    'syntax = "proto3";',
    `package ${name};`,
    ...imports.map((file) => `import "${file}.proto";`),
    ...Object.entries(enums).map(([type, values]) => `enum ${type} {\n${values.replace(/ |$/g, ';\n')}}`),
    ...Object.entries(messages).map(([type, fields]) => `message ${type} {\n${fieldsText(fields)}}`),
    ...Object.entries(services).map(
      ([type, methods]) => `service ${type} {\n${methods.map((m) => `rpc ${m} {}\n`).join('')}}`,
    ),
  ].join('\n');
}

function fieldsText(fields: string): string {
  const [plain = '', oneof] = fields.split('|');
  const [, name, members = ''] = /^\s*(\w+)\s(.*)$/s.exec(oneof ?? '') ?? [];
  return plainText(plain) + (name === undefined ? '' : `oneof ${name} {\n${plainText(members)}}\n`);
}

function plainText(fields: string): string {
  return fields
    .split(' ')
    .filter((field) => field !== '')
    .map((field) => {
      const [, name = '', no = '', type = '', many = ''] = /^(\w+)=(\d+):(.*?)(\*?)$/.exec(field) ?? [];
      return `${many === '*' ? 'repeated ' : ''}${type} ${name} = ${no};\n`;
    })
    .join('');
}
