import { describe, expect, it } from 'vitest';
import type { RestoreSetOptions } from '../../src/restore/restore-set.js';
import { remainingSet, restoreSet } from '../../src/restore/restore-set.js';
import { newContainer, putEmptyLogs, putMarker } from './container-builder.js';
import { SeededRandom, randomHistory, writeHistory } from './log-model.js';

async function plan(
  layout: Parameters<typeof putEmptyLogs>[1],
  options: RestoreSetOptions,
  marker: Parameters<typeof putMarker>[1] = {},
) {
  const container = await newContainer();
  await putMarker(container, marker);
  await putEmptyLogs(container, layout);
  const set = await restoreSet({ container, ...options });
  return set.tags.map(({ tag, pieces }) => [
    tag,
    ...pieces.map(({ file, begin, end }) => `${file.begin}-${file.end}: ${begin}-${end}`),
  ]);
}

const from = (version: bigint) => ({ version, baseline: 'empty' as const });
const notRestorable = (reason: RegExp, facts = {}) =>
  expect.objectContaining({
    code: 'NOT_RESTORABLE',
    message: expect.stringMatching(reason) as string,
    ...facts,
  }) as Error;

describe('restoreSet', () => {
  it('takes each file up to the wanted version, inclusive', async () => {
    expect(
      await plan(
        {
          '0/2': [
            [1, 10],
            [10, 20],
            [20, 30],
          ],
          '1/2': [
            [1, 15],
            [15, 30],
          ],
        },
        from(15n),
      ),
    ).toEqual([
      [0, '1-10: 1-10', '10-20: 10-16'],
      [1, '1-15: 1-15', '15-30: 15-16'],
    ]);
  });

  it('P13: takes each version from one file only', async () => {
    expect(
      await plan(
        {
          '0/1': [
            [1, 10],
            [5, 20],
            [5, 12],
            [6, 11],
            [18, 25],
          ],
        },
        from(24n),
      ),
    ).toEqual([[0, '1-10: 1-10', '5-20: 10-20', '18-25: 20-25']]);
  });

  it('P13: takes the file that reaches furthest', async () => {
    expect(
      await plan(
        {
          '0/1': [
            [1, 10],
            [2, 12],
            [3, 30],
          ],
        },
        { ...from(20n), firstVersion: 1n },
      ),
    ).toEqual([[0, '1-10: 1-10', '3-30: 10-21']]);
  });

  it('P13: covers every version of every tag exactly once, whatever the files', async () => {
    for (let seed = 1; seed <= 60; seed++) {
      const random = new SeededRandom(seed);
      const epochs = [
        { begin: 1n, end: 40n, totalTags: 2 },
        { begin: 40n, end: 80n, totalTags: 3 },
      ];
      const container = await newContainer();
      await putMarker(container);
      await writeHistory(container, random, epochs, randomHistory(random, epochs, 5));
      const version = 1n + BigInt(random.below(79));
      const { tags } = await restoreSet({ container, ...from(version) });
      for (const [tag, begin] of [
        [0, 1n],
        [1, 1n],
        [2, 40n],
      ] as const) {
        let at: bigint = begin;
        for (const piece of tags.find((pieces) => pieces.tag === tag)?.pieces ?? []) {
          expect(piece.begin, `seed ${seed}`).toBe(at);
          expect(piece.file.begin <= piece.begin && piece.end <= piece.file.end).toBe(true);
          at = piece.end;
        }
        expect(at, `seed ${seed}, tag ${tag}`).toBe(version < begin ? begin : version + 1n);
      }
    }
  });

  it('follows the number of tags from epoch to epoch', async () => {
    expect(await plan({ '0/1': [[1, 10]], '0/2': [[10, 20]], '1/2': [[10, 20]] }, from(19n))).toEqual([
      [0, '1-10: 1-10', '10-20: 10-20'],
      [1, '10-20: 10-20'],
    ]);
  });

  it('begins where every tag has begun', async () => {
    expect(await plan({ '0/2': [[1, 20]], '1/2': [[5, 20]] }, from(10n), { firstVersion: 7n })).toEqual([
      [0, '1-20: 5-11'],
      [1, '5-20: 5-11'],
    ]);
  });

  it('can be continued from a version', async () => {
    const container = await newContainer();
    await putMarker(container);
    await putEmptyLogs(container, {
      '0/1': [
        [1, 10],
        [10, 20],
      ],
    });
    const set = await restoreSet({ container, ...from(15n) });
    expect(remainingSet(set, 12n).tags[0]?.pieces).toMatchObject([{ begin: 12n, end: 16n }]);
  });

  it.each<[string, Parameters<typeof putEmptyLogs>[1], bigint, RegExp, object]>([
    ['beyond the end', { '0/1': [[1, 10]] }, 10n, /the log ends at 10/, {}],
    ['before the begin', { '0/1': [[1, 10]] }, 0n, /the log begins at 1/, {}],
    ['without any log', {}, 5n, /there is no log file/, {}],
    [
      'in a gap',
      {
        '0/1': [
          [1, 10],
          [20, 30],
        ],
      },
      15n,
      /tag 0 of 1 has no file for \[10, 20\)/,
      { tag: { locality: -2, id: 0 }, versions: { begin: 10n, end: 20n } },
    ],
    [
      'after a gap',
      {
        '0/2': [[1, 30]],
        '1/2': [
          [1, 10],
          [20, 30],
        ],
      },
      25n,
      /tag 1 of 2 has no file for \[10, 20\)/,
      { tag: { locality: -2, id: 1 } },
    ],
    [
      'after a missing begin',
      { '0/2': [[1, 30]], '1/2': [[3, 30]] },
      25n,
      /tag 1 of 2 begins later.*\[1, 3\)/,
      { versions: { begin: 1n, end: 3n } },
    ],
    ['when all tags begin too late', { '0/1': [[4, 30]] }, 25n, /first version is 1.*from 4 on only/, {}],
    ['of a tag that lags behind', { '0/2': [[1, 30]], '1/2': [[1, 20]] }, 25n, /tag 1 of 2 has not come as far/, {}],
    ['with a tag missing', { '0/2': [[1, 30]] }, 25n, /tag 1 of 2 has no file at all/, {}],
  ])('refuses a version %s, and says why', async (_, layout, version, reason, facts) => {
    await expect(plan(layout, from(version))).rejects.toThrow(notRestorable(reason, { version, ...facts }));
  });

  it('names what can be restored instead', async () => {
    await expect(plan({ '0/1': [[1, 10]] }, from(10n))).rejects.toThrow(/Restorable: 1 to 9/);
  });

  it('allows a first version of the caller’s own', async () => {
    await expect(plan({ '0/1': [[4, 30]] }, { ...from(25n), firstVersion: 4n })).resolves.toEqual([[0, '4-30: 4-26']]);
    await expect(plan({ '0/1': [[1, 30]] }, { ...from(25n), firstVersion: 0n })).rejects.toThrow(
      notRestorable(/first version is 0/),
    );
  });

  it('refuses what does not begin with an empty database', async () => {
    const container = await newContainer();
    await putEmptyLogs(container, { '0/1': [[1, 10]] });
    await expect(restoreSet({ container, ...from(5n) })).rejects.toThrow(
      notRestorable(/nothing in the container says/),
    );
    await putMarker(container, { logOnly: false });
    await expect(restoreSet({ container, ...from(5n) })).rejects.toThrow(notRestorable(/not log-only/));
  });

  it.each([-1n, 1n << 63n])('refuses %s, which is no version', async (version) => {
    await expect(restoreSet({ container: await newContainer(), ...from(version) })).rejects.toMatchObject({
      code: 'INVALID_OPTION',
    });
  });
});
