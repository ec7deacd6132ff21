import { describe, expect, it } from 'vitest';
import { missingAfter } from './rare-paths.js';
import { addReport, countsOf, formatTime, groupOf, newTotals, progressLine, summaryLines } from './totals.js';

const facts = { done: 100, total: 300, failed: 0, missing: 4, elapsedMs: 10_000, durationMs: undefined };

describe('progressLine', () => {
  it('says how fast it goes and how long it takes', () => {
    expect(progressLine(facts)).toBe('100 of 300 seeds, 10.0/s, 0:20 left, 0 failed, 4 paths not met yet');
  });

  it('says of a soak when its time is over', () => {
    const soak = { ...facts, total: Number.POSITIVE_INFINITY, durationMs: 3_700_000 };
    expect(progressLine(soak)).toBe('100 seeds, 10.0/s, 1:01:30 left, 0 failed, 4 paths not met yet');
  });

  it('guesses nothing before the first seed', () => {
    expect(progressLine({ ...facts, done: 0, elapsedMs: 0 })).toBe(
      '0 of 300 seeds, 0.0/s, 0 failed, 4 paths not met yet',
    );
  });
});

describe('formatTime', () => {
  it.each([
    [0, '0:00'],
    [59_499, '0:59'],
    [60_000, '1:00'],
    [3_599_999, '1:00:00'],
    [7_265_000, '2:01:05'],
  ])('writes %d ms as %s', (ms, text) => expect(formatTime(ms)).toBe(text));
});

describe('the summary', () => {
  it('adds up and groups what was met', () => {
    const totals = newTotals();
    const report = { violation: undefined, events: 10, virtualMs: 5 };
    addReport(totals, { ...report, seed: 1, hits: { 'fault: hang': 2, 'P04 round saved': 5, 'log: pop': 1 } });
    addReport(totals, { ...report, seed: 2, hits: { 'fault: hang': 3, 'oracle: restored': 7, 'S2 lease lost': 1 } });
    const violation = { check: 'liveness', message: 'no', at: 1 };
    addReport(totals, { ...report, seed: 3, hits: {}, violation });
    expect(totals).toMatchObject({ done: 3, events: 30, failed: [{ seed: 3 }] });
    expect(countsOf(totals)).toMatchObject({ 'fault: hang': 5, 'log: pop': 1 });
    const lines = summaryLines(totals).map((line) => line.trim().replaceAll(/ +/g, ' '));
    expect(lines).toEqual([
      '',
      'Faults:',
      'fault: hang 5 in 2 seeds',
      '',
      'Rules of docs/protocol.md:',
      'P04 round saved 5 in 1 seeds',
      'S2 lease lost 1 in 1 seeds',
      '',
      'What happened:',
      'log: pop 1 in 1 seeds',
      '',
      'What the oracle looked at:',
      'oracle: restored 7 in 1 seeds',
    ]);
  });

  it.each([
    ['P04 round saved', 'rules'],
    ['S7 taken over', 'rules'],
    ['Pods', 'paths'],
    ['fault: hang', 'faults'],
    ['oracle: restored', 'oracle'],
  ])('puts "%s" with the %s', (name, group) => expect(groupOf(name)).toBe(group));
});

describe('missingAfter', () => {
  it('asks nothing of a short run, and all of a long one', () => {
    expect(missingAfter(499, ['log: pop'])).toEqual([]);
    expect(missingAfter(500, ['log: pop'])).toEqual(['log: pop']);
  });
});
