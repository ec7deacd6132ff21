import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import fc from 'fast-check';
import { DirectoryContainer } from '../../src/container/directory-container.js';
import { isEncrypted, openContainer, openEncryptedContainer } from '../../src/container/encrypted-container.js';
import { MemoryContainer } from '../../src/container/memory-container.js';
import { utf8 } from '../../src/core/bytes.js';
import { sumsFileName } from '../../src/format/fdb/file-sums.js';
import {
  JOB_MARKER_NAME,
  KEY_CHECK_NAME,
  PROPERTY,
  encodeEncryptionMetadata,
} from '../../src/format/fdb/properties.js';
import { versionTimeName } from '../../src/format/fdb/version-times.js';
import type { BackupContainer } from '../../src/ports/backup-container.js';
import { containerSuite } from '../../src/testing/container-suite.js';
import { CountingContainer, KEY, LOG, OTHER_KEY, get, listed, pattern, put } from './encrypted-tools.js';

/** What nonces forbid: to write a name that is there, and names with dots. */
const CANNOT_HOLD = [
  'a write replaces a file of that name at the moment of finish, not before',
  'an aborted write leaves the file that it would have replaced',
  'of several writers of one name the last to finish stays, whole',
  'every other name is taken as it is',
  'what is finished or deleted is read as it is at once, whatever a listing shows',
];

/** The two files that an encrypted container has from the start are no surprise to anybody but the suite. */
function withoutOwnFiles(container: BackupContainer): BackupContainer {
  return {
    url: container.url,
    create: () => container.create(),
    exists: () => container.exists(),
    writeFile: (name, options) => container.writeFile(name, options),
    readFile: (name, offset, length) => container.readFile(name, offset, length),
    deleteFile: (name) => container.deleteFile(name),
    async *listFiles(prefix) {
      for await (const file of container.listFiles(prefix)) {
        if (file.name !== PROPERTY.encryptionMetadata && file.name !== KEY_CHECK_NAME) yield file;
      }
    },
  };
}

describe.each([512, 4096, 65_536])('an encrypted container in memory, with blocks of %i bytes', (blockSize) => {
  const suite = containerSuite(async () => {
    const inner = new MemoryContainer();
    const open = async () => withoutOwnFiles(await openEncryptedContainer(inner, { key: KEY, blockSize }));
    return { container: await open(), reopen: open };
  });
  for (const { name, run } of suite) if (!CANNOT_HOLD.includes(name)) it(name, run);

  it('leaves out cases that there are', () => {
    expect(suite.map(({ name }) => name)).toEqual(expect.arrayContaining(CANNOT_HOLD));
  });
});

describe('an encrypted container in a directory', () => {
  const suite = containerSuite(async () => {
    const parent = await mkdtemp(join(tmpdir(), 'tidemark-'));
    const open = async () =>
      withoutOwnFiles(await openEncryptedContainer(new DirectoryContainer(join(parent, 'a', 'b')), { key: KEY }));
    return { container: await open(), reopen: open, cleanup: () => rm(parent, { recursive: true }) };
  });
  for (const { name, run } of suite) if (!CANNOT_HOLD.includes(name)) it(name, run);
});

