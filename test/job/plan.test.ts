// The recovery plan as a table of cases: rules P23 and P24, the recruiter's half of P11, and `oldestBackupEpoch` for P5.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { RecoveryPlan, RecoveryPlanInput } from '../../src/job/plan.js';
import { oldestBackupEpoch, planRecovery } from '../../src/job/plan.js';
import type { LogEpochInfo } from '../../src/ports/log-source.js';

/** Epoch `epoch` of [begin, end). */
function epochOf(epoch: number, begin: bigint, end: bigint | undefined, totalTags = 1): LogEpochInfo {
  return { epoch, begin, end, totalTags };
}

const ALL = { uid: 'all', startVersion: 0n };

function plan(epochs: readonly LogEpochInfo[], input: Partial<RecoveryPlanInput> = {}): RecoveryPlan {
  return planRecovery({ epochs, jobs: [ALL], progress: [], noop: [], done: [], ...input });
}

/** "epoch.tag/totalTags:[start, end]" of each worker; the current epoch's ends in "…". */
function workersOf({ workers }: RecoveryPlan): string[] {
  return workers.map(
    ({ backupEpoch, tag, totalTags, startVersion, endVersion }) =>
      `${backupEpoch}.${tag}/${totalTags}:[${startVersion}, ${endVersion === undefined ? '…' : `${endVersion}]`}`,
  );
}

/** "epoch.tag" of each place that the recruiter records as done. */
function doneOf({ done }: RecoveryPlan): string[] {
  return done.map(({ epoch, tag }) => `${epoch}.${tag}`);
}

const TWO_EPOCHS = [epochOf(1, 1n, 11n), epochOf(2, 11n, undefined)];

interface Case {
  readonly title: string;
  readonly epochs: readonly LogEpochInfo[];
  readonly input?: Partial<RecoveryPlanInput>;
  readonly workers: readonly string[];
  readonly done: readonly string[];
}

