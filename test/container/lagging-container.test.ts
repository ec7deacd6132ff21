// The container suite allows what the port allows: listings that lag behind, as long as everything that is read is exact.

import { describe, expect, it } from 'vitest';
import { MemoryContainer } from '../../src/container/memory-container.js';
import { systemClock } from '../../src/core/clock.js';
import type { BackupFile, ListedFile, WriteFileOptions } from '../../src/ports/backup-container.js';
import { containerSuite } from '../../src/testing/container-suite.js';

const LAG_MS = 4;

/** A listing is that of some milliseconds ago, where a file has been finished or deleted since. */
class LaggingContainer extends MemoryContainer {
  override readonly listingLag: number;
  readonly #hidden = new Map<string, number>();
  readonly #ghosts = new Map<string, { file: ListedFile; until: number }>();

  constructor(stated: number) {
    super({ url: 'memory:lagging' });
    this.listingLag = stated;
  }

  override async writeFile(name: string, options?: WriteFileOptions): Promise<BackupFile> {
    const file = await super.writeFile(name, options);
    const finish = file.finish.bind(file);
    file.finish = async () => {
      await finish();
      this.#hidden.set(name, systemClock.now() + LAG_MS);
    };
    return file;
  }

  override async deleteFile(name: string): Promise<void> {
    for await (const file of super.listFiles(name))
      if (file.name === name) this.#ghosts.set(name, { file, until: systemClock.now() + LAG_MS });
    await super.deleteFile(name);
  }

  override async *listFiles(prefix: string): AsyncIterable<ListedFile> {
    const now = systemClock.now();
    const files = new Map<string, ListedFile>();
    for (const [name, { file, until }] of this.#ghosts)
      if (until > now && name.startsWith(prefix)) files.set(name, file);
    for await (const file of super.listFiles(prefix))
      if ((this.#hidden.get(file.name) ?? 0) <= now) files.set(file.name, file);
    yield* [...files.values()].sort((a, b) => Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)));
  }
}

describe('a container whose listings lag', () => {
  const open = (stated: number) => () => ({ container: new LaggingContainer(stated) });

  for (const { name, run } of containerSuite(open(5 * LAG_MS))) it(name, run);

  it('fails where it claims that they do not, whatever the suite is told', async () => {
    const told = () => ({ ...open(0)(), listingLag: 5 * LAG_MS });
    const cases = containerSuite(told).filter(({ name }) => name.startsWith('where listings do not lag'));
    const results = await Promise.allSettled(cases.map(({ run }) => run()));
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
  });

  it.each([-1, NaN, Infinity, '10'])('fails where it says %s', async (stated) => {
    const said = containerSuite(open(stated as number)).find(({ name }) => name.startsWith('listingLag is left out'));
    await expect(said?.run()).rejects.toMatchObject({ code: 'ADAPTER_CONTRACT' });
  });
});
