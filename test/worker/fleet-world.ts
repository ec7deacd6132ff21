// A world for tests of fleets: hosts that are processes of their own, each of which can be frozen (SIGSTOP), thawed, killed and cut off from the store.

import { BackupError } from '../../src/core/errors.js';
import type { Clock } from '../../src/core/clock.js';
import type { BackupContainer } from '../../src/ports/backup-container.js';
import type { LogSource } from '../../src/ports/log-source.js';
import type { Lease, ProgressStore } from '../../src/ports/progress-store.js';
import type { BackupWorker } from '../../src/worker/backup-worker.js';
import { BackupFleet } from '../../src/worker/fleet.js';
import type { BackupFleetOptions } from '../../src/worker/fleet-options.js';
import type { FleetRules } from '../../src/worker/fleet-rules.js';
import { fleetRules } from '../../src/worker/fleet-rules.js';
import { unavailable } from './gates.js';
import { World, set } from './world.js';

/** A process that stands still does nothing: not a call, not a timer, not a commit. */
class Standstill {
  #thawed: Promise<void> | undefined;
  #thaw: () => void = () => undefined;

  get isFrozen(): boolean {
    return this.#thawed !== undefined;
  }

  freeze(): void {
    this.#thawed ??= new Promise((resolve) => (this.#thaw = resolve));
  }

  thaw(): void {
    this.#thawed = undefined;
    this.#thaw();
  }

  async pass(): Promise<void> {
    while (this.#thawed !== undefined) await this.#thawed;
  }

  async around<T>(call: () => Promise<T>): Promise<T> {
    await this.pass();
    try {
      return await call();
    } finally {
      await this.pass();
    }
  }
}

export interface FleetProcess {
  readonly name: string;
  readonly fleet: BackupFleet;
  /** Every event but `retry` and workers' own, in order. */
  readonly events: string[];
  readonly ended: Promise<void>;
  /** undefined while it runs. */
  outcome(): 'resolved' | { error: unknown } | undefined;
  /** "epoch.tag state" of the workers that run, by tag. */
  running(): string[];
  /** Runs made so far. */
  readonly workers: BackupWorker[];
  readonly retries: string[];
  freeze(): void;
  thaw(): void;
  /** Calls go on, timers do not: as in a process whose clock has stood still with it (a suspended machine), and which does not know yet that it was frozen. */
  thawCalls(): void;
  /** Waits until it is not frozen. */
  pass(): Promise<void>;
  /** Store calls fail from now on (true), or work again. */
  cutOff(isCutOff: boolean): void;
  /** Adds to the process's own clock. */
  jump(ms: number): void;
  /** Freezes for ever. */
  kill(): void;
  abort(): void;
  stop(): Promise<void>;
}

export class FleetWorld extends World {
  readonly hosts: FleetProcess[] = [];

  host(name: string, options: Partial<BackupFleetOptions> = {}, rules: Partial<FleetRules> = {}): FleetProcess {
    const still = new Standstill();
    const timers = new Standstill();
    let isCutOff = false;
    let offset = 0;
    const call = <T>(work: () => Promise<T>) => still.around(() => (isCutOff ? Promise.reject(unavailable()) : work()));
    const clock: Clock = {
      now: () => this.clock.now() + offset,
      wallTime: () => this.clock.wallTime(),
      sleep: async (ms, signal) => {
        await this.clock.sleep(ms, signal);
        await timers.pass();
      },
      yieldToHost: () => still.pass(),
    };
    const stop = new AbortController();
    const events: string[] = [];
    const retries: string[] = [];
    const workers: BackupWorker[] = [];
    const running = new Map<BackupWorker, string>();
    const fleet = new BackupFleet(
      {
        host: name,
        logSource: frozenLog(this.log, still),
        progressStore: frozenStore(options.progressStore ?? this.store, call, still),
        openContainer: async (url) => frozenContainer(this.container(url), still),
        clock,
        concurrentWrites: 2,
        versionTimeInterval: 0,
        ...options,
        ...(options.progressStore === undefined
          ? {}
          : { progressStore: frozenStore(options.progressStore, call, still) }),
      },
      { ...fleetRules, ...rules },
    );
    fleet.on('waiting', () => events.push('waiting'));
    fleet.on('joined', ({ host }) => events.push(`joined ${host}`));
    fleet.on('hosts', (hosts) => events.push(`hosts ${hosts.join()}`));
    fleet.on('assigned', ({ epoch, tag }, from) =>
      events.push(`assigned ${epoch}.${tag}${from === undefined ? '' : ` from ${from}`}`),
    );
    fleet.on('givenBack', ({ epoch, tag }, why) => events.push(`givenBack ${epoch}.${tag} ${why}`));
    fleet.on('workerStarted', (worker, { backupEpoch, tag }) => {
      events.push(`workerStarted ${backupEpoch}.${tag}`);
      workers.push(worker);
      running.set(worker, `${backupEpoch}.${tag}`);
    });
    fleet.on('workerEnded', ({ backupEpoch, tag }, { outcome }) =>
      events.push(`workerEnded ${backupEpoch}.${tag} ${outcome}`),
    );
    fleet.on('workerFailed', (error, { backupEpoch, tag }, willRestart) => {
      const code = BackupError.is(error) ? error.code : String(error);
      events.push(`workerFailed ${backupEpoch}.${tag} ${code} ${willRestart ? 'restart' : 'final'}`);
    });
    fleet.on('leaseLost', ({ code }) => events.push(`leaseLost ${code}`));
    fleet.on('behind', (epoch) => events.push(`behind ${epoch}`));
    fleet.on('left', () => events.push('left'));
    fleet.on('retry', (what) => retries.push(what));
    const ended = fleet.run({ signal: stop.signal });
    let outcome: ReturnType<FleetProcess['outcome']>;
    ended.then(
      () => (outcome = 'resolved'),
      (error: unknown) => (outcome = { error }),
    );
    const FINAL = ['Displaced', 'Completed', 'Stopped', 'Failed'];
    const abort = () => stop.abort(new BackupError('INVALID_STATE', 'stopped by the test'));
    const process: FleetProcess = {
      name,
      fleet,
      events,
      retries,
      workers,
      ended,
      outcome: () => outcome,
      running: () =>
        [...running]
          .flatMap(([worker, tag]) => (FINAL.includes(worker.state) ? [] : [`${tag} ${worker.state}`]))
          .sort(),
      freeze: () => {
        still.freeze();
        timers.freeze();
      },
      thaw: () => {
        still.thaw();
        timers.thaw();
      },
      thawCalls: () => still.thaw(),
      pass: () => still.pass(),
      kill: () => process.freeze(),
      cutOff: (is) => (isCutOff = is),
      jump: (ms) => (offset += ms),
      abort,
      stop: async () => {
        abort();
        await this.clock.advance(4_000);
        return ended;
      },
    };
    this.hosts.push(process);
    return process;
  }

