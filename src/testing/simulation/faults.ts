// How badly the world behaves in one run. Every seed draws its own mixture, and leaves some faults out altogether: a world in which everything goes wrong at once
// seldom gets far enough to go wrong in an interesting way.

import type { SimHits } from './hits.js';
import type { SimRandom } from './random.js';

/** What a call to the outside world is made to. */
export type CallKind = 'log' | 'store' | 'container' | 'source';

/** Probabilities per call, unless said otherwise. */
export interface FaultRates {
  /** An answer takes as long as `slowCallMs` instead of a few milliseconds. */
  readonly slow: number;
  readonly slowCallMs: number;
  /** The call fails before it has had any effect. */
  readonly failBefore: Readonly<Record<CallKind, number>>;
  /** The call takes effect and then reports a failure: its outcome is unknown. */
  readonly failAfter: Readonly<Record<CallKind, number>>;
  /** The process dies, before or after the effect; the answer never arrives. */
  readonly kill: number;
  /** The process stands still from here on, for longer than any timeout, and then goes on. */
  readonly freeze: number;
  /** A watch resolves without a change. */
  readonly watchEarly: number;
  /** A watch never resolves: polling must save the day. */
  readonly watchNever: number;
  /** A watch tells of a change only after a second or so. */
  readonly watchLate: number;
  /** A watch that has fired fires once more, without a change. */
  readonly watchTwice: number;
  /** A transaction whose answer is lost takes effect only later, when its client may have begun others. */
  readonly lateCommit: number;
  /** A peek's reply ends before it must, or is empty. */
  readonly shortPeek: number;
  /** A peek's reply is lost on its way: the same data are served again. */
  readonly lostReply: number;
  /** A peek's reply comes although the request was aborted meanwhile. */
  readonly lateReply: number;
  /** A call to a container hangs for long and then fails, whether it has taken effect or not. */
  readonly hang: number;
  /** An append takes some of its chunks and then fails. */
  readonly halfAppend: number;
  /** ms after a file was finished or deleted in which listings may be wrong about it, at most; 0: never. */
  readonly listingLagMs: number;
  /** The process's clocks jump: the wall clock to and fro, the monotonic one forward, as after a suspend. Per call. */
  readonly clockJump: number;
  /** Milliseconds by which notices of the log system's state are late, at most. */
  readonly noticeDelayMs: number;
  /** A process hears of the log system's state very late. Per process. */
  readonly cutOff: number;
  /** A transaction reads only after a pause. */
  readonly slowRead: number;
}

/** What those who must be sure of a listing wait, ms. */
export const MAX_LISTING_LAG_MS = 300;

/** Nothing goes wrong. */
export const CALM: FaultRates = {
  slow: 0,
  slowCallMs: 0,
  failBefore: { log: 0, store: 0, container: 0, source: 0 },
  failAfter: { log: 0, store: 0, container: 0, source: 0 },
  kill: 0,
  freeze: 0,
  watchEarly: 0,
  watchNever: 0,
  watchLate: 0,
  watchTwice: 0,
  lateCommit: 0,
  shortPeek: 0,
  lostReply: 0,
  lateReply: 0,
  hang: 0,
  halfAppend: 0,
  listingLagMs: 0,
  clockJump: 0,
  noticeDelayMs: 5,
  cutOff: 0,
  slowRead: 0,
};

export function drawFaultRates(random: SimRandom): FaultRates {
  const maybe = (most: number) => (random.chance(0.55) ? random.between(0, most) : 0);
  const seldom = (most: number) => (random.chance(0.3) ? random.between(0, most) : 0);
  return {
    slow: maybe(0.12),
    slowCallMs: random.between(30, 400),
    failBefore: { log: maybe(0.08), store: maybe(0.08), container: maybe(0.12), source: maybe(0.08) },
    failAfter: { log: maybe(0.05), store: maybe(0.12), container: maybe(0.08), source: maybe(0.05) },
    kill: maybe(0.012),
    freeze: maybe(0.008),
    watchEarly: maybe(0.2),
    watchNever: random.chance(0.2) ? 1 : maybe(0.4),
    watchLate: seldom(0.2),
    watchTwice: seldom(0.3),
    lateCommit: seldom(0.06),
    shortPeek: maybe(0.3),
    lostReply: seldom(0.1),
    lateReply: seldom(0.5),
    hang: maybe(0.03),
    halfAppend: seldom(0.1),
    listingLagMs: random.chance(0.3) ? random.pick([20, 100, MAX_LISTING_LAG_MS]) : 0,
    clockJump: seldom(0.004),
    noticeDelayMs: random.pick([5, 60, 400]),
    cutOff: maybe(0.3),
    slowRead: random.pick([0, 0.05, 0.3]),
  };
}

/** Those that strike by themselves, besides what becomes of a call. */
export type FaultName = {
  [K in keyof FaultRates]: FaultRates[K] extends number ? K : never;
}[Exclude<keyof FaultRates, 'listingLagMs' | 'slow' | 'slowCallMs' | 'kill' | 'freeze' | 'noticeDelayMs' | 'cutOff'>];

/** What becomes of one call. */
export interface CallPlan {
  /** Milliseconds until it takes effect. */
  readonly before: number;
  /** Milliseconds from there until its answer arrives. */
  readonly after: number;
  readonly failure: 'none' | 'before' | 'after';
  readonly peril: 'none' | 'kill before' | 'kill after' | 'freeze';
}

export class SimFaults {
  readonly #random: SimRandom;
  readonly #hits: SimHits;
  #rates: FaultRates;
  #isStopped = false;

  constructor(random: SimRandom, hits: SimHits, rates: FaultRates = drawFaultRates(random)) {
    this.#random = random;
    this.#hits = hits;
    this.#rates = rates;
  }

  get rates(): FaultRates {
    return this.#rates;
  }

  get stopped(): boolean {
    return this.#isStopped;
  }

  /** From now on nothing goes wrong any more. */
  stop(): void {
    this.#isStopped = true;
    this.#rates = CALM;
  }

  /** In this run news reach many processes too late. */
  cutOffMore(): void {
    this.#rates = { ...this.#rates, cutOff: 0.6 };
  }

  plan(kind: CallKind): CallPlan {
    const random = this.#random;
    const rates = this.#rates;
    const failure = random.chance(rates.failBefore[kind])
      ? 'before'
      : random.chance(rates.failAfter[kind])
        ? 'after'
        : 'none';
    if (failure !== 'none') this.#hits.add(`fault: ${kind} call fails ${failure} its effect`);
    return { before: this.latency(), after: random.chance(0.3) ? this.latency() : 0, failure, peril: this.#peril() };
  }

  /** Milliseconds of one way of a call; quite often none. */
  latency(): number {
    const random = this.#random;
    if (random.chance(this.#rates.slow)) {
      this.#hits.add('fault: slow call');
      return random.between(0, this.#rates.slowCallMs);
    }
    return random.chance(0.25) ? 0 : random.between(0, 6);
  }

  /** Counts as a fault that happened when it is true. */
  strikes(fault: FaultName): boolean {
    const struck = this.#random.chance(this.#rates[fault]);
    if (struck) this.#hits.add(`fault: ${fault}`);
    return struck;
  }

  #peril(): CallPlan['peril'] {
    const random = this.#random;
    if (random.chance(this.#rates.kill)) return random.chance(0.4) ? 'kill before' : 'kill after';
    return random.chance(this.#rates.freeze) ? 'freeze' : 'none';
  }
}
