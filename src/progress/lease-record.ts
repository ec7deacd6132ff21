// Leases as they lie in a store's state: the value that transactions see, behind a head that says whose the lease is and when it ends. Pure functions.

import { BackupError } from '../core/errors.js';
import type { LeaseRequest } from '../ports/progress-store.js';
import { LEASE_PREFIX } from '../ports/progress-store.js';

export interface LeaseRecord {
  /** 32 hex digits, unlike any other lease's: tells a holder's own lease from a later one on the same key. */
  readonly id: string;
  /** ms */
  readonly ttl: number;
  /** By the store's clock, ms: from this moment on the lease has ended. */
  readonly endsAt: number;
  readonly value: Uint8Array;
}

const ID_BYTES = 16;
const HEAD_BYTES = ID_BYTES + 8 + 8;

export function isLeaseKey(key: string): boolean {
  return key.startsWith(LEASE_PREFIX);
}

export function encodeLease({ id, ttl, endsAt, value }: LeaseRecord): Uint8Array {
  const bytes = new Uint8Array(HEAD_BYTES + value.length);
  bytes.set(Buffer.from(id, 'hex'), 0);
  const view = new DataView(bytes.buffer);
  view.setFloat64(ID_BYTES, ttl);
  view.setFloat64(ID_BYTES + 8, endsAt);
  bytes.set(value, HEAD_BYTES);
  return bytes;
}

/** Whether `encodeLease` can have made it. */
export function isLease(bytes: Uint8Array): boolean {
  return bytes.length >= HEAD_BYTES;
}

export function decodeLease(bytes: Uint8Array): LeaseRecord {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return {
    id: Buffer.from(bytes.subarray(0, ID_BYTES)).toString('hex'),
    ttl: view.getFloat64(ID_BYTES),
    endsAt: view.getFloat64(ID_BYTES + 8),
    value: leaseValue(bytes),
  };
}

/** What transactions see of an encoded lease. */
export function leaseValue(bytes: Uint8Array): Uint8Array {
  return bytes.subarray(HEAD_BYTES);
}

/** ms: `now + ttl - now` is not always `ttl` where a clock counts parts of a millisecond. */
const ROUNDING = 1;

/**
 * A lease that has longer to live than it was ever given was taken by a clock that has begun anew since: a machine's clock, when the machine does. No holder has outlived that.
 */
export function hasEnded({ endsAt, ttl }: Pick<LeaseRecord, 'endsAt' | 'ttl'>, now: number): boolean {
  return now >= endsAt || endsAt - now > ttl + ROUNDING;
}

/** Throws INVALID_OPTION. */
export function checkLeaseRequest({ key, value, ttl }: LeaseRequest): void {
  if (typeof key !== 'string' || !isLeaseKey(key) || key.length === LEASE_PREFIX.length) {
    throw new BackupError('INVALID_OPTION', `key must begin with "${LEASE_PREFIX}", got ${JSON.stringify(key)}`);
  }
  if (!(value instanceof Uint8Array)) {
    throw new BackupError('INVALID_OPTION', `value must be a Uint8Array, got ${typeof value}`);
  }
  if (!Number.isSafeInteger(ttl) || ttl < 1) {
    throw new BackupError('INVALID_OPTION', `ttl must be a whole number from 1 on, got ${String(ttl)}`);
  }
}
