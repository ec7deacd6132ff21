// All targets.

import type { FuzzTarget } from '../target.js';
import { batchBuilder } from './batches.js';
import { brMeta } from './br-meta.js';
import { brRow } from './br-rows.js';
import { containers } from './containers.js';
import { encryptedFile } from './encrypted.js';
import { logFile, mutation, unpartitionedLog } from './logs.js';
import { cursor, directory, fileName } from './names.js';
import { planted } from './planted.js';
import { rangeFile } from './ranges.js';
import { smallFiles } from './small-files.js';
import { sstFile } from './sst.js';
import { storeFile, storeKey, storeRecord } from './store.js';

export const TARGETS: readonly FuzzTarget[] = [
  logFile,
  unpartitionedLog,
  rangeFile,
  mutation,
  batchBuilder,
  ...smallFiles,
  fileName,
  cursor,
  directory,
  storeRecord,
  storeKey,
  storeFile,
  encryptedFile,
  sstFile,
  ...containers,
  ...brMeta,
  brRow,
  ...planted,
];

/** Throws a RangeError for a name that there is none of. */
export function targetOf(name: string): FuzzTarget {
  const target = TARGETS.find((candidate) => candidate.name === name);
  if (target === undefined) throw new RangeError(`there is no target ${name}: --list names them`);
  return target;
}
