// What the suite for log sources is given: a log, and a hand on the database behind it.

import type { LogEpoch, Version } from '../core/version.js';
import type { LogSource } from '../ports/log-source.js';

/** A set, in the partition of tag `-2:<tag>`: what the suite commits. */
export interface SuiteMessage {
  readonly tag: number;
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

export interface SuiteEpoch {
  readonly epoch: LogEpoch;
  /** Inclusive. */
  readonly begin: Version;
  readonly totalTags: number;
}

/** A log, and the means to make the database behind it do what the suite needs. */
export interface LogUnderTest {
  readonly source: LogSource;
  /** The current epoch when the case begins, with at least two tags. */
  readonly epoch: SuiteEpoch;
  /** Commits the messages durably in one version, in this order, and resolves with it. An empty list only lets the version grow. */
  commit(messages: readonly SuiteMessage[]): Promise<Version>;
  /** For a log that chooses the tag by the key: a key of this tag, another one for each name. Leave it out where `commit` can obey `tag`. */
  keyFor?(tag: number, name: string): Uint8Array;
  /** Ends the current epoch and starts the next; resolves with it. Leave it out for a log that never changes hands. */
  recover?(): Promise<SuiteEpoch>;
  /** Called after each case, whatever came of it. */
  cleanup?(): void | Promise<void>;
}
