// How long a call waits until it can rely on a container's listings.

import { BackupError } from '../core/errors.js';
import type { BackupContainer } from './backup-container.js';
import { LISTING_LAG } from './backup-container.js';
import { brokenContract, show } from './broken-contract.js';

/** ms: what the call was told, or else what the container says, or else LISTING_LAG. INVALID_OPTION or ADAPTER_CONTRACT for what is no time. */
export function listingLagOf(container: Pick<BackupContainer, 'url' | 'listingLag'>, option?: number): number {
  checkListingLag(option);
  return option ?? statedListingLag(container) ?? LISTING_LAG;
}

/** INVALID_OPTION unless it is left out or a number of ms >= 0. */
export function checkListingLag(option: unknown): void {
  if (option === undefined || isDuration(option)) return;
  throw new BackupError('INVALID_OPTION', `listingLag must be a number of ms >= 0, got ${show(option)}`);
}

/** What the container says; undefined: nothing. ADAPTER_CONTRACT for what is no time. */
export function statedListingLag({ url, listingLag }: Pick<BackupContainer, 'url' | 'listingLag'>): number | undefined {
  if (listingLag === undefined || isDuration(listingLag)) return listingLag;
  const what = `its listingLag must be a number of ms >= 0, got ${show(listingLag)}`;
  throw brokenContract('BackupContainer', `${url}: ${what}`, { container: url });
}

function isDuration(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0;
}
