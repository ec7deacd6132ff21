// Containers that break their contract, and what the whole library makes of each. docs/adapters.md has the table.

import { describe, expect, it } from 'vitest';
import { systemClock } from '../../src/core/clock.js';
import { utf8 } from '../../src/core/bytes.js';
import { MemoryContainer } from '../../src/container/memory-container.js';
import type { BackupContainer, ListedFile } from '../../src/ports/backup-container.js';
import { checkedContainer } from '../../src/ports/checked-container.js';
import { describeBackup } from '../../src/restore/describe.js';
import { versionAt } from '../../src/restore/wanted-version.js';
import { containerOf, failingWith, withFile, withListing } from './helpers.js';
import type { Hostile } from './whole.js';
import { Own, never, runWhole } from './whole.js';

type ContainerOf = NonNullable<Hostile['container']>;

const isData = (name: string) => /^(plogs|kvranges)\/.*(log|range),/.test(name);

/** Data files read otherwise than they are. */
const withData =
  (change: (bytes: Uint8Array, name: string, offset: number, length: number) => unknown): ContainerOf =>
  (container) =>
    containerOf(container, {
      readFile: async (name, offset, length) => {
        const bytes = await container.readFile(name, offset, length);
        return (isData(name) ? change(bytes, name, offset, length) : bytes) as Uint8Array;
      },
    });

const listed = (change: (file: ListedFile) => unknown) => withListing((files) => files.map(change));

