import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { text as streamText } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runInspect } from '../../examples/inspect/run.js';
import { inspectBackupMeta, renderBackupMeta, renderBackupMetaJson } from '../../src/br/meta/inspect-backup-meta.js';
import { BackupMetaWriter } from '../../src/br/meta/backup-meta-writer.js';
import { DirectoryContainer } from '../../src/container/directory-container.js';
import { MemoryContainer } from '../../src/container/memory-container.js';
import { fromHex, utf8 } from '../../src/core/bytes.js';
import type { BrCipher, BrFile } from '../../src/format/br/messages.js';
import type { BackupContainer } from '../../src/ports/backup-container.js';
import { runAnyhow } from '../servers/judges.js';
import { all, CIPHERS, DATABASE, END_VERSION, someFile, TABLES, writeMeta } from './meta-backups.js';

const KEY_BYTES = 16;

/** The file of mbr's README. */
const MBR_FILE: BrFile = {
  ...someFile(0),
  name: '1_2_30_90eafaa636d17440add6ba1538819ff7087eaf564d641bafda9a1a8af6e1e386_1665922948478_write.sst',
  sha256: fromHex('EDBF44C8EEBD7689E0B7053D9273DB2B8DAAD39756E4DD0EB9C5D522285C2E77'),
  startKey: fromHex('74800000000000003F5F720000000000000000'),
  endKey: fromHex('74800000000000003F5F72FFFFFFFFFFFFFFFF00'),
  crc64xor: 284354599813761836n,
  totalKvs: 1n,
  totalBytes: 27n,
  cf: 'write',
  size: 1499n,
  cipherIv: fromHex('9FD154CD2C0938F911192A6E5FD3F7B1'),
};

const MBR_TEXT = `cluster_version: "5.4.0"
cluster_id: 7155049443847481315
version: 0
start_version: 0
end_version: 436711705384845313
is_raw_kv: false
backup_result: 
new_collations_enabled: False
  ---------------------
    "filename": 1_2_30_90eafaa636d17440add6ba1538819ff7087eaf564d641bafda9a1a8af6e1e386_1665922948478_write.sst
    "sha256": EDBF44C8EEBD7689E0B7053D9273DB2B8DAAD39756E4DD0EB9C5D522285C2E77
    "start_key": 74800000000000003F5F720000000000000000
    "end_key": 74800000000000003F5F72FFFFFFFFFFFFFFFF00
    "start_version": 0
    "end_version": 436711705384845313
    "crc64xor": 284354599813761836
    "total_kvs": 1
    "cf": write
    "size": 1499
    "cipher_iv": 9FD154CD2C0938F911192A6E5FD3F7B1
`;

const TABLE_TEXT = `  ---------------------
    "db": Shop
    "db_id": 1
    "table": Parts
    "table_id": 65
    "partition": p0
    "partition_id": 66
    "crc64xor": 9223372036854775808
    "total_kvs": 3
    "total_bytes": 30
`;

async function writeMbr(container: BackupContainer, tables: boolean, cipher?: BrCipher): Promise<void> {
  const writer = await BackupMetaWriter.open({ container, version: 0, cipher });
  await writer.addFiles([MBR_FILE]);
  const [, table] = TABLES;
  if (tables && table !== undefined) {
    await writer.addSchema({ db: DATABASE, table, crc64xor: 1n << 63n, totalKvs: 3n, totalBytes: 30n });
  }
  await writer.finish({
    clusterId: 7155049443847481315n,
    clusterVersion: '"5.4.0"\n',
    endVersion: END_VERSION,
    newCollationsEnabled: 'False',
  });
}

const textOf = async (container: BackupContainer) =>
  (await all(renderBackupMeta(await inspectBackupMeta(container)))).join('');

const jsonOf = async (container: BackupContainer): Promise<unknown> =>
  JSON.parse((await all(renderBackupMetaJson(await inspectBackupMeta(container)))).join(''));

