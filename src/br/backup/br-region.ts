// A region as the names of BR's files know it: two numbers, where a source may have any text.

import { createHash } from 'node:crypto';
import type { Region } from '../../ports/range-source.js';
import type { BrFileRegion } from './br-file-names.js';

/** Numbers stay what they are; of another text the first 8 bytes of its hash. Names need not tell regions apart: the hash of a file's first key does that. */
export function fileRegionOf({ id, epoch }: Region): BrFileRegion {
  return { id: numberOf(id), epochVersion: numberOf(epoch) };
}

function numberOf(text: string): bigint {
  if (/^\d{1,20}$/.test(text)) {
    const value = BigInt(text);
    if (BigInt.asUintN(64, value) === value) return value;
  }
  return createHash('sha256').update(text).digest().readBigUInt64BE();
}
