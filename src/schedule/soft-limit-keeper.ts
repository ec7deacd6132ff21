// Auto-tune: lowers and raises a soft limit with the load of machine and host, so that a backup takes what is left over.

import { systemClock, type Clock } from '../core/clock.js';
import { BackupError } from '../core/errors.js';
import { checkNumber } from '../core/check-option.js';
import { backupSettings, type BackupSettings } from './backup-settings.js';
import type { LoadSample, LoadStatistics } from './host-load.js';
import { SoftLimit } from './soft-limit.js';

export interface SoftLimitKeeperOptions {
  readonly settings?: Partial<BackupSettings> | undefined;
  /** Needed for `enableAutoTune` only. */
  readonly statistics?: LoadStatistics | undefined;
  /** Event loop delay in ms from which on the host counts as held up: the limit is halved. Default 50. */
  readonly maxEventLoopDelay?: number | undefined;
  readonly clock?: Clock | undefined;
}

const DEFAULT_MAX_EVENT_LOOP_DELAY = 50;
/** The limit is raised again when the delay is below this part of the maximum: between the two it is left alone, or it would swing. */
const CALM = 0.5;

/**
 * Two bounds, each at most `numThreads` and at least 1; the lower one is the limit.
 * - Cores, as TiKV has it: those that nobody else uses, less `autoTuneRemainThreads`. What a backup uses itself must not count as used by others; TiKV tells by its threads'
 *   names, and here there is one thread. So of the process's use as much counts as the backup's own as its tasks could have used: a core for each.
 * - The event loop: halved when its delay reaches the maximum, raised by 1 when it is calm. A host that computes on the same thread is seen by this alone.
 */
export class SoftLimitKeeper {
  readonly limit: SoftLimit;
  readonly #statistics: LoadStatistics | undefined;
  readonly #clock: Clock;
  readonly #maxDelay: number;
  #settings: BackupSettings;
  /** What the event loop's delay allows; Infinity while it sets no bound. */
  #loopQuota = Infinity;

  constructor(options: SoftLimitKeeperOptions) {
    this.#statistics = options.statistics;
    this.#settings = this.#check(options.settings);
    this.#clock = options.clock ?? systemClock;
    const maxDelay = options.maxEventLoopDelay ?? DEFAULT_MAX_EVENT_LOOP_DELAY;
    this.#maxDelay = checkNumber('maxEventLoopDelay', maxDelay, 1, Number.MAX_SAFE_INTEGER);
    this.limit = new SoftLimit(this.#settings.numThreads);
  }

  get settings(): BackupSettings {
    return this.#settings;
  }

  /** Changes settings while the keeper runs: they count from its next look at the load. What is left out stays. */
  configure(settings: Partial<BackupSettings>): void {
    this.#settings = this.#check({ ...this.#settings, ...settings });
  }

  /** Looks at the load now and again every `autoTuneRefreshInterval` ms until the signal aborts; then it resolves, and the limit stays as it is. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.tick();
      try {
        await this.#clock.sleep(this.#settings.autoTuneRefreshInterval, signal);
      } catch (error) {
        if (!signal.aborted) throw error;
      }
    }
  }

  /** One look: sets the limit. Without `enableAutoTune` it is `numThreads`. */
  tick(): void {
    const { enableAutoTune, numThreads } = this.#settings;
    const sample = enableAutoTune ? this.#statistics?.sample() : undefined;
    if (sample === undefined) {
      this.#loopQuota = Infinity;
      this.limit.resize(numThreads);
      return;
    }
    this.#loopQuota = this.#nextLoopQuota(sample);
    this.limit.resize(Math.max(1, Math.min(numThreads, this.#coresQuota(sample), this.#loopQuota)));
  }

  #check(settings: Partial<BackupSettings> | undefined): BackupSettings {
    const checked = backupSettings(settings);
    if (checked.enableAutoTune && this.#statistics === undefined) {
      throw new BackupError('INVALID_OPTION', 'statistics must be given when enableAutoTune is true, got undefined');
    }
    return checked;
  }

  #coresQuota({ cores, machineBusy, processBusy }: LoadSample): number {
    const own = Math.min(processBusy, this.limit.cap);
    const others = Math.max(0, machineBusy - own);
    return Math.floor(cores - others) - this.#settings.autoTuneRemainThreads;
  }

  #nextLoopQuota({ eventLoopDelay }: LoadSample): number {
    if (eventLoopDelay >= this.#maxDelay) return Math.max(1, Math.floor(this.limit.cap / 2));
    if (eventLoopDelay >= this.#maxDelay * CALM) return this.#loopQuota;
    const raised = this.#loopQuota + 1;
    return raised >= this.#settings.numThreads ? Infinity : raised;
  }
}
