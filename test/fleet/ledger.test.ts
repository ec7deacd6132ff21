import { describe, expect, it } from 'vitest';
import { Ledger, type Change, type Member } from './ledger.js';

const A = { host: 'a', leaseId: 'a1' };
const B = { host: 'b', leaseId: 'b1' };

const lease = (member: Member, lives = true): Change => ({
  key: `lease/fleet/${member.host}`,
  value: lives ? JSON.stringify(member) : undefined,
});
const assigned = (tag: number, member: object | undefined): Change => ({
  key: `fleet/assigned/1/${tag}`,
  value: member && JSON.stringify(member),
});
const claimed = (tag: number, runId: string): Change => ({
  key: `owner/1/${tag}`,
  value: JSON.stringify({ runId }),
});
const saved = (tag: number, savedVersion: string): Change => ({
  key: `progress/1/${tag}`,
  value: JSON.stringify({ savedVersion, totalTags: 2, jobs: [] }),
});
const noop = (tag: number, version: string): Change => ({
  key: `noop/1/${tag}`,
  value: JSON.stringify({ version }),
});

const popped = (tag: number, value: string): Change => ({ key: `source/etcd/popped/${tag}`, value });

function ledgerOf(...revisions: Change[][]): Ledger {
  const ledger = new Ledger();
  revisions.forEach((changes, index) => ledger.take({ revision: index + 2, at: index, changes }));
  return ledger;
}

/** Two hosts live; the first has a worker for tag 0, which has saved up to version 10. */
const BEGINNING = [[lease(A)], [lease(B)], [assigned(0, A)], [claimed(0, 'r1')], [saved(0, '10')]];

describe('the ledger', () => {
  it('finds nothing wrong with a hand-over in good order', () => {
    const ledger = ledgerOf(
      ...BEGINNING,
      [lease(A, false)],
      [assigned(0, B)],
      [claimed(0, 'r2')],
      [saved(0, '12')],
      [popped(0, '12')],
      [assigned(0, undefined)],
      [lease({ ...A, leaseId: 'a2' })],
      [assigned(0, { ...A, leaseId: 'a2' })],
      [claimed(0, 'r3')],
      [noop(0, '13')],
    );
    expect(ledger.problems).toEqual([]);
    expect(ledger.workerOf(0)).toBe('a');
    expect(ledger.claims.map(({ runId, host }) => `${runId} of ${host}`)).toEqual(['r1 of a', 'r2 of b', 'r3 of a']);
    expect(ledger.leaseEnds).toMatchObject([{ host: 'a', tags: [0] }]);
    expect(ledger.savedVersion(0)).toBe(12n);
  });

  it.each<[string, Change[][], RegExp]>([
    ['a save after the end of the lease', [[lease(A, false)], [saved(0, '11')]], /whose lease has ended/],
    ['a noop after the end of the lease', [[lease(A, false)], [noop(0, '11')]], /whose lease has ended/],
    ['a claim after the end of the lease', [[lease(A, false)], [claimed(0, 'r2')]], /was claimed by run r2/],
    ['a save under the lease before', [[lease({ ...A, leaseId: 'a2' })], [saved(0, '11')]], /had another|has ended/],
    ['a save of a tag that is given back', [[assigned(0, undefined)], [saved(0, '11')]], /assigned to nobody/],
    ['a tag taken from a host that lives', [[assigned(0, B)]], /from host a, which lives/],
    ['a tag taken without a lease', [[lease(A, false)], [lease(B, false)], [assigned(0, B)]], /has no such lease/],
    ['a save before the claim', [[assigned(0, undefined)], [assigned(0, B)], [saved(0, '11')]], /had claimed it/],
    ['a saved version that goes back', [[saved(0, '9')]], /and 10 was before/],
    ['a pop of what is not saved', [[popped(0, '11')]], /11 of tag 0 was popped, and 10 is recorded/],
    ['a pop of a tag that has saved nothing', [[popped(1, '3')]], /3 of tag 1 was popped/],
    ['an owner that is deleted', [[{ key: 'owner/1/0', value: undefined }]], /was deleted/],
  ])('finds %s', (_what, revisions, problem) => {
    expect(ledgerOf(...BEGINNING, ...revisions).problems.join('\n')).toMatch(problem);
  });

  it('decides by what was there before a transaction', () => {
    expect(ledgerOf(...BEGINNING, [lease(A, false), saved(0, '11')]).problems).toEqual([]);
  });

  it('notices that it has missed a revision', () => {
    const ledger = ledgerOf(...BEGINNING);
    ledger.take({ revision: ledger.revision + 2, at: 0, changes: [] });
    expect(ledger.problems).toHaveLength(1);
  });
});
