// What the database was at some moments, read from etcd itself while it still knew: its history is compacted behind the backup.

import type { Etcd3 } from 'etcd3';
import { setTimeout as sleep } from 'node:timers/promises';
import { LEASED, differenceOf, readRows, type DatabaseWriter, type Rows } from './database-writer.js';

/** ms */
const INTERVAL = 800;

export interface Sample {
  readonly revision: number;
  /** What was going on. */
  readonly moment: string;
  readonly rows: Rows;
}

export class Samples {
  readonly all: Sample[] = [];
  readonly #client: Etcd3;
  readonly #writer: DatabaseWriter;
  readonly #stop = new AbortController();
  #moment = 'at the beginning';
  #sampling: Promise<void> | undefined;

  constructor(client: Etcd3, writer: DatabaseWriter) {
    this.#client = client;
    this.#writer = writer;
  }

  /** One now and then, until `stop`. */
  start(): void {
    this.#sampling = this.#sample();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#sampling;
  }

  /** Names what is going on from now on, and takes one at once. */
  async note(moment: string): Promise<void> {
    this.#moment = moment;
    await this.take();
  }

  /** At the newest revision that a write was answered with. */
  async take(): Promise<void> {
    const { lastRevision } = this.#writer;
    if (lastRevision === 0 || this.all.some(({ revision }) => revision === lastRevision)) return;
    const moment = this.#moment;
    this.all.push({ revision: lastRevision, moment, rows: await readRows(this.#client, lastRevision) });
  }

  /** etcd and the writer agree on what was written: a second opinion on what is compared with. Once the writer has stopped. */
  contradictions(): string[] {
    return this.all.flatMap(({ revision, rows }) => {
      const written = new Map([...rows].filter(([key]) => !key.startsWith(LEASED)));
      const difference = differenceOf(written, this.#writer.rowsAt(revision));
      return difference === undefined ? [] : [`at revision ${revision} in etcd: ${difference}`];
    });
  }

  async #sample(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      await this.take();
      await sleep(INTERVAL, undefined, { signal }).catch(() => undefined);
    }
  }
}
