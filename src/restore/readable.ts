// What describe and the plan of a restore both say of a container: which keys it is about, and why it cannot be read.

import { BackupError } from '../core/errors.js';
import type { KeyRange } from '../core/key-range.js';
import { NORMAL_KEYS } from '../core/key-range.js';
import type { JobMarker } from '../format/fdb/properties.js';

/** What a job backs up; undefined if no job is known. */
export function rangesOfJob(job: JobMarker | undefined): readonly KeyRange[] | undefined {
  return job?.ranges.length === 0 ? [NORMAL_KEYS] : job?.ranges;
}

/** What to throw where the content is needed. */
export function unreadable(url: string, encrypted: boolean, reason: string): BackupError {
  return new BackupError(encrypted ? 'ENCRYPTION_KEY_MISSING' : 'UNSUPPORTED_FORMAT', `${url}: ${reason}`, {
    container: url,
  });
}

/** What to throw where encrypted files would have to be read or judged. */
export function keyMissing(url: string): BackupError {
  return new BackupError(
    'ENCRYPTION_KEY_MISSING',
    `${url} is encrypted, and was opened without its key: openEncryptedContainer of tidemark/container/encrypted opens it`,
    {
      container: url,
    },
  );
}
