// The protocol's messages once more, listed independently of src/format/br/proto: what a test has protoc read and write with. From this listing .proto files are made in a temporary folder; with KVPROTO_DIR set (a checkout of
// kvproto) the original's are used instead.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { run } from '../../servers/judges.js';

/** Name, type and number of each field; `*` for repeated ones, `<T>` for a map from strings, `|name` for members of a oneof. */
export const MESSAGES: Readonly<Record<string, string>> = {
  'backup.TableMeta': 'physical_id:int64=1 crc64xor:uint64=2 total_kvs:uint64=3 total_bytes:uint64=4',
  'backup.File':
    'name:string=1 sha256:bytes=2 start_key:bytes=3 end_key:bytes=4 start_version:uint64=5 end_version:uint64=6 crc64xor:uint64=7 total_kvs:uint64=8 total_bytes:uint64=9 ' +
    'table_metas:backup.TableMeta*=13 cf:string=10 size:uint64=11 cipher_iv:bytes=12',
  'backup.RawRange': 'start_key:bytes=1 end_key:bytes=2 cf:string=3',
  'backup.BackupRange': 'start_key:bytes=1 end_key:bytes=2 files:backup.File*=3',
  'backup.StatsFileIndex':
    'name:string=1 sha256:bytes=2 size_enc:uint64=3 size_ori:uint64=4 cipher_iv:bytes=5 inline_data:bytes=6',
  'backup.Schema':
    'db:bytes=1 table:bytes=2 crc64xor:uint64=3 total_kvs:uint64=4 total_bytes:uint64=5 tiflash_replicas:uint32=6 stats:bytes=7 stats_index:backup.StatsFileIndex*=8 is_merge_option_allowed:bool=9 ' +
    'partition_merge_option_allowed:<bool>=10',
  'backup.MetaFile':
    'meta_files:backup.File*=1 data_files:backup.File*=2 schemas:backup.Schema*=3 raw_ranges:backup.RawRange*=4 backup_ranges:backup.BackupRange*=6 ddls:bytes*=5',
  'backup.PlacementPolicy': 'info:bytes=1',
  'backup.IDMap': 'upstream_id:int64=1 downstream_id:int64=2',
  'backup.PitrTableMap': 'name:string=1 id_map:backup.IDMap=2 partitions:backup.IDMap*=3 filtered_out:bool=4',
  'backup.PitrDBMap':
    'name:string=1 id_map:backup.IDMap=2 tables:backup.PitrTableMap*=3 filtered_out:bool=4 reused:bool=5',
  'backup.BackupMeta':
    'cluster_id:uint64=1 cluster_version:string=2 br_version:string=11 version:int32=12 files:backup.File*=4 file_index:backup.MetaFile=13 start_version:uint64=5 end_version:uint64=6 ' +
    'schemas:backup.Schema*=7 schema_index:backup.MetaFile=14 backup_schema_version:uint32=26 is_raw_kv:bool=8 raw_ranges:backup.RawRange*=9 raw_range_index:backup.MetaFile=15 ddls:bytes=10 ' +
    'ddl_indexes:backup.MetaFile=16 backup_result:string=17 api_version:kvrpcpb.APIVersion=18 policies:backup.PlacementPolicy*=19 new_collations_enabled:string=20 is_txn_kv:bool=21 ' +
    'db_maps:backup.PitrDBMap*=22 mode:backup.BackupMode=23 ranges:backup.BackupRange*=24 backup_size:uint64=25',
  'backup.ClusterIDError': 'current:uint64=1 request:uint64=2',
  'backup.Error':
    'msg:string=1 cluster_id_error:backup.ClusterIDError=3|detail kv_error:kvrpcpb.KeyError=4|detail region_error:errorpb.Error=5|detail',
  'backup.CipherInfo': 'cipher_type:encryptionpb.EncryptionMethod=1 cipher_key:bytes=2',
  'backup.SortedSubRanges': 'sub_ranges:kvrpcpb.KeyRange*=1',
  'backup.BackupRequest':
    'cluster_id:uint64=1 start_key:bytes=2 end_key:bytes=3 start_version:uint64=4 end_version:uint64=5 rate_limit:uint64=7 concurrency:uint32=8 storage_backend:backup.StorageBackend=9 is_raw_kv:bool=10 ' +
    'cf:string=11 compression_type:backup.CompressionType=12 compression_level:int32=13 cipher_info:backup.CipherInfo=14 dst_api_version:kvrpcpb.APIVersion=15 sub_ranges:kvrpcpb.KeyRange*=16 ' +
    'sorted_sub_ranges_groups:backup.SortedSubRanges*=21 replica_read:bool=17 mode:backup.BackupMode=18 unique_id:string=19 context:kvrpcpb.Context=20',
  'backup.StorageBackend':
    'noop:backup.Noop=1|backend local:backup.Local=2|backend s3:backup.S3=3|backend gcs:backup.GCS=4|backend cloud_dynamic:backup.CloudDynamic=5|backend hdfs:backup.HDFS=6|backend ' +
    'azure_blob_storage:backup.AzureBlobStorage=7|backend',
  'backup.Noop': '',
  'backup.Local': 'path:string=1',
  'backup.S3':
    'endpoint:string=1 region:string=2 bucket:string=3 prefix:string=4 storage_class:string=5 sse:string=6 acl:string=7 access_key:string=8 secret_access_key:string=9 force_path_style:bool=10 ' +
    'sse_kms_key_id:string=11 role_arn:string=12 external_id:string=13 object_lock_enabled:bool=14 session_token:string=15 provider:string=16 profile:string=17',
  'backup.GCS':
    'endpoint:string=1 bucket:string=2 prefix:string=3 storage_class:string=4 predefined_acl:string=5 credentials_blob:string=6',
  'backup.AzureCustomerKey': 'encryption_key:string=1 encryption_key_sha256:string=2',
  'backup.AzureBlobStorage':
    'endpoint:string=1 bucket:string=2 prefix:string=3 storage_class:string=4 account_name:string=5 shared_key:string=6 access_sig:string=8 encryption_scope:string=9 ' +
    'encryption_key:backup.AzureCustomerKey=10',
  'backup.Bucket': 'endpoint:string=1 region:string=3 bucket:string=4 prefix:string=5 storage_class:string=6',
  'backup.CloudDynamic': 'bucket:backup.Bucket=1 provider_name:string=2 attrs:<string>=3',
  'backup.HDFS': 'remote:string=1',
  'backup.BackupResponse':
    'error:backup.Error=1 start_key:bytes=2 end_key:bytes=3 files:backup.File*=4 api_version:kvrpcpb.APIVersion=5',
  'kvrpcpb.KeyRange': 'start_key:bytes=1 end_key:bytes=2',
  'kvrpcpb.LockInfo':
    'primary_lock:bytes=1 lock_version:uint64=2 key:bytes=3 lock_ttl:uint64=4 txn_size:uint64=5 lock_for_update_ts:uint64=7 use_async_commit:bool=8 min_commit_ts:uint64=9 secondaries:bytes*=10',
  'kvrpcpb.WriteConflict':
    'start_ts:uint64=1 conflict_ts:uint64=2 key:bytes=3 primary:bytes=4 conflict_commit_ts:uint64=5',
  'kvrpcpb.KeyError': 'locked:kvrpcpb.LockInfo=1 retryable:string=2 abort:string=3 conflict:kvrpcpb.WriteConflict=4',
  'kvrpcpb.ResourceControlContext': 'resource_group_name:string=1 override_priority:uint64=3',
  'kvrpcpb.Context':
    'region_id:uint64=1 region_epoch:metapb.RegionEpoch=2 peer:metapb.Peer=3 term:uint64=5 priority:kvrpcpb.CommandPri=6 not_fill_cache:bool=8 replica_read:bool=12 api_version:kvrpcpb.APIVersion=21 ' +
    'request_source:string=24 resource_control_context:kvrpcpb.ResourceControlContext=28 cluster_id:uint64=35',
  'metapb.RegionEpoch': 'conf_ver:uint64=1 version:uint64=2',
  'metapb.Peer': 'id:uint64=1 store_id:uint64=2 role:metapb.PeerRole=3 is_witness:bool=4',
  'metapb.Region':
    'id:uint64=1 start_key:bytes=2 end_key:bytes=3 region_epoch:metapb.RegionEpoch=4 peers:metapb.Peer*=5',
  'errorpb.NotLeader': 'region_id:uint64=1 leader:metapb.Peer=2',
  'errorpb.RegionNotFound': 'region_id:uint64=1',
  'errorpb.KeyNotInRegion': 'key:bytes=1 region_id:uint64=2 start_key:bytes=3 end_key:bytes=4',
  'errorpb.EpochNotMatch': 'current_regions:metapb.Region*=1',
  'errorpb.ServerIsBusy': 'reason:string=1 backoff_ms:uint64=2 estimated_wait_ms:uint32=3 applied_index:uint64=4',
  'errorpb.StaleCommand': '',
  'errorpb.StoreNotMatch': 'request_store_id:uint64=1 actual_store_id:uint64=2',
  'errorpb.RaftEntryTooLarge': 'region_id:uint64=1 entry_size:uint64=2',
  'errorpb.MaxTimestampNotSynced': '',
  'errorpb.ReadIndexNotReady': 'reason:string=1 region_id:uint64=2',
  'errorpb.ProposalInMergingMode': 'region_id:uint64=1',
  'errorpb.DataIsNotReady': 'region_id:uint64=1 peer_id:uint64=2 safe_ts:uint64=3',
  'errorpb.RegionNotInitialized': 'region_id:uint64=1',
  'errorpb.DiskFull': 'store_id:uint64*=1 reason:string=2',
  'errorpb.RecoveryInProgress': 'region_id:uint64=1',
  'errorpb.FlashbackInProgress': 'region_id:uint64=1 flashback_start_ts:uint64=2',
  'errorpb.FlashbackNotPrepared': 'region_id:uint64=1',
  'errorpb.IsWitness': 'region_id:uint64=1',
  'errorpb.MismatchPeerId': 'request_peer_id:uint64=1 store_peer_id:uint64=2',
  'errorpb.BucketVersionNotMatch': 'version:uint64=1 keys:bytes*=2',
  'errorpb.UndeterminedResult': 'message:string=1',
  'errorpb.Error':
    'message:string=1 not_leader:errorpb.NotLeader=2 region_not_found:errorpb.RegionNotFound=3 key_not_in_region:errorpb.KeyNotInRegion=4 epoch_not_match:errorpb.EpochNotMatch=5 ' +
    'server_is_busy:errorpb.ServerIsBusy=6 stale_command:errorpb.StaleCommand=7 store_not_match:errorpb.StoreNotMatch=8 raft_entry_too_large:errorpb.RaftEntryTooLarge=9 ' +
    'max_timestamp_not_synced:errorpb.MaxTimestampNotSynced=10 read_index_not_ready:errorpb.ReadIndexNotReady=11 proposal_in_merging_mode:errorpb.ProposalInMergingMode=12 ' +
    'data_is_not_ready:errorpb.DataIsNotReady=13 region_not_initialized:errorpb.RegionNotInitialized=14 disk_full:errorpb.DiskFull=15 RecoveryInProgress:errorpb.RecoveryInProgress=16 ' +
    'FlashbackInProgress:errorpb.FlashbackInProgress=17 FlashbackNotPrepared:errorpb.FlashbackNotPrepared=18 is_witness:errorpb.IsWitness=19 mismatch_peer_id:errorpb.MismatchPeerId=20 ' +
    'bucket_version_not_match:errorpb.BucketVersionNotMatch=21 undetermined_result:errorpb.UndeterminedResult=22',
};