describe('names', () => {
  it('are never written twice, whoever asks, since their nonces would be used twice', async () => {
    const inner = new MemoryContainer();
    const container = await openEncryptedContainer(inner, { key: KEY });
    await put(container, LOG, utf8('first'));
    for (const exclusive of [false, true]) {
      await expect(container.writeFile(LOG, { exclusive })).rejects.toMatchObject({ code: 'FILE_EXISTS', file: LOG });
    }
    const other = LOG.replace('log,10', 'log,11');
    const [a, b] = [await container.writeFile(other), await container.writeFile(other)];
    await a.append([utf8('one')]);
    await b.append([utf8('two')]);
    await b.finish();
    await expect(a.finish()).rejects.toMatchObject({ code: 'FILE_EXISTS' });
    await a.abort();
    expect(await get(container, other)).toEqual(utf8('two'));
  });

  it('with a dot in the last part are refused: what follows the dot is not in the nonce', async () => {
    const container = await openEncryptedContainer(new MemoryContainer(), { key: KEY });
    for (const name of ['a.b', 'logs/.hidden', 'x/a..']) {
      await expect(container.writeFile(name)).rejects.toMatchObject({ code: 'INVALID_NAME', file: name });
    }
    await put(container, 'kvranges/snapshot.000000000000000001/0/range,1,ab,512', utf8('rows'));
  });

  it('decide what is encrypted: FoundationDB’s properties, the marker, and empty files are not', async () => {
    const inner = new MemoryContainer();
    const container = await openEncryptedContainer(inner, { key: KEY });
    await container.create();
    const secret = utf8('a secret that nobody is to find');
    const plain = [PROPERTY.mutationLogType, PROPERTY.logEndVersion, JOB_MARKER_NAME, 'properties/of_a_later_release'];
    const encrypted = [LOG, 'snapshots/snapshot,1,2,3', sumsFileName(LOG), 'properties/tidemark_snapshot,1,2,3', 'any'];
    for (const name of [...plain, ...encrypted]) await put(container, name, secret);
    for (const name of plain) expect(await get(inner, name)).toEqual(secret);
    const stored = await Promise.all(encrypted.map((name) => get(inner, name)));
    for (const bytes of stored) expect(Buffer.from(bytes).includes('secret')).toBe(false);
    expect(new Set(stored.map((bytes) => Buffer.from(bytes).toString('hex'))).size).toBe(encrypted.length);
    for (const name of encrypted) expect(await get(container, name)).toEqual(secret);
    const time = versionTimeName({ version: 5n, time: 7 });
    await put(container, time, new Uint8Array(0));
    await put(container, time, new Uint8Array(0));
    for (const { size } of await listed(container, 'plogs/')) expect(size).toBe(secret.length);
  });
});

