// A line that things join at one end and leave at the other, without an allocation for either: a ring that doubles when it is full.

const SMALLEST = 16;

export class Ring<T> {
  /** A power of two long, so that a position is a mask away. Empty places hold undefined: what has left is not kept alive. */
  #items: (T | undefined)[] = new Array<T | undefined>(SMALLEST).fill(undefined);
  #head = 0;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  push(item: T): void {
    if (this.#size === this.#items.length) this.#grow();
    this.#items[(this.#head + this.#size) & (this.#items.length - 1)] = item;
    this.#size++;
  }

  /** The one that came first. */
  shift(): T | undefined {
    if (this.#size === 0) return undefined;
    const item = this.#items[this.#head];
    this.#items[this.#head] = undefined;
    this.#head = (this.#head + 1) & (this.#items.length - 1);
    this.#size--;
    return item;
  }

  /** Takes out the first item of which `isWanted` is true; the others keep their order. Time grows with the ring. */
  remove(isWanted: (item: T) => boolean): T | undefined {
    const mask = this.#items.length - 1;
    for (let index = 0; index < this.#size; index++) {
      const item = this.#items[(this.#head + index) & mask] as T;
      if (!isWanted(item)) continue;
      for (let next = index + 1; next < this.#size; next++) {
        this.#items[(this.#head + next - 1) & mask] = this.#items[(this.#head + next) & mask];
      }
      this.#size--;
      this.#items[(this.#head + this.#size) & mask] = undefined;
      return item;
    }
    return undefined;
  }

  clear(): void {
    this.#items = new Array<T | undefined>(SMALLEST).fill(undefined);
    this.#head = 0;
    this.#size = 0;
  }

  *[Symbol.iterator](): Generator<T, void, undefined> {
    for (let index = 0; index < this.#size; index++) {
      yield this.#items[(this.#head + index) & (this.#items.length - 1)] as T;
    }
  }

  #grow(): void {
    const old = this.#items;
    const items = new Array<T | undefined>(old.length * 2).fill(undefined);
    for (let index = 0; index < this.#size; index++) items[index] = old[(this.#head + index) & (old.length - 1)];
    this.#items = items;
    this.#head = 0;
  }
}
