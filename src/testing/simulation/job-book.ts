// The oracle's book of jobs, kept from what the store holds: ranges and states as they are recorded, by container URL.

import { JOB_PREFIX } from '../../job/keys.js';
import type { JobRecord } from '../../job/records.js';
import { decodeJob } from '../../job/records.js';
import type { SimStore } from './sim-store.js';

export class JobBook {
  readonly #byUid = new Map<string, JobRecord>();
  readonly #byUrl = new Map<string, JobRecord>();
  readonly #changes: ((job: JobRecord, before: JobRecord | undefined) => void)[] = [];

  constructor(store: SimStore) {
    store.onCommit(({ writes }) => {
      for (const [key, value] of writes) {
        if (key.startsWith(JOB_PREFIX) && value !== undefined) this.#note(decodeJob(key, value));
      }
    });
  }

  onChange(listener: (job: JobRecord, before: JobRecord | undefined) => void): void {
    this.#changes.push(listener);
  }

  get all(): readonly JobRecord[] {
    return [...this.#byUid.values()];
  }

  byUid(uid: string): JobRecord | undefined {
    return this.#byUid.get(uid);
  }

  byUrl(url: string): JobRecord | undefined {
    return this.#byUrl.get(url);
  }

  #note(job: JobRecord): void {
    const before = this.#byUid.get(job.uid);
    this.#byUid.set(job.uid, job);
    this.#byUrl.set(job.url, job);
    for (const listener of this.#changes) listener(job, before);
  }
}