describe('opening', () => {
  let inner: MemoryContainer;
  beforeEach(() => (inner = new MemoryContainer()));

  async function made(blockSize = 1024): Promise<BackupContainer> {
    const container = await openEncryptedContainer(inner, { key: KEY, blockSize });
    await container.create();
    return container;
  }

  it('makes nothing; create() makes an encrypted container, as FoundationDB knows one', async () => {
    const container = await openEncryptedContainer(inner, { key: KEY, blockSize: 1024 });
    expect(await inner.exists()).toBe(false);
    expect(await isEncrypted(inner)).toBe(false);
    expect(container.decrypts).toBe(true);
    await container.create();
    await container.create();
    expect(await isEncrypted(inner)).toBe(true);
    expect(Buffer.from(await get(inner, PROPERTY.encryptionMetadata)).toString()).toBe(
      '{"is_encryption_enabled":true,"encryption_block_size":1024}',
    );
  });

  it('keeps what the container says about its encryption, whatever is written', async () => {
    const container = await made();
    await put(container, PROPERTY.encryptionMetadata, encodeEncryptionMetadata({ enabled: false, blockSize: 0 }));
    expect(await isEncrypted(inner)).toBe(true);
    const file = await container.writeFile(PROPERTY.encryptionMetadata);
    await file.finish();
    await expect(file.append([])).rejects.toMatchObject({ code: 'INVALID_STATE' });
  });

  it('takes the block size that the container has, also when it was made in between', async () => {
    const early = await openEncryptedContainer(inner, { key: KEY, blockSize: 4096 });
    const content = pattern(5000);
    await put(await made(1024), LOG, content);
    expect(await listed(early, 'plogs/')).toEqual([{ name: LOG, size: 5000 }]);
    expect(await get(early, LOG)).toEqual(content);
    expect(await get(await openEncryptedContainer(inner, { key: KEY }), LOG)).toEqual(content);
    await put(early, 'plogs/x', content);
    expect((await get(inner, 'plogs/x')).length).toBe(5000 + 5 * 16);
  });

  it('of several that make the container at once all agree', async () => {
    const containers = await Promise.all(
      [512, 1024, 2048].map((blockSize) => openEncryptedContainer(inner, { key: KEY, blockSize })),
    );
    await Promise.all(containers.map((container) => container.create()));
    await Promise.all(containers.map((container, i) => put(container, `plogs/${i}`, pattern(3000, i))));
    for (const container of containers) {
      for (let i = 0; i < 3; i++) expect(await get(container, `plogs/${i}`)).toEqual(pattern(3000, i));
    }
  });

  it('without a key is ENCRYPTION_KEY_MISSING for a container that is encrypted, and no matter for one that is not', async () => {
    await expect(openEncryptedContainer(inner, {})).rejects.toMatchObject({ code: 'ENCRYPTION_KEY_MISSING' });
    expect(await openContainer(inner)).toBe(inner);
    expect(await openContainer(inner, { key: KEY })).toBe(inner);
    await put(await made(), LOG, utf8('log'));
    await expect(openContainer(inner)).rejects.toMatchObject({ code: 'ENCRYPTION_KEY_MISSING', container: inner.url });
    expect(await get(await openContainer(inner, { key: KEY }), LOG)).toEqual(utf8('log'));
  });

  it('with a wrong key is ENCRYPTION_KEY_WRONG, be the container empty', async () => {
    const container = await made();
    const wrong = { code: 'ENCRYPTION_KEY_WRONG', container: inner.url };
    await expect(openEncryptedContainer(inner, { key: OTHER_KEY })).rejects.toMatchObject(wrong);
    await put(container, LOG, utf8('log'));
    await expect(openContainer(inner, { key: OTHER_KEY })).rejects.toMatchObject(wrong);
  });

  it('with a wrong key finds out without the key check too, by several files', async () => {
    const container = await made();
    for (let i = 0; i < 8; i++) await put(container, `plogs/${i}`, pattern(3000, i));
    await inner.deleteFile(KEY_CHECK_NAME);
    await expect(openEncryptedContainer(inner, { key: OTHER_KEY })).rejects.toMatchObject({
      code: 'ENCRYPTION_KEY_WRONG',
    });
    await openEncryptedContainer(inner, { key: KEY });
  });

  it('with the right key does not mind a damaged key check, or damaged first files', async () => {
    const container = await made();
    for (let i = 0; i < 4; i++) await put(container, `plogs/${i}`, pattern(3000, i));
    const check = Buffer.from(await get(inner, KEY_CHECK_NAME));
    const wrongCheck = Buffer.from(check.toString().replace(/.(?="\})/, (digit) => (digit === '0' ? '1' : '0')));
    for (const damaged of [wrongCheck, check.subarray(0, 20), utf8(''), utf8('[]'), utf8('null')]) {
      await put(inner, KEY_CHECK_NAME, damaged);
      for (const i of [0, 1]) await put(inner, `plogs/${i}`, pattern(50));
      expect(await get(await openEncryptedContainer(inner, { key: KEY }), 'plogs/2')).toEqual(pattern(3000, 2));
    }
  });

  it('refuses a container that is not encrypted and has files, or says so', async () => {
    await put(inner, LOG, utf8('plain'));
    const refused = { code: 'INVALID_STATE', container: inner.url };
    await expect(openEncryptedContainer(inner, { key: KEY })).rejects.toMatchObject(refused);
    await put(inner, PROPERTY.encryptionMetadata, encodeEncryptionMetadata({ enabled: false, blockSize: 0 }));
    await expect(openEncryptedContainer(inner, { key: KEY })).rejects.toMatchObject(refused);
  });

  it.each([
    [{ key: KEY.subarray(1) }, '31 bytes'],
    [{ key: new Uint8Array(33) }, '33 bytes'],
    [{ key: KEY, keyFile: 'x' }, 'both'],
    [{ keyFile: '' }, 'keyFile'],
    [{ keyFile: '/nowhere/key' }, '/nowhere/key'],
    [{ key: KEY, blockSize: 100 }, 'blockSize'],
    [{ key: KEY, blockSize: 4096.5 }, 'blockSize'],
  ])('refuses %j', async (options, part) => {
    const opened = openEncryptedContainer(inner, options);
    await expect(opened).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    await expect(opened).rejects.toThrow(part);
  });

  it('never shows the key', async () => {
    const hex = Buffer.from(KEY).toString('hex');
    const container = await made();
    await put(container, LOG, utf8('log'));
    const error: unknown = await openEncryptedContainer(inner, { key: OTHER_KEY }).catch((thrown: unknown) => thrown);
    expect(String(error)).not.toContain(hex);
    expect(Buffer.from(await get(inner, KEY_CHECK_NAME)).toString()).not.toContain(hex);
  });
});

describe('a key file', () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'tidemark-'));
  });
  afterEach(() => rm(directory, { recursive: true }));

  it('holds exactly the 32 bytes', async () => {
    const inner = new MemoryContainer();
    const keyFile = join(directory, 'key');
    await writeFile(keyFile, KEY);
    await put(await openEncryptedContainer(inner, { keyFile }), LOG, utf8('log'));
    expect(await get(await openEncryptedContainer(inner, { key: KEY }), LOG)).toEqual(utf8('log'));
    for (const wrong of [
      Buffer.alloc(31),
      Buffer.alloc(100_000),
      Buffer.from(`${Buffer.from(KEY).toString('hex')}\n`),
    ]) {
      await writeFile(keyFile, wrong);
      await expect(openEncryptedContainer(inner, { keyFile })).rejects.toMatchObject({ code: 'INVALID_OPTION' });
    }
  });
});

