// Files of a FileProgressStore whose checksum is right and whose content is not: another writer's, or a release to come.

import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { encodeLease } from '../../src/progress/lease-record.js';
import { decodeCommit, decodeGenesis, decodeState } from '../../src/progress/progress-record.js';

const sealed = (json: unknown) => sealedText(JSON.stringify(json));
const sealedText = (body: string) => {
  return `tidemark-progress-1 ${createHash('sha256').update(body).digest('hex')}\n${body}\n`;
};

const commit = { number: 1, client: 'a', attempt: 1, writes: [['key', 'AQ==']], next: null };
const state = { number: 1, entries: [['key', 'AQ==']], lastCommits: [['a', 1]] };

describe('a record of the store', () => {
  it('is read when it is what was written', () => {
    expect(decodeCommit(sealed(commit), 'f')).toMatchObject({ number: 1, client: 'a', next: undefined });
    expect(decodeState(sealed(state), 'f')).toMatchObject({ number: 1 });
    const lease = encodeLease({ id: 'ab'.repeat(16), ttl: 5, endsAt: 7, value: Uint8Array.of(1) });
    const writes = [['lease/a', Buffer.from(lease).toString('base64')]];
    expect(decodeCommit(sealed({ ...commit, writes }), 'f').writes.get('lease/a')).toEqual(lease);
    expect(decodeGenesis(sealed({ next: '1-ab' }), 'f')).toEqual({ next: '1-ab' });
  });

  it.each([
    ['a commit without a number', () => decodeCommit(sealed({ ...commit, number: '1' }), 'f')],
    ['a commit without a client', () => decodeCommit(sealed({ ...commit, client: 1 }), 'f')],
    ['a commit without an attempt', () => decodeCommit(sealed({ ...commit, attempt: null }), 'f')],
    ['a commit with a folder that is no name', () => decodeCommit(sealed({ ...commit, next: 5 }), 'f')],
    ['a commit with a folder elsewhere', () => decodeCommit(sealed({ ...commit, next: '1-ab/../../x' }), 'f')],
    ['a commit with half a number', () => decodeCommit(sealed({ ...commit, number: 0.5 }), 'f')],
    ['a commit without writes', () => decodeCommit(sealed({ ...commit, writes: {} }), 'f')],
    ['a write that is no pair', () => decodeCommit(sealed({ ...commit, writes: ['key'] }), 'f')],
    ['a write without a key', () => decodeCommit(sealed({ ...commit, writes: [[1, null]] }), 'f')],
    ['a write of a number', () => decodeCommit(sealed({ ...commit, writes: [['key', 1]] }), 'f')],
    [
      'a lease that is too short to be one',
      () => decodeCommit(sealed({ ...commit, writes: [['lease/a', 'AQ==']] }), 'f'),
    ],
    ['a state without a number', () => decodeState(sealed({ ...state, number: null }), 'f')],
    ['a state without commits', () => decodeState(sealed({ ...state, lastCommits: 1 }), 'f')],
    ['a last commit without a client', () => decodeState(sealed({ ...state, lastCommits: [[1, 1]] }), 'f')],
    ['a last commit without an attempt', () => decodeState(sealed({ ...state, lastCommits: [['a', 'b']] }), 'f')],
    ['a genesis without a folder', () => decodeGenesis(sealed({}), 'f')],
    ['no object', () => decodeGenesis(sealed('text'), 'f')],
    ['no JSON', () => decodeGenesis(sealedText('{'), 'f')],
    ['nothing', () => decodeGenesis(sealed(null), 'f')],
    ['an empty file', () => decodeGenesis('', 'f')],
    ['a file without its last line end', () => decodeGenesis(sealed({ next: 'log-0' }).slice(0, -1), 'f')],
  ])('is STORE_CORRUPT, with its file, when it is %s', (_, decode) => {
    expect(decode).toThrow(expect.objectContaining({ code: 'STORE_CORRUPT', file: 'f', retryable: false }));
  });
});
