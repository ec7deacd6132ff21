// The operating system's errors, as the port's.

import { BackupError } from '../core/errors.js';
import { systemErrorCode } from '../core/file-system.js';

/** The port's error for one of the system's. Any other error is passed through: the port's own, or a mistake in the code. */
export function containerError(error: unknown, doing: string, name: string, container: string): unknown {
  const code = systemErrorCode(error);
  if (code === undefined) return error;
  const facts = { file: name === '' ? undefined : name, container, cause: error };
  const what = name === '' ? container : `${name} in ${container}`;
  if (name !== '' && code === 'ENAMETOOLONG') {
    return new BackupError('INVALID_NAME', `${what}: the file system does not take a name this long`, facts);
  }
  if (name !== '' && ['EISDIR', 'ENOTDIR', 'ENOTEMPTY', 'EEXIST'].includes(code)) {
    return new BackupError('INVALID_NAME', `${what}: a folder and a file cannot have the same name (${code})`, facts);
  }
  // Whatever else the system says (EIO, EMFILE, EACCES, EROFS, ESTALE, ENOENT where the disk is not mounted …) an operator can put right
  // while the worker waits.
  const reason = code === 'ENOSPC' || code === 'EDQUOT' ? `the disk is full (${code})` : code;
  return new BackupError('CONTAINER_UNAVAILABLE', `${doing} ${what} failed: ${reason}`, { ...facts, retryable: true });
}