describe('P23 the recovery plan', () => {
  const cases: Case[] = [
    {
      title: 'a first epoch: a worker for every tag, from the epoch’s begin, without an end',
      epochs: [epochOf(1, 1n, undefined, 3)],
      workers: ['1.0/3:[1, …', '1.1/3:[1, …', '1.2/3:[1, …'],
      done: [],
    },
    {
      title: 'no active job: nothing for the old epoch, and the recruiter says that it is done',
      epochs: TWO_EPOCHS,
      input: { jobs: [] },
      workers: ['2.0/1:[11, …'],
      done: ['1.0'],
    },
    {
      title: 'every job starts after the epoch: nothing for it',
      epochs: TWO_EPOCHS,
      input: {
        jobs: [
          { uid: 'late', startVersion: 11n },
          { uid: 'later', startVersion: 500n },
        ],
      },
      workers: ['2.0/1:[11, …'],
      done: ['1.0'],
    },
    {
      title: 'one job that starts at the last version of the epoch is enough for a worker',
      epochs: TWO_EPOCHS,
      input: {
        jobs: [
          { uid: 'late', startVersion: 11n },
          { uid: 'just', startVersion: 10n },
        ],
      },
      workers: ['1.0/1:[1, 10]', '2.0/1:[11, …'],
      done: [],
    },
    {
      title: 'a tag without any record starts at the epoch’s begin',
      epochs: [epochOf(4, 100n, 200n, 2), epochOf(5, 200n, undefined, 2)],
      input: { progress: [{ epoch: 4, tag: 1, totalTags: 2, savedVersion: 150n }] },
      workers: ['4.0/2:[100, 199]', '4.1/2:[151, 199]', '5.0/2:[200, …', '5.1/2:[200, …'],
      done: [],
    },
    {
      title: 'the saved version of the epoch and tag is inclusive: begin is the version after it',
      epochs: TWO_EPOCHS,
      input: { progress: [{ epoch: 1, tag: 0, totalTags: 1, savedVersion: 6n }] },
      workers: ['1.0/1:[7, 10]', '2.0/1:[11, …'],
      done: [],
    },
    {
      title: 'one version left is a worker for one version',
      epochs: TWO_EPOCHS,
      input: { progress: [{ epoch: 1, tag: 0, totalTags: 1, savedVersion: 9n }] },
      workers: ['1.0/1:[10, 10]', '2.0/1:[11, …'],
      done: [],
    },
    {
      title: 'nothing left: no worker, done',
      epochs: TWO_EPOCHS,
      input: { progress: [{ epoch: 1, tag: 0, totalTags: 1, savedVersion: 10n }] },
      workers: ['2.0/1:[11, …'],
      done: ['1.0'],
    },
    {
      title: 'the largest of all records of the epoch and tag counts, in whatever order they come',
      epochs: TWO_EPOCHS,
      input: {
        progress: [
          { epoch: 1, tag: 0, totalTags: 1, savedVersion: 8n },
          { epoch: 1, tag: 0, totalTags: 1, savedVersion: 3n },
        ],
      },
      workers: ['1.0/1:[9, 10]', '2.0/1:[11, …'],
      done: [],
    },
    {
      title: 'records of an earlier epoch count where the epoch has none, with the same totalTags',
      epochs: [epochOf(2, 1n, 21n, 2), epochOf(3, 21n, undefined, 2)],
      // Of epoch 1, whose worker was told of its end late: it had saved to 12.
      input: { progress: [{ epoch: 1, tag: 0, totalTags: 2, savedVersion: 12n }] },
      workers: ['2.0/2:[13, 20]', '2.1/2:[1, 20]', '3.0/2:[21, …', '3.1/2:[21, …'],
      done: [],
    },
    {
      title: 'records of an earlier epoch count where the epoch’s own say less',
      epochs: [epochOf(2, 1n, 21n), epochOf(3, 21n, undefined)],
      input: {
        progress: [
          { epoch: 1, tag: 0, totalTags: 1, savedVersion: 12n },
          { epoch: 2, tag: 0, totalTags: 1, savedVersion: 5n },
        ],
      },
      workers: ['2.0/1:[13, 20]', '3.0/1:[21, …'],
      done: [],
    },
    {
      title: 'records of an earlier epoch with another number of tags are of another partition: they do not count',
      epochs: [epochOf(2, 1n, 21n, 2), epochOf(3, 21n, undefined, 1)],
      input: { progress: [{ epoch: 1, tag: 0, totalTags: 3, savedVersion: 12n }] },
      workers: ['2.0/2:[1, 20]', '2.1/2:[1, 20]', '3.0/1:[21, …'],
      done: [],
    },
    {
      title: 'records of a later epoch do not count for an earlier one',
      epochs: TWO_EPOCHS,
      input: { progress: [{ epoch: 2, tag: 0, totalTags: 1, savedVersion: 30n }] },
      workers: ['1.0/1:[1, 10]', '2.0/1:[31, …'],
      done: [],
    },
    {
      title: 'a record that was saved when nothing was (version -1) takes nothing away',
      epochs: [epochOf(1, 0n, 11n), epochOf(2, 11n, undefined)],
      input: { progress: [{ epoch: 1, tag: 0, totalTags: 1, savedVersion: -1n }] },
      workers: ['1.0/1:[0, 10]', '2.0/1:[11, …'],
      done: [],
    },
    {
      title: 'what NOOP of that epoch and tag covers is skipped',
      epochs: [epochOf(1, 1n, 11n, 2), epochOf(2, 11n, undefined, 2)],
      input: {
        noop: [{ epoch: 1, tag: 1, noopVersion: 4n }],
        progress: [{ epoch: 1, tag: 0, totalTags: 2, savedVersion: 2n }],
      },
      workers: ['1.0/2:[3, 10]', '1.1/2:[5, 10]', '2.0/2:[11, …', '2.1/2:[11, …'],
      done: [],
    },
    {
      title: 'the larger of progress and NOOP counts',
      epochs: TWO_EPOCHS,
      input: {
        noop: [{ epoch: 1, tag: 0, noopVersion: 4n }],
        progress: [{ epoch: 1, tag: 0, totalTags: 1, savedVersion: 7n }],
      },
      workers: ['1.0/1:[8, 10]', '2.0/1:[11, …'],
      done: [],
    },
    {
      title: 'NOOP to the end of the epoch: no worker, done',
      epochs: TWO_EPOCHS,
      input: { noop: [{ epoch: 1, tag: 0, noopVersion: 10n }] },
      workers: ['2.0/1:[11, …'],
      done: ['1.0'],
    },
    {
      title: 'NOOP of an earlier epoch covers nothing of a later one',
      epochs: [epochOf(2, 1n, 11n), epochOf(3, 11n, undefined)],
      input: { noop: [{ epoch: 1, tag: 0, noopVersion: 6n }] },
      workers: ['2.0/1:[1, 10]', '3.0/1:[11, …'],
      done: [],
    },
    {
      title: 'a tag that is recorded as done needs no worker, whatever else is recorded, and is not recorded again',
      epochs: [epochOf(1, 1n, 11n, 2), epochOf(2, 11n, undefined, 2)],
      input: { done: [{ epoch: 1, tag: 0 }] },
      workers: ['1.1/2:[1, 10]', '2.0/2:[11, …', '2.1/2:[11, …'],
      done: [],
    },
    {
      title: 'an empty epoch (a recovery right after a recovery) needs no worker',
      epochs: [epochOf(1, 1n, 11n), epochOf(2, 11n, 11n), epochOf(3, 11n, undefined)],
      workers: ['1.0/1:[1, 10]', '3.0/1:[11, …'],
      done: ['2.0'],
    },
    {
      title: 'three old epochs with different numbers of tags: each drained for itself, oldest first',
      epochs: [epochOf(1, 1n, 11n, 2), epochOf(2, 11n, 21n, 1), epochOf(4, 21n, 31n, 3), epochOf(7, 31n, undefined, 2)],
      input: {
        progress: [
          { epoch: 1, tag: 0, totalTags: 2, savedVersion: 10n },
          { epoch: 1, tag: 1, totalTags: 2, savedVersion: 3n },
          { epoch: 4, tag: 2, totalTags: 3, savedVersion: 25n },
        ],
        done: [{ epoch: 2, tag: 0 }],
      },
      workers: ['1.1/2:[4, 10]', '4.0/3:[21, 30]', '4.1/3:[21, 30]', '4.2/3:[26, 30]', '7.0/2:[31, …', '7.1/2:[31, …'],
      done: ['1.0'],
    },
  ];

  for (const { title, epochs, input, workers, done } of cases) {
    it(title, () => {
      const result = plan(epochs, input);
      expect(workersOf(result)).toEqual(workers);
      expect(doneOf(result)).toEqual(done);
    });
  }

  it('recruits everything in the current epoch', () => {
    const epochs = [epochOf(3, 1n, 11n), epochOf(8, 11n, 21n), epochOf(9, 21n, undefined)];
    expect(plan(epochs).workers.map(({ recruitedEpoch }) => recruitedEpoch)).toEqual([9, 9, 9]);
  });

  it('leaves endVersion out for the current epoch', () => {
    expect(plan(TWO_EPOCHS).workers.map((worker) => 'endVersion' in worker)).toEqual([true, false]);
  });
});

