// Reads neighbouring blocks in one go, and the next run while the one before is worked on.

import type { BlockHandle } from './footer.js';
import { TRAILER_BYTES } from './read-footer.js';
import type { SstFile } from './sst-file.js';
import { readExactly } from './sst-file.js';

const FIRST_RUN_BYTES = 32 * 1024;

/** A stored block with its trailer. `place`: what the handle came with. */
export interface StoredBlock<P> {
  readonly handle: BlockHandle;
  readonly bytes: Uint8Array;
  readonly place: P;
}

export interface PlacedHandle<P> {
  readonly handle: BlockHandle;
  readonly place: P;
}

/**
 * The blocks in the order of `handles`, which ascend or descend. Runs begin small and double up to `maxRunBytes` (a larger block is a run of its own), so that a short range does not read what it does not need; two runs are in memory at a time.
 * A consumer that stops early waits for the read that is under way.
 */
export async function* readBlocks<P>(
  file: SstFile,
  handles: AsyncIterator<PlacedHandle<P>>,
  maxRunBytes: number,
): AsyncGenerator<readonly StoredBlock<P>[], void, undefined> {
  const runs = new RunReader(file, handles, maxRunBytes);
  let pending = startRead(runs);
  try {
    for (;;) {
      const run = await pending;
      if (run === undefined) return;
      pending = startRead(runs);
      yield run;
    }
  } finally {
    // Joined, so that nothing of a reader that was left runs on; what it says interests nobody then.
    await pending.catch(() => undefined);
  }
}

/** Nobody may be waiting yet when the read fails; who waits later still sees it. */
function startRead<P>(runs: RunReader<P>): Promise<readonly StoredBlock<P>[] | undefined> {
  const pending = runs.next();
  pending.catch(() => undefined);
  return pending;
}

class RunReader<P> {
  readonly #file: SstFile;
  readonly #handles: AsyncIterator<PlacedHandle<P>>;
  readonly #maxRunBytes: number;
  #runBytes: number;
  /** Taken from `#handles`, and too far for the run before. */
  #held: PlacedHandle<P> | undefined;

  constructor(file: SstFile, handles: AsyncIterator<PlacedHandle<P>>, maxRunBytes: number) {
    this.#file = file;
    this.#handles = handles;
    this.#maxRunBytes = maxRunBytes;
    this.#runBytes = Math.min(FIRST_RUN_BYTES, maxRunBytes);
  }

  /** undefined: there are no more. */
  async next(): Promise<readonly StoredBlock<P>[] | undefined> {
    const first = await this.#take();
    if (first === undefined) return undefined;
    const run = [first];
    let begin = first.handle.offset;
    let end = endOf(first.handle);
    for (;;) {
      const more = await this.#take();
      if (more === undefined) break;
      const newBegin = Math.min(begin, more.handle.offset);
      const newEnd = Math.max(end, endOf(more.handle));
      if (newEnd - newBegin > this.#runBytes) {
        this.#held = more;
        break;
      }
      begin = newBegin;
      end = newEnd;
      run.push(more);
    }
    this.#runBytes = Math.min(2 * this.#runBytes, this.#maxRunBytes);
    const bytes = await readExactly(this.#file, begin, end - begin);
    return run.map(({ handle, place }) => ({
      handle,
      place,
      bytes: bytes.subarray(handle.offset - begin, endOf(handle) - begin),
    }));
  }

  async #take(): Promise<PlacedHandle<P> | undefined> {
    const held = this.#held;
    if (held !== undefined) {
      this.#held = undefined;
      return held;
    }
    const result = await this.#handles.next();
    return result.done === true ? undefined : result.value;
  }
}

/** Behind the block's trailer. */
function endOf({ offset, size }: BlockHandle): number {
  return offset + size + TRAILER_BYTES;
}
