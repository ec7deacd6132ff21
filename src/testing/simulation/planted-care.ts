// Deliberate mistakes of those who look after backups: each wraps what a call is given.

import { LOG_FOLDER, PROPERTY_FOLDER } from '../../format/fdb/names.js';
import type { BackupFile } from '../../ports/backup-container.js';
import { compactLogs } from '../../restore/compact.js';
import { expireBackup } from '../../restore/expire.js';
import { finishingByAndBy, withWriteFile } from './planted-wrappers.js';

/** The old files go as soon as the merged one is written, finished or not. */
export const removesBeforeMerged: typeof compactLogs = (container, options) => {
  return compactLogs(finishingByAndBy(container, LOG_FOLDER).container, options);
};

/** Nobody looks whether a snapshot stays from which the backup can be restored. */
export const expiresRegardless: typeof expireBackup = (container, options) =>
  expireBackup(container, { ...options, force: true });

/** Files go first; that they are gone is noted afterwards. */
export const marksAfterDeleting: typeof expireBackup = async (container, options) => {
  const waiting: BackupFile[] = [];
  const result = await expireBackup(
    withWriteFile(container, async (name, writing) => {
      const file = await container.writeFile(name, writing);
      if (!name.startsWith(PROPERTY_FOLDER)) return file;
      waiting.push(file);
      return { ...file, finish: () => Promise.resolve() };
    }),
    options,
  );
  for (const file of waiting) await file.finish();
  return result;
};
