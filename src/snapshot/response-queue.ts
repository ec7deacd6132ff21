// Answers on their way to whoever iterates over them. Bounded: who answers waits while they are not taken.

import { Condition } from './condition.js';

export class ResponseQueue<T> {
  readonly #capacity: number;
  readonly #items: T[] = [];
  #ended: { readonly error?: unknown } | undefined;
  readonly #changed = new Condition();

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  async push(item: T, signal: AbortSignal): Promise<void> {
    while (this.#items.length >= this.#capacity) await this.#changed.wait(signal);
    this.#items.push(item);
    this.#changed.notify();
  }

  /** Nothing follows; with an error, `items` throws it at once. */
  end(failure: { readonly error?: unknown }): void {
    this.#ended ??= failure;
    this.#changed.notify();
  }

  async *items(): AsyncGenerator<T, void, undefined> {
    const never = new AbortController().signal;
    for (;;) {
      if (this.#ended !== undefined && 'error' in this.#ended) throw this.#ended.error;
      const item = this.#items.shift();
      if (item !== undefined) {
        this.#changed.notify();
        yield item;
      } else if (this.#ended !== undefined) return;
      else await this.#changed.wait(never);
    }
  }
}
