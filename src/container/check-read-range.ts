// The check that every adapter's `readFile` begins with.

import { BackupError } from '../core/errors.js';

/** Throws INVALID_OPTION unless both are whole numbers from 0 on. */
export function checkReadRange(name: string, offset: number, length: number): void {
  if (!Number.isSafeInteger(offset) || offset < 0) {
    throw new BackupError('INVALID_OPTION', `offset must be a whole number from 0 on, got ${offset}`, { file: name });
  }
  if (!Number.isSafeInteger(length) || length < 0) {
    throw new BackupError('INVALID_OPTION', `length must be a whole number from 0 on, got ${length}`, { file: name });
  }
}
