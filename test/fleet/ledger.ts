// What the history of the coordination store says: who was a member of the fleet, who had which tag, who claimed it, what was recorded as saved. Fed with every revision of that etcd, in order, it knows who
// might do what at each of them, and says when somebody did what it might not. It believes no host.

export interface Change {
  /** Without the store's prefix. */
  readonly key: string;
  /** undefined: deleted, by a lease that has ended too. */
  readonly value: string | undefined;
}

/** One transaction. */
export interface Revision {
  readonly revision: number;
  /** When the test heard of it. */
  readonly at: number;
  readonly changes: readonly Change[];
}

interface Moment {
  readonly revision: number;
  readonly at: number;
}

/** A host under one lease. */
export interface Member {
  readonly host: string;
  readonly leaseId: string;
}

/** A run of a worker that took its tag. */
export interface Claim extends Moment, Member {
  readonly tag: number;
  readonly runId: string;
}

/** A tag that was given to a member. */
export interface Assignment extends Moment, Member {
  readonly tag: number;
}

/** Versions that were recorded as stored, or as not needed. */
export interface Save extends Moment, Member {
  readonly tag: number;
  readonly runId: string;
  readonly kind: 'saved' | 'noop';
  /** Inclusive. */
  readonly version: bigint;
}

export interface LeaseEnd extends Moment, Member {
  /** Of its tags at that moment. */
  readonly tags: readonly number[];
}

const ASSIGNED = 'fleet/assigned/';
const LEASE = 'lease/fleet/';
/** Up to where the database's history need not be kept for a tag. */
const POPPED = 'source/etcd/popped/';

export class Ledger {
  readonly problems: string[] = [];
  readonly assignments: Assignment[] = [];
  readonly claims: Claim[] = [];
  readonly saves: Save[] = [];
  readonly leaseEnds: LeaseEnd[] = [];
  readonly #leases = new Map<string, Member & Moment>();
  readonly #holders = new Map<number, Member & Moment>();
  readonly #owners = new Map<number, Claim>();
  readonly #recorded = new Map<string, bigint>();
  #revision = 0;

  /** The last one that was taken in. */
  get revision(): number {
    return this.#revision;
  }

