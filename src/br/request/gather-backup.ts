// A backup of a whole cluster: each store answers for the regions that it leads, so all are asked, and what nobody answered is asked for again, until everything is, or nothing moves any more. As BR's push-down and its
// fine-grained backup (pkg/backup). Must never take an answer for more than was asked, nor end well with a range that no store answered.

import { AbortScope } from '../../core/abort.js';
import { compareBytes } from '../../core/bytes.js';
import { checkWholeNumber } from '../../core/check-option.js';
import { checkFileName } from '../../core/file-name.js';
import type { Clock, Random } from '../../core/clock.js';
import { systemClock, systemRandom } from '../../core/clock.js';
import { BackupError } from '../../core/errors.js';
import { FirstFailure } from '../../core/first-failure.js';
import { CIPHER_IV_BYTES } from '../../format/br/cipher.js';
import type { BrLockInfo } from '../../format/br/error-messages.js';
import type { BrApiVersion, BrFile, BrKeyRange } from '../../format/br/messages.js';
import type { BrBackupResponse } from '../../format/br/request-messages.js';
import { AnsweredRanges, coalesceBrRanges, firstIndex } from './answered-ranges.js';
import type { AnsweredRange } from './answered-ranges.js';
import type { BackupRequest } from './backup-request.js';
import type { BackupStore } from './backup-store.js';
import { containsRange, formatBrRange, isEmptyRange } from '../backup/br-range.js';
import { troubleOf } from './store-errors.js';
import type { StoreTrouble } from './store-errors.js';
import { withoutSilence } from './without-silence.js';

/** A store has answered for a range, or could not. */
export type StoreAnswer =
  | { readonly store: string; readonly range: AnsweredRange; readonly error?: undefined }
  | { readonly store: string; readonly range?: undefined; readonly error: BackupError };

export interface GatherOptions {
  /** Times in a row that the stores are asked without any range being answered, the first included. Default 8: with the delays, a good minute, as BR's. */
  readonly maxAttempts?: number;
  /** ms before what is missing is asked for again: doubles while nothing is answered, with jitter. Default 1,000 and 20,000. A store may ask for more, up to a minute. */
  readonly retryMinDelay?: number;
  readonly retryMaxDelay?: number;
  /** ms that a store may be silent before its stream is given up. A region with a low rate limit takes long. Default an hour. */
  readonly silenceTimeout?: number;
  /**
   * Whether one request may name many ranges (TiKV 6.5 and later). Older stores pass over that and answer for everything from the first to the last, which is refused here: then say false, and each range is asked for alone.
   * Default true.
   */
  readonly useSubRanges?: boolean;
  /**
   * A key is locked by a transaction that may be gone: called once for each such lock of a round, one at a time. Resolves it if that can be done, and says in how many ms asking again makes sense (0: at once). What it throws
   * ends the backup. Without it locks are waited for.
   */
  readonly resolveLock?: (
    lock: BrLockInfo,
    context: { readonly store: string; readonly signal: AbortSignal },
  ) => Promise<number>;
  /** Each answer as it comes, errors that are tried again included. Must not throw. */
  readonly onAnswer?: (answer: StoreAnswer) => void;
  /** Cancels: all requests end, no timer stays behind. */
  readonly signal?: AbortSignal | undefined;
  readonly clock?: Clock;
  readonly random?: Random;
}

export interface GatheredBackup {
  /** In key order; together exactly the ranges of the request. */
  readonly ranges: readonly AnsweredRange[];
  /** Of all ranges, in key order, each once. */
  readonly files: readonly BrFile[];
  /** How often the stores were asked. */
  readonly rounds: number;
}

/** Most ranges of one request, and bytes of their keys: stores take messages of some MiB. What is beyond is asked for in the next round. */
const MAX_RANGES = 4096;
const MAX_KEY_BYTES = 1 << 20;
/** Requests that a store has at a time where each range has its own. As BR. */
const RANGES_AT_ONCE = 4;
/** Errors and locks that a round remembers. */
const MAX_REMEMBERED = 256;

/** INVALID_OPTION, also for a cluster id that is not the stores'; SNAPSHOT_INCOMPLETE when ranges stay without an answer; what a store fails with for good; ADAPTER_CONTRACT for answers that make no sense; the signal's reason. */
export async function gatherBackup(
  request: BackupRequest,
  stores: readonly BackupStore[],
  options: GatherOptions = {},
): Promise<GatheredBackup> {
  if (stores.length === 0) throw new BackupError('INVALID_OPTION', 'a backup needs at least one store');
  using scope = new AbortScope(options.signal);
  return await new Gathering(request, stores, options, scope.signal).run();
}

