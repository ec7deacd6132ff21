// Reads range files one after the other, run by run, the next ones being read while the current one is used.

import type { FileSums } from '../format/fdb/file-sums.js';
import { RangeFileReader } from '../format/fdb/range-file-decoder.js';
import type { CheckedReads } from './checked-reads.js';
import { runBytes } from './log-file-blocks.js';
import type { RowPiece } from './restore-pieces.js';

/** Runs that are read ahead of the one in use. */
const READ_AHEAD = 2;

/** A run whose rows are next: `reader` has it loaded. */
export interface RowRun {
  readonly piece: RowPiece;
  readonly reader: RangeFileReader;
  /** Bytes of the file up to the end of the run are loaded. */
  readonly bytes: number;
  /** Nothing of the file comes after it. */
  readonly last: boolean;
}

type Settled = { readonly bytes: Uint8Array } | { readonly error: unknown };

interface ReadAhead {
  readonly piece: RowPiece;
  readonly offset: number;
  readonly outcome: Promise<Settled>;
}

/** `sumsOf`: the checksums of a file, where they are known already. Leaves no read behind when it ends, fails or is left. */
export async function* rowRuns(
  pieces: readonly RowPiece[],
  reads: CheckedReads,
  sumsOf: (name: string) => FileSums | undefined,
): AsyncGenerator<RowRun, void, undefined> {
  const places = placesOf(pieces, reads.readBytes);
  const ahead: ReadAhead[] = [];
  const startNext = (): void => {
    const place = places.next();
    if (place.done === true) return;
    const { piece, offset } = place.value;
    // A read-ahead may fail long before anyone waits for it: its outcome is kept, so that no rejection goes unobserved.
    const outcome = reads.run(piece.file, offset, sumsOf(piece.file.name)).then(
      (bytes): Settled => ({ bytes }),
      (error: unknown): Settled => ({ error }),
    );
    ahead.push({ piece, offset, outcome });
  };
  try {
    for (let i = 0; i <= READ_AHEAD; i++) startNext();
    let reader: RangeFileReader | undefined;
    for (let next = ahead[0]; next !== undefined; next = ahead[0]) {
      const settled = await next.outcome;
      ahead.shift();
      startNext();
      if ('error' in settled) throw settled.error;
      const { piece, offset } = next;
      if (offset === 0 || reader === undefined) reader = new RangeFileReader(piece.file);
      reader.load(settled.bytes);
      const { length } = settled.bytes;
      yield { piece, reader, bytes: length, last: offset + length === piece.file.size };
    }
  } finally {
    await Promise.all(ahead.map(({ outcome }) => outcome));
  }
}

function* placesOf(
  pieces: readonly RowPiece[],
  readBytes: number,
): Generator<{ piece: RowPiece; offset: number }, void, undefined> {
  for (const piece of pieces) {
    const step = Math.max(1, runBytes(piece.file, readBytes));
    for (let offset = 0; offset < piece.file.size || offset === 0; offset += step) yield { piece, offset };
  }
}
