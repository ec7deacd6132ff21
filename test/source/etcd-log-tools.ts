// What the tests of the etcd log share: a log with its client, what it gives as text, and etcd's own word for what a revision held.

import { Etcd3 } from 'etcd3';
import { MutationType } from '../../src/core/mutation.js';
import type { Version } from '../../src/core/version.js';
import { logRouterTag } from '../../src/core/version.js';
import { MemoryProgressStore } from '../../src/progress/memory-progress-store.js';
import type { EtcdEpoch } from '../../src/source/etcd/epoch.js';
import { etcdEpoch } from '../../src/source/etcd/epoch.js';
import type { EtcdLogOptions } from '../../src/source/etcd/log-source.js';
import { EtcdLogSource } from '../../src/source/etcd/log-source.js';
import { ETCD_GRPC_OPTIONS } from '../../src/source/etcd/options.js';

/** Calls that a killed server leaves without an answer end by themselves. */
export function connect(hosts: readonly string[]): Etcd3 {
  return new Etcd3({
    hosts: [...hosts],
    grpcOptions: ETCD_GRPC_OPTIONS,
    defaultCallOptions: ({ isStream }) => (isStream ? {} : { deadline: Date.now() + 20_000 }),
  });
}

export interface OpenLog {
  readonly source: EtcdLogSource;
  readonly epoch: EtcdEpoch;
}

export async function openLog(
  client: Etcd3,
  { tags = 1, ...options }: { readonly tags?: number } & Partial<EtcdLogOptions> = {},
): Promise<OpenLog> {
  const epoch = await etcdEpoch({ client, store: new MemoryProgressStore(), tags });
  return { source: new EtcdLogSource({ client, epoch, ...options }), epoch };
}

export interface LogEvent {
  readonly version: Version;
  readonly subsequence: number;
  readonly key: string;
  /** undefined: deleted. */
  readonly value: string | undefined;
}

/** Keys and values as latin1, so that each byte is a character. */
export function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}

export interface ReadOptions {
  readonly begin: Version;
  readonly tag?: number;
  readonly maxBytes?: number;
  readonly signal?: AbortSignal;
  /** After each reply. */
  readonly pause?: () => Promise<void>;
  /** Peeks that fail with a retryable error are made again. */
  readonly onRetry?: (error: unknown) => void;
}

/** Everything of a tag from `begin` to `last`, as a worker would read it. */
export async function readLog(source: EtcdLogSource, last: Version, options: ReadOptions): Promise<LogEvent[]> {
  const { tag = 0, maxBytes = 1 << 20, signal = new AbortController().signal, pause, onRetry } = options;
  const found: LogEvent[] = [];
  for (let begin = options.begin; begin <= last;) {
    const request = { epoch: 1, tag: logRouterTag(tag), begin, maxBytes, signal };
    const reply = await source.peek(request).catch(async (error: unknown) => {
      if (onRetry === undefined || (error as { retryable?: boolean }).retryable !== true) throw error;
      onRetry(error);
      await new Promise((resolve) => setTimeout(resolve, 100));
      return undefined;
    });
    if (reply === undefined) continue;
    if (reply.popped !== undefined && reply.popped >= begin)
      throw new Error(`popped ${reply.popped}, asked from ${begin}`);
    for (const { version, subsequence, mutation } of reply.batch) {
      const isSet = mutation.type === MutationType.SetValue;
      const key = latin1(mutation.param1);
      if (!isSet && latin1(mutation.param2) !== `${key}\0`) throw new Error(`a clear of more than a key: ${key}`);
      found.push({ version, subsequence, key, value: isSet ? latin1(mutation.param2) : undefined });
    }
    reply.batch.release();
    begin = reply.end;
    await pause?.();
  }
  return found;
}

/** All that etcd has at a revision, by its own historical read. */
export async function stateAt(client: Etcd3, revision: Version): Promise<Map<string, string>> {
  const all = Buffer.from([0]);
  const { kvs } = await client.kv.range({ key: all, range_end: all, revision: String(revision) });
  return new Map(kvs.map(({ key, value }) => [latin1(key), latin1(value)]));
}

/** Applies the events of one version. */
export function applyTo(state: Map<string, string>, events: readonly LogEvent[]): void {
  for (const { key, value } of events) {
    if (value === undefined) state.delete(key);
    else state.set(key, value);
  }
}

export async function headOf(client: Etcd3): Promise<Version> {
  const { header } = await client.kv.range({ key: Buffer.from([0]) });
  return BigInt(header.revision);
}
