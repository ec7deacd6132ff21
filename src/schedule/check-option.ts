// Options at the door: the name and the value in the message.

import { BackupError } from '../core/errors.js';

/** The value, if it is a whole number from `least` to `most`; otherwise INVALID_OPTION. */
export function checkWholeNumber(option: string, value: number, least: number, most = Number.MAX_SAFE_INTEGER): number {
  if (Number.isSafeInteger(value) && value >= least && value <= most) return value;
  throw new BackupError(
    'INVALID_OPTION',
    `${option} must be a whole number ${bounds(least, most)}, got ${String(value)}`,
  );
}

/** The value, if it is a number from `least` to `most`; otherwise INVALID_OPTION. */
export function checkNumber(option: string, value: number, least: number, most: number): number {
  if (typeof value === 'number' && value >= least && value <= most) return value;
  throw new BackupError('INVALID_OPTION', `${option} must be a number ${bounds(least, most)}, got ${String(value)}`);
}

function bounds(least: number, most: number): string {
  return most === Infinity || most === Number.MAX_SAFE_INTEGER ? `from ${least} on` : `from ${least} to ${most}`;
}
