// Small backups that are sound, and what a restore of them gives: what the fuzzing of whole containers begins with.

import { readFileSync } from 'node:fs';
import path from 'node:path';
import { openEncryptedContainer } from '../../../src/container/encrypted-container.js';
import { MemoryContainer } from '../../../src/container/memory-container.js';
import type { BackupContainer } from '../../../src/ports/backup-container.js';
import { recordChecksums } from '../../../src/restore/record-checksums.js';
import { LAST, sampleBackup } from '../../care/sample-backups.js';
import { contentOf } from '../../care/crashing-container.js';
import { KEY } from '../../container/encrypted-tools.js';
import type { GoldenName } from '../../format/golden.js';
import { digestRows, filesBelow, goldenContainer, goldenFolder, goldenRows } from '../../format/golden.js';
import { put } from '../../restore/container-builder.js';
import { SeededRandom, rowsAt } from '../../restore/log-model.js';

export interface GoodBackup {
  readonly name: string;
  /** As it is stored: encrypted, if it is. */
  readonly files: ReadonlyMap<string, Uint8Array>;
  readonly names: readonly string[];
  readonly open: (inner: BackupContainer) => Promise<BackupContainer>;
  /** Digest of the rows at a version; undefined where nobody knows them. */
  readonly rowsAt: (version: bigint) => string | undefined;
  /** Every data file has a checksum, or an authentication tag for each block. */
  readonly isCovered: boolean;
}

const plain = (inner: BackupContainer) => Promise.resolve(inner);

/** A random history with snapshots, and checksums of everything. `seed` decides about all of it but the files' uids. */
async function own(seed: number, encrypt: boolean): Promise<GoodBackup> {
  const { container, records } = await sampleBackup(new SeededRandom(seed));
  await recordChecksums(container);
  const random = { next: () => 0.5, uid: () => '5a'.repeat(16) };
  const open = encrypt
    ? (inner: BackupContainer) => openEncryptedContainer(inner, { key: KEY, blockSize: 512, random })
    : plain;
  const inner = new MemoryContainer();
  const outer = await open(inner);
  await outer.create();
  for (const [name, bytes] of await contentOf(container)) {
    const file = await outer.writeFile(name);
    await file.append([bytes]);
    await file.finish();
  }
  const files = await contentOf(inner);
  return {
    name: encrypt ? 'own, encrypted' : 'own',
    files,
    names: [...files.keys()],
    open,
    isCovered: true,
    rowsAt(version) {
      if (version < 0n || version >= BigInt(LAST)) return undefined;
      const lines = [...rowsAt(records, version)].map(([key, value]) => `${key} ${value}\n`);
      return digestRows(lines.join('')).sha256;
    },
  };
}

/** Without checksums, as FoundationDB wrote it. */
function golden(name: GoldenName): GoodBackup {
  const root = goldenContainer(name);
  const folder = goldenFolder(name);
  if (root === undefined || folder === undefined) throw new Error(`the fixture ${name} is missing`);
  const expected = JSON.parse(readFileSync(path.join(folder, 'expected.json'), 'utf8')) as { A: number; B: number };
  const files = new Map(filesBelow(root).map((file) => [file, new Uint8Array(readFileSync(path.join(root, file)))]));
  const digests = new Map(
    (['A', 'B'] as const).map((label) => [BigInt(expected[label]), goldenRows(name, label).sha256]),
  );
  return {
    name,
    files,
    names: [...files.keys()],
    open: plain,
    isCovered: false,
    rowsAt: (version) => digests.get(version),
  };
}

let made: Promise<readonly GoodBackup[]> | undefined;

export function goodBackups(): Promise<readonly GoodBackup[]> {
  return (made ??= Promise.all([own(11, false), own(12, false), own(13, true)]).then((backups) => [
    ...backups,
    golden('small3'),
    golden('mlog1'),
  ]));
}

export async function containerOf(files: ReadonlyMap<string, Uint8Array>): Promise<MemoryContainer> {
  const container = new MemoryContainer();
  await container.create();
  for (const [name, bytes] of files) await put(container, name, bytes);
  return container;
}
