// By priority: the greater first, as p-queue has it, and first come, first served among equals.

import { SliceHeap } from './slice-heap.js';
import { TaskQueue, type PriorityOf, type TaskQueueOptions } from './task-queue.js';

export interface PriorityTaskQueueOptions extends TaskQueueOptions {
  /**
   * The priority of a slice, asked for each time that one of the task is put in line, so that it may depend on how long the task has run.
   * Default: the `priority` that it was added with, and 0 without one.
   */
  readonly priorityOf?: PriorityOf | undefined;
}

/** For p-queue's `queueClass`. A task with a low priority may wait for ever: that is what was asked for. */
export class PriorityTaskQueue extends TaskQueue {
  constructor(options: PriorityTaskQueueOptions = {}) {
    super(new SliceHeap(), options, options.priorityOf);
  }

  /** A `queueClass` with these options. */
  static configured(options: PriorityTaskQueueOptions): new () => PriorityTaskQueue {
    return class extends PriorityTaskQueue {
      constructor() {
        super(options);
      }
    };
  }
}
