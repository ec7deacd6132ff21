// docs/operating.md promises complete tables; here they are held to it.

import { describe, expect, it } from 'vitest';
import type { BackupWorkerOptions } from '../../src/worker/options.js';
import { resolveOptions } from '../../src/worker/options.js';
import { codeWords, interfaceMembers, readText, tableBelow, unionMembers } from './source-facts.js';

const page = readText('docs/operating.md');
const firstColumn = (heading: string) => tableBelow(page, heading).flatMap((row) => codeWords(row[0]));

/** `128 MiB`, `10,000` */
function amount(cell: string | undefined): number {
  const match = /^([\d,]+)( MiB)?$/.exec(cell ?? '');
  if (match === null) throw new Error(`not an amount: ${String(cell)}`);
  return Number((match[1] as string).replaceAll(',', '')) * (match[2] === undefined ? 1 : 1 << 20);
}

describe('docs/operating.md', () => {
  it('lists every error code, and no other', () => {
    expect(firstColumn('## Errors').sort()).toEqual(unionMembers('src/core/errors.ts', 'BackupErrorCode').sort());
  });

  it('says of every error what it means and what to do', () => {
    for (const row of tableBelow(page, '## Errors')) {
      expect(row, row[0]).toHaveLength(3);
      expect(
        row.filter((cell) => cell === ''),
        row[0],
      ).toEqual([]);
    }
  });

  it('lists every state of a worker', () => {
    expect(firstColumn('## States').sort()).toEqual(unionMembers('src/worker/events.ts', 'WorkerState').sort());
  });

  it('lists every state of a job', () => {
    const states = firstColumn('Of a job (`status(uid).state`):');
    expect(states.sort()).toEqual(unionMembers('src/job/records.ts', 'JobState').sort());
  });

  it('lists every event', () => {
    expect(firstColumn('## Events').sort()).toEqual(interfaceMembers('src/worker/events.ts', 'WorkerEvents').sort());
  });

  it('lists every metric', () => {
    expect(firstColumn('## Metrics').sort()).toEqual(interfaceMembers('src/worker/events.ts', 'WorkerMetrics').sort());
  });

  it('lists every option', () => {
    expect(firstColumn('## Options').sort()).toEqual(interfaceMembers('src/worker/options.ts', 'WorkerKnobs').sort());
  });

  it("lists every option of recruit's own", () => {
    const heading = '`recruit` takes the same ones and passes them on to its workers, and has some of its own:';
    expect(firstColumn(heading).sort()).toEqual(interfaceMembers('src/worker/recruit.ts', 'RecruitOptions').sort());
  });

  it('states the defaults that are really used', () => {
    const defaults = resolveOptions(leastOptions()) as Readonly<Record<string, unknown>>;
    for (const [name, stated] of tableBelow(page, '## Options')) {
      const option = codeWords(name)[0] as string;
      if (option === 'concurrentWrites') expect(defaults[option]).toBeUndefined();
      else expect(defaults[option], option).toBe(amount(stated));
    }
  });
});

function leastOptions(): BackupWorkerOptions {
  const refuse = () => Promise.reject(new Error('not called'));
  return {
    logSource: { peek: refuse, pop: refuse, minKnownCommittedVersion: refuse, committedVersion: refuse },
    progressStore: { transact: refuse, watch: refuse, acquireLease: refuse },
    openContainer: refuse,
    tag: { locality: -2, id: 0 },
    totalTags: 1,
    startVersion: 1n,
    recruitedEpoch: 1,
    backupEpoch: 1,
  };
}
