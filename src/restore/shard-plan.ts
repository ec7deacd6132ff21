// How a restore is divided: shards of neighbouring range files, of about the same size each. Pure, and the same for the same plan: a resumed restore needs the very same shards.

import { EMPTY_BYTES } from '../core/bytes.js';
import type { RestoreSet, RowPiece } from './restore-pieces.js';

export interface ShardPlan {
  /** Its first key; it has the keys up to the next shard's. Empty for the first one. */
  readonly begin: Uint8Array;
  readonly pieces: readonly RowPiece[];
}

/** At most `count` shards, at least one. Only as many as there are range files: without a snapshot there is one. */
export function planShards({ snapshot, rowBytes }: RestoreSet, count: number): readonly ShardPlan[] {
  const pieces = snapshot?.pieces ?? [];
  const shards: { begin: Uint8Array; pieces: RowPiece[] }[] = [{ begin: EMPTY_BYTES, pieces: [] }];
  let bytes = 0;
  for (const piece of pieces) {
    const shard = shards.at(-1)!;
    // The middle of the piece decides on which side of the cut it lies.
    if (shard.pieces.length > 0 && bytes + piece.file.size / 2 >= (rowBytes / count) * shards.length) {
      if (shards.length < count) shards.push({ begin: piece.ranges[0]!.begin, pieces: [] });
    }
    shards.at(-1)!.pieces.push(piece);
    bytes += piece.file.size;
  }
  return shards;
}
