// Reads neighbouring blocks in one go, and the next runs while the one before is worked on.

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

/** Runs that are read beside the one that is worked on: while one arrives the next is on its way. */
const RUNS_AHEAD = 2;

/**
 * The blocks in the order of `handles`, which ascend or descend. Runs begin small and double up to `maxRunBytes` (a larger block is a run of its own), so that a short range does not read what it does not need; three runs are in memory at a time.
 * A consumer that stops early waits for the reads that are under way.
 */
export async function* readBlocks<P>(
  file: SstFile,
  handles: AsyncIterator<PlacedHandle<P>>,
  maxRunBytes: number,
): AsyncGenerator<readonly StoredBlock<P>[], void, undefined> {
  const runs = new RunPlanner(handles, maxRunBytes);
  const reads: Promise<readonly StoredBlock<P>[] | undefined>[] = [];
  /** Nobody may be waiting yet when the read fails; who waits later still sees it. */
  const start = (): void => {
    const read = runs.next().then((run) => run && readRun(file, run));
    read.catch(() => undefined);
    reads.push(read);
  };
  start();
  try {
    // One at first: whoever wants little leaves with the first run.
    for (let ahead = 1; ; ahead = RUNS_AHEAD) {
      const run = await reads[0];
      if (run === undefined) return;
      void reads.shift();
      while (reads.length < ahead) start();
      yield run;
    }
  } finally {
    runs.end();
    // Joined, so that nothing of a reader that was left runs on; what they say interests nobody then.
    await Promise.allSettled(reads);
  }
}

async function readRun<P>(file: SstFile, { begin, end, blocks }: PlannedRun<P>): Promise<readonly StoredBlock<P>[]> {
  const bytes = await readExactly(file, begin, end - begin);
  return blocks.map(({ handle, place }) => ({
    handle,
    place,
    bytes: bytes.subarray(handle.offset - begin, endOf(handle) - begin),
  }));
}

/** Neighbouring blocks, and where in the file they lie: from `begin` up to, not including, `end`. */
interface PlannedRun<P> {
  readonly begin: number;
  readonly end: number;
  readonly blocks: readonly PlacedHandle<P>[];
}

class RunPlanner<P> {
  readonly #handles: AsyncIterator<PlacedHandle<P>>;
  readonly #maxRunBytes: number;
  #runBytes: number;
  /** Taken from `#handles`, and too far for the run before. */
  #held: PlacedHandle<P> | undefined;
  #ended = false;
  /** The run that was planned last. */
  #last: Promise<PlannedRun<P> | undefined> = Promise.resolve(undefined);

  constructor(handles: AsyncIterator<PlacedHandle<P>>, maxRunBytes: number) {
    this.#handles = handles;
    this.#maxRunBytes = maxRunBytes;
    this.#runBytes = Math.min(FIRST_RUN_BYTES, maxRunBytes);
  }

  /** undefined: there are no more. Calls may overlap: each goes on behind the one before. */
  next(): Promise<PlannedRun<P> | undefined> {
    this.#last = this.#last.then(() => this.#plan());
    return this.#last;
  }

  /** Nobody wants what is not planned yet. */
  end(): void {
    this.#ended = true;
  }

  async #plan(): Promise<PlannedRun<P> | undefined> {
    const first = await this.#take();
    if (first === undefined) return undefined;
    const blocks = [first];
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
      blocks.push(more);
    }
    this.#runBytes = Math.min(2 * this.#runBytes, this.#maxRunBytes);
    return this.#ended ? undefined : { begin, end, blocks };
  }

  async #take(): Promise<PlacedHandle<P> | undefined> {
    if (this.#ended) return undefined;
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
