// The clock of the system: what Node's timers do not do by themselves.

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { systemClock } from '../../src/core/clock.js';

const MONTH = 30 * 24 * 60 * 60 * 1000;

describe('a sleep that is longer than a timer can be', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it('ends when it should, and not at once', async () => {
    let ended = false;
    void systemClock.sleep(2 * MONTH).then(() => (ended = true));
    await vi.advanceTimersByTimeAsync(2 * MONTH - 1);
    expect(ended).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    expect(ended).toBe(true);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('leaves no timer behind when it is aborted in its second half', async () => {
    const abort = new AbortController();
    const sleeping = expect(systemClock.sleep(2 * MONTH, abort.signal)).rejects.toThrow('enough');
    await vi.advanceTimersByTimeAsync(1.5 * MONTH);
    abort.abort(new Error('enough'));
    await sleeping;
    expect(vi.getTimerCount()).toBe(0);
  });

  it('is endless when it is asked to be', async () => {
    const abort = new AbortController();
    const sleeping = expect(systemClock.sleep(Infinity, abort.signal)).rejects.toThrow('enough');
    await vi.advanceTimersByTimeAsync(3 * MONTH);
    expect(vi.getTimerCount()).toBe(1);
    abort.abort(new Error('enough'));
    await sleeping;
  });
});
