// Which ranges of a backup request have been answered, and with which files. Answers of several stores and of retries may overlap: the last one wins whole, and what it took from an older one is to be asked for
// again. Must never count a range as answered whose files are not all here, nor a file twice. As the range tree of BR (pkg/rtree).

import { compareBytes, equalBytes } from '../../core/bytes.js';
import { BackupError } from '../../core/errors.js';
import type { BrFile, BrKeyRange } from '../../format/br/messages.js';
import { compareEnds, containsRange, endsBefore } from '../backup/br-range.js';

export interface AnsweredRange extends BrKeyRange {
  /** Empty: there are no rows. */
  readonly files: readonly BrFile[];
}

/** How many ranges one block of the list holds at most: what an insertion moves. */
const BLOCK = 512;

export class AnsweredRanges {
  /** Ranges in key order, without overlap, in blocks that are never empty. */
  readonly #blocks: AnsweredRange[][] = [];
  /** Which answer a file belongs to. */
  readonly #owners = new Map<string, AnsweredRange>();
  #size = 0;

  /** Ranges that are answered. */
  get size(): number {
    return this.#size;
  }

  /** Takes an answer. Older ones that overlap it are dropped, and so is one that has another file of the same name: whichever of the two was stored last is what that name holds now, and this answer is the last. How many were dropped. */
  put(answer: AnsweredRange): number {
    const before = this.#size;
    for (const file of answer.files) {
      const owner = this.#owners.get(file.name);
      if (owner?.files.some((older) => older.name === file.name && !isSameFile(older, file)) === true) {
        this.#remove(owner);
      }
    }
    for (let older = this.#overlapping(answer); older !== undefined; older = this.#overlapping(answer)) {
      this.#remove(older);
    }
    const dropped = before - this.#size;
    this.#insert(answer);
    for (const file of answer.files) this.#owners.set(file.name, answer);
    return dropped;
  }

  /** In key order. */
  *ranges(): Generator<AnsweredRange, void, undefined> {
    for (const block of this.#blocks) yield* block;
  }

  /** The files of all answers, in the key order of the answers, each once. ADAPTER_CONTRACT for two that share a name. */
  files(): BrFile[] {
    const files = new Map<string, BrFile>();
    for (const answer of this.ranges()) {
      for (const file of answer.files) {
        const other = files.get(file.name);
        if (other === undefined) files.set(file.name, file);
        else if (!isSameFile(other, file)) throw sameName(file.name);
      }
    }
    return [...files.values()];
  }

  /** What of `wanted` is not answered: in key order. `wanted` sorted and disjoint. At most `limit` ranges: the first. */
  missing(wanted: readonly BrKeyRange[], limit = Infinity): BrKeyRange[] {
    const missing: BrKeyRange[] = [];
    for (const range of wanted) {
      let at: Uint8Array | undefined = range.startKey;
      for (const answered of this.#from(range.startKey)) {
        if (endsBefore(range.endKey, answered.startKey)) break;
        if (compareBytes(at, answered.startKey) < 0) missing.push({ startKey: at, endKey: answered.startKey });
        if (missing.length >= limit) return missing;
        at = answered.endKey.length === 0 ? undefined : answered.endKey;
        if (at === undefined) break;
      }
      if (at !== undefined && !endsBefore(range.endKey, at)) missing.push({ startKey: at, endKey: range.endKey });
      if (missing.length >= limit) return missing.slice(0, limit);
    }
    return missing;
  }

  /** Ranges that end after `key`, in key order. */
  *#from(key: Uint8Array): Generator<AnsweredRange, void, undefined> {
    const at = this.#find(key);
    for (let b = at.block; b < this.#blocks.length; b++) {
      const block = this.#blocks[b] as AnsweredRange[];
      for (let i = b === at.block ? at.index : 0; i < block.length; i++) yield block[i] as AnsweredRange;
    }
  }

  #overlapping(range: BrKeyRange): AnsweredRange | undefined {
    const { block, index } = this.#find(range.startKey);
    const first = this.#blocks[block]?.[index];
    return first === undefined || endsBefore(range.endKey, first.startKey) ? undefined : first;
  }

  /** Where the first range lies that ends after `key`; behind the last one if there is none. */
  #find(key: Uint8Array): { readonly block: number; readonly index: number } {
    const block = firstIndex(this.#blocks.length, (b) => {
      const ranges = this.#blocks[b] as AnsweredRange[];
      return !endsBefore((ranges.at(-1) as AnsweredRange).endKey, key);
    });
    const ranges = this.#blocks[block] ?? [];
    return { block, index: firstIndex(ranges.length, (i) => !endsBefore((ranges[i] as AnsweredRange).endKey, key)) };
  }

  #insert(answer: AnsweredRange): void {
    const { block, index } = this.#find(answer.startKey);
    // Behind the last one: into the last block, not into one of its own.
    const isLast = block === this.#blocks.length;
    const into = isLast ? block - 1 : block;
    const ranges = this.#blocks[into];
    this.#size++;
    if (ranges === undefined) {
      this.#blocks.push([answer]);
      return;
    }
    ranges.splice(isLast ? ranges.length : index, 0, answer);
    if (ranges.length > BLOCK) this.#blocks.splice(into + 1, 0, ranges.splice(BLOCK / 2));
  }

  #remove(answer: AnsweredRange): void {
    const { block, index } = this.#find(answer.startKey);
    const ranges = this.#blocks[block];
    if (ranges?.[index] !== answer) return;
    ranges.splice(index, 1);
    if (ranges.length === 0) this.#blocks.splice(block, 1);
    this.#size--;
    for (const file of answer.files) {
      if (this.#owners.get(file.name) === answer) this.#owners.delete(file.name);
    }
  }
}

function isSameFile(a: BrFile, b: BrFile): boolean {
  return a.size === b.size && equalBytes(a.sha256, b.sha256);
}

function sameName(name: string): BackupError {
  return new BackupError(
    'ADAPTER_CONTRACT',
    `two answers of a backup name a file ${name}, and it is not the same one`,
    {
      file: name,
    },
  );
}

/** The first number below `length` for which `isTrue` holds; `length` if there is none. It must hold for all after the first. */
export function firstIndex(length: number, isTrue: (index: number) => boolean): number {
  let low = 0;
  let high = length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (isTrue(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Sorted, disjoint, without empty ones; neighbours that touch are joined. */
export function coalesceBrRanges(ranges: readonly BrKeyRange[]): BrKeyRange[] {
  const sorted = [...ranges].sort((a, b) => compareBytes(a.startKey, b.startKey));
  const result: BrKeyRange[] = [];
  for (const range of sorted) {
    if (endsBefore(range.endKey, range.startKey)) continue;
    const last = result.at(-1);
    const touches = last !== undefined && (last.endKey.length === 0 || compareBytes(range.startKey, last.endKey) <= 0);
    if (!touches) result.push(range);
    else if (!containsRange(last, range) && compareEnds(range.endKey, last.endKey) > 0) {
      result[result.length - 1] = { startKey: last.startKey, endKey: range.endKey };
    }
  }
  return result;
}

/** Whether both have the same bounds. */
export function equalBrRanges(a: BrKeyRange, b: BrKeyRange): boolean {
  return equalBytes(a.startKey, b.startKey) && equalBytes(a.endKey, b.endKey);
}
