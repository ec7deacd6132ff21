// What goes to a thread and comes back: plain data, for whatever crosses threads loses its class.

import { BackupError, type BackupErrorCode } from '../../core/errors.js';
import type { SstCompression } from '../../format/sst/codec.js';

/** One unit of work: raw blocks, whose memory goes with them. */
export interface PressRequest {
  readonly compression: SstCompression;
  readonly level: number | undefined;
  readonly blocks: readonly Uint8Array[];
  /** One number that both sides see; not 0: nobody waits for the answer any more. */
  readonly cancelled: Int32Array;
}

export type PressAnswer = PressedBlocks | PressFailure;

export interface PressedBlocks {
  readonly failure?: undefined;
  /** How long the thread was at it, in ms. */
  readonly ms: number;
  /** In the memory that came with the request, which goes back with them. None when the request was cancelled. */
  readonly stored: readonly Uint8Array[];
}

export interface PressFailure {
  readonly ms: number;
  readonly failure: {
    /** Of a BackupError. */
    readonly code: BackupErrorCode | undefined;
    readonly message: string;
  };
}

/** Each buffer once: to transfer one twice is an error. Memory that is shared between threads anyway is left out. */
export function buffersOf(blocks: readonly Uint8Array[]): ArrayBuffer[] {
  const buffers = new Set<ArrayBuffer>();
  for (const { buffer } of blocks) if (buffer instanceof ArrayBuffer) buffers.add(buffer);
  return [...buffers];
}

export function describeFailure(error: unknown, ms: number): PressFailure {
  const message = error instanceof Error ? error.message : String(error);
  return { ms, failure: { code: BackupError.is(error) ? error.code : undefined, message } };
}

/** The error as the caller sees it, as if the work had been done on its own thread. */
export function failureToError({ failure }: PressFailure, compression: SstCompression): BackupError {
  if (failure.code !== undefined) return new BackupError(failure.code, failure.message);
  return new BackupError('THREAD_FAILED', `a thread could not compress blocks with ${compression}: ${failure.message}`);
}
