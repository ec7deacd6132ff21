// A worker finishes the checksums of a log file before the file. Who looks in between sees checksums without a file.

import { describe, expect, it } from 'vitest';
import { systemClock } from '../../src/core/clock.js';
import { FileSumsBuilder, encodeFileSums, sumsFileName } from '../../src/format/fdb/file-sums.js';
import { verifyBackup } from '../../src/restore/verify.js';
import { newContainer, put, putLog, putMarker } from '../restore/container-builder.js';
import { set } from '../format/encode-log-file.js';

/** Tag 0 has files up to 30, tag 1 up to 20; behind them, or wherever `begin` says, tag 1 has checksums only. `arrive` makes the file. */
async function backup(begin = 20n) {
  const container = await newContainer();
  await putMarker(container);
  for (const [tag, ends] of [
    [0, [10n, 20n, 30n]],
    [1, [10n, 20n]],
  ] as const)
    for (const end of ends) await putLog(container, { begin: end === 10n ? 1n : end - 10n, end, tag, totalTags: 2 });
  const place = { begin, end: begin + 10n, tag: 1, totalTags: 2 };
  const name = await putLog(container, place, [{ version: begin, subsequence: 1, mutation: set('a', '1') }]);
  const bytes = await container.readFile(name, 0, 1000);
  const sums = new FileSumsBuilder(1 << 20);
  sums.update(bytes);
  await put(container, sumsFileName(name), encodeFileSums(sums.build()));
  await container.deleteFile(name);
  return { container, name, arrive: () => put(container, name, bytes) };
}

/** Does not wait, but counts what it should have; `at` is called before the end of the wait of that number. */
function countingClock(at: (wait: number) => Promise<void> = () => Promise.resolve()) {
  const waits: number[] = [];
  const sleep = (ms: number) => at(waits.push(ms));
  return { waits, clock: { ...systemClock, sleep } };
}

describe('a log file of which only the checksums are there', () => {
  it.each([1, 3])(
    'is waited for when it is the last of its tag, and no problem once it comes (look %i)',
    async (look) => {
      const { container, arrive } = await backup();
      const { waits, clock } = countingClock((wait) => (wait === look ? arrive() : Promise.resolve()));
      expect(await verifyBackup(container, { clock })).toMatchObject({ ok: true, problems: [], leftovers: [] });
      expect(waits).toHaveLength(look);
    },
  );

  it('is missing when it does not come for some seconds', async () => {
    const { container, name } = await backup();
    const { waits, clock } = countingClock();
    const report = await verifyBackup(container, { clock });
    expect(report).toMatchObject({ ok: false, problems: [{ kind: 'missing-file', file: name }] });
    expect(waits.reduce((a, b) => a + b)).toBeGreaterThan(5000);
    expect(waits.reduce((a, b) => a + b)).toBeLessThan(10_000);
  });

  it('is not waited for where others are behind it, nor below an expiry’s mark', async () => {
    const { container } = await backup(5n);
    const { waits, clock } = countingClock();
    expect((await verifyBackup(container, { clock })).ok).toBe(true);
    for await (const { name } of container.listFiles('plogs/'))
      if (name.includes('log,1,10') && name.includes('1-of-2')) await container.deleteFile(name);
    const { problems } = await verifyBackup(container, { clock });
    expect(problems.map(({ kind }) => kind)).toEqual(['missing-file']);
    const expired = await backup();
    await put(expired.container, 'properties/unreliable_end_version', '30');
    expect((await verifyBackup(expired.container, { clock })).problems).toEqual([]);
    expect(waits).toEqual([]);
  });

  it('ends with the signal, also while it is waited for', async () => {
    const { container } = await backup();
    const controller = new AbortController();
    const clock = {
      ...systemClock,
      sleep: (ms: number, signal?: AbortSignal) => {
        controller.abort(new Error('enough'));
        return systemClock.sleep(ms, signal);
      },
    };
    await expect(verifyBackup(container, { clock, signal: controller.signal })).rejects.toThrow('enough');
  });
});
