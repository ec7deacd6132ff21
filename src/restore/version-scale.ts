// Versions to pixels, and the round numbers that an axis is labelled with. Pure.

import type { Version } from '../core/version.js';

export class VersionScale {
  /** Inclusive. */
  readonly begin: Version;
  /** Exclusive, greater than begin. */
  readonly end: Version;
  readonly left: number;
  readonly width: number;

  constructor(begin: Version, end: Version, left: number, width: number) {
    this.begin = begin;
    this.end = end > begin ? end : begin + 1n;
    this.left = left;
    this.width = width;
  }

  /** Versions outside of the scale land on its edges. */
  x(version: Version): number {
    const span = Number(this.end - this.begin);
    const share = Number(version - this.begin) / span;
    return this.left + Math.min(1, Math.max(0, share)) * this.width;
  }

  /** At most `count` round versions, ascending. */
  ticks(count: number): Version[] {
    const step = roundStep((this.end - this.begin) / BigInt(Math.max(1, count)) + 1n);
    const ticks: Version[] = [];
    for (let tick = ((this.begin + step - 1n) / step) * step; tick <= this.end; tick += step) ticks.push(tick);
    return ticks;
  }
}

/** The smallest of 1, 2, 5, 10, 20, 50, … that is not below `step`. */
function roundStep(step: bigint): bigint {
  let power = 1n;
  while (power * 10n <= step) power *= 10n;
  return [1n, 2n, 5n, 10n].map((factor) => factor * power).find((candidate) => candidate >= step) ?? power * 10n;
}

/** With a thin space between groups of three digits. */
export function formatVersion(version: Version): string {
  return version.toString().replace(/\B(?=(\d{3})+$)/g, '\u2009');
}
