// What scan workers fill and save workers finish: the keys of a region, or of a part of one, from a begin on.

import type { KeyValueBatch, Region } from '../../ports/range-source.js';
import type { TxnBatch } from '../../ports/txn-range-source.js';
import type { RawApiVersion } from '../../format/br/raw-kv.js';
import { rawUserKey } from '../../format/br/raw-kv.js';
import type { TaskHandle } from '../../schedule/task.js';
import type { BrSnapshotWriter } from './br-snapshot-writer.js';

export interface ScannedPiece {
  readonly begin: Uint8Array;
  readonly region: Region;
  /** Whose time the work on the rows is counted to. */
  readonly task: TaskHandle;
  /** From the first row on. */
  writer: BrSnapshotWriter | undefined;
  /** Why the rest of it cannot be stored: what follows is discarded, and is asked for again. */
  failure: { readonly error: unknown } | undefined;
}

/** How the batches of a source come to a writer. */
export interface BatchKind<Batch> {
  /** As users know it; undefined: no row. */
  readonly lastKeyOf: (batch: Batch) => Uint8Array | undefined;
  readonly add: (writer: BrSnapshotWriter, batch: Batch) => Promise<void>;
}

export const TXN_BATCHES: BatchKind<TxnBatch> = {
  lastKeyOf: ({ keys }) => keys.at(-1),
  add: (writer, batch) => writer.addTxn(batch),
};

export function rawBatches(apiVersion: RawApiVersion): BatchKind<KeyValueBatch> {
  return {
    lastKeyOf: (batch) => {
      const last = batch.at(-1);
      return last === undefined ? undefined : rawUserKey(apiVersion, last[0]);
    },
    add: (writer, batch) => writer.addRaw(batch),
  };
}