/** Names of the values, from 0 on. */
export const ENUMS: Readonly<Record<string, readonly string[]>> = {
  'backup.CompressionType': ['UNKNOWN', 'LZ4', 'SNAPPY', 'ZSTD'],
  'backup.BackupMode': ['SCAN', 'FILE'],
  'kvrpcpb.APIVersion': ['V1', 'V1TTL', 'V2', 'V3'],
  'kvrpcpb.CommandPri': ['Normal', 'Low', 'High'],
  'encryptionpb.EncryptionMethod': ['UNKNOWN', 'PLAINTEXT', 'AES128_CTR', 'AES192_CTR', 'AES256_CTR', 'SM4_CTR'],
  'metapb.PeerRole': ['Voter', 'Learner', 'IncomingVoter', 'DemotingVoter'],
};

export interface ListedField {
  readonly name: string;
  readonly type: string;
  readonly number: number;
  readonly shape: 'one' | 'list' | 'map';
  readonly oneof: string | undefined;
}

export function fieldsOf(message: string): ListedField[] {
  const listing = MESSAGES[message];
  if (listing === undefined) throw new Error(`${message} is not listed`);
  return listing
    .split(' ')
    .filter((field) => field !== '')
    .map((field) => {
      const match = /^(\w+):(<?)([\w.]+)>?(\*?)=(\d+)(?:\|(\w+))?$/.exec(field);
      if (match === null) throw new Error(`${message}: ${field}`);
      const [, name = '', map, type = '', list, number, oneof] = match;
      return { name, type, number: Number(number), shape: map === '<' ? 'map' : list === '*' ? 'list' : 'one', oneof };
    });
}

