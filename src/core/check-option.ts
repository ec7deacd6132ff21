// Options at the door: the name and the value in the message.

import { BackupError } from './errors.js';

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

/** INVALID_OPTION unless it is true, false or left out: a text such as 'false' would count as true. */
export function checkFlag(option: string, value: unknown): void {
  if (value === undefined || typeof value === 'boolean') return;
  throw new BackupError('INVALID_OPTION', `${option} must be true or false, got ${JSON.stringify(value)}`);
}

/** INVALID_OPTION unless it has these functions, as a port's implementation has. */
export function checkMethods(option: string, value: unknown, port: string, methods: readonly string[]): void {
  const held = value as Partial<Record<string, unknown>> | null | undefined;
  for (const method of methods) {
    if (typeof held?.[method] === 'function') continue;
    throw new BackupError(
      'INVALID_OPTION',
      `${option} must be a ${port}: it has no function ${method} (got ${value === null ? 'null' : typeof value})`,
    );
  }
}

function bounds(least: number, most: number): string {
  return most === Infinity || most === Number.MAX_SAFE_INTEGER ? `from ${least} on` : `from ${least} to ${most}`;
}
