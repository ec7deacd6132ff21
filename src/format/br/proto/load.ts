// The one place where the package for protobuf is loaded, and what it is loaded for.

import type { BrDecodeOptions, BrLists, BrMessages, BrMessageType, BrMessageTypes } from '../message-codec.js';
import { error } from './error-tables.js';
import type { MessageType } from './message.js';
import { backupMeta, file, metaFile, rawRange, schema } from './meta-tables.js';
import { backupRequest, backupResponse, storageBackend } from './request-tables.js';
import { loadWire } from './wire.js';

const TYPES: { readonly [T in keyof BrMessageTypes]: MessageType<BrMessageTypes[T]> } = {
  BackupMeta: backupMeta,
  MetaFile: metaFile,
  File: file,
  Schema: schema,
  RawRange: rawRange,
  BackupRequest: backupRequest,
  BackupResponse: backupResponse,
  StorageBackend: storageBackend,
  Error: error,
};

/** PACKAGE_MISSING if `@bufbuild/protobuf` is not installed. */
export async function loadBrMessages(): Promise<BrMessages> {
  const wire = await loadWire();
  return {
    encode: (type, message) => TYPES[type].encode(wire, message),
    decode: (type, bytes, options = {}) => TYPES[type].decode(wire, bytes, options),
    decodeItems: <T extends BrMessageType, K extends string & keyof BrLists<BrMessageTypes[T]>>(
      type: T,
      bytes: Uint8Array,
      list: K,
      options: BrDecodeOptions = {},
    ) => TYPES[type].decodeItems(wire, bytes, list, options) as Iterable<BrLists<BrMessageTypes[T]>[K]>,
  };
}
