// How long the tags of a host that is killed are without a worker, in a fleet of three real processes on a real etcd with files on the S3 server of the tests, under load: from SIGKILL until other hosts have
// claimed the last of them, beside the lease time that has to pass before anybody may.

import { setTimeout as sleep } from 'node:timers/promises';
import { SimRandom } from '../../src/testing/simulation/random.js';
import { DatabaseWriter } from '../fleet/database-writer.js';
import type { FleetHost } from '../fleet/fleet-host.js';
import { FleetWorld, type HandOver } from '../fleet/fleet-world.js';
import { atMost, median, type BenchOptions, type Figures } from './bench.js';

const TAGS = 8;
const HOSTS = 3;
/** ms */
const LEASE_TIME = 3_000;
/** `--pairs`: how many hosts are killed. */
const KILLS = 10;
/** s beyond the lease time. */
const GOAL = 2;

export async function bench({ pairs: kills = KILLS, log }: BenchOptions): Promise<Figures> {
  const seed = Math.floor(Math.random() * 2 ** 31);
  const random = new SimRandom(seed);
  const world = await FleetWorld.start({ tags: TAGS, leaseTime: LEASE_TIME });
  const writer = new DatabaseWriter(world.database, random.next32());
  try {
    const fleet = await Promise.all(Array.from({ length: HOSTS }, (_, i) => world.addHost(`h${i}`)));
    await world.operator.submit({ uid: 'job', url: world.containerUrl('job'), startVersion: 0n, logOnly: true });
    writer.start();
    const handOvers: HandOver[] = [];
    for (let kill = 1; kill <= kills; kill++) {
      const handOver = await killOne(world, fleet, random);
      handOvers.push(handOver);
      const [ended, assigned, claimed] = [handOver.leaseEnded, handOver.assigned, handOver.claimed].map(Math.round);
      log?.(
        `  kill ${kill} of ${kills}: the lease ended after ${ended} ms, all was assigned after ${assigned} ms and claimed after ${claimed} ms`,
      );
      fleet.push(await world.addHost(`h${fleet.length + kill}`));
    }
    return figuresOf(handOvers, seed);
  } finally {
    await writer.stop();
    await world.close();
  }
}

/** At any moment between two renewals of its lease. */
async function killOne(world: FleetWorld, fleet: FleetHost[], random: SimRandom): Promise<HandOver> {
  await world.until('balance', () => world.isBalanced(fleet));
  await sleep(random.int(LEASE_TIME / 2, LEASE_TIME));
  const [victim] = fleet.splice(random.int(0, fleet.length - 1), 1);
  if (victim === undefined) throw new Error('there is no host to kill');
  const tags = world.ledger.tagsOf(victim.name);
  const since = await victim.kill();
  return world.handOver(victim, tags, since);
}

function figuresOf(handOvers: readonly HandOver[], seed: number): Figures {
  const seconds = handOvers.map(({ claimed }) => claimed / 1000);
  const late = seconds.map((claimed) => claimed - LEASE_TIME / 1000);
  const detail = {
    kills: handOvers.length,
    'lease time, s': LEASE_TIME / 1000,
    'median hand-over, s': median(seconds).toFixed(2),
    'longest hand-over, s': Math.max(...seconds).toFixed(2),
    'median beyond the lease time, s': median(late).toFixed(2),
    [`share within the lease time + ${GOAL} s`]: late.filter((time) => time <= GOAL).length / late.length,
    'median of what the lease took to end, s': (median(handOvers.map(({ leaseEnded }) => leaseEnded)) / 1000).toFixed(
      2,
    ),
    seed,
  };
  return { 'fleet.handover': atMost(Math.max(...late), GOAL, 's beyond the lease time, at most', detail) };
}
