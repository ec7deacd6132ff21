// Schedules that chance alone seldom meets, brought about now and then.

import { EPOCH_KEY, NOOP_PREFIX } from '../../job/keys.js';
import { decodeVersion } from '../../job/records.js';
import type { SimCluster } from './cluster.js';
import type { SimDatabase } from './sim-database.js';
import type { SimOperator } from './sim-operator.js';

/** For how long nobody hears of some recoveries, ms. */
const UNHEARD_MS = { least: 150, most: 600 };
/** Between two looks whether the new epoch has committed anything, ms. */
const LOOK_MS = 4;

/** A job that is submitted while a noop is on its way, an answer to it that is late or lost, and a worker that dies soon after: P2, P6, scenarios 4 and 5. */
export function provokeNoops({ log, store, world }: SimCluster, operator: SimOperator): void {
  const { faults, random, scheduler } = world;
  store.onCommit(({ writes, process }) => {
    // The first noop of an epoch's workers discards nothing.
    const isNoop = [...writes].some(
      ([key, value]) =>
        key.startsWith(NOOP_PREFIX) && value !== undefined && decodeVersion(key, value) >= log.current.begin,
    );
    if (!isNoop || faults.stopped || !operator.hasPlans || !random.chance(0.6)) return;
    scheduler.schedule(random.between(0, 4), () => operator.hurry('a noop'));
    // Late enough for the job to be heard of meanwhile.
    if (random.chance(0.8)) process.spoilAnswer(random.between(20, 250), random.chance(0.6));
    if (random.chance(0.3) && faults.rates.kill > 0) scheduler.schedule(random.between(5, 120), () => process.kill());
  });
}

/** A job that is submitted as soon as an epoch is announced of which its predecessor's workers have not heard (P3, scenario 3). */
export function provokeStarts({ log, store, world }: SimCluster, operator: SimOperator): void {
  const { faults, random, scheduler } = world;
  store.onCommit(({ writes }) => {
    if (!writes.has(EPOCH_KEY) || log.unheardMs === 0 || faults.stopped || !operator.hasPlans) return;
    scheduler.schedule(random.between(0, 10), () => operator.hurry('a recovery'));
  });
}

/** A recovery; now and then one that nobody hears of for a while, and a job that is discontinued once the new epoch has committed: who looks after it belongs to the old one (P8, scenario 2). */
export function recover(cluster: SimCluster, database: SimDatabase, operator: SimOperator): void {
  const { history, log, world } = cluster;
  const { hits, random, scheduler } = world;
  if (!random.chance(0.35)) {
    database.recover();
    return;
  }
  database.recover(random.between(UNHEARD_MS.least, UNHEARD_MS.most));
  hits.add('shape: recovery that nobody hears of');
  const { epoch, begin } = log.current;
  const look = () => {
    if (log.current.epoch !== epoch || log.unheardMs === 0) return;
    if (history.committed >= begin) operator.discontinueOne();
    else scheduler.schedule(LOOK_MS, look);
  };
  look();
}
