import { describe, expect, it } from 'vitest';
import { FileSumsBuilder, encodeFileSums, sumsFileName } from '../../src/format/fdb/file-sums.js';
import { SumsReader } from '../../src/restore/log-sums.js';
import { newContainer, put } from '../restore/container-builder.js';
import { CrashingContainer } from './crashing-container.js';

const NAME = `plogs/0000/0000/log,1,9,${'a'.repeat(32)},0-of-1,4096`;

function sumsOf(bytes: number): Uint8Array {
  const builder = new FileSumsBuilder(512);
  builder.update(new Uint8Array(bytes));
  return encodeFileSums(builder.build());
}

describe('SumsReader', () => {
  it('reads a file’s checksums once, also for many who ask at a time', async () => {
    const container = await newContainer();
    await put(container, sumsFileName(NAME), sumsOf(2000));
    const counting = new CrashingContainer(container, Infinity, 'before');
    const reader = new SumsReader(counting);
    const all = await Promise.all(Array.from({ length: 5 }, () => reader.forFile(NAME)));
    for (const sums of all) expect(sums).toMatchObject({ size: 2000, blockSize: 512 });
    expect(counting.calls).toBe(1);
  });

  it('knows of files without checksums, and asks for those once too', async () => {
    const counting = new CrashingContainer(await newContainer(), Infinity, 'before');
    const reader = new SumsReader(counting);
    for (let i = 0; i < 3; i++) expect(await reader.forFile(NAME)).toBeUndefined();
    expect(counting.calls).toBe(1);
    expect(await reader.forSnapshot({ beginVersion: 1n, endVersion: 1n, totalBytes: 5 })).toBeUndefined();
  });

  it('names the file of checksums that is damaged, and looks again afterwards', async () => {
    const container = await newContainer();
    await put(container, sumsFileName(NAME), 'x');
    const reader = new SumsReader(container);
    await expect(reader.forFile(NAME)).rejects.toMatchObject({ code: 'CORRUPT_FILE', file: sumsFileName(NAME) });
    await put(container, sumsFileName(NAME), sumsOf(600));
    expect(await reader.forFile(NAME)).toMatchObject({ size: 600 });
  });

  it('keeps a bounded part of them', async () => {
    const container = await newContainer();
    const names = Array.from({ length: 12 }, (_, i) => NAME.replace('log,1', `log,${i}`));
    // Half a million checksums each: 2 MiB.
    const large = sumsOf(512 * 524_288);
    for (const name of names) await put(container, sumsFileName(name), large);
    const counting = new CrashingContainer(container, Infinity, 'before');
    const reader = new SumsReader(counting);
    for (const name of names) await reader.forFile(name);
    await reader.forFile(names.at(-1)!);
    expect(counting.calls).toBe(12);
    await reader.forFile(names[0]!);
    expect(counting.calls).toBe(13);
  }, 20_000);

  it('ends when the signal aborts, although the container hangs', async () => {
    const controller = new AbortController();
    const hanging = new CrashingContainer(await newContainer(), Infinity, 'before');
    hanging.readFile = () => new Promise<never>(() => undefined);
    const looking = new SumsReader(hanging, controller.signal).forFile(NAME);
    controller.abort(new Error('enough'));
    await expect(looking).rejects.toThrow('enough');
  });
});
