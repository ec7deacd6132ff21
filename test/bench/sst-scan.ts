// SstReader reading a whole file, every row of it, against RocksDB's sst_dump on the same file, in turn: wall times, the start of the tool's process included. The file is one of RocksDB's own SstFileWriter, with 16-byte keys,
// 100-byte values of which half compresses, blocks of 64 KiB.
//
// `sst_dump --command=verify` checks checksums only if it is told to (--verify_checksum), decompresses nothing and looks at no row; `--command=check` decompresses and goes through the rows. The reader does all of this. So
// uncompressed the figure is against verify with checksums (how long it takes without, when it merely reads the file, is in the details), and with zstd against check.

import { open, stat } from 'node:fs/promises';
import path from 'node:path';

import { SstReader } from '../../src/format/sst/sst-reader.js';
import { writeWithRocksdb } from '../format/sst/rocksdb-writer.js';
import { run, toolMissing } from '../servers/judges.js';
import { atLeast, type Bench, DEFAULT_PAIRS, type Figures, inTurn } from './bench.js';
import { BLOCK_SIZE, RESTART_INTERVAL, withSstRows } from './sst-rows.js';

export const bench: Bench = async (options) => {
  const { pairs = DEFAULT_PAIRS, log } = options;
  const missing = toolMissing('sst_dump') ?? toolMissing('g++ with librocksdb-dev');
  return withSstRows(options, missing, async ({ rows, encoded, folder }) => {
    const figures: Figures = {};
    for (const compression of ['none', 'zstd'] as const) {
      log?.(`  ${compression}`);
      const file = path.join(folder, `${compression}.sst`);
      await writeWithRocksdb('write', file, encoded, {
        formatVersion: 2,
        compression,
        blockSize: BLOCK_SIZE,
        restartInterval: RESTART_INTERVAL,
      });
      const command = compression === 'none' ? 'verify' : 'check';
      const compare = (flags: readonly string[]) =>
        inTurn(
          () => timeTool(file, flags),
          () => timeReader(file, rows.length),
          pairs,
          log,
        );
      const checked = await compare([`--command=${command}`, '--verify_checksum']);
      const merelyRead = await compare(['--command=verify']);
      figures[compression === 'none' ? 'sst.scan' : `sst.scan.${compression}`] = atLeast(
        checked.ratio,
        0.5,
        'of sst_dump',
        {
          rows: rows.length,
          'file bytes': (await stat(file)).size,
          tool: `${command} --verify_checksum`,
          'tool ms': Math.round(checked.a),
          'ours ms': Math.round(checked.b),
          'ratio to verify without checksums': Number(merelyRead.ratio.toFixed(2)),
          'its ms': Math.round(merelyRead.a),
        },
      );
    }
    return figures;
  });
};

async function timeTool(file: string, flags: readonly string[]): Promise<number> {
  const begin = performance.now();
  const output = await run('sst_dump', [`--file=${file}`, ...flags]);
  const took = performance.now() - begin;
  if (flags.includes('--command=verify') && !output.includes('The file is ok'))
    throw new Error(`sst_dump refuses ${file}`);
  return took;
}

async function timeReader(name: string, rows: number): Promise<number> {
  const begin = performance.now();
  const handle = await open(name);
  try {
    const { size } = await handle.stat();
    const read = async (offset: number, length: number) => {
      const bytes = new Uint8Array(length);
      const { bytesRead } = await handle.read(bytes, 0, length, offset);
      return bytes.subarray(0, bytesRead);
    };
    const reader = await SstReader.open({ name, size, read });
    let seen = 0;
    for await (const batch of reader.entries()) seen += batch.count;
    if (seen !== rows) throw new Error(`read ${seen} rows of ${rows}`);
  } finally {
    await handle.close();
  }
  return performance.now() - begin;
}
