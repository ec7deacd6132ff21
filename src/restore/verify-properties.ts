// The properties of a container, read without ever failing on a damaged one.

import type { Version } from '../core/version.js';
import { maxVersion } from '../core/version.js';
import {
  JOB_MARKER_NAME,
  MAX_JOB_MARKER_BYTES,
  MAX_PROPERTY_BYTES,
  PROPERTY,
  parseEncryptionMetadata,
  parseJobMarker,
} from '../format/fdb/properties.js';
import type { BackupContainer } from '../ports/backup-container.js';
import { readSmallFile } from './catalog.js';
import { readNumberProperty } from './number-property.js';
import { isDamage } from './verify-read.js';
import type { ProblemCollector } from './verify-report.js';

export interface VerifiedProperties {
  readonly encrypted: boolean;
  /** Exclusive: nothing below it is counted on; 0n when nothing was ever expired, or its mark is damaged. */
  readonly unreliableEnd: Version;
}

export async function verifyProperties(
  container: BackupContainer,
  problems: ProblemCollector,
): Promise<VerifiedProperties> {
  const checked = async <T>(name: string, read: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await read();
    } catch (error) {
      if (!isDamage(error)) throw error;
      problems.add({
        kind: 'property',
        code: error.code,
        message: error.message,
        file: name,
        offset: error.offset ?? 0,
      });
      return undefined;
    }
  };
  const read = <T>(name: string, limit: number, parse: (bytes: Uint8Array, file: string) => T) =>
    checked(name, async () => {
      const bytes = await readSmallFile(container, name, limit);
      return bytes === undefined ? undefined : parse(bytes, name);
    });
  const number = (name: string) => checked(name, () => readNumberProperty(container, name));
  await number(PROPERTY.mutationLogType);
  await number(PROPERTY.logBeginVersion);
  await number(PROPERTY.logEndVersion);
  await read(JOB_MARKER_NAME, MAX_JOB_MARKER_BYTES, parseJobMarker);
  const encryption = await read(PROPERTY.encryptionMetadata, MAX_PROPERTY_BYTES, parseEncryptionMetadata);
  const expired = await number(PROPERTY.expiredEndVersion);
  const unreliable = await number(PROPERTY.unreliableEndVersion);
  return { encrypted: encryption?.enabled ?? false, unreliableEnd: maxVersion(expired ?? 0n, unreliable ?? 0n) };
}
