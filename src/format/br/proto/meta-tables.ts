// The numbers and kinds of the fields of a backup's meta data (kvproto: brpb.proto).

import type {
  BrApiVersion,
  BrBackupMeta,
  BrBackupMode,
  BrBackupRange,
  BrFile,
  BrIdMap,
  BrKeyRange,
  BrMetaFile,
  BrPitrDbMap,
  BrPitrTableMap,
  BrPlacementPolicy,
  BrRawRange,
  BrSchema,
  BrStatsFileIndex,
  BrTableMeta,
} from '../messages.js';
import {
  bool,
  boolMap,
  bytes,
  bytesList,
  enumeration,
  int32,
  int64,
  list,
  one,
  text,
  uint32,
  uint64,
  type Field,
} from './fields.js';
import { message } from './message.js';

export const apiVersion = (no: number): Field<BrApiVersion> => enumeration(no, ['v1', 'v1ttl', 'v2', 'v3']);
export const backupMode = (no: number): Field<BrBackupMode> => enumeration(no, ['scan', 'file']);

const tableMeta = message<BrTableMeta>('backup.TableMeta', {
  physicalId: int64(1),
  crc64xor: uint64(2),
  totalKvs: uint64(3),
  totalBytes: uint64(4),
});

export const file = message<BrFile>('backup.File', {
  name: text(1),
  sha256: bytes(2),
  startKey: bytes(3),
  endKey: bytes(4),
  startVersion: uint64(5),
  endVersion: uint64(6),
  crc64xor: uint64(7),
  totalKvs: uint64(8),
  totalBytes: uint64(9),
  cf: text(10),
  size: uint64(11),
  cipherIv: bytes(12),
  tableMetas: list(13, tableMeta),
});

export const rawRange = message<BrRawRange>('backup.RawRange', { startKey: bytes(1), endKey: bytes(2), cf: text(3) });

export const keyRange = message<BrKeyRange>('kvrpcpb.KeyRange', { startKey: bytes(1), endKey: bytes(2) });

const backupRange = message<BrBackupRange>('backup.BackupRange', {
  startKey: bytes(1),
  endKey: bytes(2),
  files: list(3, file),
});

const statsFileIndex = message<BrStatsFileIndex>('backup.StatsFileIndex', {
  name: text(1),
  sha256: bytes(2),
  sizeEnc: uint64(3),
  sizeOri: uint64(4),
  cipherIv: bytes(5),
  inlineData: bytes(6),
});

export const schema = message<BrSchema>('backup.Schema', {
  db: bytes(1),
  table: bytes(2),
  crc64xor: uint64(3),
  totalKvs: uint64(4),
  totalBytes: uint64(5),
  tiflashReplicas: uint32(6),
  stats: bytes(7),
  statsIndex: list(8, statsFileIndex),
  isMergeOptionAllowed: bool(9),
  partitionMergeOptionAllowed: boolMap(10),
});

export const metaFile = message<BrMetaFile>('backup.MetaFile', {
  metaFiles: list(1, file),
  dataFiles: list(2, file),
  schemas: list(3, schema),
  rawRanges: list(4, rawRange),
  ddls: bytesList(5),
  backupRanges: list(6, backupRange),
});

const placementPolicy = message<BrPlacementPolicy>('backup.PlacementPolicy', { info: bytes(1) });

const idMap = message<BrIdMap>('backup.IDMap', { upstreamId: int64(1), downstreamId: int64(2) });

const pitrTableMap = message<BrPitrTableMap>('backup.PitrTableMap', {
  name: text(1),
  idMap: one(2, idMap),
  partitions: list(3, idMap),
  filteredOut: bool(4),
});

const pitrDbMap = message<BrPitrDbMap>('backup.PitrDBMap', {
  name: text(1),
  idMap: one(2, idMap),
  tables: list(3, pitrTableMap),
  filteredOut: bool(4),
  reused: bool(5),
});

export const backupMeta = message<BrBackupMeta>('backup.BackupMeta', {
  clusterId: uint64(1),
  clusterVersion: text(2),
  files: list(4, file),
  startVersion: uint64(5),
  endVersion: uint64(6),
  schemas: list(7, schema),
  isRawKv: bool(8),
  rawRanges: list(9, rawRange),
  ddls: bytes(10),
  brVersion: text(11),
  version: int32(12),
  fileIndex: one(13, metaFile),
  schemaIndex: one(14, metaFile),
  rawRangeIndex: one(15, metaFile),
  ddlIndexes: one(16, metaFile),
  backupResult: text(17),
  apiVersion: apiVersion(18),
  policies: list(19, placementPolicy),
  newCollationsEnabled: text(20),
  isTxnKv: bool(21),
  dbMaps: list(22, pitrDbMap),
  mode: backupMode(23),
  ranges: list(24, backupRange),
  backupSize: uint64(25),
  backupSchemaVersion: uint32(26),
});
