// What a store's error means for a backup: is asking again worth it, and when. As BR decides it (pkg/backup/client.go, OnBackupResponse), more patient with region errors that BR does not know.

import { printableBytes } from '../../core/bytes.js';
import { BackupError } from '../../core/errors.js';
import type { BrError, BrKeyError, BrLockInfo, BrRegionError } from '../../format/br/error-messages.js';

/** An error of a store, by what is to be done about it. */
export interface StoreTrouble {
  readonly error: BackupError;
  /** Nothing will change: the backup ends. */
  readonly isFinal: boolean;
  /** ms that the store would like to have before it is asked again. */
  readonly wait?: number | undefined;
  /** Whose transaction is in the way. */
  readonly lock?: BrLockInfo | undefined;
}

/** In what TiKV says when its storage, S3 say, did not answer: its messages have no other mark. Lower case. */
const PASSING_STORAGE_ERRORS: readonly string[] = [
  'server closed',
  'connection refused',
  'connection reset by peer',
  'channel closed',
  'error trying to connect',
  'connection closed before message completed',
  'body write aborted',
  'error during dispatch',
  'put object timeout',
];

/** Region errors that no retry helps: TiKV says so where it defines them. */
const FINAL_REGION_ERRORS = ['flashbackInProgress', 'flashbackNotPrepared', 'raftEntryTooLarge'] as const;

/** ms: stores suggest, they do not command. */
const LONGEST_WAIT = 60_000;

/** `redact` takes the request's secrets out of a text: a store may quote the URL that it writes to. */
export function troubleOf(store: string, error: BrError, redact: (text: string) => string): StoreTrouble {
  const { detail } = error;
  switch (detail?.kind) {
    case 'cluster-id':
      return final(
        new BackupError(
          'INVALID_OPTION',
          `clusterId of a backup request must be the stores': ${store} is of cluster ${detail.current}, the request is for ${detail.request}`,
        ),
      );
    case 'key':
      return keyTrouble(store, detail, redact);
    case 'region':
      return regionTrouble(store, detail, redact);
    case undefined:
      return storageTrouble(store, redact(error.msg));
  }
}

function keyTrouble(store: string, error: BrKeyError, redact: (text: string) => string): StoreTrouble {
  const { locked, retryable, abort } = error;
  if (locked !== undefined) {
    const { key, lockVersion } = locked;
    const text = `${store}: key "${printableBytes(key)}" is locked by the transaction of ${lockVersion}`;
    return { error: unavailable(text), isFinal: false, lock: locked };
  }
  if (retryable !== '') return { error: unavailable(`${store}: ${redact(retryable)}`), isFinal: false };
  return final(failed(`${store} cannot read a key: ${redact(abort) || 'it does not say why'}`));
}

function regionTrouble(store: string, error: BrRegionError, redact: (text: string) => string): StoreTrouble {
  const kind = kindOf(error);
  const text = `${store}: ${kind}${error.message === '' ? '' : `: ${redact(error.message)}`}`;
  if (FINAL_REGION_ERRORS.some((name) => error[name] !== undefined)) return final(failed(text));
  const asked = error.serverIsBusy?.backoffMs ?? 0n;
  const wait = asked === 0n ? undefined : Math.min(LONGEST_WAIT, Number(asked));
  return { error: unavailable(text), isFinal: false, wait };
}

const NO_KINDS: readonly string[] = ['kind', 'message', 'unknown'];

/** The member that is set. */
function kindOf(error: BrRegionError): string {
  const set = Object.entries(error).find(([name, value]) => !NO_KINDS.includes(name) && value !== undefined);
  return set?.[0] ?? 'region error';
}

function storageTrouble(store: string, message: string): StoreTrouble {
  const text = `${store}: ${message || 'an error without a message'}`;
  const lower = message.toLowerCase();
  if (PASSING_STORAGE_ERRORS.some((part) => lower.includes(part))) return { error: unavailable(text), isFinal: false };
  return final(failed(text));
}

function unavailable(text: string): BackupError {
  return new BackupError('TIKV_UNAVAILABLE', text, { retryable: true });
}

function failed(text: string): BackupError {
  return new BackupError('TIKV_FAILED', text);
}

function final(error: BackupError): StoreTrouble {
  return { error, isFinal: true };
}
