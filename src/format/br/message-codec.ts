// Encoding and decoding of the protocol's messages, as the rest of the library sees it. proto/ does it.

import type { BrError } from './error-messages.js';
import type { BrBackupMeta, BrFile, BrInit, BrMetaFile, BrRawRange, BrSchema } from './messages.js';
import type { BrBackupRequest, BrBackupResponse, BrStorageBackend } from './request-messages.js';

/** The messages that can be encoded and decoded by themselves. */
export interface BrMessageTypes {
  readonly BackupMeta: BrBackupMeta;
  readonly MetaFile: BrMetaFile;
  readonly File: BrFile;
  readonly Schema: BrSchema;
  readonly RawRange: BrRawRange;
  readonly BackupRequest: BrBackupRequest;
  readonly BackupResponse: BrBackupResponse;
  readonly StorageBackend: BrStorageBackend;
  readonly Error: BrError;
}

export type BrMessageType = keyof BrMessageTypes;

/** Members that are lists. */
export type BrLists<M> = {
  readonly [
    K in keyof M as Exclude<M[K], undefined> extends Uint8Array ? never : M[K] extends readonly unknown[] ? K : never
  ]: M[K] extends readonly (infer Item)[] ? Item : never;
};

export interface BrDecodeOptions {
  /** Where the bytes are from, for errors. */
  readonly file?: string | undefined;
}

/** Encodes and decodes the protocol's messages. From `loadBrMessages()`. */
export interface BrMessages {
  /** Deterministic: fields by number, then the unknown ones. INVALID_OPTION, naming the field, for a value that the field cannot hold. */
  encode<T extends BrMessageType>(type: T, message: BrInit<BrMessageTypes[T]>): Uint8Array;
  /**
   * Byte fields of the result are views of `bytes`, which must not change while they are used. CORRUPT_FILE (with the file, and the offset) for anything that is not such a message: cut, nested too deep, with text that is not
   * UTF-8.
   *
   * `without` names lists that stay empty although there are items: for messages too long to be held as values, whose items `decodeItems` gives one by one.
   */
  decode<T extends BrMessageType>(
    type: T,
    bytes: Uint8Array,
    options?: BrDecodeOptions & {
      readonly without?: readonly (string & keyof BrLists<BrMessageTypes[T]>)[] | undefined;
    },
  ): BrMessageTypes[T];
  /** The items of one list of the message, decoded as they are asked for. Damage is found on the way: CORRUPT_FILE, as from `decode`. */
  decodeItems<T extends BrMessageType, K extends string & keyof BrLists<BrMessageTypes[T]>>(
    type: T,
    bytes: Uint8Array,
    list: K,
    options?: BrDecodeOptions,
  ): Iterable<BrLists<BrMessageTypes[T]>[K]>;
}
