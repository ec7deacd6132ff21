// The messages of TiKV's backup protocol (kvproto: brpb, and what it uses), as plain values. What an encoded message has and this page does not know is kept in `unknown` and written again.
// Numbers that may exceed 2^53 are bigints: there is one of each per file, never per row.

/** Fields that this release does not know, as they were read: encoded, in order. */
export type UnknownFields = Uint8Array;

/** brpb.File: one SST file of a backup, or one leaf of its meta data. */
export interface BrFile {
  readonly name: string;
  /** 32 bytes, of the file as it is stored (after encryption). */
  readonly sha256: Uint8Array;
  /** Raw user keys, begin inclusive, end exclusive (empty: no bound). */
  readonly startKey: Uint8Array;
  readonly endKey: Uint8Array;
  /** Timestamps: the file holds changes of (startVersion, endVersion]; of a full backup startVersion is 0 here. */
  readonly startVersion: bigint;
  readonly endVersion: bigint;
  /** XOR over rows of CRC-64/XZ of user key, then value. */
  readonly crc64xor: bigint;
  readonly totalKvs: bigint;
  readonly totalBytes: bigint;
  readonly tableMetas: readonly BrTableMeta[];
  readonly cf: string;
  /** Bytes, as stored. */
  readonly size: bigint;
  /** 16 bytes; empty when the file is not encrypted. */
  readonly cipherIv: Uint8Array;
  readonly unknown?: UnknownFields | undefined;
}

export interface BrTableMeta {
  readonly physicalId: bigint;
  readonly crc64xor: bigint;
  readonly totalKvs: bigint;
  readonly totalBytes: bigint;
  readonly unknown?: UnknownFields | undefined;
}

export interface BrRawRange {
  readonly startKey: Uint8Array;
  readonly endKey: Uint8Array;
  readonly cf: string;
  readonly unknown?: UnknownFields | undefined;
}

export interface BrKeyRange {
  readonly startKey: Uint8Array;
  readonly endKey: Uint8Array;
}

export type BrCipherMethod = 'plaintext' | 'aes128-ctr' | 'aes192-ctr' | 'aes256-ctr';

export interface BrCipher {
  readonly method: BrCipherMethod;
  /** 16, 24 or 32 bytes. Never in an error or a description. */
  readonly key: Uint8Array;
}
