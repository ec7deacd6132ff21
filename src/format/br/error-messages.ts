// What a store answers when a range cannot be backed up (kvproto: brpb.Error, kvrpcpb.KeyError, errorpb.Error), as plain values.

import type { BrEnum, UnknownFields } from './messages.js';

/** The request is for another cluster. Not worth a retry. */
export interface BrClusterIdError {
  readonly current: bigint;
  readonly request: bigint;
  readonly unknown?: UnknownFields | undefined;
}

/** kvrpcpb.LockInfo, as far as whoever waits for the lock, or resolves it, needs it. */
export interface BrLockInfo {
  readonly primaryLock: Uint8Array;
  readonly lockVersion: bigint;
  readonly key: Uint8Array;
  /** ms. */
  readonly lockTtl: bigint;
  readonly txnSize: bigint;
  readonly lockForUpdateTs: bigint;
  readonly useAsyncCommit: boolean;
  readonly minCommitTs: bigint;
  readonly secondaries: readonly Uint8Array[];
  readonly unknown?: UnknownFields | undefined;
}

/** kvrpcpb.WriteConflict. */
export interface BrWriteConflict {
  readonly startTs: bigint;
  readonly conflictTs: bigint;
  readonly key: Uint8Array;
  readonly primary: Uint8Array;
  readonly conflictCommitTs: bigint;
  readonly unknown?: UnknownFields | undefined;
}

/** kvrpcpb.KeyError: one of them is set. Errors that only writers meet are kept in `unknown`. */
export interface BrKeyError {
  /** Another transaction holds the key: wait, or resolve the lock, and try again. */
  readonly locked?: BrLockInfo | undefined;
  /** Not empty: try again. */
  readonly retryable: string;
  /** Not empty: do not. */
  readonly abort: string;
  readonly conflict?: BrWriteConflict | undefined;
  readonly unknown?: UnknownFields | undefined;
}

/** metapb.RegionEpoch. */
export interface BrRegionEpoch {
  readonly confVer: bigint;
  readonly version: bigint;
  readonly unknown?: UnknownFields | undefined;
}

/** metapb.Peer. */
export interface BrPeer {
  readonly id: bigint;
  readonly storeId: bigint;
  readonly role: BrEnum<'voter' | 'learner' | 'incoming-voter' | 'demoting-voter'>;
  readonly isWitness: boolean;
  readonly unknown?: UnknownFields | undefined;
}

/** metapb.Region. */
export interface BrRegion {
  readonly id: bigint;
  /** Encoded (memcomparable) for transactional data; begin inclusive, end exclusive. */
  readonly startKey: Uint8Array;
  readonly endKey: Uint8Array;
  readonly regionEpoch?: BrRegionEpoch | undefined;
  readonly peers: readonly BrPeer[];
  readonly unknown?: UnknownFields | undefined;
}

export interface BrNotLeader {
  readonly regionId: bigint;
  /** Who it is, where the store knows. */
  readonly leader?: BrPeer | undefined;
  readonly unknown?: UnknownFields | undefined;
}

/** For the errors that name a region and nothing else. */
export interface BrRegionOnly {
  readonly regionId: bigint;
  readonly unknown?: UnknownFields | undefined;
}

export interface BrKeyNotInRegion {
  readonly key: Uint8Array;
  readonly regionId: bigint;
  readonly startKey: Uint8Array;
  readonly endKey: Uint8Array;
  readonly unknown?: UnknownFields | undefined;
}

export interface BrEpochNotMatch {
  readonly currentRegions: readonly BrRegion[];
  readonly unknown?: UnknownFields | undefined;
}

export interface BrServerIsBusy {
  readonly reason: string;
  readonly backoffMs: bigint;
  readonly estimatedWaitMs: number;
  readonly appliedIndex: bigint;
  readonly unknown?: UnknownFields | undefined;
}

/** For the errors that say nothing more. */
export interface BrNothing {
  readonly unknown?: UnknownFields | undefined;
}

export interface BrStoreNotMatch {
  readonly requestStoreId: bigint;
  readonly actualStoreId: bigint;
  readonly unknown?: UnknownFields | undefined;
}

export interface BrRaftEntryTooLarge {
  readonly regionId: bigint;
  readonly entrySize: bigint;
  readonly unknown?: UnknownFields | undefined;
}

export interface BrReadIndexNotReady {
  readonly reason: string;
  readonly regionId: bigint;
  readonly unknown?: UnknownFields | undefined;
}

export interface BrDataIsNotReady {
  readonly regionId: bigint;
  readonly peerId: bigint;
  readonly safeTs: bigint;
  readonly unknown?: UnknownFields | undefined;
}

export interface BrDiskFull {
  readonly storeIds: readonly bigint[];
  readonly reason: string;
  readonly unknown?: UnknownFields | undefined;
}

export interface BrFlashbackInProgress {
  readonly regionId: bigint;
  readonly flashbackStartTs: bigint;
  readonly unknown?: UnknownFields | undefined;
}

export interface BrMismatchPeerId {
  readonly requestPeerId: bigint;
  readonly storePeerId: bigint;
  readonly unknown?: UnknownFields | undefined;
}

export interface BrBucketVersionNotMatch {
  readonly version: bigint;
  readonly keys: readonly Uint8Array[];
  readonly unknown?: UnknownFields | undefined;
}

export interface BrUndeterminedResult {
  readonly message: string;
  readonly unknown?: UnknownFields | undefined;
}

/** errorpb.Error: of its members, beside the message, one is set, or none. */
export interface BrRegionError {
  readonly message: string;
  readonly notLeader?: BrNotLeader | undefined;
  readonly regionNotFound?: BrRegionOnly | undefined;
  readonly keyNotInRegion?: BrKeyNotInRegion | undefined;
  readonly epochNotMatch?: BrEpochNotMatch | undefined;
  readonly serverIsBusy?: BrServerIsBusy | undefined;
  readonly staleCommand?: BrNothing | undefined;
  readonly storeNotMatch?: BrStoreNotMatch | undefined;
  readonly raftEntryTooLarge?: BrRaftEntryTooLarge | undefined;
  readonly maxTimestampNotSynced?: BrNothing | undefined;
  readonly readIndexNotReady?: BrReadIndexNotReady | undefined;
  readonly proposalInMergingMode?: BrRegionOnly | undefined;
  readonly dataIsNotReady?: BrDataIsNotReady | undefined;
  readonly regionNotInitialized?: BrRegionOnly | undefined;
  readonly diskFull?: BrDiskFull | undefined;
  readonly recoveryInProgress?: BrRegionOnly | undefined;
  readonly flashbackInProgress?: BrFlashbackInProgress | undefined;
  readonly flashbackNotPrepared?: BrRegionOnly | undefined;
  readonly isWitness?: BrRegionOnly | undefined;
  readonly mismatchPeerId?: BrMismatchPeerId | undefined;
  readonly bucketVersionNotMatch?: BrBucketVersionNotMatch | undefined;
  readonly undeterminedResult?: BrUndeterminedResult | undefined;
  readonly unknown?: UnknownFields | undefined;
}

/** Why, by `kind`. */
export type BrErrorDetail =
  | ({ readonly kind: 'cluster-id' } & BrClusterIdError)
  | ({ readonly kind: 'key' } & BrKeyError)
  | ({ readonly kind: 'region' } & BrRegionError);

/** brpb.Error. Without a detail: something else, described by `msg`. */
export interface BrError {
  readonly msg: string;
  readonly detail?: BrErrorDetail | undefined;
  readonly unknown?: UnknownFields | undefined;
}