/** What protoc needs to know the messages: `-I` of the folders, then the file with the package `backup`. */
export interface ProtoFiles {
  readonly args: readonly string[];
  readonly isOriginal: boolean;
  readonly dispose: () => void;
}

export function protoFiles(): ProtoFiles {
  const original = process.env['KVPROTO_DIR'] ?? '';
  if (original !== '') {
    const folders = ['proto', 'include'].map((folder) => `-I${path.join(original, folder)}`);
    return { args: [...folders, 'brpb.proto'], isOriginal: true, dispose: () => undefined };
  }
  const folder = mkdtempSync(path.join(tmpdir(), 'tidemark-proto-'));
  for (const name of packages()) writeFileSync(path.join(folder, `${name}.proto`), protoText(name));
  const dispose = () => rmSync(folder, { recursive: true, force: true });
  return { args: [`-I${folder}`, 'backup.proto'], isOriginal: false, dispose };
}

const packageOf = (name: string): string => name.split('.')[0] ?? '';
const shortName = (name: string): string => name.split('.')[1] ?? '';
const packages = (): Set<string> => new Set([...Object.keys(MESSAGES), ...Object.keys(ENUMS)].map(packageOf));

function protoText(name: string): string {
  const messages = Object.keys(MESSAGES).filter((message) => packageOf(message) === name);
  const enums = Object.keys(ENUMS).filter((one) => packageOf(one) === name);
  const used = messages.flatMap(fieldsOf).map(({ type }) => packageOf(type));
  const imports = new Set(used.filter((one) => packages().has(one) && one !== name));
  return [
    'syntax = "proto3";',
    `package ${name};`,
    ...[...imports].map((one) => `import "${one}.proto";`),
    // The values of an enum share the scope of the enum itself: two enums of a package may not both have UNKNOWN. Here none does.
    ...enums.map(
      (one) => `enum ${shortName(one)} { ${(ENUMS[one] ?? []).map((value, i) => `${value} = ${i};`).join(' ')} }`,
    ),
    ...messages.map(messageText),
  ].join('\n');
}

