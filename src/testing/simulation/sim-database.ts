// The simulated database: commits with gaps between their versions, an uncommitted tail, recoveries that roll some of it back.

import { keyAfter, utf8 } from '../../core/bytes.js';
import { METADATA_VERSION_KEY } from '../../core/key-range.js';
import type { Mutation } from '../../core/mutation.js';
import { MutationType } from '../../core/mutation.js';
import type { Version } from '../../core/version.js';
import type { SimCluster } from './cluster.js';
import type { TaggedMutation } from './history.js';
import { SIMULATED_TYPES } from './model-state.js';

const KEYS = Array.from({ length: 24 }, (_, index) => utf8(`k${String(index).padStart(2, '0')}`));
const SYSTEM_KEY = Uint8Array.of(0xff, 0x02);
/** A log file's folder changes at multiples of this. */
const FOLDER_VERSIONS = 100_000_000_000n;

export class SimDatabase {
  readonly #cluster: SimCluster;
  readonly #meanGapMs: number;
  readonly #jumps: boolean;
  /** Most virtual ms that a commit usually takes: the length of the uncommitted tail. */
  readonly #commitMs: number;
  #acceptsCommits = false;
  #isIdle = false;

  constructor(cluster: SimCluster) {
    const { random } = cluster.world;
    this.#cluster = cluster;
    this.#meanGapMs = random.pick([15, 35, 35, 90]);
    this.#commitMs = random.pick([20, 60, 200]);
    this.#jumps = random.chance(0.4);
  }

  start(): void {
    this.#accept();
    this.#scheduleCommit();
    this.#cluster.lookForDrainedEpochs();
  }

  /** No commits any more: what the end of a run waits for stands still. */
  idle(): void {
    this.#isIdle = true;
  }

  get acceptsCommits(): boolean {
    return this.#acceptsCommits;
  }

  /** The current epoch ends, somewhere in the uncommitted tail. For `unheardMs` nobody hears of it. */
  recover(unheardMs = 0): void {
    const { log, history, world } = this.#cluster;
    const { random, scheduler, hits } = world;
    const begin = history.committed + 1n;
    const tail = history.versions(begin, log.current.known);
    const ends = [begin, log.current.known, ...tail.map((version) => version + 1n)];
    const totalTags = random.chance(0.5) ? log.current.totalTags : random.int(1, 4);
    if (totalTags !== log.current.totalTags) hits.add('log: tag count changes');
    hits.add('fault: recovery');
    this.#acceptsCommits = false;
    const epoch = log.current.epoch + random.int(1, 2);
    log.recover({ epoch, end: random.pick(ends), totalTags, unheardMs });
    scheduler.schedule(random.between(0, 60), () => {
      if (log.current.epoch === epoch) this.#accept();
    });
    this.#cluster.lookForDrainedEpochs();
  }

  #accept(): void {
    const { log, world } = this.#cluster;
    const { epoch } = log.current;
    this.#acceptsCommits = true;
    log.setRecoveryState('accepting_commits');
    world.scheduler.schedule(world.random.between(0, 100), () => {
      if (log.current.epoch === epoch) log.setRecoveryState('fully_recovered');
    });
  }

  #scheduleCommit(): void {
    const { scheduler, random } = this.#cluster.world;
    // In bursts: a few at once, then a pause.
    const delay = random.chance(0.3) ? random.between(0, 2) : random.between(0, 2.6 * this.#meanGapMs);
    scheduler.schedule(delay, () => {
      if (this.#isIdle) return;
      if (this.#acceptsCommits) this.#commit();
      this.#scheduleCommit();
    });
  }

  #commit(): void {
    const { log, history, world } = this.#cluster;
    const { random, scheduler } = world;
    const { epoch, totalTags } = log.current;
    const version = this.#nextVersion();
    const mutations = this.#mutations(totalTags);
    if (world.trace.enabled) {
      world.trace.add(
        'database',
        `writes ${version}: ${mutations.map(({ tag, subsequence }) => `${subsequence}@${tag}`).join(' ') || 'nothing'}`,
      );
    }
    log.append({ version, mutations });
    scheduler.schedule(random.chance(0.1) ? random.between(0, 400) : random.between(0, this.#commitMs), () => {
      if (log.current.epoch !== epoch) return;
      world.trace.add('database', `commits ${version}`);
      history.commit(version);
    });
  }

  #nextVersion(): Version {
    const { log, world } = this.#cluster;
    const { random, hits } = world;
    const next = log.current.known;
    if (this.#jumps && random.chance(0.05)) {
      hits.add('log: jump over a folder');
      return next + FOLDER_VERSIONS + BigInt(random.int(0, 1_000_000_000));
    }
    if (this.#jumps && random.chance(0.05)) {
      hits.add('log: jump of billions of versions');
      return next + BigInt(random.int(1_000_000_000, 90_000_000_000));
    }
    if (random.chance(0.35)) return next;
    return next + BigInt(random.chance(0.8) ? random.int(1, 20) : random.int(1_000, 2_000_000));
  }

  #mutations(totalTags: number): TaggedMutation[] {
    const { random } = this.#cluster.world;
    const count = random.chance(0.15) ? 0 : random.int(1, 5);
    return Array.from({ length: count }, (_, index) => ({
      subsequence: index + 1,
      tag: random.int(0, totalTags - 1),
      mutation: this.#mutation(),
    }));
  }

  #mutation(): Mutation {
    const { random } = this.#cluster.world;
    const key = random.pick(KEYS);
    if (random.chance(0.03))
      return {
        type: MutationType.SetValue,
        param1: random.pick([METADATA_VERSION_KEY, SYSTEM_KEY]),
        param2: this.#bytes(10),
      };
    if (random.chance(0.55))
      return {
        type: MutationType.SetValue,
        param1: key,
        param2: this.#bytes(random.chance(0.03) ? 300 : random.int(0, 20)),
      };
    const type = random.pick(SIMULATED_TYPES);
    if (type !== MutationType.ClearRange) return { type, param1: key, param2: this.#bytes(random.int(1, 8)) };
    const end = random.chance(0.4)
      ? keyAfter(key)
      : (KEYS[KEYS.indexOf(key) + random.int(1, 5)] ?? Uint8Array.of(0x7f));
    return { type, param1: key, param2: end };
  }

  #bytes(length: number): Uint8Array {
    const { random } = this.#cluster.world;
    const bytes = new Uint8Array(length);
    for (let i = 0; i < length; i++) bytes[i] = random.next32();
    return bytes;
  }
}
