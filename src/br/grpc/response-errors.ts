// What went wrong, as a store of TiKV would say it: so that a client which knows TiKV does the right thing about it. As TiKV's components/backup/src/errors.rs.

import { BackupError } from '../../core/errors.js';
import type { BrError } from '../../format/br/error-messages.js';
import type { BrInit } from '../../format/br/messages.js';
import { isTransient } from '../../snapshot/backoff.js';

/** Characters of a message: it may quote what a store of files answered. */
const MAX_MESSAGE = 4096;

/** `redact` takes the request's secrets out of a text. */
export function brErrorOf(error: unknown, redact: (text: string) => string): BrInit<BrError> {
  const message = messageOf(error, redact);
  if (BackupError.is(error, 'REGION_CHANGED')) return { detail: { kind: 'region', message, epochNotMatch: {} } };
  // A newer timestamp is another backup: only the client can decide that. To ask for the same again is no use.
  if (BackupError.is(error, 'VERSION_TOO_OLD') || !isTransient(error)) return { msg: message };
  return { detail: { kind: 'region', message, serverIsBusy: { reason: message } } };
}

export function clusterIdError(current: bigint, request: bigint): BrInit<BrError> {
  return { msg: `the cluster is ${current}`, detail: { kind: 'cluster-id', current, request } };
}

/** Of errors that are not ours only the message: it is all that is meant for others. */
export function messageOf(error: unknown, redact: (text: string) => string): string {
  const text = error instanceof Error ? error.message : String(error);
  const message = BackupError.is(error) ? `${error.code}: ${text}` : text;
  return redact(message).slice(0, MAX_MESSAGE);
}
