// What a fleet may record, checked at the moment of each commit (F1 to F3), and what must become of it once nothing goes wrong any more (F2, F4).

import { equalBytes } from '../../core/bytes.js';
import type { FleetMember } from '../../job/fleet-records.js';
import { decodeMember, encodeMember } from '../../job/fleet-records.js';
import {
  ASSIGNED_PREFIX,
  FLEET_LEASE_PREFIX,
  NOOP_PREFIX,
  PROGRESS_PREFIX,
  REGISTERED_PREFIX,
  assignedKey,
  fleetLeaseKey,
} from '../../job/keys.js';
import type { LogEpoch } from '../../core/version.js';
import type { StoreCheckParts } from './check-store.js';
import type { SimProcess } from './process.js';

type Values = ReadonlyMap<string, Uint8Array>;

export interface FleetWorker {
  readonly epoch: LogEpoch;
  readonly tag: number;
}

/** A host that is there: it neither is dead nor was asked to stop. */
export interface FleetHostState {
  readonly name: string;
  readonly process: SimProcess;
  /** Those that run in it now. */
  readonly workers: readonly FleetWorker[];
}

/** What is not yet as it must become, and the check that says so. */
export interface FleetUnrest {
  readonly check: string;
  readonly what: string;
}

const OWNER_PREFIX = 'owner/';
/** What only the worker of a tag writes. `done` is written by whoever plans, too. */
const WORKER_PREFIXES = [OWNER_PREFIX, PROGRESS_PREFIX, REGISTERED_PREFIX, NOOP_PREFIX];

export class FleetChecks {
  readonly #parts: StoreCheckParts;
  /** Whose lease each lease was, by its value's random part. */
  readonly #processes = new Map<string, SimProcess>();

  constructor(parts: StoreCheckParts) {
    this.#parts = parts;
    const { store, verdict } = parts;
    store.onLease(({ key, value, process }) => {
      if (!key.startsWith(FLEET_LEASE_PREFIX)) return;
      const { host, leaseId } = decodeMember(key, value);
      verdict.expect(
        fleetLeaseKey(host) === key && !this.#processes.has(leaseId),
        'every lease of a fleet is unlike all others (F1)',
        () => `${process.name} takes ${key} as ${host} with ${leaseId}`,
      );
      this.#processes.set(leaseId, process);
    });
    store.onCommit(({ writes, before, process }) => {
      for (const [key, value] of writes) {
        if (key.startsWith(ASSIGNED_PREFIX)) this.#checkAssignment(key, value, before, process);
        else if (value !== undefined && WORKER_PREFIXES.some((prefix) => key.startsWith(prefix)))
          this.#checkWorker(key, before, process);
      }
    });
  }

