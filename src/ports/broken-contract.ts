// What the checks of adapters have in common: the error that names the adapter, its call and what was wrong.

import { isBytes } from '../core/bytes.js';
import type { BackupErrorFacts } from '../core/errors.js';
import { BackupError } from '../core/errors.js';
import { MAX_VERSION, type Version } from '../core/version.js';

/** `call`: port and method, such as `LogSource.peek`. */
export function brokenContract(call: string, what: string, facts: BackupErrorFacts = {}): BackupError {
  return new BackupError('ADAPTER_CONTRACT', `${call} broke its contract: ${what}`, facts);
}

/**
 * What the call answers. One that throws at once rejects like any other. What it rejects with and is no error at all becomes one, which may pass as a broken connection may; the signal's
 * own reason, whatever it is, is passed on.
 */
export async function answerOf<T>(call: string, run: () => T | Promise<T>, signal?: AbortSignal): Promise<T> {
  try {
    return await run();
  } catch (error) {
    throw signal?.aborted === true && error === signal.reason ? error : asError(call, error);
  }
}

/** What a call has failed with, as `answerOf` throws it. */
export function asError(call: string, error: unknown): unknown {
  if (isError(error)) return error;
  const what = `${call} broke its contract: it failed with ${show(error)}, not an Error`;
  return new BackupError('ADAPTER_CONTRACT', what, { retryable: true, cause: error });
}

/** Errors of another realm (a test runner's, say) are no instances of this one's. */
function isError(error: unknown): boolean {
  return error instanceof Error || (typeof error === 'object' && error !== null && 'message' in error);
}

/** The value, short enough for a message. */
export function show(value: unknown): string {
  if (typeof value === 'bigint') return `${value}n`;
  if (typeof value === 'string') return JSON.stringify(value.slice(0, 100));
  if (typeof value === 'function') return 'a function';
  if (typeof value === 'object' && value !== null) return isBytes(value) ? `${value.length} bytes` : 'an object';
  return String(value);
}

/** `least`: -1 where nothing is known yet may be said so. */
export function isVersion(value: unknown, least: Version = 0n): value is Version {
  return typeof value === 'bigint' && value >= least && value <= MAX_VERSION;
}

/** The first of these that is no function of `value`. */
export function lacksFunction(value: unknown, names: readonly string[]): string | undefined {
  const held = value as Partial<Record<string, unknown>> | null | undefined;
  return names.find((name) => typeof held?.[name] !== 'function');
}

/** The stream's iterator; a stream that is none is named. */
export function iteratorOf<T>(call: string, open: () => AsyncIterable<T>): AsyncIterator<T> {
  const stream: unknown = open();
  if (isAsyncIterable<T>(stream)) return stream[Symbol.asyncIterator]();
  throw brokenContract(call, `it gave ${show(stream)}, not an AsyncIterable`);
}

function isAsyncIterable<T>(value: unknown): value is AsyncIterable<T> {
  return typeof (value as Partial<AsyncIterable<T>> | null | undefined)?.[Symbol.asyncIterator] === 'function';
}