/** Each is named: one of these texts is said. */
const named: Record<string, [ContainerOf, RegExp]> = {
  'no url': [
    (container) => containerOf(container, { url: '' }),
    /BackupContainer broke its contract: its url must be a name/,
  ],
  'no method deleteFile': [
    (container) => {
      const { deleteFile: _deleteFile, ...rest } = containerOf(container);
      return rest as BackupContainer;
    },
    /openContainer broke its contract: .*no function deleteFile/,
  ],
  'nothing when it is opened': [() => 7 as never, /openContainer broke its contract: it gave 7/],
  'a create that always fails': [
    (container) => containerOf(container, { create: () => Promise.reject(new Own('no space')) }),
    /job CONTAINER_UNAVAILABLE .*no space/,
  ],
  'a create that never ends': [(container) => containerOf(container, { create: () => never() }), /job TIMEOUT/],
  'exists that is a text': [
    (container) => containerOf(container, { exists: async () => 'yes' as never }),
    /BackupContainer\.exists .*"yes"/,
  ],
  'no file to write to': [
    (container) => containerOf(container, { writeFile: async () => undefined as never }),
    /BackupContainer\.writeFile .*without the function append/,
  ],
  'a file that cannot be finished': [
    withFile(() => ({ finish: undefined as never })),
    /BackupContainer\.writeFile .*without the function finish/,
  ],
  'appends that are cut': [
    withFile((file) => ({
      append: (chunks) => file.append(chunks.map((chunk) => chunk.subarray(0, chunk.length - 1))),
    })),
    /CHECKSUM_MISMATCH|CORRUPT_FILE/,
  ],
  'appends that are lost': [withFile(() => ({ append: async () => undefined })), /CHECKSUM_MISMATCH|CORRUPT_FILE/],
  'chunks that are kept without being copied': [
    withFile((file) => {
      const kept: Uint8Array[] = [];
      return {
        append: async (chunks) => void kept.push(...chunks),
        finish: async () => {
          // What they hold by now.
          await file.append(kept.map((chunk) => chunk.map((byte) => byte ^ 1)));
          await file.finish();
        },
      };
    }),
    /CHECKSUM_MISMATCH|CORRUPT_FILE/,
  ],
  'a finish that does nothing': [
    withFile(() => ({ finish: async () => undefined })),
    /snapshot SNAPSHOT_INCOMPLETE .*files of the snapshot are gone or cut since they were stored/,
  ],
  'data files that vanish when they are finished': [
    (container) =>
      withFile((file) => ({
        finish: async () => {
          await file.finish();
          if (isData(file.name)) await container.deleteFile(file.name);
        },
      }))(container),
    /verify .*missing|SNAPSHOT_INCOMPLETE/,
  ],
  'reads that are short in the middle': [
    withData((bytes) => bytes.subarray(0, Math.floor(bytes.length / 2))),
    /CORRUPT_FILE .*before its size/,
  ],
  'numbers that are read short': [
    (container) =>
      containerOf(container, {
        readFile: async (name, offset, length) => {
          const bytes = await container.readFile(name, offset, length);
          return name.endsWith('_version') ? bytes.subarray(0, Math.ceil(bytes.length / 2)) : bytes;
        },
      }),
    /(describe|verify|expire) ADAPTER_CONTRACT BackupContainer\.readFile .*goes on behind/,
  ],
  'reads that are longer than asked': [
    withData((bytes) => Uint8Array.of(...bytes, 0)),
    /BackupContainer\.readFile .*were asked for/,
  ],
  'other bytes': [
    withData((bytes) => bytes.map((byte, index) => (index === bytes.length >> 1 ? byte ^ 1 : byte))),
    /CHECKSUM_MISMATCH/,
  ],
  'other bytes once': [
    (container) => {
      const seen = new Set<string>();
      return withData((bytes, name) => {
        if (seen.has(name)) return bytes;
        seen.add(name);
        return bytes.map((byte) => byte ^ 0xff);
      })(container, undefined as never);
    },
    /CHECKSUM_MISMATCH/,
  ],
  'reads into memory that the next read uses again': [
    (container) => {
      let last: Uint8Array | undefined;
      return withData((bytes) => {
        last?.fill(0);
        return (last = bytes);
      })(container, undefined as never);
    },
    /verify CHECKSUM_MISMATCH .*is not what was written/,
  ],
  'bytes of another place': [
    withData((bytes, _name, offset) => (offset === 0 ? bytes.toReversed() : bytes)),
    /CHECKSUM_MISMATCH/,
  ],
  'a text instead of bytes': [withData((bytes) => String(bytes.length)), /BackupContainer\.readFile .*not bytes/],
  'nothing instead of bytes': [
    (container) => containerOf(container, { readFile: async () => undefined as never }),
    /BackupContainer\.readFile .*gave undefined/,
  ],
  'sizes that are too small': [
    listed((file) => ({ ...file, size: Math.max(0, file.size - 1) })),
    /CHECKSUM_MISMATCH|SNAPSHOT_INCOMPLETE/,
  ],
  'sizes that are too large': [
    listed((file) => ({ ...file, size: file.size + 1 })),
    /CHECKSUM_MISMATCH|SNAPSHOT_INCOMPLETE/,
  ],
  'sizes that are no numbers': [
    listed((file) => ({ ...file, size: `${file.size}` })),
    /BackupContainer\.listFiles .*bytes/,
  ],
  'negative sizes': [listed((file) => ({ ...file, size: -1 })), /BackupContainer\.listFiles .*has -1 bytes/],
  'a listing in another order': [
    withListing((files) => files.toReversed()),
    /BackupContainer\.listFiles .*is not in order/,
  ],
  'names twice': [withListing((files) => files.flatMap((file) => [file, file])), /BackupContainer\.listFiles .*twice/],
  'names of other prefixes': [
    (container) => containerOf(container, { listFiles: () => container.listFiles('') }),
    /BackupContainer\.listFiles .*the listing of "\w+\/.*" yielded/,
  ],
  'names that leave it': [
    listed((file) => ({ ...file, name: file.name.replace('/', '/../') })),
    /BackupContainer\.listFiles .*a part "\.\."/,
  ],
  'absolute names': [
    listed((file) => ({ ...file, name: `/${file.name}` })),
    /BackupContainer\.listFiles .*it is absolute/,
  ],
  'names of unfinished files': [
    listed((file) => ({ ...file, name: `${file.name}.part` })),
    /BackupContainer\.listFiles .*unfinished files/,
  ],
  'names that are none': [listed((file) => ({ size: file.size })), /BackupContainer\.listFiles .*undefined as a name/],
  'a list instead of a stream': [
    (container) => containerOf(container, { listFiles: () => [] as never }),
    /BackupContainer\.listFiles .*not an AsyncIterable/,
  ],
  'a listing that fails with nothing': [
    (container) =>
      containerOf(container, {
        listFiles: (prefix) => ({
          [Symbol.asyncIterator]: () => ({
            next: () => failingWith(undefined),
          }),
          prefix,
        }),
      }),
    /BackupContainer\.listFiles .*it failed with undefined/,
  ],
  'a listing without one of the log files': [
    (container) => {
      const files = (prefix: string) => container.listFiles(prefix);
      return containerOf(container, {
        listFiles: async function* (prefix) {
          let count = 0;
          for await (const file of files(prefix)) if (!file.name.startsWith('plogs/') || ++count !== 3) yield file;
        },
      });
    },
    /verify NOT_RESTORABLE log-gap .* has no file for \[\d+, \d+\)/,
  ],
  'a listing without the newest files': [
    withListing((files) => files.slice(0, -1)),
    /expire EXPIRE_REFUSED .*there is no restorable snapshot/,
  ],
};

