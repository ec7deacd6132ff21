// Backups whose meta data alone matters.

import { utf8 } from '../../src/core/bytes.js';
import type { BackupMetaReader } from '../../src/br/meta/backup-meta.js';
import { BackupMetaWriter, type BackupMetaWriterOptions } from '../../src/br/meta/backup-meta-writer.js';
import { MemoryContainer } from '../../src/container/memory-container.js';
import type { BrCipher, BrFile } from '../../src/format/br/messages.js';
import type { BackupContainer } from '../../src/ports/backup-container.js';

export const END_VERSION = 436711705384845313n;

export const CIPHERS: readonly (BrCipher | undefined)[] = [
  undefined,
  { method: 'aes128-ctr', key: new Uint8Array(16).fill(1) },
  { method: 'aes192-ctr', key: new Uint8Array(24).fill(2) },
  { method: 'aes256-ctr', key: new Uint8Array(32).fill(3) },
];

export function someFile(i: number): BrFile {
  return {
    name: `1/${i}_2_90eafaa636d17440add6ba1538819ff7_${i}_write.sst`,
    sha256: new Uint8Array(32).fill(i),
    startKey: utf8(`t${i}`),
    endKey: utf8(`t${i + 1}`),
    startVersion: 0n,
    endVersion: END_VERSION,
    crc64xor: (1n << 64n) - BigInt(i + 1),
    totalKvs: BigInt(i),
    totalBytes: BigInt(i * 10),
    tableMetas: [],
    cf: i % 2 === 0 ? 'default' : 'write',
    size: 1000n + BigInt(i),
    cipherIv: new Uint8Array(i % 3 === 0 ? 0 : 16).fill(i),
  };
}

export const DATABASE = utf8('{"id":1,"db_name":{"O":"Shop","L":"shop"}}');
export const TABLES = [
  utf8('{"id":9007199254740993,"name":{"O":"Orders","L":"orders"},"cols":null}'),
  utf8('{"id":65,"name":{"O":"Parts","L":"parts"},"partition":{"definitions":[{"id":66,"name":{"O":"p0","L":"p0"}}]}}'),
];

/** Of 40 files, two tables and an empty database, three DDL jobs, a raw range. */
export async function writeMeta(
  options: Partial<BackupMetaWriterOptions> = {},
): Promise<{ container: MemoryContainer; files: readonly BrFile[] }> {
  const container = new MemoryContainer();
  const files = Array.from({ length: 40 }, (_, i) => someFile(i));
  const writer = await BackupMetaWriter.open({ container, nodeBytes: 1200, ...options });
  for (let i = 0; i < files.length; i += 2) await writer.addFiles(files.slice(i, i + 2));
  for (const table of TABLES) await writer.addSchema({ db: DATABASE, table, totalKvs: 3n, crc64xor: 1n << 63n });
  await writer.addSchema({ db: utf8('{"id":2,"db_name":{"O":"Empty","L":"empty"}}') });
  for (const id of [1, 2, 3]) await writer.addDdl(utf8(`{"id":${id}}`));
  await writer.addRawRange({ startKey: utf8('a'), endKey: utf8('b'), cf: 'default' });
  await writer.finish({
    clusterId: 7155049443847481315n,
    clusterVersion: '"5.4.0"\n',
    brVersion: 'tidemark',
    endVersion: END_VERSION,
    newCollationsEnabled: 'False',
    apiVersion: 'v1',
  });
  return { container, files };
}

export async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}

/** Everything that a reader gives. */
export async function readAll(reader: BackupMetaReader) {
  return {
    meta: reader.meta,
    files: await all(reader.files()),
    schemas: await all(reader.schemas()),
    tables: await all(reader.tables()),
    rawRanges: await all(reader.rawRanges()),
    ranges: await all(reader.ranges()),
    ddls: Buffer.from(await reader.ddls()).toString(),
  };
}

export async function readFile(container: BackupContainer, name: string): Promise<Uint8Array> {
  return container.readFile(name, 0, 1 << 24);
}

export async function writeFile(container: BackupContainer, name: string, bytes: Uint8Array): Promise<void> {
  const file = await container.writeFile(name);
  if (bytes.length > 0) await file.append([bytes]);
  await file.finish();
}

export async function namesIn(container: BackupContainer): Promise<string[]> {
  return (await all(container.listFiles(''))).map(({ name }) => name);
}
