import { beforeEach, describe, expect, it } from 'vitest';
import { utf8 } from '../../src/core/bytes.js';
import type { Version } from '../../src/core/version.js';
import { KeptLedger } from '../../src/testing/simulation/check-kept.js';
import { SimHits } from '../../src/testing/simulation/hits.js';
import { SimTrace } from '../../src/testing/simulation/trace.js';
import { SimVerdict } from '../../src/testing/simulation/verdict.js';

const JOB = { uid: 'a', url: 'sim://a', state: 'Running' } as const;

/** What a job with one gapless log, and snapshots that took one version each, is described as. */
function described(log: [Version, Version], ...snapshots: Version[]) {
  const [begin, end] = log;
  const listed = snapshots.map((version) => ({
    name: `at ${version}`,
    beginVersion: version,
    endVersion: version,
    restorable: true,
  }));
  const [first] = snapshots;
  return {
    complete: [{ begin, end }],
    snapshots: listed,
    windows: first === undefined ? [] : [{ min: first, max: end - 1n, snapshot: `at ${first}` }],
    notRestorable: undefined,
  };
}

let files: Map<string, Uint8Array>;
let verdict: SimVerdict;
let ledger: KeptLedger;

function expire(mark: Version): void {
  files.set('properties/unreliable_end_version', utf8(String(mark)));
}

beforeEach(() => {
  files = new Map();
  verdict = new SimVerdict(new SimTrace(false, () => 0), () => 0);
  ledger = new KeptLedger({ containers: { files: () => files }, verdict, hits: new SimHits() });
});

describe('what was restorable', () => {
  it('may become more', () => {
    ledger.check(JOB, described([1n, 50n], 10n));
    ledger.check(JOB, described([1n, 60n], 10n, 30n));
    ledger.check(JOB, described([1n, 60n], 10n, 30n));
    expect(verdict.violation).toBeUndefined();
  });

  it('must not shrink at its end', () => {
    ledger.check(JOB, described([1n, 50n], 10n));
    ledger.check(JOB, described([1n, 49n], 10n));
    expect(verdict.violation).toMatchObject({ check: 'what was restorable stays so unless it is expired' });
    expect(verdict.violation?.message).toContain('10 to 49 (at 10); now 10 to 48');
  });

  it('must not lose its snapshot without an expiry', () => {
    ledger.check(JOB, described([1n, 50n], 10n, 30n));
    ledger.check(JOB, described([1n, 50n], 30n));
    expect(verdict.violation?.message).toContain('10 to 49');
  });

  it('may lose what an expiry has passed, and nothing else', () => {
    ledger.check(JOB, described([1n, 50n], 10n, 30n));
    expire(20n);
    ledger.check(JOB, described([20n, 50n], 30n));
    expect(verdict.violation).toBeUndefined();
    ledger.check(JOB, described([40n, 50n], 40n));
    expect(verdict.violation?.message).toContain('30 to 49');
  });

  it('is looked at job by job', () => {
    ledger.check(JOB, described([1n, 50n], 10n));
    ledger.check({ ...JOB, url: 'sim://b' }, described([1n, 5n], 2n));
    expect(verdict.violation).toBeUndefined();
  });
});

describe('an expiry', () => {
  it('leaves something at or above its mark', () => {
    expire(20n);
    ledger.check(JOB, described([20n, 50n]));
    expect(verdict.violation).toMatchObject({ check: 'an expiry leaves something to restore' });
  });

  it('may leave nothing when it is forced', () => {
    ledger.expiryBegins(JOB, true, undefined);
    expire(20n);
    ledger.check(JOB, described([20n, 50n]));
    expect(verdict.violation).toBeUndefined();
  });

  it('keeps what was restorable from `restorableAfter` on, until the next one begins', () => {
    const windows = [{ min: 10n, max: 49n }];
    ledger.expiryBegins(JOB, false, { from: 35n, windows });
    expire(20n);
    ledger.check(JOB, described([20n, 50n], 30n));
    expect(verdict.violation).toBeUndefined();
    ledger.expiryBegins(JOB, false, undefined);
    expire(36n);
    ledger.check(JOB, described([36n, 50n], 40n));
    expect(verdict.violation).toBeUndefined();
  });

  it('is found out when it does not', () => {
    ledger.expiryBegins(JOB, false, { from: 35n, windows: [{ min: 10n, max: 49n }] });
    expire(20n);
    ledger.check(JOB, described([20n, 50n], 40n));
    expect(verdict.violation).toMatchObject({ check: 'an expiry keeps its promise' });
  });
});
