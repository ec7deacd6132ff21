// The version at which new scans read. When it has become too old for the source a newer one is taken, once for all workers; scans that still run keep theirs.
// A version is released when nothing reads at it any more, and never before.

import { abortable } from '../core/abort.js';
import type { Clock } from '../core/clock.js';
import { BackupError } from '../core/errors.js';
import { lingerFor } from '../core/linger.js';
import type { Version } from '../core/version.js';
import { maxVersion } from '../core/version.js';
import type { RangeSource } from '../ports/range-source.js';
import type { RetryPolicy } from './backoff.js';
import { retrying } from './backoff.js';
import type { ScanVersions, VersionHold } from './row-format.js';

export type { VersionHold } from './row-format.js';

/** What of a source says at which version it can be read. */
export type VersionSource = Pick<RangeSource, 'readVersion' | 'releaseVersion'>;

export interface VersionsOptions {
  readonly source: VersionSource;
  readonly policy: RetryPolicy;
  /** Inclusive: no version below it is used. */
  readonly atLeast: Version;
  /** The first version; the caller's to release. Default: the source's latest. */
  readonly version?: Version | undefined;
}

interface Held extends VersionHold {
  /** Whether it came from `readVersion`, and so is ours to release. */
  readonly ours: boolean;
  holders: number;
}

/** The version at which a snapshot's new scans read, and who still reads at which. Made by `open`; `close` it when nothing reads any more. */
export class SnapshotVersions implements ScanVersions {
  readonly #source: VersionSource;
  readonly #policy: RetryPolicy;
  readonly #atLeast: Version;
  #current: Held;
  /** Not the current one, and still read at. */
  readonly #older = new Set<Held>();
  #renewal: Promise<void> | undefined;

  private constructor({ source, policy, atLeast }: VersionsOptions, first: Held) {
    this.#source = source;
    this.#policy = policy;
    this.#atLeast = atLeast;
    this.#current = first;
  }

  /** ADAPTER_CONTRACT for a `readVersion` that answers below `atLeast`; what it throws for good, or too often in a row; the signal's reason. */
  static async open(options: VersionsOptions, signal: AbortSignal): Promise<SnapshotVersions> {
    const { version, source, policy, atLeast } = options;
    const first =
      version === undefined
        ? { version: await readVersion(source, policy, atLeast, signal), ours: true, holders: 0 }
        : { version, ours: false, holders: 0 };
    return new SnapshotVersions(options, first);
  }

  /** At which a new scan reads. */
  get current(): Version {
    return this.#current.version;
  }

  /** The current version, to be given back with `letGo`. */
  hold(): VersionHold {
    this.#current.holders++;
    return this.#current;
  }

  async letGo(hold: VersionHold): Promise<void> {
    const held = hold as Held;
    held.holders--;
    if (held.holders === 0 && this.#older.delete(held)) await this.#release(held);
  }

  /** The source has said that this version is too old. Afterwards `hold` gives another one, though its number may be the same in a database that stands still. */
  async renew(old: VersionHold, signal: AbortSignal): Promise<void> {
    if (this.#current !== old) return;
    this.#renewal ??= this.#renew(signal).finally(() => (this.#renewal = undefined));
    await this.#renewal;
  }

  /** Releases the current version; nothing reads any more. */
  async close(): Promise<void> {
    await this.#release(this.#current);
  }

  async #renew(signal: AbortSignal): Promise<void> {
    const old = this.#current;
    const version = await readVersion(this.#source, this.#policy, maxVersion(this.#atLeast, old.version), signal);
    this.#current = { version, ours: true, holders: 0 };
    if (old.holders > 0) this.#older.add(old);
    else await this.#release(old);
  }

  async #release(held: Held): Promise<void> {
    const stillUsed = [this.#current, ...this.#older].some(
      (other) => other !== held && other.version === held.version && other.ours,
    );
    if (held.ours && !stillUsed) await releaseVersion(this.#source, held.version, this.#policy.clock);
  }
}

async function readVersion(
  source: VersionSource,
  policy: RetryPolicy,
  atLeast: Version,
  signal: AbortSignal,
): Promise<Version> {
  const version = await retrying(policy, signal, () =>
    abortable(
      source.readVersion({ atLeast, signal }),
      signal,
      (late) => void releaseVersion(source, late, policy.clock),
    ),
  );
  if (typeof version !== 'bigint' || version < atLeast) {
    throw new BackupError('ADAPTER_CONTRACT', `readVersion must answer ${atLeast} or above, got ${String(version)}`);
  }
  return version;
}

/** A courtesy to the source: the snapshot is none the worse when it fails, and does not wait for ever. A source must bound by itself what it keeps for readers that have died. */
async function releaseVersion(source: VersionSource, version: Version, clock: Clock): Promise<void> {
  // A source that throws at once is no different.
  const release = async () => source.releaseVersion?.(version);
  await lingerFor(release(), clock);
}
