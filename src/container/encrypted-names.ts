// Which files of an encrypted container are encrypted, and what of a file's name its nonces are made from.

import { utf8 } from '../core/bytes.js';
import { BackupError } from '../core/errors.js';
import { PROPERTY_FOLDER } from '../format/fdb/names.js';
import { JOB_MARKER_NAME, KEY_CHECK_NAME } from '../format/fdb/properties.js';
import { parseVersionTimeName } from '../format/fdb/version-times.js';

/** What this library adds to properties/. FoundationDB leaves everything there in the clear, and reads nothing of ours. */
const OWN_PREFIX = `${PROPERTY_FOLDER}tidemark_`;

/** Of our own files those stay readable that are needed without the key, and those that are empty. */
export function isEncryptedName(name: string): boolean {
  if (!name.startsWith(PROPERTY_FOLDER)) return true;
  if (!name.startsWith(OWN_PREFIX) || name === JOB_MARKER_NAME || name === KEY_CHECK_NAME) return false;
  return parseVersionTimeName(name) === undefined;
}

/** The base name up to its first dot. What follows the dot in FoundationDB's names is that of a temporary file. */
export function nonceSalt(name: string): Uint8Array {
  const base = name.slice(name.lastIndexOf('/') + 1);
  const dot = base.indexOf('.');
  return utf8(dot < 0 ? base : base.slice(0, dot));
}

/** INVALID_NAME for a name that is not all in its nonces: two such files would have the same ones, and AES-GCM then protects neither. */
export function checkEncryptedName(name: string): void {
  if (!name.includes('.', name.lastIndexOf('/') + 1)) return;
  throw new BackupError(
    'INVALID_NAME',
    `${JSON.stringify(name)} cannot name an encrypted file: its nonces come from the last part of the name up to the first dot`,
    { file: name },
  );
}