  /** "epoch.tag host" of every assignment. */
  assigned(): string[] {
    return this.store.entries().flatMap(({ key, value }) => {
      const match = /^fleet\/assigned\/(\d+)\/(\d+)$/.exec(key);
      if (match === null) return [];
      const { host } = JSON.parse(new TextDecoder().decode(value)) as { host: string };
      return [`${match[1]}.${match[2]} ${host}`];
    });
  }

  /** How many tags each host has. */
  loads(): Record<string, number> {
    const loads: Record<string, number> = {};
    for (const entry of this.assigned()) {
      const host = entry.split(' ')[1] as string;
      loads[host] = (loads[host] ?? 0) + 1;
    }
    return loads;
  }

  /** "epoch.tag" of every worker that runs on a host that is not frozen for ever, with repetitions. */
  running(...hosts: FleetProcess[]): string[] {
    return hosts.flatMap((host) => host.running().map((text) => text.split(' ')[0] as string)).sort();
  }

  /** Commits versions up to `last`, over all tags of the current epoch in turn. */
  commitTo(last: bigint): void {
    const { log } = this;
    while (log.knownVersion < last) {
      const version = log.knownVersion + 1n;
      log.commit([{ tag: Number(version) % log.totalTags, mutation: set(`k${version}`) }]);
    }
  }

  override async end(): Promise<void> {
    for (const host of this.hosts) {
      host.abort();
      host.cutOff(false);
      host.thaw();
    }
    await this.clock.advance(5_000);
    await Promise.allSettled(this.hosts.map(({ ended }) => ended));
    await super.end();
  }
}

type Call = <T>(work: () => Promise<T>) => Promise<T>;

function frozenStore(store: ProgressStore, call: Call, still: Standstill): ProgressStore {
  return {
    transact: (body) =>
      call(() =>
        store.transact(async (tx) => {
          const result = await body(tx);
          // Not sent yet.
          await still.pass();
          return result;
        }),
      ),
    watch: (key, seen, signal) => call(() => store.watch(key, seen, signal)),
    acquireLease: async (request) => {
      const lease = await call(() => store.acquireLease(request));
      return lease && frozenLease(lease, call);
    },
  };
}

function frozenLease(lease: Lease, call: Call): Lease {
  return { key: lease.key, renew: () => call(() => lease.renew()), release: () => call(() => lease.release()) };
}

function frozenLog(log: Required<LogSource>, still: Standstill): Required<LogSource> {
  return {
    peek: (request) => still.around(() => log.peek(request)),
    pop: (request) => still.around(() => log.pop(request)),
    minKnownCommittedVersion: (request) => still.around(() => log.minKnownCommittedVersion(request)),
    committedVersion: (signal) => still.around(() => log.committedVersion(signal)),
    logSystem: async function* (signal) {
      for await (const info of log.logSystem(signal)) {
        await still.pass();
        yield info;
      }
    },
  };
}

function frozenContainer(container: BackupContainer, still: Standstill): BackupContainer {
  return {
    url: container.url,
    create: () => still.around(() => container.create()),
    exists: () => still.around(() => container.exists()),
    writeFile: async (name, options) => {
      const file = await still.around(() => container.writeFile(name, options));
      return {
        name: file.name,
        append: (chunks) => still.around(() => file.append(chunks)),
        finish: () => still.around(() => file.finish()),
        abort: () => still.around(() => file.abort()),
      };
    },
    readFile: (name, offset, length) => still.around(() => container.readFile(name, offset, length)),
    listFiles: (prefix) => container.listFiles(prefix),
    deleteFile: (name) => still.around(() => container.deleteFile(name)),
  };
}
