// A process of the simulated cluster: the only way by which the code that runs in it reaches the world. So it can die at any await, and stand still for as long as
// the seed wants: its calls get no answers, its timers do not fire.

import type { Clock, Random } from '../../core/clock.js';
import type { CallKind, CallPlan, SimFaults } from './faults.js';
import type { SimHits } from './hits.js';
import type { SimRandom } from './random.js';
import type { SimScheduler } from './scheduler.js';
import type { SimTrace } from './trace.js';
import { describeError } from './trace.js';

/** What all processes of one run share. */
export interface SimWorld {
  readonly scheduler: SimScheduler;
  readonly random: SimRandom;
  readonly faults: SimFaults;
  readonly trace: SimTrace;
  readonly hits: SimHits;
}

export interface SimProcessOptions {
  /** Never killed or frozen by chance: the hand that steers the simulation. Default false. */
  readonly immortal?: boolean;
  /** Milliseconds by which its clock differs from the others'. Default 0. */
  readonly clockSkew?: number;
  /** Milliseconds by which its wall clock is ahead. Default: as the other one. */
  readonly wallSkew?: number;
}

interface SpoiledAnswer {
  readonly lateMs: number;
  readonly isLost: boolean;
}

/** Longer than any delay or timeout of the workers under test. */
const FREEZE_MS = { least: 800, most: 3000 };

/** By how much clocks jump, ms. */
const JUMP_MS = { wall: 3_600_000, suspended: 5_000 };

/** Less could be too little to move the clock at all, in floating point; real timers are coarser by far. */
const SHORTEST_SLEEP_MS = 1e-6;

/** ms since 1970 at the beginning of every simulation. */
const WALL_TIME_AT_START = Date.UTC(2026, 0, 1);

export class SimProcess {
  readonly name: string;
  readonly world: SimWorld;
  readonly clock: Clock;
  readonly random: Random;
  readonly #immortal: boolean;
  readonly #onDeath: (() => void)[] = [];
  /** By how much its wall clock was ahead, and from which virtual moment on. */
  readonly #wallShifts: { readonly from: number; readonly shift: number }[];
  /** By how much its monotonic clock is ahead. */
  #shift: number;
  #state: 'running' | 'frozen' | 'dead' = 'running';
  /** What arrived while the process was frozen. */
  #held: (() => void)[] = [];
  /** What becomes of the answer to the call that takes effect right now. */
  #spoiled: SpoiledAnswer | undefined;

  constructor(world: SimWorld, name: string, options: SimProcessOptions = {}) {
    this.world = world;
    this.name = name;
    this.#immortal = options.immortal ?? false;
    this.#shift = options.clockSkew ?? 0;
    this.#wallShifts = [{ from: 0, shift: options.wallSkew ?? this.#shift }];
    this.clock = {
      now: () => world.scheduler.now + this.#shift,
      wallTime: () => WALL_TIME_AT_START + world.scheduler.now + this.#wallShift,
      sleep: (ms, signal) => this.#sleep(ms, signal),
      yieldToHost: () => this.#sleep(0),
    };
    this.random = world.random;
  }

  get isDead(): boolean {
    return this.#state === 'dead';
  }

  get isFrozen(): boolean {
    return this.#state === 'frozen';
  }

