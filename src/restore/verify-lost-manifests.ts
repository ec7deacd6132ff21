// Snapshots that have lost their manifest: nobody can restore from them any more, and nothing names them but the sidecar with their checksums.
//
// A snapshot is made in this order: note of a half snapshot, range files, sidecar, manifest; then the notes go. So without a note and without a manifest a sidecar is what is left of a whole
// snapshot, unless its files have gone as well, or those of the same half snapshot became another whole one.

import type { SnapshotFileDescriptor } from '../format/fdb/names.js';
import { parseRangeFileName, snapshotFileName } from '../format/fdb/names.js';
import { SNAPSHOT_PART_PREFIX, parseSnapshotPartName } from '../format/fdb/snapshot-part.js';
import type { RangeFileSums } from '../format/fdb/snapshot-sums.js';
import type { VerifyContext } from './verify-context.js';
import { verifyProperties } from './verify-properties.js';
import { isThere } from './verify-read.js';
import { ProblemCollector } from './verify-report.js';

/** Waited between one look and the next, in listing lags; together longer than one. */
const LOOKS = [0.025, 0.05, 0.1, 0.2, 0.4, 0.4];

/** Name of the manifest that is lost; undefined: none is. `used`: range files that snapshots have. `files`: what the sidecar says. */
export async function lostManifest(
  context: VerifyContext,
  descriptor: SnapshotFileDescriptor,
  files: ReadonlyMap<string, RangeFileSums>,
  used: ReadonlySet<string>,
): Promise<string | undefined> {
  const { clock, listingLag, signal } = context.options;
  const [first = ''] = files.keys();
  const snapshotBegin = beginOf(first);
  if (snapshotBegin === undefined) return undefined;
  for (const name of used) if (beginOf(name) === snapshotBegin) return undefined;
  // A listing that lags may not show yet what explains it; what was there when the sidecar was listed is shown some time after that.
  for (const wait of LOOKS) {
    const isSettled = clock.now() - context.listedAt >= listingLag;
    if (await isExplained(context, descriptor, snapshotBegin, files)) return undefined;
    if (isSettled) return snapshotFileName(descriptor);
    await clock.sleep(wait * listingLag, signal);
  }
  return (await isExplained(context, descriptor, snapshotBegin, files)) ? undefined : snapshotFileName(descriptor);
}

/** Whether the snapshot is being made, is complete, or has gone for good, files and all. */
async function isExplained(
  context: VerifyContext,
  descriptor: SnapshotFileDescriptor,
  snapshotBegin: bigint,
  files: ReadonlyMap<string, unknown>,
): Promise<boolean> {
  const { container, signal } = context.options;
  for await (const { name } of container.listFiles(SNAPSHOT_PART_PREFIX)) {
    signal?.throwIfAborted();
    if (parseSnapshotPartName(name)?.snapshotBegin === snapshotBegin) return true;
  }
  // It may have been completed since the manifests were listed, or an expiry may be at work, which sets its mark first.
  if (await isThere(container, snapshotFileName(descriptor))) return true;
  const { unreliableEnd } = await verifyProperties(container, new ProblemCollector());
  // A snapshot that an expiry has overtaken takes its manifest back; rows that are newer than it was when it was begun are still there.
  return snapshotBegin < unreliableEnd || !(await areThere(context, files));
}

function beginOf(name: string): bigint | undefined {
  return parseRangeFileName(name)?.snapshotBegin;
}

/** Whether all of the files are there now. */
async function areThere(context: VerifyContext, files: ReadonlyMap<string, unknown>): Promise<boolean> {
  const { container, signal } = context.options;
  for (const name of files.keys()) {
    signal?.throwIfAborted();
    if (!(await isThere(container, name))) return false;
  }
  return true;
}
