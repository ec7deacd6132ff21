// A multilevel feedback queue, after yatp's: a task that has run for long gives way to those that are short, yet is never left waiting for ever.

import { checkNumber } from '../core/check-option.js';
import { LevelShare } from './level-share.js';
import { Ring } from './ring.js';
import type { Slice, SliceOrder } from './slice.js';
import { TaskQueue, type TaskQueueOptions } from './task-queue.js';
import type { Level } from './task-time.js';

export interface MultilevelQueueOptions extends TaskQueueOptions {
  /** The share of the running time that level 0 is to get while it has tasks, 0 to 1. Default 0.8. */
  readonly level0Share?: number | undefined;
}

const DEFAULT_LEVEL_0_SHARE = 0.8;

/**
 * For p-queue's `queueClass`. New tasks wait at level 0; by the time that it has run, counted over all slices with its id, a task moves on to level 1 and 2.
 * Level 0 is served first as often as it takes to get its share of the time, the levels below 4 to 1; a level without tasks passes its turn on.
 */
export class MultilevelQueue extends TaskQueue {
  readonly #share: LevelShare;

  constructor(options: MultilevelQueueOptions = {}) {
    const share = new LevelShare(checkNumber('level0Share', options.level0Share ?? DEFAULT_LEVEL_0_SHARE, 0, 1));
    super(new LevelOrder(share), options);
    this.#share = share;
  }

  /** A `queueClass` with these options. A queue that is cleared by `PQueue.clear` starts anew, and so do the times of its tasks. */
  static configured(options: MultilevelQueueOptions): new () => MultilevelQueue {
    return class extends MultilevelQueue {
      constructor() {
        super(options);
      }
    };
  }

  /** How often level 0 is served first, 0.5 to 0.98: moved by 0.06 after each second of running time. */
  get level0Chance(): number {
    return this.#share.chance;
  }
}

class LevelOrder implements SliceOrder {
  readonly #levels: readonly [Ring<Slice>, Ring<Slice>, Ring<Slice>] = [new Ring(), new Ring(), new Ring()];
  readonly #share: LevelShare;
  #size = 0;

  constructor(share: LevelShare) {
    this.#share = share;
  }

  get size(): number {
    return this.#size;
  }

  push(slice: Slice): void {
    this.#levels[slice.level].push(slice);
    this.#size++;
  }

  shift(): Slice | undefined {
    if (this.#size === 0) return undefined;
    this.#size--;
    let first = this.#share.next();
    // Else all that level 0 leaves would go to level 1, and level 2 would get a 25th.
    if (first === 0 && this.#levels[0].size === 0) first = this.#share.nextBelow();
    return this.#levels[first].shift() ?? this.#levels[next(first)].shift() ?? this.#levels[next(next(first))].shift();
  }

  remove(isWanted: (slice: Slice) => boolean): Slice | undefined {
    for (const level of this.#levels) {
      const slice = level.remove(isWanted);
      if (slice === undefined) continue;
      this.#size--;
      return slice;
    }
    return undefined;
  }

  clear(): void {
    for (const level of this.#levels) level.clear();
    this.#size = 0;
  }

  ran(level: Level, ms: number): void {
    this.#share.ran(level, ms);
  }

  *[Symbol.iterator](): Generator<Slice, void, undefined> {
    for (const level of this.#levels) yield* level;
  }
}

/** Who has the turn of a level that is empty: the one below, and after the last the first. */
function next(level: Level): Level {
  return level === 0 ? 1 : level === 1 ? 2 : 0;
}