function messageText(message: string): string {
  const fields = fieldsOf(message);
  const text = ({ name, type, number, shape }: ListedField) => {
    const full = type.includes('.') ? `.${type}` : type;
    if (shape === 'map') return `map<string, ${full}> ${name} = ${number};`;
    return `${shape === 'list' ? 'repeated ' : ''}${full} ${name} = ${number};`;
  };
  const oneofs = new Set(fields.flatMap(({ oneof }) => oneof ?? []));
  return [
    `message ${shortName(message)} {`,
    ...fields.filter(({ oneof }) => oneof === undefined).map(text),
    ...[...oneofs].map(
      (oneof) =>
        `oneof ${oneof} { ${fields
          .filter((one) => one.oneof === oneof)
          .map(text)
          .join(' ')} }`,
    ),
    '}',
  ].join('\n');
}

/** The bytes of a message that is given in protobuf's text format. */
export async function protocEncode(files: ProtoFiles, message: string, text: string): Promise<Buffer> {
  return run('protoc', [`--encode=${message}`, ...files.args], { input: text });
}

/** The text format of an encoded message. */
export async function protocDecode(files: ProtoFiles, message: string, bytes: Uint8Array): Promise<string> {
  return (await run('protoc', [`--decode=${message}`, ...files.args], { input: bytes })).toString();
}
