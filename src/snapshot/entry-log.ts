// Records what is whole while something long goes on: whatever has come since the last entry goes into the next one, one entry at a time.
// What it is a record of does not need it to be completed: an entry that cannot be written costs whoever resumes it some work, no more.

export interface EntryLogOptions<Item> {
  /** Names of entries that there are already. */
  readonly entries: readonly string[];
  readonly newName: () => string;
  /** Writes an entry. May fail. */
  readonly write: (name: string, items: readonly Item[]) => Promise<void>;
}

export class EntryLog<Item> {
  readonly #options: EntryLogOptions<Item>;
  readonly #entries: string[];
  #waiting: Item[] = [];
  #writing: Promise<void> | undefined;

  constructor(options: EntryLogOptions<Item>) {
    this.#options = options;
    this.#entries = [...options.entries];
  }

  /** Every entry that there may be. */
  get entries(): readonly string[] {
    return this.#entries;
  }

  add(item: Item): void {
    this.#waiting.push(item);
    this.#start();
  }

  /** Resolves when nothing is under way any more; what could not be written is tried once more. */
  async settled(): Promise<void> {
    await this.#writing;
    if (this.#waiting.length > 0) this.#start();
    await this.#writing;
  }

  #start(): void {
    this.#writing ??= this.#write().finally(() => (this.#writing = undefined));
  }

  async #write(): Promise<void> {
    while (this.#waiting.length > 0) {
      const items = this.#waiting;
      this.#waiting = [];
      const name = this.#options.newName();
      this.#entries.push(name);
      try {
        await this.#options.write(name, items);
      } catch {
        // See above. They are tried again together with the next item.
        this.#waiting.unshift(...items);
        return;
      }
    }
  }
}
