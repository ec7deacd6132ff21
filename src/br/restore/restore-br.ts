// restoreBrBackup: a TiKV backup, or a chain of them, into any restore target. What it cannot rebuild exactly it refuses, if it can know before it writes anything.

import { compareBytes, keyAfter } from '../../core/bytes.js';
import type { Clock } from '../../core/clock.js';
import { systemClock } from '../../core/clock.js';
import { BackupError } from '../../core/errors.js';
import { NORMAL_KEYS } from '../../core/key-range.js';
import { MAX_VERSION } from '../../core/version.js';
import { checkedTarget } from '../../ports/checked-target.js';
import type { CheckedTarget } from '../../ports/checked-target.js';
import type { RestoreCheckpoint } from '../../ports/restore-target.js';
import { clearRanges, rangesToClear } from '../../restore/clear-target.js';
import { intersectRangeSets } from '../../restore/range-filter.js';
import { ShardWriter } from '../../restore/restore-shard.js';
import { parseRowCursor } from '../../restore/row-loader.js';
import { TimeSlices } from '../../restore/time-slices.js';
import { inParallel } from '../../restore/verify-in-parallel.js';
import type { BrChain } from './chain.js';
import { resolveChain } from './chain.js';
import { FileOpener } from './files.js';
import { RawKeyState, TxnKeyState } from './key-state.js';
import type { KeyState } from './key-state.js';
import { loadLinks } from './links.js';
import { RowMerge } from './merge.js';
import { RestoreMeter } from './meter.js';
import type { CheckedBrNumbers, RestoreBrOptions, RestoreBrResult } from './options.js';
import { checkRestoreBrOptions } from './options.js';
import type { BrPlan, PlannedFile } from './plan.js';
import { filesOf, liesBefore, planRestore, restoreIdOf } from './plan.js';
import { BrReads } from './reads.js';
import { restoreRows, wantedKeys } from './rows.js';
import { TableRewriter, tableKeys } from './table-rewriter.js';

/**
 * An interrupted restore is continued by the same call; one that is done already returns at once, unless `clearTarget` asks for it again.
 *
 * Throws INVALID_OPTION; NOT_RESTORABLE for a chain that does not fit together, or that cannot answer at `version`; FILE_NOT_FOUND; UNSUPPORTED_FORMAT; ENCRYPTION_KEY_MISSING, ENCRYPTION_KEY_WRONG; PACKAGE_MISSING for a
 * codec; TARGET_NOT_EMPTY: all of them before anything is written, and CORRUPT_FILE and CHECKSUM_MISMATCH too, where the sha256 of a file shows the damage. Rows that are not what the meta data
 * says show only when they are read: the target then holds a part, and its checkpoint does not say that it is done. OPERATION_TOO_LARGE; the signal's reason; and what the containers and the target throw.
 */
export async function restoreBrBackup(options: RestoreBrOptions): Promise<RestoreBrResult> {
  return new BrRestore(options, checkRestoreBrOptions(options)).run();
}

interface Resumed {
  readonly after: Uint8Array | undefined;
  readonly checkpoint: RestoreCheckpoint | undefined;
  readonly isDone: boolean;
}

class BrRestore {
  readonly #options: RestoreBrOptions;
  readonly #numbers: CheckedBrNumbers;
  readonly #clock: Clock;
  readonly #target: CheckedTarget;
  readonly #meter: RestoreMeter;
  readonly #reads: BrReads;
  readonly #opener: FileOpener;
  readonly #rewriter: TableRewriter;

