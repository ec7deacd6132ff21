// Which version was current when, so that a restore can be asked for a time. One empty file for every pair: its name says it all, and a listing reads many at once.

import { BackupError } from '../../core/errors.js';
import type { Version } from '../../core/version.js';
import { MAX_VERSION } from '../../core/version.js';
import { PROPERTY_FOLDER } from './names.js';

/** Everything at or below `version` had been committed at `time`. */
export interface VersionTime {
  readonly version: Version;
  /** Milliseconds since 1970. */
  readonly time: number;
}

export const VERSION_TIME_FOLDER = `${PROPERTY_FOLDER}tidemark_times/`;
/** All versions have so many digits in these names: the names' order is that of the versions. */
const VERSION_DIGITS = 19;
const BASE_NAME = /^([0-9]{19}),(0|[1-9][0-9]{0,15})$/;

/** `properties/tidemark_times/<version, 19 digits>,<ms since 1970>`. INVALID_NAME for what a name cannot hold. */
export function versionTimeName({ version, time }: VersionTime): string {
  if (version < 0n || version > MAX_VERSION || !Number.isSafeInteger(time) || time < 0) {
    throw new BackupError('INVALID_NAME', `version ${version} at ${time} ms cannot be part of a file name`);
  }
  return `${VERSION_TIME_FOLDER}${version.toString().padStart(VERSION_DIGITS, '0')},${time}`;
}

/** undefined for a name of another form. */
export function parseVersionTimeName(path: string): VersionTime | undefined {
  if (!path.startsWith(VERSION_TIME_FOLDER)) return undefined;
  const parts = BASE_NAME.exec(path.slice(VERSION_TIME_FOLDER.length));
  if (parts === null) return undefined;
  const version = BigInt(parts[1] as string);
  const time = Number(parts[2]);
  return version <= MAX_VERSION && Number.isSafeInteger(time) ? { version, time } : undefined;
}
