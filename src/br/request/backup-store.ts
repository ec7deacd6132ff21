// A store as a backup sees it: one that is asked for ranges and answers for those that it leads. What it is reached through is not known here.

import type { BrInit } from '../../format/br/messages.js';
import type { BrBackupRequest, BrBackupResponse } from '../../format/br/request-messages.js';

export interface BackupStore {
  /** For messages: its address. */
  readonly name: string;
  /**
   * Sends the request; gives the answers as they come, none twice, and ends when the store has no more. Throws TIKV_UNAVAILABLE (`retryable`) when the stream breaks, TIKV_DENIED or TIKV_FAILED when it is refused for good.
   * Ends the request when the iteration is left or the signal aborts, whose reason it throws.
   */
  backup(request: BrInit<BrBackupRequest>, signal: AbortSignal): AsyncIterable<BrBackupResponse>;
}
