// The oracle looks while the world stands still: no virtual time passes for it.

import type { Clock } from '../../core/clock.js';

export const standstill: Clock = {
  now: () => 0,
  wallTime: () => 0,
  sleep: () => Promise.resolve(),
  yieldToHost: () => Promise.resolve(),
};