describe('ranged reads', () => {
  it('fetch the needed blocks and no other', async () => {
    const inner = new CountingContainer();
    const container = await openEncryptedContainer(inner, { key: KEY, blockSize: 1024 });
    const content = pattern(10_000);
    await put(container, LOG, content);
    const stored = 1024 + 16;
    for (const [offset, length, first, blocks] of [
      [0, 1, 0, 1],
      [1023, 1, 0, 1],
      [1023, 2, 0, 2],
      [1024, 1024, 1, 1],
      [5000, 2000, 4, 3],
      [9999, 1, 9, 1],
    ] as const) {
      inner.reads.length = 0;
      expect(await container.readFile(LOG, offset, length)).toEqual(content.subarray(offset, offset + length));
      expect(inner.reads).toMatchObject([{ name: LOG, offset: first * stored, length: blocks * stored }]);
    }
  });

  it('and writes in any pieces give back the same bytes (property)', async () => {
    const lengths = fc.array(fc.integer({ min: 0, max: 1500 }), { maxLength: 8 });
    const reads = fc.array(fc.tuple(fc.integer({ min: 0, max: 9000 }), fc.integer({ min: 0, max: 9000 })), {
      maxLength: 8,
    });
    await fc.assert(
      fc.asyncProperty(lengths, fc.integer({ min: 512, max: 2000 }), reads, async (pieces, blockSize, ranges) => {
        const inner = new MemoryContainer();
        const container = await openEncryptedContainer(inner, { key: KEY, blockSize });
        const content = pattern(pieces.reduce((sum, length) => sum + length, 0));
        const file = await container.writeFile(LOG);
        let at = 0;
        for (const length of pieces) await file.append([content.subarray(at, (at += length))]);
        await file.finish();
        expect(await listed(container, 'plogs/')).toEqual([{ name: LOG, size: content.length }]);
        for (const [offset, length] of ranges) {
          const got = await container.readFile(LOG, offset, length);
          expect(Buffer.from(got).equals(content.subarray(offset, offset + length))).toBe(true);
        }
      }),
      { numRuns: 60 },
    );
  });
});

describe('a file that is written', () => {
  it('goes on in pieces of bounded size, however large one append is', async () => {
    const inner = new MemoryContainer();
    const pieces: number[] = [];
    const spying: BackupContainer = {
      url: inner.url,
      create: () => inner.create(),
      exists: () => inner.exists(),
      readFile: (name, offset, length) => inner.readFile(name, offset, length),
      listFiles: (prefix) => inner.listFiles(prefix),
      deleteFile: (name) => inner.deleteFile(name),
      writeFile: async (name, options) => {
        const file = await inner.writeFile(name, options);
        const append = (chunks: readonly Uint8Array[]) => {
          pieces.push(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
          return file.append(chunks);
        };
        return { name, append, finish: () => file.finish(), abort: () => file.abort() };
      },
    };
    const container = await openEncryptedContainer(spying, { key: KEY });
    await container.create();
    pieces.length = 0;
    const file = await container.writeFile(LOG);
    await file.append([new Uint8Array(5 << 20), new Uint8Array(100)]);
    await file.append([new Uint8Array(100)]);
    await file.finish();
    expect(Math.max(...pieces)).toBeLessThanOrEqual(1 << 20);
    expect((await listed(container, 'plogs/'))[0]?.size).toBe((5 << 20) + 200);
  });

  it('can only be aborted after a failed append', async () => {
    const inner = new MemoryContainer();
    const container = await openEncryptedContainer(inner, { key: KEY });
    await container.create();
    const failing = new Error('disk full');
    inner.writeFile = async (name) => ({
      name,
      append: () => Promise.reject(failing),
      finish: () => Promise.resolve(),
      abort: () => Promise.resolve(),
    });
    const file = await container.writeFile(LOG);
    await expect(file.append([new Uint8Array(100_000)])).rejects.toBe(failing);
    await expect(file.append([new Uint8Array(1)])).rejects.toMatchObject({ code: 'INVALID_STATE' });
    await expect(file.finish()).rejects.toMatchObject({ code: 'INVALID_STATE' });
    await file.abort();
  });
});
