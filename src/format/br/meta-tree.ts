// The files of a backup's meta data: `backupmeta`, and in the newer schema the nodes of its indexes, each a file of its own that names the next ones. Names, encryption and checksums as BR's (tidb: br/pkg/metautil).
//
// Only the nodes have checksums: of `backupmeta` itself nothing is known beforehand.

import { createHash } from 'node:crypto';
import { equalBytes, toHex } from '../../core/bytes.js';
import type { Random } from '../../core/clock.js';
import { BackupError } from '../../core/errors.js';
import { fileNameProblem } from '../../core/file-name.js';
import { BrCipherStream, CIPHER_IV_BYTES, isEncrypting, newCipherIv } from './cipher.js';
import type { BrCipher, BrFile } from './messages.js';

/** What makes a set of files a backup. Written last. */
export const BACKUP_META_NAME = 'backupmeta';
/** Marks a folder in which a backup is, or was, being made. */
export const BACKUP_LOCK_NAME = 'backup.lock';

/** Of one file of meta data. BR writes nodes of 128 MiB. */
export const MAX_META_BYTES = 1 << 30;

/** Below the root. BR's trees have one level. */
export const MAX_META_DEPTH = 16;

/** Kinds of nodes, by what BR calls them in their names. */
export type MetaNodeKind = 'datafile' | 'schema' | 'ddl' | 'metafile';

/** `number` from 1 on: one count over all kinds. */
export function metaNodeName(kind: MetaNodeKind, number: number): string {
  return `${BACKUP_META_NAME}.${kind}.${String(number).padStart(9, '0')}`;
}

/** The content of `backupmeta` as it is stored: with a cipher, 16 bytes of IV, then the encrypted content. */
export function sealBackupMeta(content: Uint8Array, cipher: BrCipher | undefined, random: Random): Uint8Array {
  if (!isEncrypting(cipher)) return content;
  const iv = newCipherIv(random);
  const stored = new Uint8Array(CIPHER_IV_BYTES + content.length);
  stored.set(iv);
  stored.set(new BrCipherStream(cipher, iv).update(content), CIPHER_IV_BYTES);
  return stored;
}

/** The reverse. With the wrong key the result is garbage: nothing in the file vouches for it. */
export function openBackupMeta(stored: Uint8Array, cipher: BrCipher | undefined, file = BACKUP_META_NAME): Uint8Array {
  if (!isEncrypting(cipher)) return stored;
  if (stored.length < CIPHER_IV_BYTES) {
    const what = `${file} has ${stored.length} bytes: an encrypted one begins with ${CIPHER_IV_BYTES} bytes of IV`;
    throw new BackupError('CORRUPT_FILE', what, { file, offset: 0 });
  }
  const iv = stored.subarray(0, CIPHER_IV_BYTES);
  return new BrCipherStream(cipher, iv, 0, file).update(stored.subarray(CIPHER_IV_BYTES));
}

export interface SealedNode {
  /** The file's bytes. */
  readonly stored: Uint8Array;
  /** How its parent names it. Size and checksum are of the content: BR checks them after decryption. */
  readonly reference: Pick<BrFile, 'sha256' | 'size' | 'cipherIv'>;
}

export function sealMetaNode(content: Uint8Array, cipher: BrCipher | undefined, random: Random): SealedNode {
  const facts = { sha256: sha256(content), size: BigInt(content.length) };
  if (!isEncrypting(cipher) || content.length === 0) {
    return { stored: content, reference: { ...facts, cipherIv: new Uint8Array(0) } };
  }
  const cipherIv = newCipherIv(random);
  return { stored: new BrCipherStream(cipher, cipherIv).update(content), reference: { ...facts, cipherIv } };
}

/** The content of a node that has been read; CHECKSUM_MISMATCH, CORRUPT_FILE, ENCRYPTION_KEY_MISSING unless it is what its parent says. */
export function openMetaNode(node: BrFile, stored: Uint8Array, cipher: BrCipher | undefined): Uint8Array {
  const file = node.name;
  if (node.size !== 0n && BigInt(stored.length) !== node.size) {
    const what = `${file} has ${stored.length} bytes, the index that names it says ${node.size}`;
    throw new BackupError('CORRUPT_FILE', what, { file, offset: 0 });
  }
  const isEncrypted = node.cipherIv.length > 0;
  if (isEncrypted && !isEncrypting(cipher)) {
    throw new BackupError('ENCRYPTION_KEY_MISSING', `${file} is encrypted: the backup's cipher is needed`, { file });
  }
  const content =
    isEncrypted && cipher !== undefined ? new BrCipherStream(cipher, node.cipherIv, 0, file).update(stored) : stored;
  const actual = sha256(content);
  if (equalBytes(actual, node.sha256)) return content;
  const why = isEncrypted ? 'it is damaged, or the key is not the one that it was encrypted with' : 'it is damaged';
  const what = `${file} has the sha256 ${toHex(actual)}, the index that names it says ${toHex(node.sha256)}: ${why}`;
  throw new BackupError('CHECKSUM_MISMATCH', what, { file });
}

/** CORRUPT_FILE for a node that no tree of BR's has: under a name that leaves the backup, named twice (as a cycle does, too). `seen` collects the names. */
export function checkMetaNode(node: BrFile, parent: string, depth: number, seen: Set<string>): void {
  const refuse = (what: string): never => {
    throw new BackupError('CORRUPT_FILE', `${parent} ${what}`, { file: parent });
  };
  const problem = fileNameProblem(node.name);
  if (problem !== undefined) refuse(`names a file of meta data that cannot be: ${problem}`);
  if (depth > MAX_META_DEPTH) refuse(`is below more than ${MAX_META_DEPTH} others`);
  if (seen.has(node.name)) refuse(`names ${node.name}, which has been named before`);
  if (node.size > BigInt(MAX_META_BYTES)) {
    refuse(`names ${node.name} with ${node.size} bytes; a file of meta data has ${MAX_META_BYTES} at most`);
  }
  seen.add(node.name);
}

function sha256(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(createHash('sha256').update(bytes).digest());
}

/** JSON: a list of what is JSON already. */
export function jsonList(items: readonly Uint8Array[]): Uint8Array {
  const parts = items.flatMap((item, i) => (i === 0 ? [item] : [Buffer.from(','), item]));
  return new Uint8Array(Buffer.concat([Buffer.from('['), ...parts, Buffer.from(']')]));
}
