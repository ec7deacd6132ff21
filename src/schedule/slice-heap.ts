// A binary heap of slices: the greatest priority on top, and of equals the one that came first.

import type { Slice, SliceOrder } from './slice.js';

interface Place {
  readonly slice: Slice;
  /** Order of arrival. */
  readonly turn: number;
}

export class SliceHeap implements SliceOrder {
  readonly #places: Place[] = [];
  #turn = 0;

  get size(): number {
    return this.#places.length;
  }

  push(slice: Slice): void {
    this.#places.push({ slice, turn: this.#turn++ });
    this.#rise(this.#places.length - 1);
  }

  shift(): Slice | undefined {
    return this.#places.length === 0 ? undefined : this.#takeAt(0);
  }

  /** Of several that are wanted, any one: an id names one slice. */
  remove(isWanted: (slice: Slice) => boolean): Slice | undefined {
    const index = this.#places.findIndex(({ slice }) => isWanted(slice));
    return index === -1 ? undefined : this.#takeAt(index);
  }

  clear(): void {
    this.#places.length = 0;
  }

  ran(): void {
    return undefined;
  }

  *[Symbol.iterator](): Generator<Slice, void, undefined> {
    for (const { slice } of this.#places) yield slice;
  }

  #takeAt(index: number): Slice {
    const taken = this.#places[index] as Place;
    const last = this.#places.pop() as Place;
    if (index < this.#places.length) {
      this.#places[index] = last;
      this.#rise(index);
      this.#sink(index);
    }
    return taken.slice;
  }

  #rise(index: number): void {
    const place = this.#places[index] as Place;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!isBefore(place, this.#places[parent] as Place)) break;
      this.#places[index] = this.#places[parent] as Place;
      index = parent;
    }
    this.#places[index] = place;
  }

  #sink(index: number): void {
    const place = this.#places[index] as Place;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= this.#places.length) break;
      const other = this.#places[child + 1];
      if (other !== undefined && isBefore(other, this.#places[child] as Place)) child++;
      if (!isBefore(this.#places[child] as Place, place)) break;
      this.#places[index] = this.#places[child] as Place;
      index = child;
    }
    this.#places[index] = place;
  }
}

function isBefore(a: Place, b: Place): boolean {
  return a.slice.priority === b.slice.priority ? a.turn < b.turn : a.slice.priority > b.slice.priority;
}
