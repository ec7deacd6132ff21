// An etcd that does what a test tells it to, also what no sound one does: watch answers by hand, revisions and compactions as they are set.

import { EventEmitter } from 'node:events';
import type { Etcd3 } from 'etcd3';
import type { EtcdEpoch } from '../../src/source/etcd/epoch.js';
import type { EtcdLogOptions } from '../../src/source/etcd/log-source.js';
import { EtcdLogSource } from '../../src/source/etcd/log-source.js';

export interface FakeEvent {
  readonly revision: number;
  readonly key: string;
  /** undefined: a delete. */
  readonly value?: string;
}

export interface FakeAnswer {
  readonly fragment?: boolean;
  /** Of the header. Default: that of the last event. */
  readonly revision?: number;
  readonly clusterId?: string;
}

/** One watch that was asked for. */
export class FakeWatch extends EventEmitter {
  startRevision = 0;
  isPaused = false;
  isClosed = false;
  readonly #etcd: FakeEtcd;

  constructor(etcd: FakeEtcd) {
    super();
    this.#etcd = etcd;
  }

  write(request: { create_request?: { start_revision?: string } }): void {
    this.startRevision = Number(request.create_request?.start_revision);
    this.#etcd.opened(this);
  }

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
  }

  end(): void {
    this.isClosed = true;
  }

  cancel(): void {
    this.isClosed = true;
  }

  answer(events: readonly FakeEvent[], { fragment = false, revision, clusterId }: FakeAnswer = {}): void {
    const last = revision ?? events.at(-1)?.revision ?? this.#etcd.revision;
    if (last > this.#etcd.revision) this.#etcd.revision = last;
    this.emit('data', {
      ...this.#plain(last, clusterId),
      fragment,
      events: events.map(({ revision: mod, key, value }) => ({
        type: value === undefined ? 'DELETE' : 'PUT',
        kv: { key: Buffer.from(key), value: Buffer.from(value ?? ''), mod_revision: String(mod) },
      })),
    });
  }

  cancelWith({ compacted = 0, reason = '' }: { compacted?: number; reason?: string }): void {
    this.emit('data', {
      ...this.#plain(0),
      canceled: true,
      compact_revision: String(compacted),
      cancel_reason: reason,
    });
  }

  #plain(revision: number, clusterId = '7') {
    const header = { cluster_id: clusterId, member_id: '1', revision: String(revision), raft_term: '2' };
    return {
      header,
      watch_id: '0',
      created: false,
      canceled: false,
      compact_revision: '0',
      cancel_reason: '',
      fragment: false,
      events: [],
    };
  }
}

export class FakeEtcd {
  revision = 100;
  compacted = -1;
  clusterId = '7';
  /** Revisions that reads were asked for; 0: the newest. */
  readonly reads: number[] = [];
  /** Awaited by each read. */
  beforeRead: () => Promise<void> = () => Promise.resolve();
  #watches: FakeWatch[] = [];
  #waiting: ((watch: FakeWatch) => void) | undefined;

  readonly client: Etcd3;

  constructor() {
    const plain = {
      getRoles: () => undefined,
      watch: () => undefined,
      lease: () => undefined,
      if: () => undefined,
      watchClient: { watch: () => Promise.resolve(new FakeWatch(this)) },
      kv: {
        range: (request: { revision?: string }) => this.#range(Number(request.revision ?? 0)),
        compact: ({ revision }: { revision: string }) => {
          this.compacted = Number(revision);
          return Promise.resolve();
        },
      },
    };
    // The parts that the log uses.
    this.client = plain as object as Etcd3;
  }

  opened(watch: FakeWatch): void {
    if (this.#waiting === undefined) this.#watches.push(watch);
    else this.#waiting(watch);
    this.#waiting = undefined;
  }

  /** The next watch that is asked for. */
  watch(): Promise<FakeWatch> {
    const first = this.#watches.shift();
    if (first !== undefined) return Promise.resolve(first);
    return new Promise((resolve) => (this.#waiting = resolve));
  }

  /** A log of one tag whose first version is `begin`. */
  open(begin: number, options: Partial<EtcdLogOptions> = {}): EtcdLogSource {
    const epoch: EtcdEpoch = { epoch: 1, begin: BigInt(begin), end: undefined, totalTags: 1, clusterId: '7' };
    return new EtcdLogSource({ client: this.client, epoch, ...options });
  }

  async #range(revision: number) {
    this.reads.push(revision);
    await this.beforeRead();
    if (revision > 0 && revision < this.compacted)
      throw new Error('11 OUT_OF_RANGE: etcdserver: mvcc: required revision has been compacted');
    return {
      header: { cluster_id: this.clusterId, member_id: '1', revision: String(this.revision), raft_term: '2' },
      kvs: [],
    };
  }
}
