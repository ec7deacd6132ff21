// Joins the scan workers, which fill pieces, with the save workers, which finish them. Bounded by number: a piece that waits holds what its writer has not stored yet.

import { Condition } from '../../snapshot/condition.js';
import type { ScannedPiece } from './scanned-piece.js';

export interface EndedPiece {
  readonly piece: ScannedPiece;
  /** Exclusive. */
  readonly end: Uint8Array;
}

export class PieceQueue {
  readonly #capacity: number;
  readonly #waiting: EndedPiece[] = [];
  #closed = false;
  readonly #changed = new Condition();

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** Waits for a place. */
  async send(ended: EndedPiece, signal: AbortSignal): Promise<void> {
    while (this.#waiting.length >= this.#capacity) await this.#changed.wait(signal);
    signal.throwIfAborted();
    this.#waiting.push(ended);
    this.#changed.notify();
  }

  /** Nothing follows: `take` returns undefined when the last one is taken. */
  close(): void {
    this.#closed = true;
    this.#changed.notify();
  }

  async take(signal: AbortSignal): Promise<EndedPiece | undefined> {
    for (;;) {
      const ended = this.#waiting.shift();
      if (ended !== undefined) this.#changed.notify();
      if (ended !== undefined || this.#closed) return ended;
      await this.#changed.wait(signal);
    }
  }
}