class Gathering {
  readonly #request: BackupRequest;
  readonly #stores: readonly BackupStore[];
  readonly #options: GatherOptions;
  readonly #signal: AbortSignal;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #maxAttempts: number;
  readonly #minDelay: number;
  readonly #maxDelay: number;
  readonly #silence: number;
  readonly #answers = new AnsweredRanges();
  /** Of the round under way. */
  #troubles: (StoreTrouble & { readonly store: string })[] = [];
  #hasMoved = false;

  constructor(request: BackupRequest, stores: readonly BackupStore[], options: GatherOptions, signal: AbortSignal) {
    this.#request = request;
    this.#stores = stores;
    this.#options = options;
    this.#signal = signal;
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? systemRandom;
    this.#maxAttempts = checkWholeNumber('maxAttempts', options.maxAttempts ?? 8, 1);
    this.#minDelay = checkWholeNumber('retryMinDelay', options.retryMinDelay ?? 1000, 0);
    this.#maxDelay = checkWholeNumber('retryMaxDelay', options.retryMaxDelay ?? 20_000, this.#minDelay);
    this.#silence = checkWholeNumber('silenceTimeout', options.silenceTimeout ?? 3_600_000, 1);
  }

  async run(): Promise<GatheredBackup> {
    let attempts = 0;
    for (let rounds = 0; ; rounds++) {
      this.#signal.throwIfAborted();
      const wanted = this.#missing();
      if (wanted.length === 0) return { ranges: [...this.#answers.ranges()], files: this.#answers.files(), rounds };
      this.#troubles = [];
      this.#hasMoved = false;
      await this.#askAll(wanted);
      attempts = this.#hasMoved ? 0 : attempts + 1;
      if (this.#answers.missing(wanted, 1).length === 0) continue;
      if (attempts >= this.#maxAttempts) throw this.#incomplete(attempts);
      await this.#clock.sleep(await this.#delay(attempts), this.#signal);
    }
  }

  /** What is to be asked for next: of what nobody has answered, as much as a request takes. */
  #missing(): BrKeyRange[] {
    const missing = this.#answers.missing(this.#request.facts.ranges, MAX_RANGES);
    let bytes = 0;
    const tooMany = missing.findIndex((range, i) => {
      bytes += range.startKey.length + range.endKey.length;
      return i > 0 && bytes > MAX_KEY_BYTES;
    });
    return tooMany === -1 ? missing : missing.slice(0, tooMany);
  }

  /** One round: every store is asked for everything that is wanted. The first failure for good ends it everywhere. */
  async #askAll(wanted: readonly BrKeyRange[]): Promise<void> {
    using scope = new AbortScope(this.#signal);
    const failure = new FirstFailure(scope);
    const asking = this.#stores.flatMap((store) => this.#ask(store, wanted, scope.signal));
    await Promise.all(asking.map((work) => failure.guard(work)));
    failure.throwIfAny();
  }

  /** The work that asking one store is. */
  #ask(store: BackupStore, wanted: readonly BrKeyRange[], signal: AbortSignal): Promise<void>[] {
    if (this.#options.useSubRanges ?? true) return [this.#send(store, wanted, signal)];
    const left = wanted.values();
    const work = async () => {
      for (const range of left) await this.#send(store, [range], signal);
    };
    return Array.from({ length: RANGES_AT_ONCE }, work);
  }

  /** One request to one store. Its failures that may pass are noted; others are thrown. */
  async #send(store: BackupStore, ranges: readonly BrKeyRange[], signal: AbortSignal): Promise<void> {
    using scope = new AbortScope(signal);
    // Neighbours that touch may be answered as one.
    const allowed = coalesceBrRanges(ranges);
    try {
      const answers = store.backup(this.#request.toMessage(ranges), scope.signal);
      for await (const answer of withoutSilence(answers, {
        store: store.name,
        ms: this.#silence,
        clock: this.#clock,
        scope,
      })) {
        this.#take(store, answer, allowed);
      }
    } catch (error) {
      signal.throwIfAborted();
      if (!BackupError.is(error) || !error.retryable) throw error;
      this.#note(store, { error, isFinal: false });
    }
  }

  #take(store: BackupStore, response: BrBackupResponse, allowed: readonly BrKeyRange[]): void {
    if (response.error !== undefined) {
      const trouble = troubleOf(store.name, response.error, (text) => this.#request.storage.redactIn(text));
      if (trouble.isFinal) throw trouble.error;
      this.#note(store, trouble);
      return;
    }
    const { startKey, endKey, files, apiVersion } = response;
    const answer: AnsweredRange = { startKey, endKey, files };
    checkApiVersion(store.name, apiVersion, this.#request);
    checkAnswer(store.name, answer, allowed, this.#request);
    // Two stores that take ranges from each other for ever do not move.
    if (this.#answers.put(answer) === 0) this.#hasMoved = true;
    this.#options.onAnswer?.({ store: store.name, range: answer });
  }

  #note(store: BackupStore, trouble: StoreTrouble): void {
    if (this.#troubles.length < MAX_REMEMBERED) this.#troubles.push({ ...trouble, store: store.name });
    this.#options.onAnswer?.({ store: store.name, error: trouble.error });
  }

  /** ms until the next round. */
  async #delay(attempts: number): Promise<number> {
    const full = Math.min(this.#maxDelay, this.#minDelay * 2 ** Math.min(Math.max(0, attempts - 1), 30));
    const own = full * (1 - this.#random.next() / 2);
    const asked = this.#troubles.map(({ wait }) => wait ?? 0);
    return Math.max(own, ...asked, ...(await this.#resolveLocks()));
  }

  async #resolveLocks(): Promise<number[]> {
    const { resolveLock } = this.#options;
    if (resolveLock === undefined) return [];
    const waits: number[] = [];
    const seen = new Set<bigint>();
    for (const { lock, store } of this.#troubles) {
      if (lock === undefined || seen.has(lock.lockVersion)) continue;
      seen.add(lock.lockVersion);
      waits.push(
        checkWholeNumber('what resolveLock says', await resolveLock(lock, { store, signal: this.#signal }), 0),
      );
      this.#signal.throwIfAborted();
    }
    return waits;
  }

  #incomplete(attempts: number): BackupError {
    const missing = this.#answers.missing(this.#request.facts.ranges, SHOWN_MISSING + 1);
    const shown = missing.slice(0, SHOWN_MISSING).map(formatBrRange).join(', ');
    const more = missing.length > SHOWN_MISSING ? ' and more' : '';
    const errors = this.#troubles.map(({ error }) => error);
    const why =
      errors.length === 0
        ? 'No store said why: does one of those that were asked lead these ranges?'
        : `The last error: ${errors.at(-1)?.message ?? ''}`;
    return new BackupError(
      'SNAPSHOT_INCOMPLETE',
      `no store backed up ${shown}${more}, asked ${attempts} times in a row. ${why}`,
      {
        retryable: true,
        cause: new AggregateError(errors, 'what the stores said'),
      },
    );
  }
}

const SHOWN_MISSING = 4;

/** ADAPTER_CONTRACT for raw rows that are encoded otherwise than was asked: a store of before TiKV 6.1 passes over that, and `backupmeta` would say what the files are not. */
function checkApiVersion(store: string, actual: BrApiVersion, { facts }: BackupRequest): void {
  const { isRawKv, apiVersion } = facts;
  if (!isRawKv || actual === apiVersion) return;
  throw new BackupError(
    'ADAPTER_CONTRACT',
    `${store} answered with raw rows of API version ${actual}, it was asked for ${apiVersion}`,
  );
}

/** ADAPTER_CONTRACT unless the answer is one to this request: nobody restores what was not asked for. */
function checkAnswer(
  store: string,
  answer: AnsweredRange,
  allowed: readonly BrKeyRange[],
  request: BackupRequest,
): void {
  const wrong = (what: string) =>
    new BackupError('ADAPTER_CONTRACT', `${store} answered for ${formatBrRange(answer)}, ${what}`);
  if (isEmptyRange(answer)) throw wrong('which has no keys');
  if (!isWithin(answer, allowed)) {
    throw wrong(
      'which is more than it was asked for (stores before TiKV 6.5 do not know sub-ranges: useSubRanges: false; those that convert raw rows to another API version answer for other keys)',
    );
  }
  const { isRawKv, startVersion, endVersion } = request.facts;
  for (const file of answer.files) {
    try {
      checkFileName(file.name);
    } catch (cause) {
      throw new BackupError('ADAPTER_CONTRACT', `${store} answered with a file that cannot be in a backup`, { cause });
    }
    if (file.sha256.length !== 32) throw wrong(`and says no SHA-256 of ${file.name}`);
    // Of files that are not encrypted, too, TiKV says an IV. One that says none has passed over the cipher: the rows lie there for all to read.
    if (request.cipher !== undefined && file.cipherIv.length !== CIPHER_IV_BYTES) {
      throw wrong(`and did not encrypt ${file.name}`);
    }
    if (!isRawKv && (file.startVersion !== startVersion || file.endVersion !== endVersion)) {
      throw wrong(
        `with ${file.name} of versions (${file.startVersion}, ${file.endVersion}], not (${startVersion}, ${endVersion}]`,
      );
    }
  }
}

/** Whether one of the ranges, sorted and disjoint, contains it: the last that does not begin after it. */
function isWithin(answer: BrKeyRange, sorted: readonly BrKeyRange[]): boolean {
  const after = firstIndex(sorted.length, (i) => compareBytes((sorted[i] as BrKeyRange).startKey, answer.startKey) > 0);
  const range = sorted[after - 1];
  return range !== undefined && containsRange(range, answer);
}
