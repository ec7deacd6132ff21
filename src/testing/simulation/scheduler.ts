// Virtual time and the order of everything. Whatever the world outside does (an answer, a timer, a fault) is an event; between two events the code under test
// runs until it waits for the next one. No real time passes, and nothing else decides what comes first.

import { systemClock } from '../../core/clock.js';
import { assert } from '../../core/errors.js';
import type { SimRandom } from './random.js';

/** Something that will happen. */
export interface SimEvent {
  /** Virtual milliseconds. */
  readonly at: number;
  cancelled: boolean;
}

/** To whom something happens. Nothing ever does to the dead. */
export interface SimEventOwner {
  readonly name: string;
  readonly isDead: boolean;
}

interface QueuedEvent extends SimEvent {
  /** Random: the seed decides between events of the same moment. */
  readonly tie: number;
  readonly sequence: number;
  readonly owner: SimEventOwner | undefined;
  readonly run: () => void;
}

export class SimScheduler {
  readonly #random: SimRandom;
  /** A binary heap, the earliest event first. */
  readonly #heap: QueuedEvent[] = [];
  #now = 0;
  #sequence = 0;
  #executed = 0;

  constructor(random: SimRandom) {
    this.#random = random;
  }

  /** Virtual milliseconds since the run began. */
  get now(): number {
    return this.#now;
  }

  /** Events that have happened. */
  get executed(): number {
    return this.#executed;
  }

  /** Owners of the events that are still to come, without those of the dead. */
  pending(): string[] {
    return this.#heap
      .filter(({ cancelled, owner }) => !cancelled && owner?.isDead !== true)
      .map(({ owner }) => owner?.name ?? 'the simulation');
  }

  /** `run` must not throw. */
  schedule(delay: number, run: () => void, owner?: SimEventOwner): SimEvent {
    assert(delay >= 0, `a delay of ${delay} ms`);
    const event = {
      at: this.#now + delay,
      tie: this.#random.next32(),
      sequence: this.#sequence++,
      owner,
      run,
      cancelled: false,
    };
    this.#push(event);
    return event;
  }

  /** Makes events happen until `isDone`, until none is left, or until the moment `until` has come. */
  async run(isDone: () => boolean, until = Number.POSITIVE_INFINITY): Promise<void> {
    await settle();
    while (!isDone()) {
      const next = this.#heap[0];
      if (next === undefined || next.at > until) {
        if (Number.isFinite(until)) this.#now = Math.max(this.#now, until);
        return;
      }
      this.#pop();
      if (next.cancelled) continue;
      this.#now = next.at;
      this.#executed++;
      next.run();
      await settle();
    }
  }

  #push(event: QueuedEvent): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(event);
    while (at > 0) {
      const parent = (at - 1) >>> 1;
      if (!isBefore(event, heap[parent] as QueuedEvent)) break;
      heap[at] = heap[parent] as QueuedEvent;
      at = parent;
    }
    heap[at] = event;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop() as QueuedEvent;
    const length = heap.length;
    if (length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= length) break;
      if (child + 1 < length && isBefore(heap[child + 1] as QueuedEvent, heap[child] as QueuedEvent)) child++;
      if (!isBefore(heap[child] as QueuedEvent, last)) break;
      heap[at] = heap[child] as QueuedEvent;
      at = child;
    }
    heap[at] = last;
  }
}

/**
 * Resolves when no promise has a callback left to run: a turn of the event loop begins only when the queues of microtasks and ticks are empty, however long the
 * chains in them are.
 */
export function settle(): Promise<void> {
  return systemClock.yieldToHost();
}

function isBefore(a: QueuedEvent, b: QueuedEvent): boolean {
  if (a.at !== b.at) return a.at < b.at;
  if (a.tie !== b.tie) return a.tie < b.tie;
  return a.sequence < b.sequence;
}