describe('P24 a dead worker is replaced by running the plan again', () => {
  it('the current epoch goes on after what the dead one has saved', () => {
    const progress = [
      { epoch: 1, tag: 0, totalTags: 1, savedVersion: 10n },
      { epoch: 2, tag: 0, totalTags: 1, savedVersion: 17n },
    ];
    expect(workersOf(plan(TWO_EPOCHS, { progress }))).toEqual(['2.0/1:[18, …']);
  });

  it('the current epoch goes on after what the dead one has discarded in NOOP mode', () => {
    const noop = [{ epoch: 2, tag: 0, noopVersion: 19n }];
    const progress = [{ epoch: 2, tag: 0, totalTags: 1, savedVersion: 17n }];
    expect(workersOf(plan(TWO_EPOCHS, { jobs: [], noop, progress }))).toEqual(['2.0/1:[20, …']);
  });

  it('an old epoch is drained on from where the dead drainer had come', () => {
    const before = plan(TWO_EPOCHS);
    expect(workersOf(before)[0]).toBe('1.0/1:[1, 10]');
    const progress = [{ epoch: 1, tag: 0, totalTags: 1, savedVersion: 8n }];
    expect(workersOf(plan(TWO_EPOCHS, { progress }))[0]).toBe('1.0/1:[9, 10]');
  });

  it('any number of times: between recorded end and recorded end the workers cover every version once', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ length: fc.bigInt(0n, 20n), totalTags: fc.integer({ min: 1, max: 3 }) }), {
          maxLength: 4,
        }),
        fc.array(fc.tuple(fc.integer({ min: 0, max: 4 }), fc.integer({ min: 0, max: 2 }), fc.bigInt(0n, 20n)), {
          maxLength: 8,
        }),
        (lengths, saves) => {
          let begin = 1n;
          const epochs: LogEpochInfo[] = lengths.map(({ length, totalTags }, index) => {
            const epoch = epochOf(index + 1, begin, begin + length, totalTags);
            begin += length;
            return epoch;
          });
          epochs.push(epochOf(epochs.length + 1, begin, undefined, 2));
          // What each worker has saved lies within its epoch.
          const progress = saves.flatMap(([index, tag, offset]) => {
            const epoch = epochs[index];
            if (epoch === undefined || tag >= epoch.totalTags) return [];
            const last = epoch.end === undefined ? epoch.begin + 20n : epoch.end - 1n;
            const saved = epoch.begin - 1n + offset;
            const savedVersion = saved > last ? last : saved;
            return [{ epoch: epoch.epoch, tag, totalTags: epoch.totalTags, savedVersion }];
          });
          const { workers, done } = plan(epochs, { progress });
          for (const epoch of epochs) {
            for (let tag = 0; tag < epoch.totalTags; tag++) {
              const saved = progress
                .filter((record) => record.epoch === epoch.epoch && record.tag === tag)
                .reduce((most, record) => (record.savedVersion > most ? record.savedVersion : most), epoch.begin - 1n);
              const own = workers.filter((worker) => worker.backupEpoch === epoch.epoch && worker.tag === tag);
              const isDone = done.some((place) => place.epoch === epoch.epoch && place.tag === tag);
              if (epoch.end !== undefined && saved >= epoch.end - 1n) {
                expect([own, isDone]).toEqual([[], true]);
              } else {
                expect(own.map(({ startVersion }) => startVersion)).toEqual([saved + 1n]);
                expect(own[0]?.endVersion).toBe(epoch.end === undefined ? undefined : epoch.end - 1n);
                expect(isDone).toBe(false);
              }
            }
          }
        },
      ),
    );
  });
});

