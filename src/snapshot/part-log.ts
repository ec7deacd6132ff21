// Records which files of a snapshot are whole, while it goes on: whatever has come since the last entry goes into the next one, one entry at a time.
// A snapshot does not need it to be completed: an entry that cannot be written costs a resumed snapshot some work, no more.

import { snapshotPartName } from '../format/fdb/snapshot-part.js';
import type { RangeFileSums } from '../format/fdb/snapshot-sums.js';
import { encodeSnapshotSums } from '../format/fdb/snapshot-sums.js';
import type { Random } from '../core/clock.js';
import type { BackupContainer } from '../ports/backup-container.js';
import type { HalfSnapshot } from './half-snapshot.js';
import { type Access, writeNew } from './small-files.js';

export class PartLog {
  readonly #container: BackupContainer;
  readonly #half: HalfSnapshot;
  readonly #random: Random;
  readonly #access: Access;
  readonly #entries: string[];
  #waiting: RangeFileSums[] = [];
  #writing: Promise<void> | undefined;

  constructor(container: BackupContainer, half: HalfSnapshot, random: Random, access: Access) {
    this.#container = container;
    this.#half = half;
    this.#random = random;
    this.#access = access;
    this.#entries = [...half.entries];
  }

  /** Every entry of the snapshot that there may be. */
  get entries(): readonly string[] {
    return this.#entries;
  }

  add(file: RangeFileSums): void {
    this.#waiting.push(file);
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
      const files = this.#waiting;
      this.#waiting = [];
      const { snapshotBegin, id } = this.#half;
      const name = snapshotPartName({ snapshotBegin, id, uid: this.#random.uid() });
      this.#entries.push(name);
      try {
        await writeNew(this.#container, name, encodeSnapshotSums({ files }), this.#access);
      } catch {
        // See above. They are tried again together with the next file.
        this.#waiting.unshift(...files);
        return;
      }
    }
  }
}
