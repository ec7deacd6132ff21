import { describe, expect, it } from 'vitest';
import { MemoryContainer } from '../../src/container/memory-container.js';
import { deleteContainer } from '../../src/restore/delete-container.js';
import { describeBackup } from '../../src/restore/describe.js';
import { recordChecksums } from '../../src/restore/record-checksums.js';
import { newContainer, put, putMarker } from '../restore/container-builder.js';
import { SeededRandom } from '../restore/log-model.js';
import { Crash, CrashingContainer, contentOf, copyOf } from './crashing-container.js';
import { sampleBackup } from './sample-backups.js';

async function backup(): Promise<MemoryContainer> {
  const { container } = await sampleBackup(new SeededRandom(5));
  await recordChecksums(container);
  await putMarker(container);
  await put(container, 'properties/log_begin_version', '1');
  await put(container, 'properties/expired_end_version', '1');
  await put(container, 'properties/encryption_metadata', '{"is_encryption_enabled":false,"encryption_block_size":0}');
  await put(container, `properties/tidemark_times/${'5'.padStart(19, '0')},1`, '');
  await put(container, `properties/tidemark_snapshot_part,12,${'1'.repeat(32)},5`, 'x');
  return container;
}

describe('deleteContainer', () => {
  it('deletes every file of a backup, and no other', async () => {
    const container = await backup();
    await put(container, 'notes.txt', 'mine');
    await put(container, 'properties/other', 'mine');
    await put(container, 'plogs/0000/0000/readme', 'mine');
    const count = (await contentOf(container)).size;
    const progress: number[] = [];
    const result = await deleteContainer(container, { onProgress: ({ deleted }) => progress.push(deleted) });
    expect([...(await contentOf(container)).keys()].sort()).toEqual([
      'notes.txt',
      'plogs/0000/0000/readme',
      'properties/other',
    ]);
    // The mark that was set first is one more.
    expect(result.files).toBe(count - 3 + 1);
    expect(progress.at(-1)).toBe(result.files);
    // Whether anybody looks on or not.
    expect(await deleteContainer(await backup())).toMatchObject({ files: result.files });
  });

  it('refuses what is not a backup container', async () => {
    const container = await newContainer();
    await expect(deleteContainer(container)).rejects.toMatchObject({ code: 'INVALID_STATE' });
    await put(container, 'logs/server/log,1,5,ab,4096', 'not ours');
    await put(container, 'properties/unknown', 'x');
    await expect(deleteContainer(container)).rejects.toMatchObject({ code: 'INVALID_STATE' });
    expect((await contentOf(container)).size).toBe(2);
    await expect(deleteContainer(new MemoryContainer())).rejects.toMatchObject({ code: 'INVALID_STATE' });
  });

  it.each(['before', 'after'] as const)(
    'that dies at any call (%s) leaves nothing restorable once it has begun, and can be repeated',
    async (moment) => {
      const start = await backup();
      let deaths = 0;
      for (let at = 1; ; at++) {
        const container = await copyOf(start);
        const crashing = new CrashingContainer(container, at, moment);
        await deleteContainer(crashing, { concurrency: 1 }).catch((error: unknown) =>
          expect(error).toBeInstanceOf(Crash),
        );
        if (!crashing.crashed) break;
        deaths++;
        const left = await contentOf(container);
        if (left.size < (await contentOf(start)).size) expect((await describeBackup(container)).windows).toEqual([]);
        if (left.size > 0) await deleteContainer(container);
        expect((await contentOf(container)).size).toBe(0);
      }
      expect(deaths).toBeGreaterThan(20);
    },
  );

  it('can be aborted', async () => {
    const container = await backup();
    const controller = new AbortController();
    const onProgress = () => controller.abort(new Error('enough'));
    await expect(deleteContainer(container, { signal: controller.signal, onProgress })).rejects.toThrow('enough');
    await deleteContainer(container);
    expect((await contentOf(container)).size).toBe(0);
  });
});
