// Which keys a progress store has, at the door of every store.

import { BackupError } from '../core/errors.js';
import { isLeaseKey } from './lease-record.js';

const PRINTABLE_ASCII = /^[\x20-\x7e]+$/;

/** Throws INVALID_OPTION for a key that is not a non-empty string of printable ASCII. */
export function checkProgressKey(key: string): void {
  if (typeof key !== 'string' || !PRINTABLE_ASCII.test(key)) {
    throw new BackupError('INVALID_OPTION', `a progress key must be printable ASCII, got ${JSON.stringify(key)}`);
  }
}

/** Throws INVALID_OPTION for a key that a transaction may not write. */
export function checkWritableKey(key: string): void {
  checkProgressKey(key);
  if (isLeaseKey(key))
    throw new BackupError('INVALID_OPTION', `${key} is a lease's key: it is written by leases alone`);
}
