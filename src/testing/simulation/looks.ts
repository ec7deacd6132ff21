// When the oracle looks, besides the end: at random moments, in the midst of faults. Some seeds look often, some never: a look costs time, and must not be what makes a run go well.

import type { SimCluster } from './cluster.js';
import type { SimFleet } from './fleet.js';

export class SimLooks {
  readonly #cluster: SimCluster;
  readonly #fleet: SimFleet;
  /** Mean virtual ms between two looks at containers; 0: none. */
  readonly #meanMs: number;
  /** The same for the workers' memory. */
  readonly #memoryMs: number;

  constructor(cluster: SimCluster, fleet: SimFleet) {
    const { random } = cluster.world;
    this.#cluster = cluster;
    this.#fleet = fleet;
    this.#meanMs = random.pick([0, 0, 600, 600, 250, 80]);
    this.#memoryMs = random.pick([0, 30, 5]);
  }

  /** Goes on until the faults stop. */
  start(): void {
    if (this.#meanMs > 0) this.#nowAndThen(this.#meanMs, () => this.#lookAtJobs());
    if (this.#memoryMs > 0)
      this.#nowAndThen(this.#memoryMs, () => {
        this.#cluster.hits.add('oracle: looked at the memory');
        this.#fleet.checkAccounts();
      });
  }

  /** One job, or all of them. */
  #lookAtJobs(): void {
    const { hits, jobs, toCheck, world } = this.#cluster;
    const { all } = jobs;
    if (all.length === 0) return;
    hits.add('oracle: looked at a random moment');
    for (const job of world.random.chance(0.4) ? all : [world.random.pick(all)]) toCheck.add(job);
  }

  #nowAndThen(meanMs: number, action: () => void): void {
    const { faults, random, scheduler } = this.#cluster.world;
    scheduler.schedule(random.between(0, 2 * meanMs), () => {
      if (faults.stopped) return;
      action();
      this.#nowAndThen(meanMs, action);
    });
  }
}
