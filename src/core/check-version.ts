// The check that every option holding a version passes.

import { BackupError } from './errors.js';
import { MAX_VERSION, type Version } from './version.js';

/** Throws INVALID_OPTION unless `value` is a bigint in [0, MAX_VERSION]. `what` names the option in the message. */
export function checkVersion(value: unknown, what: string): asserts value is Version {
  if (typeof value !== 'bigint' || value < 0n || value > MAX_VERSION) {
    throw new BackupError('INVALID_OPTION', `${what} must be a bigint from 0 to 2^63 - 1, got ${String(value)}`);
  }
}
