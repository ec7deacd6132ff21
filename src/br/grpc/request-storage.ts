// Which container a request's files go to. The one who asks names a place, the host decides whether it is one of its own: a client must never get to write, or to learn, what else is on the host's disks.

import { isAbsolute, relative, resolve } from 'node:path';
import { BackupError } from '../../core/errors.js';
import { DirectoryContainer } from '../../container/directory-container.js';
import type { BrStorageName } from '../../format/br/file-name.js';
import type { BackupContainer } from '../../ports/backup-container.js';
import type { BackupRequest } from '../request/backup-request.js';
import type { StorageBackend } from '../request/storage-backend.js';

/** Opens the place that a request names. What it throws is the answer: keep secrets out of it (those of the request itself are taken out). */
export type OpenStorage = (
  storage: StorageBackend,
  context: { readonly request: BackupRequest; readonly signal: AbortSignal },
) => BackupContainer | Promise<BackupContainer>;

/**
 * Opens local storages whose folder is one of these, or lies in one, and nothing else. Absolute. Symbolic links are followed: keep them out of folders that clients may name.
 */
export function localFolders(folders: readonly string[]): OpenStorage {
  for (const folder of folders) {
    if (typeof folder === 'string' && isAbsolute(folder)) continue;
    throw new BackupError('INVALID_OPTION', `localFolders must be absolute paths, got ${JSON.stringify(folder)}`);
  }
  const allowed = folders.map((folder) => resolve(folder));
  return (storage) => {
    const place = storage.reveal();
    if (place.kind !== 'local') throw refused(storage, 'this host serves local storages only');
    const { path = '' } = place;
    const isAllowed =
      isAbsolute(path) && !path.includes('\0') && allowed.some((folder) => isInside(folder, resolve(path)));
    if (!isAllowed) throw refused(storage, 'it is not in a folder that this host serves backups from');
    return new DirectoryContainer(resolve(path));
  };
}

/** How files are named there. */
export function storageName(storage: StorageBackend): BrStorageName {
  const place = storage.reveal();
  switch (place.kind) {
    case 'azure-blob-storage':
      return 'azure';
    case 'cloud-dynamic':
      return dynamicName(place.providerName ?? '');
    default:
      return place.kind;
  }
}

/** TiKV knows three providers by these names. */
function dynamicName(provider: string): BrStorageName {
  if (/^s3$/i.test(provider)) return 's3';
  return /^azure/i.test(provider) ? 'azure' : 'gcs';
}

function isInside(folder: string, path: string): boolean {
  const way = relative(folder, path);
  return way === '' || (way !== '..' && !/^\.\.[/\\]/.test(way) && !isAbsolute(way));
}

function refused(storage: StorageBackend, why: string): BackupError {
  return new BackupError('INVALID_OPTION', `the storage ${storage.url} is refused: ${why}`);
}
