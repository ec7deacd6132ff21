// A request as it came over the wire, made one that an endpoint can be asked with. Refuses what would be done otherwise than it was asked for.

import { compareBytes } from '../../core/bytes.js';
import { BackupError } from '../../core/errors.js';
import { isEncrypting } from '../../format/br/cipher.js';
import type { BrCipher, BrKeyRange } from '../../format/br/messages.js';
import type { BrBackupRequest, BrCipherInfo } from '../../format/br/request-messages.js';
import type { BackupRequest } from '../request/backup-request.js';
import type { RequestApiVersion } from '../request/backup-request.js';
import { BackupRequestBuilder } from '../request/backup-request-builder.js';
import { StorageBackend } from '../request/storage-backend.js';

/** INVALID_OPTION for a request that makes no sense, UNSUPPORTED_FORMAT for one that this release cannot do as it was asked. */
export function receivedRequest(message: BrBackupRequest): BackupRequest {
  const { mode, dstApiVersion, compressionType, isRawKv, cf, startVersion, endVersion } = message;
  if (mode !== 'scan') throw unsupported(`the mode ${String(mode)}: rows are scanned, files are not copied`);
  let builder = new BackupRequestBuilder()
    .clusterId(message.clusterId)
    .storage(StorageBackend.fromMessage(message.storageBackend))
    .apiVersion(apiVersionOf(dstApiVersion))
    .replicaRead(message.replicaRead)
    .ranges(rangesOf(message));
  builder = isRawKv
    ? builder.raw(cf === '' ? 'default' : cf)
    : builder.versions({ since: startVersion, at: endVersion });
  if (typeof compressionType === 'number') throw unsupported(`a compression of number ${compressionType}`);
  const { compressionLevel } = message;
  // A level says nothing without the codec that it is of: ours.
  if (compressionType !== 'unknown') builder = builder.compression(compressionType, compressionLevel);
  else if (compressionLevel !== 0) builder = builder.compression('zstd', compressionLevel);
  const cipher = cipherOf(message.cipherInfo);
  if (isEncrypting(cipher)) builder = builder.cipher(cipher);
  if (message.rateLimit > 0n) builder = builder.rateLimit(message.rateLimit);
  if (message.concurrency > 0) builder = builder.concurrency(message.concurrency);
  if (message.context !== undefined) builder = builder.context(message.context);
  return builder.build();
}

/** As TiKV: sub-ranges, where there are some, are all that is wanted. Groups of them only allow files to be shared, which ours never are. */
function rangesOf({ subRanges, sortedSubRangesGroups, startKey, endKey }: BrBackupRequest): readonly BrKeyRange[] {
  if (subRanges.length > 0) return subRanges;
  const grouped = sortedSubRangesGroups.flatMap((group) => group.subRanges);
  if (grouped.length === 0) return [{ startKey, endKey }];
  return grouped.sort((a, b) => compareBytes(a.startKey, b.startKey));
}

function apiVersionOf(version: BrBackupRequest['dstApiVersion']): RequestApiVersion {
  if (version === 'v1' || version === 'v1ttl' || version === 'v2') return version;
  throw unsupported(`the API version ${version}`);
}

/** Never quotes the key. */
function cipherOf(info: BrCipherInfo | undefined): BrCipher {
  const plaintext: BrCipher = { method: 'plaintext', key: new Uint8Array(0) };
  if (info === undefined) return plaintext;
  const { cipherType, cipherKey } = info;
  switch (cipherType) {
    case 'unknown':
      // TiKV takes a request without a method for one of plain text. With a key somebody has forgotten something.
      if (cipherKey.length > 0)
        throw new BackupError('INVALID_OPTION', 'the cipher of a backup request has a key and no method');
      return plaintext;
    case 'plaintext':
      return plaintext;
    case 'aes128-ctr':
    case 'aes192-ctr':
    case 'aes256-ctr':
      return { method: cipherType, key: cipherKey };
    default:
      throw unsupported(`the cipher ${String(cipherType)}`);
  }
}

function unsupported(what: string): BackupError {
  return new BackupError('UNSUPPORTED_FORMAT', `this store does not back up with ${what}`);
}
