// Errors that more than one way of writing a file ends with.

import { BackupError } from '../../core/errors.js';
import type { S3Settings } from './settings.js';

export function fileExists({ url }: S3Settings, file: string, cause?: unknown): BackupError {
  return new BackupError('FILE_EXISTS', `${file} exists already in ${url}`, { file, container: url, cause });
}

/** What became of the call is not known. Whoever writes the file writes it again. */
export function lostAnswer(
  { url }: S3Settings,
  file: string,
  doing: string,
  what: string,
  cause?: unknown,
): BackupError {
  const facts = { file, container: url, retryable: true, cause };
  return new BackupError('CONTAINER_UNAVAILABLE', `${doing} ${file} in ${url} failed: ${what}`, facts);
}
