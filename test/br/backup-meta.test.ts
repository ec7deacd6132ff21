import { createCipheriv, createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { BackupMetaWriter } from '../../src/br/meta/backup-meta-writer.js';
import { readBackupMeta } from '../../src/br/meta/backup-meta.js';
import { MemoryContainer } from '../../src/container/memory-container.js';
import { utf8 } from '../../src/core/bytes.js';
import { BackupError } from '../../src/core/errors.js';
import type { BrFile, BrInit, BrMetaFile } from '../../src/format/br/messages.js';
import { loadBrMessages } from '../../src/format/br/proto/load.js';
import { protocDecode, protocEncode, protoFiles } from '../format/br/brpb.js';
import { toolMissing } from '../servers/judges.js';
import {
  all,
  CIPHERS,
  END_VERSION,
  namesIn,
  readAll,
  readFile,
  someFile,
  writeFile,
  writeMeta,
} from './meta-backups.js';

const messages = await loadBrMessages();
const failsWith = (code: string, facts: object = {}) => expect.objectContaining({ code, ...facts }) as Error;
const versions = [0, 1] as const;

describe('meta data of a backup', () => {
  it.each(versions.flatMap((version) => CIPHERS.map((cipher) => ({ version, cipher, method: cipher?.method }))))(
    'is read as it was written: schema $version, $method',
    async ({ version, cipher }) => {
      const { container, files } = await writeMeta({ version, cipher });
      const reader = await readBackupMeta(container, { cipher });
      const read = await readAll(reader);
      expect(read.files).toEqual(files);
      expect(read.tables.map(({ database, table }) => [database.name, table?.id, table?.partitions])).toEqual([
        ['Shop', 9007199254740993n, []],
        ['Shop', 65n, [{ id: 66n, name: 'p0' }]],
        ['Empty', undefined, undefined],
      ]);
      expect(read.ddls).toBe('[{"id":1},{"id":2},{"id":3}]');
      expect(read.rawRanges).toEqual([{ startKey: utf8('a'), endKey: utf8('b'), cf: 'default' }]);
      expect(read.meta).toMatchObject({ version, clusterId: 7155049443847481315n, endVersion: END_VERSION });
      const stored = await readFile(container, 'backupmeta');
      expect(reader.sha256).toBe(createHash('sha256').update(stored).digest('hex'));
    },
  );

  it('has its lists in files of their own in schema 1, in one count over all kinds', async () => {
    const { container } = await writeMeta();
    const names = (await namesIn(container)).filter((name) => name !== 'backupmeta');
    expect(new Set(names.map((name) => name.split('.')[1]))).toEqual(new Set(['datafile', 'schema', 'ddl']));
    expect(names.map((name) => Number(name.split('.')[2])).sort((a, b) => a - b)).toEqual(names.map((_, i) => i + 1));
    expect(names).toContain('backupmeta.datafile.000000001');
    expect(names.filter((name) => name.includes('datafile')).length).toBeGreaterThan(3);
    expect(await namesIn((await writeMeta({ version: 0 })).container)).toEqual(['backupmeta']);
  });

  it('is encrypted as BR does it: the IV in front of backupmeta, that of a node in its index, checksum and size of the content', async () => {
    const cipher = { method: 'aes128-ctr', key: new Uint8Array(16).fill(9) } as const;
    const { container } = await writeMeta({ cipher });
    // A second implementation: node:crypto alone.
    const decrypt = (iv: Uint8Array, bytes: Uint8Array) => createCipheriv('aes-128-ctr', cipher.key, iv).update(bytes);
    const stored = await readFile(container, 'backupmeta');
    const meta = messages.decode('BackupMeta', decrypt(stored.subarray(0, 16), stored.subarray(16)));
    const nodes = [meta.fileIndex, meta.schemaIndex, meta.ddlIndexes].flatMap((index) => index?.metaFiles ?? []);
    const ivs = new Set([stored.subarray(0, 16), ...nodes.map((node) => node.cipherIv)].map((iv) => iv.join()));
    expect(ivs.size).toBe(nodes.length + 1);
    for (const { name, cipherIv, sha256, size } of nodes) {
      const content = decrypt(cipherIv, await readFile(container, name));
      expect(BigInt(content.length)).toBe(size);
      expect(new Uint8Array(createHash('sha256').update(content).digest())).toEqual(sha256);
      expect(() => messages.decode('MetaFile', content)).not.toThrow();
    }
  });

  it('counts what the backup takes as BR counts it', async () => {
    for (const cipher of CIPHERS) {
      const { container, files } = await writeMeta({ cipher });
      const { meta } = await readBackupMeta(container, { cipher });
      const nodes = (await all(container.listFiles('backupmeta.'))).reduce((sum, { size }) => sum + size, 0);
      const ofFiles = files.reduce((sum, { size }) => sum + size, 0n);
      const stored = (await readFile(container, 'backupmeta')).length - (cipher === undefined ? 0 : 16);
      // Its own field: a tag of two bytes, a number of three.
      expect(meta.backupSize).toBe(ofFiles + BigInt(nodes + stored - 5));
    }
  });

  it('is the same for the same calls, but for the IVs', async () => {
    const [a, b] = [await writeMeta(), await writeMeta()];
    for (const name of await namesIn(a.container)) {
      expect(await readFile(a.container, name)).toEqual(await readFile(b.container, name));
    }
  });
});

describe('damage', () => {
  it('every flipped byte of every node is found', async () => {
    for (const cipher of [undefined, CIPHERS[3]]) {
      const { container } = await writeMeta({ cipher, nodeBytes: 4000 });
      const reader = await readBackupMeta(container, { cipher });
      for (const name of (await namesIn(container)).filter((one) => one !== 'backupmeta')) {
        const bytes = await readFile(container, name);
        const read = () =>
          name.includes('datafile')
            ? all(reader.files())
            : name.includes('ddl')
              ? reader.ddls()
              : all(reader.schemas());
        for (let i = 0; i < bytes.length; i++) {
          const changed = bytes.slice();
          changed[i] = (changed[i] ?? 0) ^ (1 << (i % 8));
          await writeFile(container, name, changed);
          const error: unknown = await read().catch((cause: unknown) => cause);
          if (!BackupError.is(error, 'CHECKSUM_MISMATCH') || error.file !== name) expect.fail(`${name}, byte ${i}`);
        }
        await writeFile(container, name, bytes);
      }
      await expect(readAll(reader)).resolves.toBeDefined();
    }
  });

  it('a node that is cut, longer, or not there', async () => {
    const { container } = await writeMeta();
    const reader = await readBackupMeta(container);
    const name = 'backupmeta.datafile.000000002';
    const bytes = await readFile(container, name);
    for (const changed of [bytes.subarray(1), new Uint8Array([...bytes, 0]), new Uint8Array(0)]) {
      await writeFile(container, name, changed);
      await expect(all(reader.files())).rejects.toThrow(failsWith('CORRUPT_FILE', { file: name }));
    }
    await container.deleteFile(name);
    const error = await all(reader.files()).catch((cause: unknown) => cause);
    expect(error).toMatchObject({ code: 'FILE_NOT_FOUND', file: name });
    expect(String(error)).toContain(`backupmeta names ${name}, which is not there`);
    // What does not need it is there.
    expect((await all(reader.tables())).length).toBe(3);
  });

  it('a backupmeta that is cut anywhere is refused, or lies behind its own lists', async () => {
    const { container } = await writeMeta({ version: 0 });
    const bytes = await readFile(container, 'backupmeta');
    const reader = await readBackupMeta(container);
    const { files } = await readAll(reader);
    for (let length = 0; length < bytes.length; length += length > 200 && length < 6000 ? 13 : 1) {
      await writeFile(container, 'backupmeta', bytes.subarray(0, length));
      const cut = await readBackupMeta(container).catch((error: unknown) => error);
      if (BackupError.is(cut, 'CORRUPT_FILE')) continue;
      // The end version stands behind the files: none is lost.
      expect(await all((cut as typeof reader).files())).toEqual(files);
    }
  });

  it('a backupmeta that is cut in front of an index is refused: its nodes are there', async () => {
    const { container } = await writeMeta();
    const bytes = await readFile(container, 'backupmeta');
    const whole = await readAll(await readBackupMeta(container));
    for (let length = 0; length < bytes.length; length++) {
      await writeFile(container, 'backupmeta', bytes.subarray(0, length));
      const cut = await readBackupMeta(container).catch((error: unknown) => error);
      if (BackupError.is(cut, 'CORRUPT_FILE')) continue;
      // What comes behind the indexes is for people.
      const { meta: _meta, ...lists } = await readAll(cut as Awaited<ReturnType<typeof readBackupMeta>>);
      expect({ ...lists, meta: undefined }).toEqual({ ...whole, meta: undefined });
    }
  });

  it('no backupmeta, an empty one, one of a schema to come', async () => {
    const container = new MemoryContainer();
    await expect(readBackupMeta(container)).rejects.toThrow(failsWith('FILE_NOT_FOUND', { file: 'backupmeta' }));
    await writeFile(container, 'backupmeta', new Uint8Array(0));
    await expect(readBackupMeta(container)).rejects.toThrow(failsWith('CORRUPT_FILE', { file: 'backupmeta' }));
    await writeFile(container, 'backupmeta', messages.encode('BackupMeta', { endVersion: 5n, version: 2 }));
    await expect(readBackupMeta(container)).rejects.toThrow(failsWith('UNSUPPORTED_FORMAT', { file: 'backupmeta' }));
  });

  it('the wrong key, no key, a key where nothing is encrypted, a key of the wrong length', async () => {
    const [, cipher] = CIPHERS;
    const { container } = await writeMeta({ cipher });
    const other = { method: 'aes128-ctr', key: new Uint8Array(16).fill(77) } as const;
    await expect(readBackupMeta(container, { cipher: other })).rejects.toThrow(failsWith('ENCRYPTION_KEY_WRONG'));
    await expect(readBackupMeta(container)).rejects.toThrow(/if the backup is encrypted, its cipher is needed/);
    const plain = (await writeMeta()).container;
    await expect(readBackupMeta(plain, { cipher })).rejects.toThrow(failsWith('ENCRYPTION_KEY_WRONG'));
    const short = { method: 'aes128-ctr', key: new Uint8Array(15).fill(77) } as const;
    const error = await readBackupMeta(plain, { cipher: short }).catch((cause: unknown) => cause);
    expect(error).toMatchObject({ code: 'INVALID_OPTION' });
    expect(String(error)).not.toMatch(/77|4d4d/);
  });

  it('a node that is encrypted, and no key', async () => {
    const [, cipher] = CIPHERS;
    const { container } = await writeMeta({ cipher });
    const stored = await readFile(container, 'backupmeta');
    const content = createCipheriv('aes-128-ctr', cipher?.key ?? new Uint8Array(0), stored.subarray(0, 16)).update(
      stored.subarray(16),
    );
    await writeFile(container, 'backupmeta', content);
    const reader = await readBackupMeta(container);
    await expect(all(reader.files())).rejects.toThrow(failsWith('ENCRYPTION_KEY_MISSING'));
  });
});

/** A backup whose file index is a tree of these nodes; a node's children must come before it. */
async function withTree(nodes: Readonly<Record<string, BrInit<BrMetaFile>>>, root: BrInit<BrMetaFile>) {
  const container = new MemoryContainer();
  for (const [name, node] of Object.entries(nodes)) {
    await writeFile(container, name, messages.encode('MetaFile', node));
  }
  await writeFile(
    container,
    'backupmeta',
    messages.encode('BackupMeta', { endVersion: 5n, version: 1, fileIndex: root }),
  );
  return readBackupMeta(container);
}

function nodeOf(name: string, node: BrInit<BrMetaFile>): BrInit<BrFile> {
  const content = messages.encode('MetaFile', node);
  return { name, size: BigInt(content.length), sha256: createHash('sha256').update(content).digest() };
}

describe('trees', () => {
  it('of several levels are read in order, leaves in backupmeta itself, too', async () => {
    const a = { dataFiles: [someFile(1), someFile(2)] };
    const b = { dataFiles: [someFile(3)] };
    const middle = { metaFiles: [nodeOf('a', a), nodeOf('b', b)] };
    const root = { dataFiles: [someFile(0)], metaFiles: [nodeOf('middle', middle)] };
    const reader = await withTree({ a, b, middle }, root);
    expect(await all(reader.files())).toEqual([0, 1, 2, 3].map(someFile));
  });

  it('that name a file twice, or themselves, are refused', async () => {
    const a = { dataFiles: [someFile(1)] };
    const twice = await withTree({ a }, { metaFiles: [nodeOf('a', a), nodeOf('a', a)] });
    await expect(all(twice.files())).rejects.toThrow(failsWith('CORRUPT_FILE', { file: 'backupmeta' }));
    // No file can name itself with its own checksum; one that could must not end the reader either.
    const cycle = { metaFiles: [{ name: 'c', size: 0n, sha256: new Uint8Array(32) }] };
    const self = await withTree({ c: cycle }, { metaFiles: [nodeOf('c', cycle)] });
    await expect(all(self.files())).rejects.toThrow(failsWith('CORRUPT_FILE', { file: 'c' }));
  });

  it('that are too deep are refused', async () => {
    let node: BrInit<BrMetaFile> = { dataFiles: [someFile(1)] };
    const nodes: Record<string, BrInit<BrMetaFile>> = {};
    for (let depth = 17; depth > 0; depth--) {
      nodes[`n${depth}`] = node;
      node = { metaFiles: [nodeOf(`n${depth}`, node)] };
    }
    const tooDeep = await withTree(nodes, node);
    await expect(all(tooDeep.files())).rejects.toThrow(failsWith('CORRUPT_FILE', { file: 'n16' }));
    const { n17, ...rest } = nodes;
    expect(n17).toBeDefined();
    const n1 = nodes['n2'];
    const deep = await withTree(nodes, { metaFiles: [nodeOf('n2', n1 ?? {})] });
    expect(Object.keys(rest).length).toBe(16);
    expect(await all(deep.files())).toEqual([someFile(1)]);
  });

  it.each(['../backupmeta', '/etc/passwd', '', 'a\0b', 'a.temp'])('that name %j are refused', async (name) => {
    const reader = await withTree({}, { metaFiles: [{ name, size: 1n, sha256: new Uint8Array(32) }] });
    await expect(all(reader.files())).rejects.toThrow(failsWith('CORRUPT_FILE', { file: 'backupmeta' }));
  });

  it('that claim a node of 2^60 bytes are refused before anything is read', async () => {
    const reader = await withTree({}, { metaFiles: [{ name: 'a', size: 1n << 60n, sha256: new Uint8Array(32) }] });
    await expect(all(reader.files())).rejects.toThrow(failsWith('CORRUPT_FILE', { file: 'backupmeta' }));
  });
});

describe('BackupMetaWriter', () => {
  it('leaves a backup that is there alone, before and at its end', async () => {
    const { container } = await writeMeta();
    await expect(BackupMetaWriter.open({ container })).rejects.toThrow(
      failsWith('FILE_EXISTS', { file: 'backupmeta' }),
    );
    const empty = new MemoryContainer();
    const [one, other] = [
      await BackupMetaWriter.open({ container: empty }),
      await BackupMetaWriter.open({ container: empty }),
    ];
    await one.finish({ endVersion: 5n });
    await expect(other.finish({ endVersion: 6n })).rejects.toThrow(failsWith('FILE_EXISTS', { file: 'backupmeta' }));
    expect((await readBackupMeta(empty)).meta.endVersion).toBe(5n);
  });

  it('passes over nodes that an earlier run has left', async () => {
    const container = new MemoryContainer();
    await writeFile(container, 'backupmeta.datafile.000000001', utf8('left'));
    const writer = await BackupMetaWriter.open({ container });
    await writer.addFiles([someFile(1)]);
    await writer.finish({ endVersion: 5n });
    expect(await readFile(container, 'backupmeta.datafile.000000001')).toEqual(utf8('left'));
    expect(await namesIn(container)).toContain('backupmeta.datafile.000000002');
    expect(await all((await readBackupMeta(container)).files())).toEqual([someFile(1)]);
  });

  it.each([0, 1] as const)('is read in schema %s, whatever nodes an earlier run has left', async (version) => {
    const { container } = await writeMeta();
    await container.deleteFile('backupmeta');
    const writer = await BackupMetaWriter.open({ container, version });
    await writer.finish({ clusterId: 1n, endVersion: 5n });
    const { files, schemas, ddls } = await readAll(await readBackupMeta(container));
    expect([files, schemas, Buffer.from(ddls).toString()]).toEqual([[], [], '[]']);
  });

  it('writes backupmeta last', async () => {
    const container = new MemoryContainer();
    const writer = await BackupMetaWriter.open({ container, nodeBytes: 10 });
    for (let i = 0; i < 3; i++) await writer.addFiles([someFile(i)]);
    expect(await namesIn(container)).toEqual([1, 2, 3].map((i) => `backupmeta.datafile.00000000${i}`));
    await writer.finish({ endVersion: 5n });
    expect(await namesIn(container)).toContain('backupmeta');
  });

  it('takes nothing after a failure, or after its end', async () => {
    const writer = await BackupMetaWriter.open({ container: new MemoryContainer() });
    await expect(writer.finish({})).rejects.toThrow(failsWith('INVALID_OPTION'));
    await expect(writer.addFiles([])).rejects.toThrow(failsWith('INVALID_STATE'));
    const finished = await BackupMetaWriter.open({ container: new MemoryContainer() });
    await finished.finish({ isRawKv: true });
    await expect(finished.finish({ isRawKv: true })).rejects.toThrow(failsWith('INVALID_STATE'));
  });

  it('ends with its signal', async () => {
    const abort = new AbortController();
    const writer = await BackupMetaWriter.open({ container: new MemoryContainer(), signal: abort.signal });
    abort.abort(new Error('enough'));
    await expect(writer.addFiles([someFile(1)])).rejects.toThrow('enough');
  });
});

const why = toolMissing('protoc');

describe.skipIf(why !== undefined)(`judged by protoc${why === undefined ? '' : ` (${why})`}`, () => {
  it('what is written means to it what was given, in both schemas', async () => {
    const files = protoFiles();
    try {
      for (const version of versions) {
        const { container } = await writeMeta({ version, nodeBytes: 1 << 20 });
        const names = await namesIn(container);
        const texts = await Promise.all(
          names.map(async (name) => {
            const type = name === 'backupmeta' ? 'backup.BackupMeta' : 'backup.MetaFile';
            return protocDecode(files, type, await readFile(container, name));
          }),
        );
        const text = texts.join('\n');
        expect(text).not.toMatch(/^\s*\d+:/m); // a field that it does not know
        expect(text.match(/cf: "(default|write)"/g)?.length).toBe(41);
        expect(text).toContain(`end_version: ${END_VERSION}`);
        expect(text).toContain('cluster_version: "\\"5.4.0\\"\\n"');
        expect(text).toContain('crc64xor: 18446744073709551615');
        expect(text.includes('file_index {')).toBe(version === 1);
      }
    } finally {
      files.dispose();
    }
  });

  it('what it writes is read', async () => {
    const files = protoFiles();
    try {
      const leaf = await protocEncode(
        files,
        'backup.MetaFile',
        'data_files { name: "a" size: 7 } data_files { name: "b" }',
      );
      const sha256 = createHash('sha256').update(leaf).digest();
      const quoted = [...sha256].map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('');
      const meta = `end_version: 5 version: 1 file_index { meta_files { name: "leaf" size: ${leaf.length} sha256: "${quoted}" } }`;
      const container = new MemoryContainer();
      await writeFile(container, 'leaf', leaf);
      await writeFile(container, 'backupmeta', await protocEncode(files, 'backup.BackupMeta', meta));
      const reader = await readBackupMeta(container);
      expect((await all(reader.files())).map(({ name, size }) => [name, size])).toEqual([
        ['a', 7n],
        ['b', 0n],
      ]);
    } finally {
      files.dispose();
    }
  });
});