  get #wallShift(): number {
    return this.#wallShifts.at(-1)?.shift ?? 0;
  }

  /** The last virtual moment at which its wall clock can have shown this time; undefined: none. */
  momentOf(wallTime: number): number | undefined {
    const moments = this.#wallShifts.map(({ from, shift }, index) => {
      const moment = wallTime - WALL_TIME_AT_START - shift;
      const until = this.#wallShifts[index + 1]?.from ?? Number.POSITIVE_INFINITY;
      // The clock gives whole milliseconds to whoever rounds them.
      return moment >= from - 1 && moment <= until + 1 ? moment : undefined;
    });
    return moments.findLast((moment) => moment !== undefined);
  }

  /** Its clocks are set, or it was suspended: timers know nothing of it. */
  jumpClocks(): void {
    if (this.#immortal || this.isDead) return;
    const { random, hits, scheduler } = this.world;
    if (random.chance(0.3)) {
      this.#shift += random.between(0, JUMP_MS.suspended);
      hits.add('fault: monotonic clock jumps forward');
    }
    const most = random.pick([50, 1_000, JUMP_MS.wall]);
    const by = Math.round(random.between(-most, most));
    this.#wallShifts.push({ from: scheduler.now, shift: this.#wallShift + by });
    hits.add(by < 0 ? 'fault: wall clock jumps back' : 'fault: wall clock jumps forward');
    this.note(`CLOCKS JUMP, wall clock by ${by} ms`);
  }

  onDeath(listener: () => void): void {
    this.#onDeath.push(listener);
  }

  note(what: string): void {
    this.world.trace.add(this.name, what);
  }

  /** From now on nothing that it waits for ever arrives. */
  kill(): void {
    if (this.#state === 'dead') return;
    this.#state = 'dead';
    this.#held = [];
    this.note('DIES');
    this.world.hits.add('fault: process killed');
    for (const listener of this.#onDeath.splice(0)) listener();
  }

  /** Stands still for `ms`; what it waits for arrives after that. */
  freeze(ms: number): void {
    if (this.#state !== 'running') return;
    this.#state = 'frozen';
    this.note(`FREEZES for ${ms.toFixed(0)} ms`);
    this.world.hits.add('fault: process frozen');
    this.world.scheduler.schedule(ms, () => this.thaw());
  }

  thaw(): void {
    if (this.#state !== 'frozen') return;
    this.#state = 'running';
    this.note('THAWS');
    for (const arrive of this.#held.splice(0)) this.deliver(this.world.random.between(0, 5), arrive);
  }

  /**
   * A call to the outside world. `effect` happens there, at one moment; a process that dies before has either sent the call or not. What it returns or throws
   * arrives later, if the process is still there.
   */
  call<T>(kind: CallKind, what: string, effect: () => T, failure: () => Error): Promise<T> {
    return this.callWithPlan(this.world.faults.plan(kind), what, effect, failure);
  }

  callWithPlan<T>(plan: CallPlan, what: string, effect: () => T, failure: () => Error): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.isDead) return;
      this.world.scheduler.schedule(plan.before, () => {
        if (this.isDead && this.world.random.chance(0.5)) return;
        if (this.world.faults.strikes('clockJump')) this.jumpClocks();
        if (plan.peril === 'kill before' && this.#strike(plan.peril)) return;
        this.#takeSpoiled();
        const answer = this.#perform(plan, what, effect, failure, resolve, reject);
        const { lateMs, isLost } = this.#takeSpoiled();
        if (plan.peril !== 'none' && plan.peril !== 'kill before') this.#strike(plan.peril);
        this.deliver(plan.after + lateMs, isLost ? () => reject(failure()) : answer);
      });
    });
  }

  /** For whoever sees a call take effect: its answer comes so much later, and as a failure if it is lost. */
  spoilAnswer(lateMs: number, isLost: boolean): void {
    this.#spoiled = { lateMs, isLost };
  }

  #takeSpoiled(): SpoiledAnswer {
    const spoiled = this.#spoiled;
    this.#spoiled = undefined;
    return spoiled ?? { lateMs: 0, isLost: false };
  }

  /** Lets `arrive` happen to the process in `after` ms; later if it is frozen, not at all once it is dead. */
  deliver(after: number, arrive: () => void): void {
    if (after > 0) {
      this.world.scheduler.schedule(after, () => this.deliver(0, arrive), this);
    } else if (this.#state === 'running') {
      arrive();
    } else if (this.#state === 'frozen') {
      this.#held.push(arrive);
    }
  }

  #perform<T>(
    plan: CallPlan,
    what: string,
    effect: () => T,
    failure: () => Error,
    resolve: (value: T) => void,
    reject: (error: unknown) => void,
  ): () => void {
    if (plan.failure === 'before') {
      this.note(`${what} FAILS before its effect`);
      return () => reject(failure());
    }
    try {
      const value = effect();
      if (plan.failure === 'after') {
        this.note(`${what} takes effect, then FAILS`);
        return () => reject(failure());
      }
      return () => resolve(value);
    } catch (error) {
      if (this.world.trace.enabled) this.note(`${what} is refused: ${describeError(error)}`);
      return () => reject(error);
    }
  }

  /** False when this process is spared. */
  #strike(peril: CallPlan['peril']): boolean {
    if (this.#immortal || this.world.faults.stopped) return false;
    if (peril === 'freeze') this.freeze(this.world.random.between(FREEZE_MS.least, FREEZE_MS.most));
    else this.kill();
    return true;
  }

  #sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.isDead) return;
      if (signal?.aborted === true) {
        reject(signal.reason as Error);
        return;
      }
      const arrive = () => {
        this.deliver(0, () => {
          signal?.removeEventListener('abort', onAbort);
          resolve();
        });
      };
      const event = this.world.scheduler.schedule(ms > 0 ? Math.max(ms, SHORTEST_SLEEP_MS) : ms, arrive, this);
      const onAbort = () => {
        event.cancelled = true;
        reject(signal?.reason as Error);
      };
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  }
}
