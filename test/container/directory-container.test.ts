import { mkdir, mkdtemp, readdir, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { utf8 } from '../../src/core/bytes.js';
import { DirectoryContainer } from '../../src/container/directory-container.js';
import { DirectoryFile } from '../../src/container/directory-file.js';
import { Folders } from '../../src/container/folders.js';
import type { BackupContainer } from '../../src/ports/backup-container.js';

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'tidemark-'));
});
afterEach(() => rm(root, { recursive: true }));

async function put(container: BackupContainer, name: string, content = 'x'): Promise<void> {
  const file = await container.writeFile(name);
  await file.append([utf8(content)]);
  await file.finish();
}

async function names(container: BackupContainer, prefix = ''): Promise<string[]> {
  const all: string[] = [];
  for await (const { name } of container.listFiles(prefix)) all.push(name);
  return all;
}

describe('where a DirectoryContainer is', () => {
  it('takes a path or a file URL, and names itself by the URL', () => {
    const url = 'file:///backups/with%20space';
    expect(new DirectoryContainer('/backups/with space').url).toBe(url);
    expect(new DirectoryContainer(url).path).toBe('/backups/with space');
    expect(new DirectoryContainer(new URL(url)).url).toBe(url);
    expect(new DirectoryContainer(pathToFileURL('/a#b')).path).toBe('/a#b');
  });

  it.each(['', 's3://bucket/prefix', 'file://host/share', 'http://x'])('refuses %j', (location) => {
    expect(() => new DirectoryContainer(location)).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
  });

  it('makes missing folders, its own root too', async () => {
    const container = new DirectoryContainer(join(root, 'a', 'b'));
    await put(container, 'c/d/e');
    expect(await container.exists()).toBe(true);
    expect(await names(container)).toEqual(['c/d/e']);
  });
});

describe('temporary files', () => {
  const UID = '0123456789abcdef0123456789abcdef';

  it('that an abort could not remove go with the next file', async () => {
    const container = new DirectoryContainer(root);
    const file = await container.writeFile('a');
    const [name = ''] = await readdir(root);
    // What no `unlink` removes, though it is there: as on a disk that has become read-only.
    await rm(join(root, name));
    await mkdir(join(root, name));
    await expect(file.abort()).rejects.toThrow();
    await put(container, 'b');
    expect(await readdir(root)).toContain(name);
    await rm(join(root, name), { recursive: true });
    await writeFile(join(root, name), 'half');
    await put(container, 'c');
    expect((await readdir(root)).sort()).toEqual(['b', 'c']);
  });

  it('that aborts could not remove are remembered up to a bound; the oldest are left to the cleaning by age', async () => {
    const container = new DirectoryContainer(root, { fsync: false, random: { next: () => 0, uid: () => UID } });
    const stuck: string[] = [];
    for (let i = 0; i <= 1_000; i++) {
      const file = await container.writeFile(`a${i}`);
      const path = join(root, `a${i}.${UID}.temp`);
      stuck.push(path);
      await rm(path);
      await mkdir(path);
      await expect(file.abort()).rejects.toThrow();
    }
    for (const path of stuck) {
      await rm(path, { recursive: true });
      await writeFile(path, 'half');
      await utimes(path, 1000, 1000);
    }
    expect(await container.cleanTemporaryFiles()).toBe(1);
    await put(container, 'b');
    expect(await readdir(root)).toEqual(['b']);
  });

  it('are never listed, ours or others', async () => {
    const container = new DirectoryContainer(root);
    await put(container, 'logs/a');
    await writeFile(join(root, 'logs', `b.${UID}.temp`), 'half');
    await writeFile(join(root, 'logs', 'c.part'), 'half');
    expect(await names(container)).toEqual(['logs/a']);
  });

  it('lie beside the file as <name>.<uid>.temp, and are gone when it is finished or aborted', async () => {
    const container = new DirectoryContainer(root, { random: { next: () => 0, uid: () => UID } });
    const file = await container.writeFile('logs/a');
    expect(await readdir(join(root, 'logs'))).toEqual([`a.${UID}.temp`]);
    await file.finish();
    expect(await readdir(join(root, 'logs'))).toEqual(['a']);
    const aborted = await container.writeFile('logs/b');
    await aborted.abort();
    expect(await readdir(join(root, 'logs'))).toEqual(['a']);
  });

  it('of processes that died are removed once they are old enough; others stay', async () => {
    const container = new DirectoryContainer(root);
    expect(await new DirectoryContainer(join(root, 'missing')).cleanTemporaryFiles()).toBe(0);
    const writing = await container.writeFile('logs/mine');
    const old = join(root, 'logs', `old.${UID}.temp`);
    const foreign = join(root, 'logs', 'notes.temp');
    const fresh = join(root, 'logs', `fresh.${UID}.temp`);
    for (const path of [old, foreign, fresh]) await writeFile(path, 'half');
    for (const path of [old, foreign]) await utimes(path, 1000, 1000);

    expect(await container.cleanTemporaryFiles()).toBe(1);
    expect((await readdir(join(root, 'logs'))).filter((name) => !name.startsWith('mine'))).toEqual([
      `fresh.${UID}.temp`,
      'notes.temp',
    ]);
    // One that this object is writing is kept, however long it has waited.
    expect(await container.cleanTemporaryFiles({ olderThan: 0 })).toBe(1);
    await writing.finish();
    expect(await names(container)).toEqual(['logs/mine']);
    await expect(container.cleanTemporaryFiles({ olderThan: -1 })).rejects.toMatchObject({ code: 'INVALID_OPTION' });
  });
});