  constructor(options: RestoreBrOptions, numbers: CheckedBrNumbers) {
    const { signal, clock = systemClock } = options;
    this.#options = options;
    this.#numbers = numbers;
    this.#clock = clock;
    this.#target = checkedTarget(options.target);
    this.#meter = new RestoreMeter(clock, options.onProgress);
    const { concurrency, readBytes } = numbers;
    const onRead = (bytes: number) => void (this.#meter.bytesRead += bytes);
    this.#reads = new BrReads({ clock, signal, concurrency, readBytes, onRead });
    this.#opener = new FileOpener(this.#reads, readBytes);
    this.#rewriter = new TableRewriter(options.rewrite ?? []);
  }

  async run(): Promise<RestoreBrResult> {
    const { chain: links, version, signal, rewrite = [], clearTarget = false } = this.#options;
    const chain = resolveChain(await loadLinks(links, { clock: this.#clock, signal }), version);
    const all = filesOf(chain);
    const plan = planRestore(chain, all, this.#options, await this.#endOfKeys(chain, all));
    const ids = plan.tables.flatMap(({ physicalIds }) => physicalIds);
    this.#rewriter.check(ids.filter((id) => intersectRangeSets([tableKeys(id)], plan.ranges).length > 0));
    const target = this.#target;
    const restoreId = restoreIdOf(chain, plan, rewrite);
    const resumed = await this.#resume(restoreId);
    if (resumed.isDone) return this.#result(chain, plan, true, 0, undefined);
    const { after, checkpoint } = resumed;
    const targetRanges = this.#rewriter.ranges(plan.ranges);
    const clearing = { target, restoreId, targetRanges, clearTarget, checkpoint };
    const full = after === undefined ? await rangesToClear(clearing) : [];
    const files = plan.files.filter(({ file }) => after === undefined || !liesBefore(file, after));
    await this.#check(files);
    await clearRanges(clearing, full);
    const state = await this.#load(chain, plan, files, restoreId, after);
    await target.checkKept();
    return this.#result(chain, plan, after !== undefined, files.length, state);
  }

  /** Behind every key of the files that have no end, and of the wanted ranges. */
  async #endOfKeys({ apiVersion }: BrChain, files: readonly PlannedFile[]): Promise<Uint8Array> {
    const { ranges } = this.#options;
    let { end } = NORMAL_KEYS;
    for (const range of ranges ?? []) if (compareBytes(range.end, end) > 0) end = range.end;
    if (ranges !== undefined) return end;
    for (const planned of files) {
      if (planned.file.endKey.length > 0) continue;
      const key = await this.#opener.lastUserKey(planned, apiVersion);
      if (key !== undefined && compareBytes(key, end) >= 0) end = keyAfter(key);
    }
    return end;
  }

  async #resume(restoreId: string): Promise<Resumed> {
    const checkpoint = await this.#target.checkpoint();
    const fresh = { after: undefined, checkpoint, isDone: false };
    if (checkpoint?.restoreId !== restoreId) return fresh;
    const { phase, cursor } = checkpoint;
    if (phase === 'done') return { ...fresh, isDone: this.#options.clearTarget !== true };
    if (phase === 'clearing') return fresh;
    const after = phase === 'rows' && cursor !== undefined ? parseRowCursor(cursor) : undefined;
    if (after !== undefined) return { ...fresh, after };
    throw new BackupError(
      'ADAPTER_CONTRACT',
      `the target's checkpoint (phase ${phase}, cursor ${String(cursor)}) is not one that was stored`,
    );
  }

  /** Before anything is written. */
  async #check(files: readonly PlannedFile[]): Promise<void> {
    const meter = this.#meter;
    // Old releases of TiKV did not record sizes: such a file counts once it has been read.
    const bytesOf = (each: PlannedFile) => Number(each.file.size) * (this.#opener.isChecked(each) ? 1 : 2);
    meter.bytesTotal = files.reduce((sum, each) => sum + bytesOf(each), meter.bytesRead);
    await inParallel(files, this.#numbers.concurrency, this.#options.signal, async (planned) => {
      await this.#opener.check(planned);
      meter.report('checking');
    });
  }

  async #load(
    chain: BrChain,
    plan: BrPlan,
    files: readonly PlannedFile[],
    restoreId: string,
    after: Uint8Array | undefined,
  ): Promise<KeyState> {
    const { signal } = this.#options;
    const meter = this.#meter;
    const target = this.#target;
    const wanted = wantedKeys(plan.ranges, after);
    const state = chain.kind === 'raw' ? new RawKeyState(wanted) : new TxnKeyState(wanted);
    const writer: ShardWriter = new ShardWriter({
      target,
      restoreId,
      limits: target.limits,
      onApplied: ({ phase }) => {
        meter.rows = writer.operations;
        meter.report(phase === 'done' ? 'done' : 'rows');
      },
    });
    await using merge = new RowMerge(files, (file) => this.#opener.cursor(file, chain.apiVersion), state);
    try {
      await restoreRows({
        merge,
        state,
        writer,
        rewriter: this.#rewriter,
        applyBytes: this.#numbers.applyBytes,
        version: checkpointVersion(chain.version),
        slices: new TimeSlices(this.#clock),
        signal,
      });
    } finally {
      // An apply under way is never left behind; what it fails with now comes after what is thrown already.
      await writer.settle().catch(() => undefined);
      meter.rows = writer.operations;
    }
    return state;
  }

  #result(
    { version, links }: BrChain,
    { ranges, tables, droppedTables }: BrPlan,
    resumed: boolean,
    files: number,
    state: KeyState | undefined,
  ): RestoreBrResult {
    const { deletes = 0, superseded = 0, expiring = 0 } = state ?? {};
    const { rows, bytesRead } = this.#meter;
    const counts = { rows, deletes, superseded, expiring, files, bytesRead };
    return { version, ranges, links: links.length, tables, droppedTables, resumed, ...counts };
  }
}

/** Checkpoints hold versions below 2^63; timestamps that are larger are told apart by the restore's id. */
function checkpointVersion(version: bigint): bigint {
  return version <= MAX_VERSION ? version : MAX_VERSION;
}
