// A TiKV cluster as a backup sees it: regions with leaders, and stores that answer for what they lead. Keys are two hex digits and whatever follows; what goes wrong is said by the test.

import { createHash } from 'node:crypto';
import { compareBytes, toHex, utf8 } from '../../src/core/bytes.js';
import type { Clock } from '../../src/core/clock.js';
import type { BrError } from '../../src/format/br/error-messages.js';
import type { BrFile, BrInit, BrKeyRange } from '../../src/format/br/messages.js';
import type { BrBackupRequest, BrBackupResponse } from '../../src/format/br/request-messages.js';
import { compareEnds, isEmptyRange } from '../../src/br/backup/br-range.js';
import type { BackupStore } from '../../src/br/request/backup-store.js';

export interface FakeRegion {
  readonly id: number;
  readonly startKey: Uint8Array;
  readonly endKey: Uint8Array;
  /** Index of the store that leads it; undefined: nobody does. */
  leader: number | undefined;
}

/** What happens to one range of one request: an error, a throw (the stream breaks), silence, or nothing special. */
export type Fault = { readonly error: BrInit<BrError> } | { readonly cut: Error } | 'skip' | 'silence' | undefined;

export interface Asked {
  readonly store: number;
  readonly region: FakeRegion;
  readonly range: BrKeyRange;
  /** How often this store was asked for something of this region, this time included. */
  readonly times: number;
}

export class FakeTikv {
  regions: FakeRegion[];
  readonly storeCount: number;
  /** Every request, in order. */
  readonly requests: { readonly store: number; readonly message: BrInit<BrBackupRequest> }[] = [];
  fault: (asked: Asked) => Fault = () => undefined;
  readonly #times = new Map<string, number>();
  #files = 0;

  /** Regions between these keys, led by the stores in turn. */
  constructor(boundaries: readonly string[], storeCount = 1) {
    const keys = ['', ...boundaries, ''].map(utf8);
    this.storeCount = storeCount;
    this.regions = keys.slice(1).map((endKey, i) => ({
      id: i + 1,
      startKey: keys[i] as Uint8Array,
      endKey,
      leader: i % storeCount,
    }));
  }

  stores(): BackupStore[] {
    return Array.from({ length: this.storeCount }, (_, store) => ({
      name: `tikv-${store}`,
      backup: (request, signal) => full(this.answer(store, request, signal)),
    }));
  }

  /** What a store answers. */
  async *answer(
    store: number,
    message: BrInit<BrBackupRequest>,
    signal: AbortSignal,
  ): AsyncGenerator<BrInit<BrBackupResponse>, void, undefined> {
    this.requests.push({ store, message });
    for (const wanted of rangesOf(message)) {
      for (const region of [...this.regions]) {
        if (region.leader !== store) continue;
        const range = intersect(wanted, region);
        if (range === undefined) continue;
        const times = (this.#times.get(`${store}/${region.id}`) ?? 0) + 1;
        this.#times.set(`${store}/${region.id}`, times);
        const fault = this.fault({ store, region, range, times });
        await Promise.resolve();
        signal.throwIfAborted();
        if (fault === 'skip') continue;
        if (fault === 'silence') await untilAborted(signal);
        else if (fault === undefined)
          yield { ...range, files: [this.file(store, region, range, message)], apiVersion: 'v1' };
        else if ('cut' in fault) throw fault.cut;
        // TiKV does not say of which range it is.
        else yield { error: fault.error };
      }
    }
  }

  file(store: number, region: FakeRegion, range: BrKeyRange, message: BrInit<BrBackupRequest>): BrFile {
    const name = `${store}/${region.id}_1_${toHex(range.startKey)}_${++this.#files}_write.sst`;
    const sha256 = createHash('sha256').update(name).digest();
    const { startVersion = 0n, endVersion = 0n } = message;
    return {
      ...{
        name,
        sha256: new Uint8Array(sha256),
        startKey: range.startKey,
        endKey: range.endKey,
        startVersion,
        endVersion,
      },
      ...{ crc64xor: 1n, totalKvs: 1n, totalBytes: 1n, tableMetas: [], cf: 'write', size: 1n },
      // Whether it encrypts or not, as TiKV.
      cipherIv: new Uint8Array(16).fill(1),
    };
  }
}

export function rangesOf(message: BrInit<BrBackupRequest>): BrKeyRange[] {
  const { subRanges = [], startKey = new Uint8Array(0), endKey = new Uint8Array(0) } = message;
  if (subRanges.length === 0) return [{ startKey, endKey }];
  return subRanges.map((range) => ({ startKey: range.startKey ?? startKey, endKey: range.endKey ?? endKey }));
}

export function intersect(a: BrKeyRange, b: BrKeyRange): BrKeyRange | undefined {
  const startKey = compareBytes(a.startKey, b.startKey) >= 0 ? a.startKey : b.startKey;
  const endKey = compareEnds(a.endKey, b.endKey) <= 0 ? a.endKey : b.endKey;
  return isEmptyRange({ startKey, endKey }) ? undefined : { startKey, endKey };
}

async function* full(answers: AsyncIterable<BrInit<BrBackupResponse>>): AsyncGenerator<BrBackupResponse> {
  for await (const answer of answers) {
    const { error, startKey = new Uint8Array(0), endKey = new Uint8Array(0), files = [] } = answer;
    yield {
      startKey,
      endKey,
      files: files as readonly BrFile[],
      apiVersion: 'v1',
      ...(error ? { error: fullError(error) } : {}),
    };
  }
}

function fullError({ msg = '', detail }: BrInit<BrError>): BrError {
  if (detail?.kind === 'region') return { msg, detail: { message: '', ...(detail as object), kind: 'region' } };
  if (detail?.kind === 'key') return { msg, detail: { retryable: '', abort: '', ...(detail as object), kind: 'key' } };
  if (detail?.kind === 'cluster-id')
    return { msg, detail: { kind: 'cluster-id', current: detail.current ?? 0n, request: detail.request ?? 0n } };
  return { msg };
}

function untilAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
  });
}

/** A clock whose short sleeps take no time, and are written down; longer ones (how long a store may be silent) never end by themselves. */
export class HastyClock implements Clock {
  readonly sleeps: number[] = [];
  readonly longest: number;
  pending = 0;

  constructor(longest = 100_000) {
    this.longest = longest;
  }

  now(): number {
    return this.sleeps.reduce((sum, ms) => sum + ms, 0);
  }

  wallTime(): number {
    return this.now();
  }

  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    if (ms <= this.longest) {
      this.sleeps.push(ms);
      return;
    }
    this.pending++;
    try {
      await new Promise((_resolve, reject) => {
        signal?.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
      });
    } finally {
      this.pending--;
    }
  }

  yieldToHost(): Promise<void> {
    return Promise.resolve();
  }
}
