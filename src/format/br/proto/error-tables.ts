// The numbers and kinds of the fields of errors (kvproto: brpb.proto, kvrpcpb.proto, errorpb.proto, metapb.proto).

import type {
  BrBucketVersionNotMatch,
  BrClusterIdError,
  BrDataIsNotReady,
  BrDiskFull,
  BrEpochNotMatch,
  BrError,
  BrErrorDetail,
  BrFlashbackInProgress,
  BrKeyError,
  BrKeyNotInRegion,
  BrLockInfo,
  BrMismatchPeerId,
  BrNothing,
  BrNotLeader,
  BrPeer,
  BrRaftEntryTooLarge,
  BrReadIndexNotReady,
  BrRegion,
  BrRegionEpoch,
  BrRegionError,
  BrRegionOnly,
  BrServerIsBusy,
  BrStoreNotMatch,
  BrUndeterminedResult,
  BrWriteConflict,
} from '../error-messages.js';
import { bool, bytes, bytesList, enumeration, list, one, oneOf, text, uint32, uint64, uint64List } from './fields.js';
import { message } from './message.js';

export const regionEpoch = message<BrRegionEpoch>('metapb.RegionEpoch', { confVer: uint64(1), version: uint64(2) });

export const peer = message<BrPeer>('metapb.Peer', {
  id: uint64(1),
  storeId: uint64(2),
  role: enumeration(3, ['voter', 'learner', 'incoming-voter', 'demoting-voter']),
  isWitness: bool(4),
});

const region = message<BrRegion>('metapb.Region', {
  id: uint64(1),
  startKey: bytes(2),
  endKey: bytes(3),
  regionEpoch: one(4, regionEpoch),
  peers: list(5, peer),
});

const clusterIdError = message<BrClusterIdError>('backup.ClusterIDError', { current: uint64(1), request: uint64(2) });

const lockInfo = message<BrLockInfo>('kvrpcpb.LockInfo', {
  primaryLock: bytes(1),
  lockVersion: uint64(2),
  key: bytes(3),
  lockTtl: uint64(4),
  txnSize: uint64(5),
  lockForUpdateTs: uint64(7),
  useAsyncCommit: bool(8),
  minCommitTs: uint64(9),
  secondaries: bytesList(10),
});

const writeConflict = message<BrWriteConflict>('kvrpcpb.WriteConflict', {
  startTs: uint64(1),
  conflictTs: uint64(2),
  key: bytes(3),
  primary: bytes(4),
  conflictCommitTs: uint64(5),
});

const keyError = message<BrKeyError>('kvrpcpb.KeyError', {
  locked: one(1, lockInfo),
  retryable: text(2),
  abort: text(3),
  conflict: one(4, writeConflict),
});

const nothing = (name: string) => message<BrNothing>(name, {});
const regionOnly = (name: string) => message<BrRegionOnly>(name, { regionId: uint64(1) });

const notLeader = message<BrNotLeader>('errorpb.NotLeader', { regionId: uint64(1), leader: one(2, peer) });

const keyNotInRegion = message<BrKeyNotInRegion>('errorpb.KeyNotInRegion', {
  key: bytes(1),
  regionId: uint64(2),
  startKey: bytes(3),
  endKey: bytes(4),
});

const epochNotMatch = message<BrEpochNotMatch>('errorpb.EpochNotMatch', { currentRegions: list(1, region) });

const serverIsBusy = message<BrServerIsBusy>('errorpb.ServerIsBusy', {
  reason: text(1),
  backoffMs: uint64(2),
  estimatedWaitMs: uint32(3),
  appliedIndex: uint64(4),
});

const storeNotMatch = message<BrStoreNotMatch>('errorpb.StoreNotMatch', {
  requestStoreId: uint64(1),
  actualStoreId: uint64(2),
});

const raftEntryTooLarge = message<BrRaftEntryTooLarge>('errorpb.RaftEntryTooLarge', {
  regionId: uint64(1),
  entrySize: uint64(2),
});

const readIndexNotReady = message<BrReadIndexNotReady>('errorpb.ReadIndexNotReady', {
  reason: text(1),
  regionId: uint64(2),
});

const dataIsNotReady = message<BrDataIsNotReady>('errorpb.DataIsNotReady', {
  regionId: uint64(1),
  peerId: uint64(2),
  safeTs: uint64(3),
});

const diskFull = message<BrDiskFull>('errorpb.DiskFull', { storeIds: uint64List(1), reason: text(2) });

const flashbackInProgress = message<BrFlashbackInProgress>('errorpb.FlashbackInProgress', {
  regionId: uint64(1),
  flashbackStartTs: uint64(2),
});

const mismatchPeerId = message<BrMismatchPeerId>('errorpb.MismatchPeerId', {
  requestPeerId: uint64(1),
  storePeerId: uint64(2),
});

const bucketVersionNotMatch = message<BrBucketVersionNotMatch>('errorpb.BucketVersionNotMatch', {
  version: uint64(1),
  keys: bytesList(2),
});

const undeterminedResult = message<BrUndeterminedResult>('errorpb.UndeterminedResult', { message: text(1) });

const regionError = message<BrRegionError>('errorpb.Error', {
  message: text(1),
  notLeader: one(2, notLeader),
  regionNotFound: one(3, regionOnly('errorpb.RegionNotFound')),
  keyNotInRegion: one(4, keyNotInRegion),
  epochNotMatch: one(5, epochNotMatch),
  serverIsBusy: one(6, serverIsBusy),
  staleCommand: one(7, nothing('errorpb.StaleCommand')),
  storeNotMatch: one(8, storeNotMatch),
  raftEntryTooLarge: one(9, raftEntryTooLarge),
  maxTimestampNotSynced: one(10, nothing('errorpb.MaxTimestampNotSynced')),
  readIndexNotReady: one(11, readIndexNotReady),
  proposalInMergingMode: one(12, regionOnly('errorpb.ProposalInMergingMode')),
  dataIsNotReady: one(13, dataIsNotReady),
  regionNotInitialized: one(14, regionOnly('errorpb.RegionNotInitialized')),
  diskFull: one(15, diskFull),
  recoveryInProgress: one(16, regionOnly('errorpb.RecoveryInProgress')),
  flashbackInProgress: one(17, flashbackInProgress),
  flashbackNotPrepared: one(18, regionOnly('errorpb.FlashbackNotPrepared')),
  isWitness: one(19, regionOnly('errorpb.IsWitness')),
  mismatchPeerId: one(20, mismatchPeerId),
  bucketVersionNotMatch: one(21, bucketVersionNotMatch),
  undeterminedResult: one(22, undeterminedResult),
});

export const error = message<BrError>('backup.Error', {
  msg: text(1),
  detail: oneOf<BrErrorDetail>({
    'cluster-id': [3, clusterIdError],
    key: [4, keyError],
    region: [5, regionError],
  }),
});
