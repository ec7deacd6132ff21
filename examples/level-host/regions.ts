// The database's key space in parts of about the same size, so that several can be scanned side by side and each alone again. LevelDB has no such parts: these are made up from
// its estimates, and cut anew where the database has grown or shrunk.

import type { KeyRange, Region } from 'tidemark';
import type { LevelDatabase } from './level-database.js';
import { ALL_ROWS } from './keys.js';

/** From `begin` to the next part's begin. */
interface Part {
  readonly begin: Uint8Array;
  /** Grows with every change to the cuts: a part that is made anew is another one. */
  readonly epoch: number;
  /** LevelDB's estimate of the bytes in its files, at the time of the cut. What is still in memory only does not count. */
  readonly bytes: number;
}

/** Bytes of a key behind a common prefix that say where the middle is. */
const PRECISION = 6;

export class Regions {
  readonly #database: LevelDatabase;
  readonly #regionBytes: number;
  #parts: readonly Part[] = [{ begin: ALL_ROWS.begin, epoch: 1, bytes: 0 }];
  #epoch = 1;
  #cutting: Promise<void> = Promise.resolve();

  constructor(database: LevelDatabase, regionBytes: number) {
    this.#database = database;
    this.#regionBytes = regionBytes;
  }

  /** In key order, clipped to the range. */
  async within(range: KeyRange): Promise<Region[]> {
    const cutting = this.#cutting.then(() => this.#cutAnew());
    this.#cutting = cutting.catch(() => undefined); // the caller of `cutting` is told; the next one tries again
    await cutting;
    return this.#parts.flatMap((part, i) => {
      const begin = larger(part.begin, range.begin);
      const end = smaller(this.#parts[i + 1]?.begin ?? range.end, range.end);
      return Buffer.compare(begin, end) < 0 ? [{ ...nameOf(part), range: { begin, end } }] : [];
    });
  }

  /** Cuts the part that holds the key right there, until it is joined again because it is small. */
  splitAt(key: Uint8Array): void {
    this.#parts = this.#parts.flatMap((part, i) => {
      const end = this.#parts[i + 1]?.begin;
      const holdsKey = Buffer.compare(part.begin, key) <= 0 && (end === undefined || Buffer.compare(key, end) < 0);
      if (!holdsKey) return [part];
      const upper = this.#part(key, part.bytes / 2);
      return Buffer.compare(part.begin, key) === 0 ? [upper] : [this.#part(part.begin, part.bytes / 2), upper];
    });
  }

  /** Whether the region is still as it was listed, with all of the range in it. */
  has(region: Region, range: KeyRange): boolean {
    const index = this.#parts.findIndex((part) => nameOf(part).id === region.id);
    const part = this.#parts[index];
    if (part === undefined || nameOf(part).epoch !== region.epoch) return false;
    const end = this.#parts[index + 1]?.begin;
    return Buffer.compare(part.begin, range.begin) <= 0 && (end === undefined || Buffer.compare(range.end, end) <= 0);
  }

  /** Parts that have grown to twice their size are cut, neighbours that together are half a part are joined; the others stay what they are. */
  async #cutAnew(): Promise<void> {
    const parts: Part[] = [];
    for (const [i, part] of this.#parts.entries()) {
      const range = { begin: part.begin, end: this.#parts[i + 1]?.begin ?? ALL_ROWS.end };
      const bytes = await this.#database.approximateSize(range);
      const previous = parts.at(-1);
      if (bytes > 2 * this.#regionBytes) parts.push(...(await this.#cut(range)));
      else if (previous !== undefined && previous.bytes + bytes < this.#regionBytes / 2)
        parts[parts.length - 1] = this.#part(previous.begin, previous.bytes + bytes);
      else parts.push({ ...part, bytes });
    }
    this.#parts = parts;
  }

  async #cut(range: KeyRange): Promise<Part[]> {
    const parts: Part[] = [];
    for (const { begin, bytes } of await this.#pieces(range)) {
      const previous = parts.at(-1);
      if (previous !== undefined && previous.bytes + bytes <= this.#regionBytes)
        parts[parts.length - 1] = this.#part(previous.begin, previous.bytes + bytes);
      else parts.push(this.#part(begin, bytes));
    }
    return parts;
  }

  /** Halves the stretch of keys until the halves are small enough. How large the halves are depends on where the keys are: some are very small. */
  async #pieces(range: KeyRange): Promise<{ begin: Uint8Array; bytes: number }[]> {
    const bytes = await this.#database.approximateSize(range);
    const edges = bytes <= this.#regionBytes ? undefined : await this.#database.firstAndLastKey(range);
    const middle = edges && middleOf(...edges);
    if (middle === undefined) return [{ begin: range.begin, bytes }];
    return [
      ...(await this.#pieces({ begin: range.begin, end: middle })),
      ...(await this.#pieces({ begin: middle, end: range.end })),
    ];
  }

  #part(begin: Uint8Array, bytes: number): Part {
    return { begin, epoch: ++this.#epoch, bytes };
  }
}

function nameOf({ begin, epoch }: Part): { readonly id: string; readonly epoch: string } {
  return { id: `from ${Buffer.from(begin).toString('hex')}`, epoch: String(epoch) };
}

/** A key above `first` and not above `last`, about half way; undefined when they are the same. Keys are taken as fractions: digits behind their common prefix. */
export function middleOf(first: Uint8Array, last: Uint8Array): Uint8Array | undefined {
  if (Buffer.compare(first, last) >= 0) return undefined;
  let prefix = 0;
  while (prefix < first.length && first[prefix] === last[prefix]) prefix++;
  const low = numberAt(first, prefix);
  const high = numberAt(last, prefix);
  if (low === high) return last; // they differ by zeros at the end only
  const middle = new Uint8Array(prefix + PRECISION);
  middle.set(first.subarray(0, prefix));
  let rest = Math.ceil((low + high) / 2);
  for (let i = PRECISION - 1; i >= 0; i--, rest = Math.floor(rest / 256)) middle[prefix + i] = rest % 256;
  let length = middle.length;
  while (middle[length - 1] === 0) length--; // `last` may be shorter
  return middle.subarray(0, length);
}

function numberAt(key: Uint8Array, offset: number): number {
  let number = 0;
  for (let i = 0; i < PRECISION; i++) number = number * 256 + (key[offset + i] ?? 0);
  return number;
}

function larger(a: Uint8Array, b: Uint8Array): Uint8Array {
  return Buffer.compare(a, b) > 0 ? a : b;
}

function smaller(a: Uint8Array, b: Uint8Array): Uint8Array {
  return Buffer.compare(a, b) < 0 ? a : b;
}
