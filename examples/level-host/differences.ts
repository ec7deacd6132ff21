// What differs between what is there and what should be: all are counted, the first are named.

const SHOWN_DIFFERENCES = 5;

export class Differences {
  readonly #what: string;
  readonly #shown: string[] = [];
  #count = 0;

  constructor(what: string) {
    this.#what = what;
  }

  add(difference: string): void {
    if (++this.#count <= SHOWN_DIFFERENCES) this.#shown.push(shorten(difference));
  }

  throwIfAny(): void {
    if (this.#count === 0) return;
    throw new Error(`${this.#what}: ${this.#count} differences\n  ${this.#shown.join('\n  ')}`);
  }
}

function shorten(text: string): string {
  return text.length <= 300 ? text : `${text.slice(0, 300)}…`;
}
