// One at a time per key. Keeps nothing of a key that nobody uses.

import { Mutex } from 'async-mutex';

export class KeyedLock {
  readonly #locks = new Map<string, { readonly mutex: Mutex; users: number }>();

  async run<T>(key: string, work: () => Promise<T>): Promise<T> {
    let lock = this.#locks.get(key);
    if (lock === undefined) {
      lock = { mutex: new Mutex(), users: 0 };
      this.#locks.set(key, lock);
    }
    lock.users++;
    try {
      return await lock.mutex.runExclusive(work);
    } finally {
      lock.users--;
      if (lock.users === 0) this.#locks.delete(key);
    }
  }
}