  /** F1, F2: tags are taken and given back under one's own lease, and from nobody whose lease lives. */
  #checkAssignment(key: string, value: Uint8Array | undefined, before: Values, process: SimProcess): void {
    const { verdict, hits, log } = this.#parts;
    const old = holderOf(key, before.get(key));
    const next = holderOf(key, value);
    const isLive = old !== undefined && isHeld(before, old);
    verdict.expect(
      old === undefined || !isLive || this.#isOwn(old, process),
      'nothing is taken from a host whose lease lives (F2)',
      () => `${process.name} changes ${key}, which ${old?.host} has`,
    );
    if (next === undefined) return;
    verdict.expect(
      isHeld(before, next) && this.#isOwn(next, process),
      'a host takes tags under its own living lease (F1)',
      () => `${process.name} gives ${key} to ${next.host}`,
    );
    const [epoch, tag] = placeOf(key);
    const info = log.allEpochs.find((one) => one.epoch === epoch);
    verdict.expect(
      info !== undefined && tag < info.totalTags,
      'only what there is is assigned (F2)',
      () => `${process.name} writes ${key}`,
    );
    hits.add(old === undefined ? 'fleet: tag assigned' : isLive ? 'fleet: tag kept' : 'fleet: tag taken over');
  }

  /** F3: a worker records nothing unless its tag is assigned to its host, under a lease that lives. */
  #checkWorker(key: string, before: Values, process: SimProcess): void {
    const [epoch, tag] = placeOf(key);
    const at = assignedKey(epoch, tag);
    const holder = holderOf(at, before.get(at));
    this.#parts.verdict.expect(
      holder !== undefined && this.#isOwn(holder, process) && isHeld(before, holder),
      'only the host that has the tag, and its lease, records (F3)',
      () => {
        const whose = holder === undefined ? 'nobody has the tag' : `${holder.host} has the tag`;
        return `${process.name} writes ${key}; ${whose}, its lease ${holder && isHeld(before, holder) ? 'lives' : 'has ended'}`;
      },
    );
  }

  #isOwn({ leaseId }: FleetMember, process: SimProcess): boolean {
    return this.#processes.get(leaseId) === process;
  }

  /** The member that this process is now; undefined: it holds no lease. */
  memberOf(process: SimProcess): FleetMember | undefined {
    return this.#members().find((member) => this.#isOwn(member, process));
  }

  #members(): FleetMember[] {
    return [...this.#parts.store.values]
      .filter(([key]) => key.startsWith(FLEET_LEASE_PREFIX))
      .map(([key, value]) => decodeMember(key, value));
  }

  /** When everything else is at rest, and no old epoch is left. */
  unrest(hosts: readonly FleetHostState[]): FleetUnrest | undefined {
    return this.#unplaced(hosts) ?? this.#unbalanced(hosts);
  }

  /** F2: every tag has one worker, on the host that has the tag. */
  #unplaced(hosts: readonly FleetHostState[]): FleetUnrest | undefined {
    const check = 'every planned worker runs on exactly one live host (F2)';
    const { log, store } = this.#parts;
    const { epoch, totalTags } = log.current;
    for (let tag = 0; tag < totalTags; tag++) {
      const key = assignedKey(epoch, tag);
      const holder = holderOf(key, store.values.get(key));
      const running = hosts.filter(({ workers }) => workers.some((one) => one.epoch === epoch && one.tag === tag));
      if (running.length !== 1)
        return {
          check,
          what: `epoch ${epoch}, tag ${tag} runs on ${running.map(({ name }) => name).join(', ') || 'no host'}`,
        };
      const [only] = running;
      if (
        holder === undefined ||
        !isHeld(store.values, holder) ||
        !this.#isOwn(holder, (only as FleetHostState).process)
      )
        return {
          check,
          what: `epoch ${epoch}, tag ${tag} runs on ${only?.name}; it is assigned to ${holder?.host ?? 'nobody'}`,
        };
    }
    const stale = [...store.values.keys()].find((key) => key.startsWith(ASSIGNED_PREFIX) && placeOf(key)[0] !== epoch);
    return stale === undefined ? undefined : { check, what: `${stale} is still there, its epoch is drained` };
  }

  /** F4 */
  #unbalanced(hosts: readonly FleetHostState[]): FleetUnrest | undefined {
    const check = 'the loads of live hosts differ by one at most (F4)';
    const members = this.#members();
    const idle = hosts.find(
      ({ process }) => this.memberOf(process) === undefined && !this.#isNameTaken(process, hosts),
    );
    if (idle !== undefined) return { check, what: `${idle.name} has not joined` };
    const loads = members.map(({ host, leaseId }) => {
      const process = this.#processes.get(leaseId);
      return { host, load: hosts.find((one) => one.process === process)?.workers.length ?? 0 };
    });
    const counts = loads.map(({ load }) => load);
    if (loads.length > 0 && Math.max(...counts) - Math.min(...counts) <= 1) return undefined;
    return { check, what: loads.map(({ host, load }) => `${host} has ${load}`).join(', ') || 'there is no host' };
  }

  /** Another process lives under its name. */
  #isNameTaken(process: SimProcess, hosts: readonly FleetHostState[]): boolean {
    const own = hosts.find((one) => one.process === process)?.name;
    return hosts.some(
      (other) => other.process !== process && other.name === own && this.memberOf(other.process) !== undefined,
    );
  }

  /** F6: after all have left in good order nothing is assigned any more. */
  checkLeft(): void {
    const left = [...this.#parts.store.values.keys()].filter((key) => key.startsWith('fleet/assigned/'));
    this.#parts.verdict.expect(
      left.length === 0,
      'who leaves gives all back (F6)',
      () => `${left.join(', ')} are still assigned`,
    );
  }
}

function holderOf(key: string, value: Uint8Array | undefined): FleetMember | undefined {
  return value && decodeMember(key, value);
}

/** Its lease lives. */
function isHeld(values: Values, member: FleetMember): boolean {
  const lease = values.get(fleetLeaseKey(member.host));
  return lease !== undefined && equalBytes(lease, encodeMember(member));
}

/** The epoch and tag at the end of a key. */
function placeOf(key: string): [epoch: LogEpoch, tag: number] {
  const parts = key.split('/');
  return [Number(parts.at(-2)), Number(parts.at(-1))];
}