  /** Their names, sorted. */
  get liveHosts(): readonly string[] {
    return [...this.#leases.keys()].sort();
  }

  /** The lease under which a host lives. */
  leaseOf(host: string): (Member & Moment) | undefined {
    return this.#leases.get(host);
  }

  /** Tags assigned to a host under the lease that it has. */
  tagsOf(host: string): number[] {
    return [...this.#holders].flatMap(([tag, holder]) => (this.#isLive(holder) && holder.host === host ? [tag] : []));
  }

  /** The live host whose run has claimed the tag since it was assigned to it: the one that is at work. */
  workerOf(tag: number): string | undefined {
    const [holder, owner] = [this.#holders.get(tag), this.#owners.get(tag)];
    if (holder === undefined || owner === undefined || !this.#isLive(holder)) return undefined;
    return owner.revision > holder.revision ? owner.host : undefined;
  }

  /** Of the latest record; undefined: none. */
  savedVersion(tag: number): bigint | undefined {
    return this.#recorded.get(`saved ${tag}`);
  }

  /** All decisions of a transaction were made by what was there before it. */
  take({ revision, at, changes }: Revision): void {
    if (revision !== this.#revision + 1 && this.#revision !== 0)
      this.#problem(revision, `the test has missed the revisions after ${this.#revision}`);
    const moment = { revision, at };
    const effects = changes.map((change) => this.#judge(change, moment));
    for (const effect of effects) effect?.();
    this.#revision = revision;
  }

  /** Says what is wrong with the change; gives what it changes here. */
  #judge({ key, value }: Change, moment: Moment): (() => void) | undefined {
    if (key.startsWith(LEASE)) return this.#judgeLease(key.slice(LEASE.length), value, moment);
    if (key.startsWith(POPPED)) {
      this.#judgePop(Number(key.slice(POPPED.length)), value, moment);
      return undefined;
    }
    const place = /^(?<what>fleet\/assigned|owner|progress|noop)\/1\/(?<tag>\d+)$/.exec(key)?.groups;
    if (place === undefined) return undefined;
    const tag = Number(place['tag']);
    if (`${place['what']}/` === ASSIGNED) return this.#judgeAssignment(tag, value, moment);
    if (value === undefined) {
      this.#problem(moment.revision, `${key} was deleted`);
      return undefined;
    }
    if (place['what'] === 'owner') return this.#judgeClaim(tag, parse(value)['runId'] ?? '', moment);
    const isNoop = place['what'] === 'noop';
    const version = BigInt(parse(value)[isNoop ? 'version' : 'savedVersion'] ?? NaN);
    return this.#judgeSave(tag, isNoop ? 'noop' : 'saved', version, moment);
  }

  #judgeLease(host: string, value: string | undefined, moment: Moment): () => void {
    const before = this.#leases.get(host);
    if (value !== undefined) {
      const member = memberOf(value);
      if (before !== undefined && before.leaseId !== member.leaseId)
        this.#problem(moment.revision, `host ${host} got a lease while it had another`);
      return () => this.#leases.set(host, { ...member, ...moment });
    }
    return () => {
      if (before !== undefined) this.leaseEnds.push({ ...before, ...moment, tags: this.tagsOf(host) });
      this.#leases.delete(host);
    };
  }

  #judgeAssignment(tag: number, value: string | undefined, moment: Moment): () => void {
    const before = this.#holders.get(tag);
    if (value === undefined) return () => this.#holders.delete(tag);
    const member = memberOf(value);
    if (!this.#isLive(member))
      this.#problem(moment.revision, `tag ${tag} was assigned to host ${member.host}, which has no such lease`);
    if (before !== undefined && before.leaseId !== member.leaseId && this.#isLive(before))
      this.#problem(
        moment.revision,
        `tag ${tag} was taken by host ${member.host} from host ${before.host}, which lives`,
      );
    return () => {
      this.assignments.push({ tag, ...member, ...moment });
      this.#holders.set(tag, { ...member, ...moment });
    };
  }

  #judgeClaim(tag: number, runId: string, moment: Moment): () => void {
    const holder = this.#holders.get(tag);
    if (holder === undefined || !this.#isLive(holder)) {
      const whose = holder === undefined ? 'nobody' : `host ${holder.host}, whose lease has ended`;
      this.#problem(moment.revision, `tag ${tag} was claimed by run ${runId} while it was assigned to ${whose}`);
    }
    const { host, leaseId } = holder ?? { host: '(unknown)', leaseId: '' };
    const claim = { tag, runId, host, leaseId, ...moment };
    return () => {
      this.claims.push(claim);
      this.#owners.set(tag, claim);
    };
  }

  /** Only the run that has claimed the tag under the assignment that holds, and whose lease lives. */
  #judgeSave(tag: number, kind: Save['kind'], version: bigint, moment: Moment): () => void {
    const [holder, owner] = [this.#holders.get(tag), this.#owners.get(tag)];
    const what = `version ${version} of tag ${tag} was recorded as ${kind}`;
    if (holder === undefined || !this.#isLive(holder)) {
      const whose = holder === undefined ? 'nobody' : `host ${holder.host}, whose lease has ended`;
      this.#problem(moment.revision, `${what} while the tag was assigned to ${whose}`);
    } else if (owner === undefined || owner.revision < holder.revision || owner.leaseId !== holder.leaseId) {
      this.#problem(moment.revision, `${what} before host ${holder.host}, to which it is assigned, had claimed it`);
    }
    const before = this.#recorded.get(`${kind} ${tag}`);
    if (before !== undefined && version < before) this.#problem(moment.revision, `${what}, and ${before} was before`);
    const save = {
      tag,
      kind,
      version,
      runId: owner?.runId ?? '',
      host: owner?.host ?? '(unknown)',
      leaseId: owner?.leaseId ?? '',
      ...moment,
    };
    return () => {
      this.saves.push(save);
      this.#recorded.set(`${kind} ${tag}`, version);
    };
  }

  #judgePop(tag: number, value: string | undefined, { revision }: Moment): void {
    const recorded = Math.max(
      ...(['saved', 'noop'] as const).map((kind) => Number(this.#recorded.get(`${kind} ${tag}`) ?? -1)),
    );
    if (value === undefined || !(Number(value) <= recorded))
      this.#problem(revision, `${value} of tag ${tag} was popped, and ${recorded} is recorded`);
  }

  #isLive({ host, leaseId }: Member): boolean {
    return this.#leases.get(host)?.leaseId === leaseId;
  }

  #problem(revision: number, message: string): void {
    this.problems.push(`revision ${revision} of the store: ${message}`);
  }
}

function memberOf(value: string): Member {
  const { host = '', leaseId = '' } = parse(value);
  return { host, leaseId };
}

function parse(value: string): Readonly<Record<string, string>> {
  return JSON.parse(value) as Record<string, string>;
}
