// Whatever comes in, from a URL or over the wire, is a request, or a BackupError that says what is wrong with it.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BackupError } from '../../src/core/errors.js';
import { receivedRequest } from '../../src/br/grpc/received-request.js';
import { storageFromUrl } from '../../src/br/request/storage-url.js';
import type { BrKeyRange } from '../../src/format/br/messages.js';
import type { BrBackupRequest } from '../../src/format/br/request-messages.js';
import { loadBrMessages } from '../../src/format/br/proto/load.js';

const bytes = fc.uint8Array({ maxLength: 4 });
const keyRange: fc.Arbitrary<BrKeyRange> = fc.record({ startKey: bytes, endKey: bytes });
const ranges = fc.array(keyRange, { maxLength: 4 });
const uint64 = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n });
const small = fc.constantFrom(0n, 1n, 2n, (1n << 64n) - 1n);

const request: fc.Arbitrary<BrBackupRequest> = fc.record({
  clusterId: uint64,
  startKey: bytes,
  endKey: bytes,
  startVersion: small,
  endVersion: small,
  rateLimit: uint64,
  concurrency: fc.nat({ max: 2 ** 32 - 1 }),
  storageBackend: fc.constantFrom<BrBackupRequest['storageBackend'][]>(
    undefined,
    {},
    { backend: { kind: 'noop' } },
    { backend: { kind: 'local', path: '../x\0' } },
    { backend: { kind: 'hdfs', remote: '' } },
  ),
  isRawKv: fc.boolean(),
  cf: fc.constantFrom('', 'default', 'write', 'x'),
  compressionType: fc.constantFrom<BrBackupRequest['compressionType'][]>('unknown', 'lz4', 'zstd', 'snappy', 9),
  compressionLevel: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
  cipherInfo: fc.constantFrom<BrBackupRequest['cipherInfo'][]>(
    undefined,
    { cipherType: 'plaintext', cipherKey: new Uint8Array(3) },
    { cipherType: 'aes128-ctr', cipherKey: new Uint8Array(16) },
    { cipherType: 'aes256-ctr', cipherKey: new Uint8Array(0) },
    { cipherType: 99, cipherKey: new Uint8Array(0) },
  ),
  dstApiVersion: fc.constantFrom<BrBackupRequest['dstApiVersion'][]>('v1', 'v2', 'v3', 17),
  subRanges: ranges,
  sortedSubRangesGroups: fc.array(fc.record({ subRanges: ranges }), { maxLength: 3 }),
  replicaRead: fc.boolean(),
  mode: fc.constantFrom<BrBackupRequest['mode'][]>('scan', 'scan', 'scan', 'file', 3),
  uniqueId: fc.string(),
  context: fc.constant(undefined),
});

function refusal(body: () => unknown): BackupError | undefined {
  try {
    body();
    return undefined;
  } catch (error) {
    if (error instanceof BackupError) return error;
    throw error;
  }
}

describe('what comes in', () => {
  it('is a request whose ranges are in order, or refused', () => {
    let taken = 0;
    fc.assert(
      fc.property(request, (message) => {
        const error = refusal(() => {
          const { facts } = receivedRequest(message);
          taken++;
          for (const [i, { startKey }] of facts.ranges.entries()) {
            const before = facts.ranges[i - 1];
            if (before === undefined) continue;
            expect(before.endKey.length).toBeGreaterThan(0);
            expect(Buffer.compare(before.endKey, startKey)).toBeLessThanOrEqual(0);
          }
        });
        if (error !== undefined) expect(['INVALID_OPTION', 'UNSUPPORTED_FORMAT']).toContain(error.code);
      }),
      { numRuns: 2000 },
    );
    expect(taken).toBeGreaterThan(10);
  });

  it('is the same request when it has been over the wire', async () => {
    const messages = await loadBrMessages();
    fc.assert(
      fc.property(request, (message) => {
        const direct = refusal(() => receivedRequest(message))?.message;
        const decoded = messages.decode('BackupRequest', messages.encode('BackupRequest', message));
        expect(refusal(() => receivedRequest(decoded))?.message).toBe(direct);
      }),
      { numRuns: 300 },
    );
  });

  it('is a storage, or refused, whatever the URL', () => {
    const scheme = fc.constantFrom('s3://', 'gcs://', 'azure://', 'local://', 'hdfs://', 'noop:', 's3:', '');
    const part = fc.constantFrom(
      'a',
      '/',
      '?',
      '&',
      '=',
      '%',
      '%41',
      '@',
      ':',
      '#',
      '+',
      'access-key',
      'endpoint',
      '\0',
      '\ud800',
    );
    fc.assert(
      fc.property(scheme, fc.array(part, { maxLength: 12 }), (head, parts) => {
        const error = refusal(() => storageFromUrl(head + parts.join('')));
        if (error !== undefined) expect(error.code).toBe('INVALID_OPTION');
      }),
      { numRuns: 3000 },
    );
  });

  it('may name as many ranges as a message holds', () => {
    const keyOf = (i: number) => new Uint8Array([i >> 16, i >> 8, i, 0]);
    const subRanges = Array.from({ length: 200_000 }, (_, i) => ({ startKey: keyOf(i), endKey: keyOf(i + 1) }));
    const message = { ...whole, subRanges };
    expect(receivedRequest(message).facts.ranges).toHaveLength(subRanges.length);
  });
});

const whole: BrBackupRequest = {
  ...{ clusterId: 7n, startKey: new Uint8Array(0), endKey: new Uint8Array(0), startVersion: 0n, endVersion: 5n },
  ...{ rateLimit: 0n, concurrency: 0, storageBackend: { backend: { kind: 'noop' } }, isRawKv: false, cf: '' },
  ...{ compressionType: 'unknown', compressionLevel: 0, cipherInfo: undefined, dstApiVersion: 'v1', subRanges: [] },
  ...{ sortedSubRangesGroups: [], replicaRead: false, mode: 'scan', uniqueId: '', context: undefined },
};
