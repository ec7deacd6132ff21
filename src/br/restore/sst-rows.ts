// What a restore asks of an SST file: its rows in order, in batches. Whatever reads such files fits behind it.

/** Rows of a file. The memory that they lie in stays as it is for as long as someone holds a view of it. */
export interface SstRowBatch {
  readonly count: number;
  /** The user key of the SST: of a backup's file `z` and the engine key. */
  key(i: number): Uint8Array;
  value(i: number): Uint8Array;
}

export interface SstRows extends AsyncDisposable {
  /** The next rows; undefined: there are no more. CORRUPT_FILE or CHECKSUM_MISMATCH, with file and offset, for damage; one call at a time. */
  next(): Promise<SstRowBatch | undefined>;
}
