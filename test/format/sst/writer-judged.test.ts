// RocksDB's own tools on files of SstWriter: they verify, scan and ingest them.

import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { SstCompression } from '../../../src/format/sst/codec.js';
import type { SstFormatVersion } from '../../../src/format/sst/footer.js';
import { run, toolMissing } from '../../servers/judges.js';
import { asListed, asScanned, largeRows, plainRows, ROW_SETS } from './row-sets.js';
import { COMPRESSIONS, pressFor, type Row, writeSst } from './write-rows.js';

const VERSIONS: readonly SstFormatVersion[] = [2, 3, 4, 5];
const missing = toolMissing('sst_dump') ?? toolMissing('ldb');
const TIMEOUT_MS = 120_000;

describe.skipIf(missing !== undefined)(
  `files of SstWriter before RocksDB's tools${missing === undefined ? '' : `: ${missing}`}`,
  () => {
    let folder: string;
    beforeAll(async () => {
      folder = await mkdtemp(path.join(tmpdir(), 'tidemark-sst-'));
    });
    afterAll(() => rm(folder, { recursive: true, force: true }));

    async function write(
      file: string,
      rows: readonly Row[],
      compression: SstCompression,
      formatVersion: SstFormatVersion,
    ) {
      const press = await pressFor(compression);
      const { bytes } = await writeSst(rows, { press, formatVersion, blockSize: 4_096, batchBytes: 50_000 });
      await writeFile(file, bytes);
    }

    /** One call of the tool for a file or a folder of files. Without the flag it checks no checksum, not even for `verify`. */
    async function dumped(files: string, command: string): Promise<string> {
      return (
        await run('sst_dump', [`--file=${files}`, `--command=${command}`, '--output_hex', '--verify_checksum'])
      ).toString('latin1');
    }

    it.each(ROW_SETS)(
      'verify, check and scan agree with the rows: $name',
      async ({ name, rows }) => {
        const files = path.join(folder, name);
        await mkdir(files);
        const expected = asScanned(rows());
        const cases = COMPRESSIONS.flatMap((compression) => VERSIONS.map((version) => ({ compression, version })));
        for (const { compression, version } of cases) {
          await write(path.join(files, `${compression}-${version}.sst`), rows(), compression, version);
        }
        const verified = await dumped(files, 'verify');
        expect(verified.match(/^The file is ok$/gm)).toHaveLength(cases.length);
        expect(outside(verified)).toBe('');
        expect(outside(await dumped(files, 'check'))).toBe('');
        const scans = (await dumped(files, 'scan')).split(/^Process .*$/m).slice(1);
        expect(scans).toHaveLength(cases.length);
        for (const scan of scans) expect(withoutHead(scan) === expected).toBe(true);
      },
      TIMEOUT_MS,
    );

    it.each(COMPRESSIONS)(
      'values of 0 to 8 MB: verified, scanned, ingested into a fresh RocksDB and read back, %s',
      async (compression) => {
        const rows = largeRows();
        const file = path.join(folder, `large-${compression}.sst`);
        await write(file, rows, compression, 2);
        expect(await dumped(file, 'verify')).toContain('The file is ok');
        expect(withoutHead((await dumped(file, 'scan')).split(/^Process .*$/m)[1] ?? '') === asScanned(rows)).toBe(
          true,
        );
        const db = path.join(folder, `large-db-${compression}`);
        await ingest(db, file);
        expect((await listed(db)) === asListed(rows)).toBe(true);
      },
      TIMEOUT_MS,
    );

    it(
      'a fresh RocksDB ingests them and gives the rows back',
      async () => {
        for (const { name, rows } of ROW_SETS) {
          for (const compression of COMPRESSIONS) {
            const version =
              VERSIONS[(ROW_SETS.findIndex((set) => set.name === name) + COMPRESSIONS.indexOf(compression)) % 4] ?? 2;
            const file = path.join(folder, `ingested-${name}-${compression}.sst`);
            const db = path.join(folder, `db-${name}-${compression}`);
            await write(file, rows(), compression, version);
            await ingest(db, file);
            expect((await listed(db)) === asListed(rows()), `${name}, ${compression}, ${version}`).toBe(true);
          }
        }
      },
      TIMEOUT_MS,
    );

    it(
      'ingestion over older rows writes its sequence number into the file, which stays valid',
      async () => {
        const db = path.join(folder, 'db-overlapping');
        const older = path.join(folder, 'older.sst');
        const newer = path.join(folder, 'newer.sst');
        const rows = plainRows(3_000);
        const changed = rows.map(([key], i): Row => [key, Buffer.from(`newer ${i}`)]);
        for (const version of VERSIONS) {
          await write(older, rows, 'zstd', version);
          await write(newer, changed, 'zstd', version);
          await ingest(db, older);
          await ingest(db, newer, '--write_global_seqno');
          expect((await listed(db)) === asListed(changed)).toBe(true);
        }
        const files = (await readdir(db)).filter((name) => name.endsWith('.sst'));
        expect(files.length).toBeGreaterThan(1);
        const verified = await dumped(db, 'verify');
        expect(verified.match(/^The file is ok$/gm)).toHaveLength(files.length);
        const properties = (await run('sst_dump', [`--file=${db}`, '--command=none', '--show_properties'])).toString();
        const numbers = [...properties.matchAll(/global_seqno: 0x([0-9A-Fa-f]{16})/g)].map(([, hex]) => hex);
        // Written in place: otherwise this shows nothing.
        expect(numbers.some((hex) => hex !== '0000000000000000')).toBe(true);
        await run('ldb', [`--db=${db}`, 'checkconsistency']);
      },
      TIMEOUT_MS,
    );

    it('the tools find a byte that was changed, so that their praise means something', async () => {
      const { bytes } = await writeSst(plainRows(100), { press: await pressFor('none') });
      bytes[1_000] = (bytes[1_000] as number) ^ 1;
      const file = path.join(folder, 'changed.sst');
      await writeFile(file, bytes);
      expect(await dumped(file, 'verify')).not.toContain('The file is ok');
    });

    async function ingest(db: string, file: string, ...options: readonly string[]): Promise<void> {
      await run('ldb', [`--db=${db}`, '--create_if_missing', 'ingest_extern_sst', file, ...options]);
    }

    async function listed(db: string): Promise<string> {
      return (await run('ldb', [`--db=${db}`, 'scan', '--hex'])).toString('latin1');
    }
  },
);

/** What sst_dump says beside the lines that it always prints. */
function outside(output: string): string {
  return output.replaceAll(
    /^(options\.env is .*|Process .*|Sst file format: block-based|from \[\] to \[\]|The file is ok|)\n/gm,
    '',
  );
}

/** A scan without the lines in front of the rows. */
function withoutHead(scan: string): string {
  return scan.replace(/^\nSst file format: block-based\n(from \[\] to \[\]\n)?/, '');
}
