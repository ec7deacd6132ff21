// How far a container has been expired: the oracle's own reading of the mark.

import type { Version } from '../../core/version.js';

const MARK = 'properties/unreliable_end_version';

/** Exclusive: below it nothing is counted on. */
export function markOf(files: ReadonlyMap<string, Uint8Array>): Version {
  const bytes = files.get(MARK);
  return bytes === undefined ? 0n : BigInt(Buffer.from(bytes).toString('latin1').trim());
}
