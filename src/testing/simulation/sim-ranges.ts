// The rows of a simulated database, as its host offers them to snapshots: regions split, merge and move under a reader, versions are garbage-collected, scans are slow and fail, all by the seed.

import { abortable } from '../../core/abort.js';
import { utf8 } from '../../core/bytes.js';
import { BackupError } from '../../core/errors.js';
import type { Version } from '../../core/version.js';
import { maxVersion } from '../../core/version.js';
import type { KeyValueBatch, RangeSource, Region, ScanRequest } from '../../ports/range-source.js';
import { MemoryRegions } from '../memory-regions.js';
import type { SimHistory } from './history.js';
import type { SimProcess, SimWorld } from './process.js';
import type { SimVerdict } from './verdict.js';

/** How the rows behave in one run; every seed draws its own. */
interface RangeTemper {
  /** Regions at the beginning. */
  readonly regions: number;
  /** Most rows of a batch. */
  readonly batchRows: number;
  /** Most virtual ms of one batch, besides what every call takes. */
  readonly batchMs: number;
  /** Mean virtual ms between two changes of the regions, 0: they stay as they are. */
  readonly changeMs: number;
  /** Mean virtual ms between two garbage collections, 0: none. */
  readonly collectMs: number;
  /** A scan is refused though the version is there: this process cannot read it. */
  readonly unreadable: number;
}

/** How often a source that waits for a version looks, ms. */
const LOOK_MS = 5;

export interface SimRangesParts {
  readonly world: SimWorld;
  readonly history: SimHistory;
  readonly verdict: SimVerdict;
}

export class SimRanges {
  readonly #parts: SimRangesParts;
  readonly #temper: RangeTemper;
  readonly #regions = new MemoryRegions();
  /** The lowest version that can still be read. */
  #oldest: Version = 0n;

  constructor(parts: SimRangesParts) {
    const { random } = parts.world;
    this.#parts = parts;
    this.#temper = {
      regions: random.pick([1, 3, 6]),
      batchRows: random.pick([1, 3, 8]),
      batchMs: random.pick([0, 10, 60]),
      changeMs: random.pick([0, 40, 150]),
      collectMs: random.pick([0, 15, 40, 150]),
      unreadable: random.pick([0, 0.05, 0.2]),
    };
    for (let i = 1; i < this.#temper.regions; i++) this.#regions.split(this.#someKey());
  }

  /** From now on its regions and versions change, until the faults stop. */
  start(): void {
    const { changeMs, collectMs } = this.#temper;
    if (changeMs > 0) this.#nowAndThen(changeMs, () => this.#changeRegions());
    if (collectMs > 0) this.#nowAndThen(collectMs, () => this.#collectGarbage());
  }

  client(process: SimProcess): RangeSource {
    /** How often this process has asked for a version and not released it. */
    const held = new Map<Version, number>();
    return {
      readVersion: ({ atLeast, signal }) => abortable(this.#readVersion(process, atLeast, held, signal), signal),
      releaseVersion: (version) =>
        process.call(
          'source',
          `release ${version}`,
          () => void held.set(version, Math.max(0, (held.get(version) ?? 0) - 1)),
          unavailable,
        ),
      regions: ({ range, signal }) => this.#list(process, signal, () => [...this.#regions.list(range)]),
      scan: (request) => this.#scan(process, request, held),
    };
  }

  async #readVersion(
    process: SimProcess,
    atLeast: Version,
    held: Map<Version, number>,
    signal: AbortSignal,
  ): Promise<Version> {
    const { history } = this.#parts;
    for (;;) {
      const look = () => {
        const version = history.committed;
        if (version < atLeast) return undefined;
        held.set(version, (held.get(version) ?? 0) + 1);
        return version;
      };
      const version = await process.call('source', `read version from ${atLeast} on`, look, unavailable);
      if (version !== undefined) return version;
      await process.clock.sleep(LOOK_MS, signal);
    }
  }

  async *#list(process: SimProcess, signal: AbortSignal, effect: () => Region[]): AsyncGenerator<Region> {
    yield* await abortable(process.call('source', 'list regions', effect, unavailable), signal);
  }

  async *#scan(
    process: SimProcess,
    request: ScanRequest,
    held: ReadonlyMap<Version, number>,
  ): AsyncGenerator<KeyValueBatch> {
    const { world, history, verdict } = this.#parts;
    const { region, range, version, signal } = request;
    const { batchMs, batchRows } = this.#temper;
    const { random } = world;
    const what = `scan region ${region.id}.${region.epoch} at ${version}`;
    let rows: (readonly [Uint8Array, Uint8Array])[] | undefined;
    for (let at = 0; ;) {
      if (batchMs > 0) await process.clock.sleep(random.between(0, batchMs), signal);
      const count = random.int(1, batchRows);
      const read = () => {
        this.#checkReadable(request);
        verdict.expect(
          signal.aborted || (held.get(version) ?? 0) > 0,
          'no version is read after its release',
          () => `${process.name}: ${what}`,
        );
        rows ??= [...history.rowsAt(version, [range])].map(([key, value]) => [fromHex(key), fromHex(value)]);
        return rows.slice(at, at + count).map(([key, value]) => [key.slice(), value.slice()] as const);
      };
      const batch = await abortable(process.call('source', what, read, unavailable), signal);
      if (batch.length === 0) return;
      at += batch.length;
      yield batch;
    }
  }

  #checkReadable({ region, version }: ScanRequest): void {
    const { world, history } = this.#parts;
    const { faults, hits, random } = world;
    if (!this.#regions.isCurrent(region)) {
      hits.add('source: region changed');
      throw new BackupError('REGION_CHANGED', `region ${region.id} of epoch ${region.epoch} is no more`);
    }
    const isRefused = !faults.stopped && random.chance(this.#temper.unreadable);
    if (isRefused || version < this.#oldest || version > history.committed) {
      hits.add('source: version too old');
      throw new BackupError('VERSION_TOO_OLD', `version ${version} cannot be read`, { version });
    }
  }

  #nowAndThen(meanMs: number, happen: () => void): void {
    const { faults, random, scheduler } = this.#parts.world;
    scheduler.schedule(random.between(0, 2 * meanMs), () => {
      if (faults.stopped) return;
      happen();
      this.#nowAndThen(meanMs, happen);
    });
  }

  #changeRegions(): void {
    const { random, trace } = this.#parts.world;
    const { borders } = this.#regions;
    const how = random.pick(['split', 'merge', 'move'] as const);
    const key = how === 'merge' ? (borders.length === 0 ? undefined : random.pick(borders)) : this.#someKey();
    if (key === undefined) return;
    trace.add('ranges', `${how} at ${Buffer.from(key).toString()}`);
    this.#regions[how](key);
  }

  /** Sometimes all but the newest version goes. */
  #collectGarbage(): void {
    const { history, world } = this.#parts;
    const { random, trace } = world;
    const versions = history.versions(this.#oldest, history.committed + 1n);
    if (versions.length === 0) return;
    this.#oldest = maxVersion(this.#oldest, random.chance(0.3) ? history.committed : random.pick(versions));
    trace.add('ranges', `no version below ${this.#oldest} can be read`);
  }

  #someKey(): Uint8Array {
    return utf8(`k${String(this.#parts.world.random.int(0, 24)).padStart(2, '0')}`);
  }
}

function fromHex(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'hex'));
}

function unavailable(): BackupError {
  return new BackupError('TIMEOUT', 'the simulated database does not answer', { retryable: true });
}
