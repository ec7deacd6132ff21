// Which jobs a run has, and when: one or several, over ranges that overlap or not, some submitted again after their end, some, by mistake, to a container that is another's.

import type { Version } from '../../core/version.js';
import type { SimCluster } from './cluster.js';
import type { SimFleet } from './fleet.js';
import type { SimDatabase } from './sim-database.js';
import type { SimJobPlan, SimOperator } from './sim-operator.js';
import { drawRanges } from './sim-operator.js';

export interface SimJobsParts {
  readonly cluster: SimCluster;
  readonly database: SimDatabase;
  readonly fleet: SimFleet;
  readonly operator: SimOperator;
  /** Virtual ms at which the faults stop. */
  readonly calmAt: number;
}

export class SimJobs {
  readonly #parts: SimJobsParts;
  #count = 0;

  constructor(parts: SimJobsParts) {
    this.#parts = parts;
  }

  /** Plans the jobs, and starts the fleet: some jobs are there before the first worker, so that they begin with the database; or there is none until after a recovery. */
  plan(): void {
    const { cluster, fleet } = this.#parts;
    const { random, scheduler } = cluster.world;
    if (random.chance(0.15)) {
      this.#planLateJob();
      return;
    }
    const isFirst = random.chance(0.8);
    const jobs = random.chance(0.12) ? random.int(4, 5) : random.int(1, 3);
    if (jobs > 3) cluster.hits.add('shape: four jobs or more');
    for (let i = 0; i < jobs; i++) this.#run(this.#draw(isFirst && i < random.int(1, 2)));
    scheduler.schedule(isFirst ? random.between(30, 80) : 0, () => fleet.start());
  }

  /** NOOP mode, a recovery, and a job once the old epoch is discarded: workers that have not been told by then meet a log that others have emptied (P7). */
  #planLateJob(): void {
    const { calmAt, cluster, database, fleet } = this.#parts;
    const { faults, random, scheduler } = cluster.world;
    faults.cutOffMore();
    cluster.hits.add('shape: job after a drained epoch');
    fleet.start();
    const at = random.between(100, calmAt / 3);
    scheduler.schedule(at, () => database.recover());
    const submitWhenForgotten = () => {
      const { epochs } = cluster.log.info;
      if (epochs.length > 1 && scheduler.now < calmAt) scheduler.schedule(10, submitWhenForgotten);
      else this.#run({ ...this.#draw(false), startVersion: 0n, submitAt: random.between(0, 200) });
    };
    scheduler.schedule(at + 10, submitWhenForgotten);
  }

  #run(plan: SimJobPlan): void {
    const { calmAt, cluster, operator } = this.#parts;
    const { random } = cluster.world;
    operator.run(plan);
    if (plan.end !== 'never' && random.chance(0.3)) {
      cluster.hits.add('shape: job submitted again after its end');
      operator.run({ ...this.#draw(false), ranges: plan.ranges, submitAt: random.between(plan.endAt, calmAt) });
    }
    if (random.chance(0.06)) {
      cluster.hits.add('shape: two jobs on one URL');
      operator.run({ ...this.#draw(random.chance(0.5)), url: plan.url });
    }
  }

  #draw(isFirst: boolean): SimJobPlan {
    const { calmAt, cluster } = this.#parts;
    const { firstVersion, world } = cluster;
    const { random } = world;
    const index = this.#count++;
    const submitAt = isFirst ? random.between(0, 20) : random.between(0, calmAt);
    const later: Version = firstVersion + BigInt(random.int(0, 2_000));
    const logOnly = random.chance(isFirst ? 0.6 : 0.2);
    const requests = random.chance(0.25) ? random.int(1, 2) : 0;
    return {
      uid: `job${index}`,
      url: `sim://job${index}`,
      ranges: drawRanges(cluster),
      startVersion: isFirst ? random.pick([0n, firstVersion]) : random.pick([0n, 0n, later]),
      logOnly,
      snapshotInterval: logOnly || random.chance(0.15) ? undefined : random.pick([150, 600, 60_000]),
      submitAt,
      end: random.pick(['never', 'never', 'never', 'discontinue', 'discontinue', 'abort']),
      endAt: random.between(submitAt, calmAt),
      requestsAt: Array.from({ length: requests }, () => random.between(submitAt, calmAt)),
    };
  }
}
