// The oracle's book of jobs, kept from what the store holds: ranges and states as they are recorded, by container URL. Of several jobs with one URL the container belongs to the one that its marker names.

import { JOB_PREFIX } from '../../job/keys.js';
import type { JobRecord } from '../../job/records.js';
import { decodeJob } from '../../job/records.js';
import type { SimContainers } from './sim-container.js';
import type { SimStore } from './sim-store.js';

const MARKER = 'properties/tidemark_job';

export class JobBook {
  readonly #byUid = new Map<string, JobRecord>();
  /** UIDs of those whose containers are marked, by URL. */
  readonly #owners = new Map<string, string>();
  readonly #changes: ((job: JobRecord, before: JobRecord | undefined) => void)[] = [];

  constructor(store: SimStore, containers: SimContainers) {
    containers.onFile(({ url, name, bytes }) => {
      if (name === MARKER) this.#owners.set(url, (JSON.parse(Buffer.from(bytes).toString()) as { uid: string }).uid);
    });
    containers.onDelete(({ url, name }) => {
      if (name === MARKER) this.#owners.delete(url);
    });
    store.onCommit(({ writes }) => {
      for (const [key, value] of writes) {
        if (key.startsWith(JOB_PREFIX) && value !== undefined) this.#note(decodeJob(key, value));
      }
    });
  }

  onChange(listener: (job: JobRecord, before: JobRecord | undefined) => void): void {
    this.#changes.push(listener);
  }

  /** Those whose container is their own, or nobody's yet. */
  get all(): readonly JobRecord[] {
    return [...this.#byUid.values()].filter((job) => !this.isStranger(job));
  }

  /** Those whose container belongs to another job. */
  get strangers(): readonly JobRecord[] {
    return [...this.#byUid.values()].filter((job) => this.isStranger(job));
  }

  isStranger({ uid, url }: JobRecord): boolean {
    const owner = this.#owners.get(url);
    return owner !== undefined && owner !== uid;
  }

  byUid(uid: string): JobRecord | undefined {
    return this.#byUid.get(uid);
  }

  /** The one to which the container belongs. */
  byUrl(url: string): JobRecord | undefined {
    return this.#byUid.get(this.#owners.get(url) ?? '');
  }

  #note(job: JobRecord): void {
    const before = this.#byUid.get(job.uid);
    this.#byUid.set(job.uid, job);
    for (const listener of this.#changes) listener(job, before);
  }
}