/** Nothing suffers: all that is claimed is exact. */
const tolerated: Record<string, ContainerOf> = {
  'numbers that are read short now and then': (container) => {
    let calls = 0;
    return containerOf(container, {
      readFile: async (name, offset, length) => {
        const bytes = await container.readFile(name, offset, length);
        const isShort = name.endsWith('_version') && bytes.length > 1 && ++calls % 2 === 0;
        return isShort ? bytes.subarray(0, 1) : bytes;
      },
    });
  },
  'a file that has another name': withFile(() => ({ name: 'other' })),
  'aborts that fail': withFile(() => ({ abort: () => Promise.reject(new Own('no')) })),
  'deletions that do nothing': (container) => containerOf(container, { deleteFile: async () => undefined }),
  'exclusive writes that are not exclusive': (container) =>
    containerOf(container, { writeFile: (name) => container.writeFile(name) }),
  'files that are listed before they are finished': (container) => {
    const open = new Set<string>();
    const half = withFile((file) => {
      open.add(file.name);
      return { finish: () => file.finish().finally(() => open.delete(file.name)) };
    })(container);
    return {
      ...half,
      listFiles: async function* (prefix) {
        const files = new Map<string, ListedFile>();
        for (const name of open) if (name.startsWith(prefix)) files.set(name, { name, size: 0 });
        for await (const file of container.listFiles(prefix)) files.set(file.name, file);
        yield* [...files.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
      },
    };
  },
  'a finish that fails although it took effect, now and then': (container) => {
    let finishes = 0;
    return withFile((file) => ({
      finish: async () => {
        await file.finish();
        if (++finishes % 5 === 0) throw new Own('the answer is lost');
      },
    }))(container);
  },
};

describe('a container with', () => {
  it.each(Object.entries(named))('%s is named', async (_name, [container, text]) => {
    const { said } = await runWhole({ container });
    expect(said.filter((line) => text.test(line))).not.toEqual([]);
  });

  it.each(Object.entries(tolerated))('%s does no harm', async (_name, container) => {
    const { exact } = await runWhole({ container });
    expect(exact).toBeGreaterThan(10);
  });

  /** Names without end, in order; none of them is a file of a backup. */
  const endless = (container: MemoryContainer, most: number) => {
    let count = 0;
    const listing = containerOf(container, {
      exists: async () => true,
      listFiles: async function* (prefix) {
        for (; count < most; count++) yield { name: `${prefix}${String(count).padStart(12, '0')}`, size: 1 };
      },
    });
    return { listing, count: () => count };
  };

  it.each([
    ['fails', () => Promise.reject(new Own('no'))],
    ['never ends', () => new Promise<never>(() => undefined)],
  ])('what is wrong with a listing is told although its return %s', async (_how, end) => {
    const listing = containerOf(new MemoryContainer(), {
      listFiles: () => ({
        [Symbol.asyncIterator]: () => ({
          next: () => Promise.resolve({ done: false as const, value: { name: '/absolute', size: 1 } }),
          return: end,
        }),
      }),
    });
    const reading = checkedContainer(listing, systemClock).listFiles('')[Symbol.asyncIterator]().next();
    await expect(reading).rejects.toThrow('it is absolute');
  });

  it('a listing without end is left at a bound that names it', async () => {
    const { listing } = endless(new MemoryContainer(), 100_000);
    await expect(describeBackup(checkedContainer(listing, systemClock, 10_000))).rejects.toMatchObject({
      code: 'ADAPTER_CONTRACT',
      message: expect.stringContaining('has not ended after 10000 names') as string,
    });
  });

  it('a listing without end lets the host have its turns: an abort ends it', async () => {
    const { listing, count } = endless(new MemoryContainer(), 50_000_000);
    const stop = new AbortController();
    setImmediate(() => setImmediate(() => stop.abort(new Error('enough'))));
    await expect(describeBackup(listing, { signal: stop.signal })).rejects.toThrow('enough');
    expect(count()).toBeLessThan(1_000_000);
  });

  it('version times out of order is not asked for a time', async () => {
    const container = new MemoryContainer();
    for (const name of ['version_times/b', 'version_times/a']) {
      const file = await container.writeFile(name);
      await file.append([utf8('x')]);
      await file.finish();
    }
    const reversed = withListing((files) => files.toReversed())(container);
    const reading = containerOf(container, {
      listFiles: () => reversed.listFiles(''),
    });
    await expect(versionAt(reading, Date.UTC(2026, 0, 1))).rejects.toMatchObject({ code: 'ADAPTER_CONTRACT' });
  });
});
