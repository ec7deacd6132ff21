// How busy the host is: what auto-tune looks at. The sources are the host's, so that the library touches neither process nor machine by itself.

import type { Clock } from '../core/clock.js';
import { systemClock } from '../core/clock.js';

/** What has happened since the sample before (the first: since the statistics were made). */
export interface LoadSample {
  /** Cores of the machine. */
  readonly cores: number;
  /** Cores' worth of time that the whole machine has worked, this process included: 0 to `cores`. */
  readonly machineBusy: number;
  /** Cores' worth of time that this process has worked, on all its threads. */
  readonly processBusy: number;
  /** How late the event loop was at worst, or nearly so, in ms. */
  readonly eventLoopDelay: number;
}

/** Where auto-tune gets its samples. */
export interface LoadStatistics {
  sample(): LoadSample;
}

/** What `os.cpus()` tells of a core: times in ms. */
export interface CoreTimes {
  readonly times: {
    readonly user: number;
    readonly nice: number;
    readonly sys: number;
    readonly idle: number;
    readonly irq: number;
  };
}

/** What `perf_hooks.monitorEventLoopDelay()` makes (it must have been enabled): times in ns. */
export interface DelayHistogram {
  readonly count: number;
  percentile(percentile: number): number;
  reset(): void;
}

export interface HostLoadOptions {
  /** `() => os.cpus()` */
  readonly cpus: () => readonly CoreTimes[];
  /** `() => process.cpuUsage()`: times in µs. */
  readonly cpuUsage: () => { readonly user: number; readonly system: number };
  readonly eventLoopDelay: DelayHistogram;
  readonly clock?: Clock | undefined;
}

interface Counters {
  readonly at: number;
  readonly coresBusy: number;
  readonly coresTotal: number;
  readonly processMs: number;
}

const DELAY_PERCENTILE = 99;

export class HostLoad implements LoadStatistics {
  readonly #options: HostLoadOptions;
  readonly #clock: Clock;
  #last: Counters;

  constructor(options: HostLoadOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#last = this.#read(options.cpus());
    options.eventLoopDelay.reset();
  }

  sample(): LoadSample {
    const cpus = this.#options.cpus();
    const last = this.#last;
    const now = this.#read(cpus);
    this.#last = now;
    const { eventLoopDelay } = this.#options;
    const delay = eventLoopDelay.count === 0 ? 0 : eventLoopDelay.percentile(DELAY_PERCENTILE) / 1e6;
    eventLoopDelay.reset();
    return {
      cores: cpus.length,
      machineBusy: cpus.length * share(now.coresBusy - last.coresBusy, now.coresTotal - last.coresTotal),
      processBusy: Math.min(cpus.length, ratio(now.processMs - last.processMs, now.at - last.at)),
      eventLoopDelay: delay,
    };
  }

  #read(cpus: readonly CoreTimes[]): Counters {
    let coresBusy = 0;
    let coresTotal = 0;
    for (const { times } of cpus) {
      const busy = times.user + times.nice + times.sys + times.irq;
      coresBusy += busy;
      coresTotal += busy + times.idle;
    }
    const { user, system } = this.#options.cpuUsage();
    return { at: this.#clock.now(), coresBusy, coresTotal, processMs: (user + system) / 1000 };
  }
}

/** Counters of a machine may stand still or jump back (a core that was taken away): no time, no load. */
function ratio(part: number, whole: number): number {
  return whole > 0 ? Math.max(0, part / whole) : 0;
}

function share(part: number, whole: number): number {
  return Math.min(1, ratio(part, whole));
}
