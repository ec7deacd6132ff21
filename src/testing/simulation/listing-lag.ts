// Listings of a container that lag behind: what was finished a moment ago is not listed yet, what was deleted a moment ago still is, each file by itself.

import type { ListedFile } from '../../ports/backup-container.js';
import type { SimWorld } from './process.js';

export class ListingLag {
  readonly #world: SimWorld;
  /** Virtual ms from which on a finished file is listed. */
  readonly #hidden = new Map<string, number>();
  /** Deleted files, with the moment from which on they are no longer listed. */
  readonly #ghosts = new Map<string, { readonly size: number; readonly until: number }>();

  constructor(world: SimWorld) {
    this.#world = world;
  }

  finished(name: string): void {
    const isGhost = this.#ghosts.delete(name);
    const until = this.#draw();
    // One that replaces another is listed all along.
    if (until !== undefined && !isGhost) this.#hidden.set(name, until);
  }

  deleted(name: string, size: number): void {
    // What was never listed does not appear when it is gone.
    if (this.#isHidden(name)) return;
    const until = this.#draw();
    if (until !== undefined) this.#ghosts.set(name, { size, until });
  }

  /** What a listing shows where `files` are. */
  listed(prefix: string, files: readonly ListedFile[]): ListedFile[] {
    if (this.#hidden.size === 0 && this.#ghosts.size === 0) return [...files];
    const { hits, scheduler } = this.#world;
    const shown = files.filter(({ name }) => !this.#isHidden(name));
    if (shown.length < files.length) hits.add('fault: listing lags: a finished file is missing');
    for (const [name, { size, until }] of this.#ghosts) {
      if (until <= scheduler.now) this.#ghosts.delete(name);
      else if (name.startsWith(prefix)) {
        hits.add('fault: listing lags: a deleted file is there');
        shown.push({ name, size });
      }
    }
    return shown.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  #isHidden(name: string): boolean {
    const until = this.#hidden.get(name);
    if (until === undefined) return false;
    if (until > this.#world.scheduler.now) return true;
    this.#hidden.delete(name);
    return false;
  }

  #draw(): number | undefined {
    const { faults, random, scheduler } = this.#world;
    const { listingLagMs } = faults.rates;
    return listingLagMs > 0 && random.chance(0.4) ? scheduler.now + random.between(0, listingLagMs) : undefined;
  }
}
