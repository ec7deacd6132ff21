// Which level's turn it is: level 0 is to get its share of the running time, the levels below are served 4 to 1.
// As in yatp, what can be chosen is only how often a level is served; how much time that comes to is measured, and the chance is moved towards the target.

import type { Level } from './task-time.js';

/** Chances are in percent: whole numbers, so that turns are dealt exactly. */
const MIN_CHANCE = 50;
const MAX_CHANCE = 98;
const FIRST_CHANCE = 80;
const STEP = 6;
/** A share this near to the target is left alone. */
const TOLERANCE = 0.05;
/** ms of running time between two adjustments. */
const ADJUST_INTERVAL = 1000;
/** Turns of level 1 for one of level 2. */
const LEVEL_1_TURNS = 4;

export class LevelShare {
  readonly #target: number;
  #chance = FIRST_CHANCE;
  #ms = 0;
  #level0Ms = 0;
  /** What the levels below have coming: yatp throws dice; dealing in turn gives the same shares, and a bound for how long a level waits. */
  #credit = 0;
  #lowerTurn = 0;

  /** `target`: 0 to 1. */
  constructor(target: number) {
    this.#target = target;
  }

  /** How often level 0 is asked first: 0.5 to 0.98. */
  get chance(): number {
    return this.#chance / 100;
  }

  /** The level to ask first now. */
  next(): Level {
    this.#credit += 100 - this.#chance;
    if (this.#credit < 100) return 0;
    this.#credit -= 100;
    return this.nextBelow();
  }

  /** The level to ask first when level 0 has nothing, or has had its share. */
  nextBelow(): Level {
    if (this.#lowerTurn === LEVEL_1_TURNS) {
      this.#lowerTurn = 0;
      return 2;
    }
    this.#lowerTurn++;
    return 1;
  }

  /** A slice of that level has run for `ms`. */
  ran(level: Level, ms: number): void {
    this.#ms += ms;
    if (level === 0) this.#level0Ms += ms;
    if (this.#ms >= ADJUST_INTERVAL) this.#adjust();
  }

  #adjust(): void {
    const missing = this.#target - this.#level0Ms / this.#ms;
    if (missing > TOLERANCE) this.#chance = Math.min(this.#chance + STEP, MAX_CHANCE);
    else if (missing < -TOLERANCE) this.#chance = Math.max(this.#chance - STEP, MIN_CHANCE);
    this.#ms = 0;
    this.#level0Ms = 0;
  }
}