describe('INVALID_EPOCHS: a plan from epochs that contradict each other would leave a gap that no file claims', () => {
  it.each<[string, readonly LogEpochInfo[], RegExp]>([
    ['no epoch at all', [], /at least the current one/],
    [
      'a hole between two epochs',
      [epochOf(1, 1n, 11n), epochOf(2, 12n, undefined)],
      /begin 12 must equal the end 11 of epoch 1/,
    ],
    [
      'two epochs that overlap',
      [epochOf(1, 1n, 11n), epochOf(2, 10n, undefined)],
      /begin 10 must equal the end 11 of epoch 1/,
    ],
    [
      'an old epoch without an end',
      [epochOf(1, 1n, undefined), epochOf(2, 11n, undefined)],
      /epoch 1: an old epoch must have an end/,
    ],
    [
      'a newest epoch with an end',
      [epochOf(1, 1n, 11n), epochOf(2, 11n, 21n)],
      /epoch 2: the newest epoch must have no end/,
    ],
    [
      'an epoch that ends before it begins',
      [epochOf(1, 11n, 5n), epochOf(2, 5n, undefined)],
      /end 5 is below begin 11/,
    ],
    ['newest first', [epochOf(2, 1n, 11n), epochOf(1, 11n, undefined)], /ascending order/],
    ['the same epoch twice', [epochOf(2, 1n, 11n), epochOf(2, 11n, undefined)], /ascending order/],
    ['an epoch without tags', [epochOf(1, 1n, undefined, 0)], /totalTags must be at least 1/],
    ['a fraction of a tag', [epochOf(1, 1n, undefined, 1.5)], /totalTags must be at least 1/],
  ])('%s', (_title, epochs, message) => {
    for (const refuse of [() => plan(epochs), () => oldestBackupEpoch(epochs, [])]) {
      expect(refuse).toThrow(message);
      expect(refuse).toThrow(expect.objectContaining({ code: 'INVALID_EPOCHS' }));
    }
  });

  it('epoch numbers may have holes: recoveries that never came to anything', () => {
    expect(workersOf(plan([epochOf(1, 1n, 11n), epochOf(9, 11n, undefined)]))).toHaveLength(2);
  });
});

describe('P11 oldestBackupEpoch: which epoch may pop', () => {
  const epochs = [epochOf(1, 1n, 11n, 2), epochOf(3, 11n, 21n), epochOf(4, 21n, undefined, 2)];

  it.each<[string, readonly (readonly [number, number])[], number]>([
    ['nothing is done: the oldest epoch there is', [], 1],
    ['one tag of an epoch is not enough', [[1, 0]], 1],
    [
      'every tag of the oldest epoch is done: the next one',
      [
        [1, 1],
        [1, 0],
      ],
      3,
    ],
    [
      'a younger epoch that is done does not help while an older one is not',
      [
        [3, 0],
        [1, 0],
      ],
      1,
    ],
    [
      'all old ones are done: the newest',
      [
        [1, 0],
        [1, 1],
        [3, 0],
      ],
      4,
    ],
    [
      'the newest is it even if someone called its tags done',
      [
        [1, 0],
        [1, 1],
        [3, 0],
        [4, 0],
        [4, 1],
      ],
      4,
    ],
    [
      'epochs that are gone do not count',
      [
        [0, 0],
        [2, 0],
      ],
      1,
    ],
  ])('%s', (_title, done, expected) => {
    expect(
      oldestBackupEpoch(
        epochs,
        done.map(([epoch, tag]) => ({ epoch, tag })),
      ),
    ).toBe(expected);
  });
});