describe('errors', () => {
  it('are retryable, with the cause, where an operator can put things right', async () => {
    // No folder can be made in /proc, by root either.
    const container = new DirectoryContainer('/proc/tidemark');
    for (const call of [container.create(), container.writeFile('a')]) {
      await expect(call).rejects.toMatchObject({
        code: 'CONTAINER_UNAVAILABLE',
        retryable: true,
        container: 'file:///proc/tidemark',
        cause: { code: 'ENOENT' },
      });
    }
  });

  it('say so when the disk is full', async () => {
    const container = new DirectoryContainer(root);
    const file = fileOn(
      fakeHandle({ fail: Object.assign(new Error('no space'), { code: 'ENOSPC', syscall: 'writev' }) }),
    );
    await expect(file.append([utf8('x')])).rejects.toMatchObject({
      code: 'CONTAINER_UNAVAILABLE',
      retryable: true,
      message: expect.stringContaining('disk is full') as string,
    });
    // What failed once may have left a part behind: only abort is left.
    await expect(file.append([utf8('x')])).rejects.toMatchObject({ code: 'INVALID_STATE' });
    await expect(file.finish()).rejects.toMatchObject({ code: 'INVALID_STATE' });
    await file.abort();
    expect(await names(container)).toEqual([]);
  });

  it('name a file that lies where a folder is needed, and a name that is too long', async () => {
    const container = new DirectoryContainer(root);
    await put(container, 'a/b');
    await expect(container.writeFile('a/b/c')).rejects.toMatchObject({ code: 'INVALID_NAME', file: 'a/b/c' });
    const overFolder = await container.writeFile('a');
    await expect(overFolder.finish()).rejects.toMatchObject({ code: 'INVALID_NAME', file: 'a' });
    await overFolder.abort();
    await expect(container.writeFile('x'.repeat(300))).rejects.toMatchObject({ code: 'INVALID_NAME' });
    expect(await names(container)).toEqual(['a/b']);
  });
});

describe('writing', () => {
  it('goes on where a short write stopped, whatever the pieces', async () => {
    for (const limit of [1, 2, 3, 5, 7, 1000]) {
      const handle = fakeHandle({ limit });
      const file = fileOn(handle);
      const chunks = ['', 'a', 'bc', '', 'def', 'ghijklmnop', ''].map((text) => utf8(text));
      await file.append(chunks);
      expect(Buffer.concat(handle.written).toString(), `at most ${limit} bytes a call`).toBe('abcdefghijklmnop');
    }
  });

  it('passes at most 1,024 pieces a call', async () => {
    const handle = fakeHandle({});
    await fileOn(handle).append(Array.from({ length: 2500 }, () => utf8('x')));
    expect(handle.calls).toEqual([1024, 1024, 452]);
  });

  it('refuses a second call while one runs', async () => {
    const file = await new DirectoryContainer(root).writeFile('a');
    const first = file.append([new Uint8Array(1 << 20)]);
    await expect(file.append([utf8('x')])).rejects.toMatchObject({ code: 'INVALID_STATE' });
    await first;
    await file.finish();
  });

  it('syncs the file before it gets its name, unless told not to', async () => {
    for (const fsync of [true, false]) {
      const container = new DirectoryContainer(root, { fsync });
      await put(container, 'a', String(fsync));
      expect(new TextDecoder().decode(await container.readFile('a', 0, 10))).toBe(String(fsync));
      const handle = fakeHandle({});
      const file = fileOn(handle, fsync);
      // There is no temporary file to rename: the sync has to come before that fails.
      await expect(file.finish()).rejects.toMatchObject({ code: 'CONTAINER_UNAVAILABLE' });
      expect(handle.syncs).toBe(fsync ? 1 : 0);
    }
  });
});

