// What a container says of its listings reaches whoever waits for them.

import { randomBytes } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { DirectoryContainer } from '../../src/container/directory-container.js';
import { openEncryptedContainer } from '../../src/container/encrypted-container.js';
import { MemoryContainer } from '../../src/container/memory-container.js';
import { systemClock } from '../../src/core/clock.js';
import type { BackupContainer } from '../../src/ports/backup-container.js';
import { checkedContainer } from '../../src/ports/checked-container.js';
import { listingLagOf } from '../../src/ports/listing-lag.js';
import { compactLogs } from '../../src/restore/compact.js';
import { SteadyContainer } from '../../src/restore/verify-steady-container.js';
import { listOrphanRangeFiles } from '../../src/snapshot/abandoned.js';
import { takeSnapshot } from '../../src/snapshot/take-snapshot.js';
import { MemoryRangeSource } from '../../src/testing/memory-range-source.js';
import { guardedContainer } from '../../src/worker/snapshot-guard.js';
import { newContainer, put, putLog, putMarker } from '../restore/container-builder.js';
import { HastyClock } from '../snapshot/faulty.js';

class Stating extends MemoryContainer {
  override readonly listingLag: number;

  constructor(listingLag: number) {
    super();
    this.listingLag = listingLag;
  }
}

/** One that says nothing. */
function silent(): BackupContainer {
  const container = new MemoryContainer();
  return {
    url: container.url,
    create: () => container.create(),
    exists: () => container.exists(),
    writeFile: (name, options) => container.writeFile(name, options),
    readFile: (name, offset, length) => container.readFile(name, offset, length),
    listFiles: (prefix) => container.listFiles(prefix),
    deleteFile: (name) => container.deleteFile(name),
  };
}

describe('the listing lag', () => {
  it('is what the call was told, or what the container says, or 10 s', () => {
    expect(listingLagOf(new Stating(70), 30)).toBe(30);
    expect(listingLagOf(new Stating(70), 0)).toBe(0);
    expect(listingLagOf(new Stating(70))).toBe(70);
    expect(listingLagOf(silent())).toBe(10_000);
  });

  it.each([-1, Number.NaN, Infinity, '5'])('is refused where it is %s', (value) => {
    expect(() => listingLagOf(silent(), value as number)).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTION' }) as Error,
    );
    const lying = new Stating(value as number);
    expect(() => listingLagOf(lying)).toThrow(expect.objectContaining({ code: 'ADAPTER_CONTRACT' }) as Error);
    expect(() => checkedContainer(lying, systemClock)).toThrow(
      expect.objectContaining({ code: 'ADAPTER_CONTRACT', container: 'memory:' }) as Error,
    );
    expect(() => new DirectoryContainer('/nowhere', { listingLag: value as number })).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTION' }) as Error,
    );
  });

  it('is 0 in memory, and in a directory unless it is told otherwise', () => {
    const path = join(tmpdir(), 'nobody-makes-this');
    expect(new MemoryContainer().listingLag).toBe(0);
    expect(new DirectoryContainer(path).listingLag).toBe(0);
    expect(new DirectoryContainer(path, { listingLag: 60_000 }).listingLag).toBe(60_000);
  });

  const guard = { onAnswer: () => undefined, check: () => Promise.resolve() };
  const wrappers: [string, (container: BackupContainer) => BackupContainer | Promise<BackupContainer>][] = [
    ['that checks answers', (container) => checkedContainer(container, systemClock)],
    ['that tries again', (container) => new SteadyContainer(container, undefined, systemClock)],
    ['that encrypts', (container) => openEncryptedContainer(container, { key: randomBytes(32) })],
    ['that guards a snapshot', (container) => guardedContainer(container, guard)],
  ];
  it.each(wrappers)('is passed on by the wrapper %s', async (_, wrap) => {
    for (const lag of [0, 70]) expect((await wrap(new Stating(lag))).listingLag).toBe(lag);
    expect((await wrap(silent())).listingLag).toBeUndefined();
  });

  it.each([
    [0, 0],
    [70, 140],
  ])('of %i ms makes a search for orphans take %i ms', async (lag, waited) => {
    const container = new Stating(lag);
    await container.create();
    const source = new MemoryRangeSource({ version: 30n });
    const clock = new HastyClock();
    const { files } = await takeSnapshot({ source, container, ranges: [], clock });
    const name = files[0]!.name.replace(/,[0-9a-f]{32},/, `,${'e'.repeat(32)},`);
    await put(container, name, 'x');
    const begin = clock.now();
    expect(await listOrphanRangeFiles(container, { clock })).toMatchObject([{ name }]);
    expect(clock.now() - begin).toBe(waited);
  });

  it.each([
    [undefined, 20_000],
    [0, 10_000],
    [600, 10_600],
  ])('of %s ms makes a compaction keep the old files for %i ms', async (lag, grace) => {
    const container = await newContainer();
    await putMarker(container);
    for (let begin = 1n; begin < 10n; begin++)
      await putLog(container, { begin, end: begin + 1n, tag: 0, totalTags: 1 });
    const inner = checkedContainer(container, systemClock);
    const stating: BackupContainer = Object.assign(silent(), {
      exists: () => inner.exists(),
      writeFile: (...call: Parameters<BackupContainer['writeFile']>) => inner.writeFile(...call),
      readFile: (...call: Parameters<BackupContainer['readFile']>) => inner.readFile(...call),
      listFiles: (prefix: string) => inner.listFiles(prefix),
      deleteFile: (name: string) => inner.deleteFile(name),
      ...(lag === undefined ? {} : { listingLag: lag }),
    });
    const clock = new HastyClock();
    const { removed } = await compactLogs(stating, { keepNewest: 0, clock });
    expect(removed).toBeGreaterThan(0);
    expect(clock.now()).toBe(grace);
  });
});
