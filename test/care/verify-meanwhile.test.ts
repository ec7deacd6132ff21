// Expiry and compaction beside a verification, or a recording of checksums: at each of its calls of the container one of them runs from begin to end.

import { describe, expect, it } from 'vitest';
import type { BackupContainer } from '../../src/ports/backup-container.js';
import { compactLogs } from '../../src/restore/compact.js';
import { deleteContainer } from '../../src/restore/delete-container.js';
import { expireBackup } from '../../src/restore/expire.js';
import { recordChecksums } from '../../src/restore/record-checksums.js';
import type { VerifyReport } from '../../src/restore/verify-report.js';
import { verifyBackup } from '../../src/restore/verify.js';
import type { MemoryContainer } from '../../src/container/memory-container.js';
import type { Clock } from '../../src/core/clock.js';
import { systemClock } from '../../src/core/clock.js';
import { newContainer, put } from '../restore/container-builder.js';
import { SeededRandom, randomHistory, writeHistory } from '../restore/log-model.js';
import { copyOf } from './crashing-container.js';
import { putSample } from './sample-backups.js';

/** Waits for nothing. */
const clock: Clock = { ...systemClock, sleep: () => Promise.resolve() };

/** Does something else first at one of its calls. */
class InterruptedContainer implements BackupContainer {
  readonly url: string;
  calls = 0;
  readonly #inner: BackupContainer;
  readonly #at: number;
  readonly #meanwhile: () => Promise<unknown>;

  constructor(inner: BackupContainer, at: number, meanwhile: () => Promise<unknown>) {
    this.url = inner.url;
    this.#inner = inner;
    this.#at = at;
    this.#meanwhile = meanwhile;
  }

  async #call<T>(effect: () => Promise<T>): Promise<T> {
    if (++this.calls === this.#at) await this.#meanwhile();
    return effect();
  }

  create = () => this.#call(() => this.#inner.create());
  exists = () => this.#call(() => this.#inner.exists());
  writeFile: BackupContainer['writeFile'] = (name, options) => this.#call(() => this.#inner.writeFile(name, options));
  readFile: BackupContainer['readFile'] = (...range) => this.#call(() => this.#inner.readFile(...range));
  deleteFile: BackupContainer['deleteFile'] = (name) => this.#call(() => this.#inner.deleteFile(name));

  async *listFiles(prefix: string) {
    for await (const file of this.#inner.listFiles(prefix)) yield await this.#call(() => Promise.resolve(file));
  }
}

/** Twins of one tag are what a worker leaves that died. */
const harmful = ({ problems }: VerifyReport) => problems.filter(({ harmless }) => !harmless);

async function backup(withSums: boolean): Promise<MemoryContainer> {
  const random = new SeededRandom(8);
  const epochs = [{ begin: 1n, end: 80n, totalTags: 2 }];
  const container = await newContainer();
  const records = randomHistory(random, epochs, 6);
  await writeHistory(container, random, epochs, records);
  await putSample(container, records, [10n, 12n]);
  await putSample(container, records, [50n, 50n]);
  await put(container, 'properties/mutation_log_type', '1');
  if (withSums) await recordChecksums(container);
  return container;
}

const others: Record<string, (container: BackupContainer) => Promise<unknown>> = {
  'an expiry': (container) => expireBackup(container, { before: 40n, clock }),
  'a compaction': (container) => compactLogs(container, { minFiles: 2, keepNewest: 0, graceMs: 0, clock }),
};

/** Runs it with the other call at its first, second, third … call; resolves when it has none so late. */
async function interrupt(
  start: MemoryContainer,
  other: (container: BackupContainer) => Promise<unknown>,
  run: (container: BackupContainer, at: number) => Promise<void>,
): Promise<void> {
  for (let at = 1; ; at++) {
    const copy = await copyOf(start);
    const container = new InterruptedContainer(copy, at, () => other(copy));
    await run(container, at);
    if (container.calls < at) return;
  }
}

describe.each(Object.entries(others))('%s in the middle', (_, other) => {
  it.each([true, false])('makes no problem of a sound backup (deep: %s)', async (deep) => {
    await interrupt(await backup(true), other, async (container, at) => {
      const report = await verifyBackup(container, { deep, clock, concurrency: 1 });
      expect(harmful(report), `call ${at}`).toEqual([]);
    });
  });

  it('makes no problem of one without checksums', async () => {
    await interrupt(await backup(false), other, async (container, at) => {
      const report = await verifyBackup(container, { deep: true, clock, concurrency: 1 });
      expect(harmful(report), `call ${at}`).toEqual([]);
    });
  });

  it('lets checksums be recorded of what is left; what is gone is said, and nothing else', async () => {
    await interrupt(await backup(false), other, async (container, at) => {
      const { problems } = await recordChecksums(container, { clock, concurrency: 1 });
      expect(
        problems.filter(({ code }) => code !== 'FILE_NOT_FOUND'),
        `call ${at}`,
      ).toEqual([]);
      const report = await verifyBackup(container, { deep: true, clock });
      expect(harmful(report), `call ${at}`).toEqual([]);
    });
  });
});

describe('a deletion of the whole container in the middle', () => {
  it('ends a verification with a report or an error with a code, and never with damage that was none', async () => {
    await interrupt(
      await backup(true),
      (container) => deleteContainer(container, { clock }),
      async (container, at) => {
        const report = await verifyBackup(container, { deep: true, clock, concurrency: 1 });
        const damage = harmful(report).filter(({ kind }) => !['missing-file', 'log-gap', 'property'].includes(kind));
        expect(damage, `call ${at}`).toEqual([]);
      },
    );
  });
});