describe('a backup described', () => {
  it('as mbr prints it', async () => {
    const container = new MemoryContainer();
    await writeMbr(container, false);
    expect(await textOf(container)).toBe(MBR_TEXT);
  });

  it('with its tables and raw ranges, which mbr leaves out', async () => {
    const container = new MemoryContainer();
    await writeMbr(container, true);
    expect(await textOf(container)).toBe(MBR_TEXT + TABLE_TEXT);
    const text = await textOf((await writeMeta()).container);
    expect(text).toContain('  ---------------------\n    "db": Empty\n    "db_id": 2\n  ---------------------\n');
    expect(text).toContain('"raw_range_start_key": 61\n    "raw_range_end_key": 62\n    "raw_range_cf": default\n');
    expect(text.match(/"filename"/g)?.length).toBe(40);
  });

  it('as JSON: names of the protocol, numbers of 64 bits as strings', async () => {
    const container = new MemoryContainer();
    await writeMbr(container, true);
    expect(await jsonOf(container)).toMatchObject({
      file: 'backupmeta',
      sha256: expect.stringMatching(/^[0-9A-F]{64}$/) as string,
      cluster_version: '"5.4.0"\n',
      cluster_id: '7155049443847481315',
      version: 0,
      start_version: '0',
      end_version: '436711705384845313',
      is_raw_kv: false,
      files: [
        {
          filename: MBR_FILE.name,
          sha256: 'EDBF44C8EEBD7689E0B7053D9273DB2B8DAAD39756E4DD0EB9C5D522285C2E77',
          start_key: '74800000000000003F5F720000000000000000',
          end_key: '74800000000000003F5F72FFFFFFFFFFFFFFFF00',
          crc64xor: '284354599813761836',
          total_kvs: '1',
          total_bytes: '27',
          cf: 'write',
          size: '1499',
          cipher_iv: '9FD154CD2C0938F911192A6E5FD3F7B1',
        },
      ],
      tables: [
        { db: { id: '1', name: 'Shop' }, table: { id: '65', name: 'Parts', partitions: [{ id: '66', name: 'p0' }] } },
      ],
      raw_ranges: [],
    });
    const { files, tables } = (await jsonOf((await writeMeta()).container)) as { files: unknown[]; tables: unknown[] };
    expect([files.length, tables.length]).toEqual([40, 3]);
  });

  it('does not let what a backup names make lines of its own, or steer a terminal', async () => {
    const container = new MemoryContainer();
    const writer = await BackupMetaWriter.open({ container });
    await writer.addFiles([{ ...someFile(1), name: 'a\n    "size": 0\u001b[2J\u202e', cf: 'x\r\u2028' }]);
    await writer.addSchema({ db: utf8(JSON.stringify({ id: 1, db_name: 'd\u0007' })) });
    await writer.finish({ endVersion: 5n, clusterVersion: 'v8\nis_raw_kv: true' });
    const text = await textOf(container);
    expect(text).toContain('"filename": a\\u{a}    "size": 0\\u{1b}[2J\\u{202e}\n');
    expect(text).toContain('cluster_version: v8\\u{a}is_raw_kv: true\n');
    expect(text.replace(/\n/g, '')).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}]/u);
    expect(await jsonOf(container)).toMatchObject({ files: [{ filename: 'a\n    "size": 0\u001b[2J\u202e' }] });
  });
});

describe('npm run inspect', () => {
  let folder = '';
  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'tidemark-inspect-'));
    const write = async (name: string, cipher?: BrCipher) => {
      const container = new DirectoryContainer(path.join(folder, name));
      await container.create();
      await writeMbr(container, true, cipher);
    };
    await write('plain');
    await write('encrypted', CIPHERS[1]);
    await writeFile(path.join(folder, 'key'), `${'01'.repeat(KEY_BYTES)}\n`);
    await writeFile(path.join(folder, 'other-key'), '02'.repeat(KEY_BYTES));
    await writeFile(path.join(folder, 'no-key'), 'secret');
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  /** In this process: another one takes seconds to load the sources. */
  async function inspect(...args: string[]) {
    const out = new PassThrough();
    const text = streamText(out);
    let stderr = '';
    const status = await runInspect(args, { out, complain: (line) => (stderr += `${line}\n`) });
    out.end();
    return { status, stdout: await text, stderr };
  }
  const at = (...names: string[]) => path.join(folder, ...names);

  it('prints a folder, and a file', async () => {
    const [ofFolder, ofFile] = [
      await inspect('backupmeta', at('plain')),
      await inspect('backupmeta', at('plain', 'backupmeta')),
    ];
    expect(ofFolder).toEqual({ status: 0, stdout: MBR_TEXT + TABLE_TEXT, stderr: '' });
    expect(ofFile).toEqual(ofFolder);
  });

  it('is a program', async () => {
    const root = path.join(import.meta.dirname, '../..');
    const args = [path.join(root, 'examples/inspect/cli.ts'), 'backupmeta', at('plain')];
    const { status, stdout } = await runAnyhow(path.join(root, 'node_modules/.bin/tsx'), args, { cwd: root });
    expect([status, stdout.toString()]).toEqual([0, MBR_TEXT + TABLE_TEXT]);
  }, 60_000);

  it('prints JSON', async () => {
    const { status, stdout } = await inspect('backupmeta', at('plain'), '--json');
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ cluster_id: '7155049443847481315', files: [{ size: '1499' }] });
  });

  it('reads an encrypted one with its key', async () => {
    const { status, stdout } = await inspect('backupmeta', at('encrypted'), '--key-file', at('key'));
    expect([status, stdout]).toEqual([0, MBR_TEXT + TABLE_TEXT]);
  });

  it.each<[string, number, RegExp, () => string[]]>([
    ['a wrong key', 1, /^ENCRYPTION_KEY_WRONG: /, () => ['backupmeta', at('encrypted'), '--key-file', at('other-key')]],
    ['no key', 1, /^CORRUPT_FILE: .*cipher is needed/, () => ['backupmeta', at('encrypted')]],
    ['no backup', 1, /^FILE_NOT_FOUND: /, () => ['backupmeta', folder]],
    ['no such folder', 1, /^ENOENT/, () => ['backupmeta', at('nowhere')]],
    [
      'a file that is no key',
      2,
      /should hold a key in hex/,
      () => ['backupmeta', at('plain'), '--key-file', at('no-key')],
    ],
    ['another job', 2, /the job must be backupmeta, got sst/, () => ['sst', at('plain')]],
    ['no path', 2, /needs one PATH/, () => ['backupmeta']],
    ['an unknown flag', 2, /--yaml/, () => ['backupmeta', at('plain'), '--yaml']],
    [
      'a method of another length',
      1,
      /^INVALID_OPTION: /,
      () => ['backupmeta', at('encrypted'), '--key-file', at('key'), '--method', 'aes256-ctr'],
    ],
  ])('says what is wrong: %s', async (_what, status, message, args) => {
    const result = await inspect(...args());
    expect(result).toMatchObject({ status, stdout: '', stderr: expect.stringMatching(message) as string });
    expect(result.stderr).not.toMatch(/secret|0101|0202|\n {4}at /);
  });
});
