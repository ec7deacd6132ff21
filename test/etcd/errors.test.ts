// What etcd and its client say, as BackupErrors; and keys and revisions.

import { expect, it } from 'vitest';
import { BackupError } from '../../src/core/errors.js';
import { etcdError, etcdFault } from '../../src/etcd/errors.js';
import { prefixEnd, rangeOf, revisionNumber, revisionOf } from '../../src/etcd/keys.js';

it.each([
  ['14 UNAVAILABLE: etcdserver: leader changed', 'ETCD_UNAVAILABLE', true],
  ['14 UNAVAILABLE: No connection established. Last error: connect ECONNREFUSED', 'ETCD_UNAVAILABLE', true],
  ['4 DEADLINE_EXCEEDED: Deadline exceeded after 1.001s', 'ETCD_UNAVAILABLE', true],
  ['Execution prevented because the circuit breaker is open', 'ETCD_UNAVAILABLE', true],
  ['8 RESOURCE_EXHAUSTED: etcdserver: too many requests', 'ETCD_UNAVAILABLE', true],
  ['8 RESOURCE_EXHAUSTED: etcdserver: mvcc: database space exceeded', 'ETCD_NO_SPACE', true],
  ['8 RESOURCE_EXHAUSTED: grpc: received message larger than max (3 vs. 2)', 'ETCD_LIMIT', false],
  ['3 INVALID_ARGUMENT: etcdserver: request is too large', 'ETCD_LIMIT', false],
  ['3 INVALID_ARGUMENT: etcdserver: too many operations in txn request', 'ETCD_LIMIT', false],
  ['11 OUT_OF_RANGE: etcdserver: mvcc: required revision has been compacted', 'ETCD_COMPACTED', false],
  ['7 PERMISSION_DENIED: etcdserver: permission denied', 'ETCD_DENIED', false],
  ['16 UNAUTHENTICATED: etcdserver: invalid auth token', 'ETCD_UNAVAILABLE', true],
  ['Lease 5 NOT_FOUND: etcdserver: requested lease not found is expired or revoked', 'LEASE_LOST', false],
  ['3 INVALID_ARGUMENT: etcdserver: duplicate key given in txn request', 'ETCD_FAILED', false],
  ['Tried to call a KV method on etcd3, but the client was already closed', 'INVALID_STATE', false],
])('%s is %s', (message, code, retryable) => {
  const cause = new Error(message);
  expect(etcdError('a read', cause)).toMatchObject({ code, retryable, cause });
});

it('what is no error of etcd stays what it is', () => {
  for (const error of [new TypeError('x is not a function'), new BackupError('TIMEOUT', '14 UNAVAILABLE: x'), 'text']) {
    expect(etcdFault(error)).toBeUndefined();
    expect(etcdError('a read', error)).toBe(error);
  }
});

it('ends of prefixes and ranges', () => {
  expect(prefixEnd(Uint8Array.of(1, 0xff, 0xff))).toEqual(Uint8Array.of(2));
  expect(prefixEnd(Uint8Array.of(0xff))).toBeUndefined();
  expect(rangeOf(new Uint8Array(0), undefined)).toEqual({ key: Buffer.from([0]), range_end: Buffer.from([0]) });
  expect(() => rangeOf(Uint8Array.of(1), new Uint8Array(0))).toThrow(BackupError);
});

it('revisions come without loss, and nothing else does', () => {
  expect(revisionOf('9223372036854775807')).toBe(9223372036854775807n);
  expect(revisionNumber('9007199254740991')).toBe(9007199254740991);
  for (const text of ['', '-1', '1e3', '9007199254740993']) expect(() => revisionNumber(text)).toThrow(BackupError);
});
