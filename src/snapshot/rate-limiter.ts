// So many bytes per second, whoever asks for them.

import type { Clock } from '../core/clock.js';

export class RateLimiter {
  readonly #bytesPerMs: number | undefined;
  readonly #clock: Clock;
  /** When everything that was granted has been used up at that rate. */
  #free = 0;

  /** `bytesPerSecond` undefined: no limit. */
  constructor(bytesPerSecond: number | undefined, clock: Clock) {
    this.#bytesPerMs = bytesPerSecond === undefined ? undefined : bytesPerSecond / 1000;
    this.#clock = clock;
  }

  /** Resolves when the bytes may be used. Requests are served in order; an idle time is not made up for. */
  async take(bytes: number, signal: AbortSignal): Promise<void> {
    if (this.#bytesPerMs === undefined) return;
    const now = this.#clock.now();
    const begin = Math.max(now, this.#free);
    this.#free = begin + bytes / this.#bytesPerMs;
    if (begin > now) await this.#clock.sleep(begin - now, signal);
  }
}