describe('listing', () => {
  it('does not follow symbolic links', async () => {
    const container = new DirectoryContainer(join(root, 'container'));
    await put(container, 'a');
    await mkdir(join(root, 'outside'));
    await writeFile(join(root, 'outside', 'secret'), 'x');
    await symlink(join(root, 'outside'), join(root, 'container', 'link'));
    await symlink(join(root, 'container'), join(root, 'container', 'loop'));
    expect(await names(container)).toEqual(['a']);
  });

  it('merges runs of a large folder into one order', async () => {
    const container = new DirectoryContainer(root);
    const all = Array.from({ length: 9000 }, (_, i) => `n${(i * 7919) % 9000}`);
    await Promise.all(all.map((name) => writeFile(join(root, name), '')));
    expect(await names(container)).toEqual([...all].sort());
    expect(await names(container, 'n12')).toEqual(all.filter((name) => name.startsWith('n12')).sort());
  });
});

interface FakeHandle {
  readonly written: Uint8Array[];
  readonly calls: number[];
  syncs: number;
  writev(pieces: readonly Uint8Array[]): Promise<{ bytesWritten: number }>;
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** Writes at most `limit` bytes a call, or fails. */
function fakeHandle({ limit = Infinity, fail }: { limit?: number; fail?: Error }): FakeHandle {
  return {
    written: [],
    calls: [],
    syncs: 0,
    async writev(pieces) {
      if (fail !== undefined) throw fail;
      this.calls.push(pieces.length);
      const bytes = Buffer.concat(pieces).subarray(0, limit);
      this.written.push(bytes);
      return { bytesWritten: bytes.length };
    },
    async sync() {
      this.syncs++;
    },
    async close() {},
  };
}

function fileOn(handle: FakeHandle, fsync = true): DirectoryFile {
  const path = join(root, 'a');
  return new DirectoryFile({
    name: 'a',
    container: pathToFileURL(root).href,
    path,
    temporaryPath: `${path}.x.temp`,
    handle,
    folders: new Folders(root, fsync),
    fsync,
    exclusive: false,
    onClosed: () => {},
    onStuck: () => undefined,
  });
}

describe('what the file system refuses', () => {
  const long = 'x'.repeat(300);
  const lists = (container: BackupContainer, prefix: string) => names(container, prefix);

  it('is INVALID_NAME of a name that it does not take, whatever is done with it', async () => {
    const container = new DirectoryContainer(root);
    await expect(container.readFile(long, 0, 1)).rejects.toMatchObject({ code: 'INVALID_NAME', file: long });
    await expect(container.deleteFile(long)).rejects.toMatchObject({ code: 'INVALID_NAME', file: long });
  });

  it('is CONTAINER_UNAVAILABLE of the container itself, and never an empty container', async () => {
    await symlink(join(root, 'loop'), join(root, 'loop'));
    for (const place of [join(root, long), join(root, 'loop')]) {
      const container = new DirectoryContainer(place);
      const unavailable = { code: 'CONTAINER_UNAVAILABLE', retryable: true, container: container.url };
      await expect(container.exists()).rejects.toMatchObject(unavailable);
      await expect(container.create()).rejects.toMatchObject({ code: 'CONTAINER_UNAVAILABLE' });
      await expect(lists(container, '')).rejects.toMatchObject(unavailable);
    }
  });

  it('a folder is no file: it is not read, not deleted, and not there', async () => {
    const container = new DirectoryContainer(root);
    await put(container, 'a/b');
    await expect(container.readFile('a', 0, 1)).rejects.toMatchObject({ code: 'FILE_NOT_FOUND', file: 'a' });
    await container.deleteFile('a');
    await container.deleteFile('a/b/c');
    expect(await names(container)).toEqual(['a/b']);
  });

  it('a name that the port refuses is not listed, though the file system has it', async () => {
    const container = new DirectoryContainer(root);
    await put(container, 'a');
    await writeFile(join(root, 'b\\c'), 'x');
    expect(await names(container)).toEqual(['a']);
  });

  it('a write that takes no byte is CONTAINER_UNAVAILABLE, not an endless loop', async () => {
    const file = fileOn(fakeHandle({ limit: 0 }));
    await expect(file.append([utf8('abc')])).rejects.toMatchObject({ code: 'CONTAINER_UNAVAILABLE', retryable: true });
    await expect(file.append([utf8('abc')])).rejects.toMatchObject({ code: 'INVALID_STATE' });
  });
});

describe('options and ranges', () => {
  it('that make no sense are refused by name and value', async () => {
    // @ts-expect-error -- A caller without a compiler may pass it.
    expect(() => new DirectoryContainer(root, { fsync: 'yes' })).toThrow(/fsync.*yes/);
    const container = new DirectoryContainer(root);
    await put(container, 'a');
    for (const offset of [-1, 0.5, NaN])
      await expect(container.readFile('a', offset, 1)).rejects.toMatchObject({ code: 'INVALID_OPTION', file: 'a' });
    for (const length of [-1, 0.5, Infinity])
      await expect(container.readFile('a', 0, length)).rejects.toMatchObject({ code: 'INVALID_OPTION', file: 'a' });
  });
});
