// What the adapters for a user's etcd cluster have in common: the client, and which keys of it they are about. Must never read or write anything itself.

import type { Etcd3 } from 'etcd3';
import { compareBytes } from '../../core/bytes.js';
import { checkMethods } from '../../core/check-option.js';
import type { Clock } from '../../core/clock.js';
import { BackupError } from '../../core/errors.js';
import type { KeyRange } from '../../core/key-range.js';
import { checkRange, coalesceRanges, rangeContains } from '../../core/key-range.js';

export interface EtcdOptions {
  /** The host's own client of the cluster, with no namespace. It is never closed here. `ETCD_GRPC_OPTIONS` are what its `grpcOptions` should hold at least. */
  readonly client: Etcd3;
  /** Keys with begin <= key < end are backed up, the others are not. Default: all, also those from 0xFF on. */
  readonly range?: KeyRange | undefined;
  /**
   * Keys that are not backed up although they lie in `range`: the prefix under which Tidemark keeps its own state, where that is in the same cluster, belongs here: else each save of progress would be
   * a change to back up, which is saved, and so on. Default: none.
   */
  readonly exclude?: readonly KeyRange[] | undefined;
  readonly clock?: Clock | undefined;
}

/**
 * Channel options for `new Etcd3({ grpcOptions })`. grpc-js takes no message above 4 MiB by default, while etcd sends fragments of up to `--max-request-bytes` and some overhead (1.5 MiB), single
 * events as large as they are, and, in a race at a watch's begin, a thousand revisions in one message however large. And without keep-alive a connection that was cut in silence is noticed only when the kernel
 * gives up.
 */
export const ETCD_GRPC_OPTIONS = {
  'grpc.max_receive_message_length': -1,
  'grpc.max_send_message_length': -1,
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 5_000,
} as const;

/** The range of all keys that begin with `prefix`, which must not be empty or all 0xFF. */
export function prefixRange(prefix: Uint8Array | string): KeyRange {
  const begin = typeof prefix === 'string' ? new TextEncoder().encode(prefix) : prefix;
  let length = begin.length;
  while (length > 0 && begin[length - 1] === 0xff) length--;
  if (length === 0) throw new BackupError('INVALID_OPTION', 'a prefix must hold a byte other than 0xFF');
  // A copy, also of a Buffer, whose own `slice` is none.
  const end = new Uint8Array(begin.subarray(0, length));
  end[length - 1] = (end[length - 1] as number) + 1;
  return { begin, end };
}

/** Which keys are backed up. */
export interface KeyFilter {
  /** undefined: up to the end of the key space. */
  readonly begin: Uint8Array;
  readonly end: Uint8Array | undefined;
  /** Sorted, disjoint. */
  readonly exclude: readonly KeyRange[];
}

/** INVALID_OPTION for what is no client, and for ranges that are none. */
export function resolveKeys(options: EtcdOptions): KeyFilter {
  checkMethods('client', options.client, 'client of etcd3', ['getRoles', 'watch', 'lease', 'if']);
  const { range, exclude = [] } = options;
  if (range !== undefined) checkRange(range, 'range');
  for (const each of exclude) checkRange(each, 'exclude');
  return { begin: range?.begin ?? new Uint8Array(0), end: range?.end, exclude: coalesceRanges(exclude) };
}

/** Whether the key is backed up. */
export function isWanted(filter: KeyFilter, key: Uint8Array): boolean {
  const { begin, end, exclude } = filter;
  if (begin.length > 0 && compareBytes(key, begin) < 0) return false;
  if (end !== undefined && compareBytes(key, end) >= 0) return false;
  for (const range of exclude) if (rangeContains(range, key)) return false;
  return true;
}
