// First come, first served: for work whose order matters more than its length.

import { Ring } from './ring.js';
import type { Slice, SliceOrder } from './slice.js';
import { TaskQueue, type TaskQueueOptions } from './task-queue.js';

/** For p-queue's `queueClass`. Measures and counts as the multilevel queue does, and does not order by it. */
export class SingleLevelQueue extends TaskQueue {
  constructor(options: TaskQueueOptions = {}) {
    super(new ArrivalOrder(), options);
  }

  /** A `queueClass` with these options. */
  static configured(options: TaskQueueOptions): new () => SingleLevelQueue {
    return class extends SingleLevelQueue {
      constructor() {
        super(options);
      }
    };
  }
}

class ArrivalOrder extends Ring<Slice> implements SliceOrder {
  ran(): void {
    return undefined;
  }
}
