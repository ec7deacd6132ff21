// SstReader reading a whole file, every row of it, against RocksDB's sst_dump on the same file, in turn: wall times, the start of the tool's process included. The file is one of RocksDB's own SstFileWriter, with 16-byte keys,
// 100-byte values of which half compresses, blocks of 64 KiB.
//
// `sst_dump --command=verify` reads every block, and checks checksums only if it is told to (--verify_checksum); it decompresses nothing and looks at no row. `--command=check` decompresses and goes through the rows. The reader
// does all of it. So with zstd the figure is against check with checksums; uncompressed it is against the bare verify, and what it is against verify with checksums is in the details.

import { stat } from 'node:fs/promises';
import path from 'node:path';

import { writeWithRocksdb } from '../format/sst/rocksdb-writer.js';
import { run, toolMissing } from '../servers/judges.js';
import { atLeast, type Bench, DEFAULT_PAIRS, type Figures, inTurn } from './bench.js';
import { SstProcess } from './sst-process.js';
import { BLOCK_SIZE, RESTART_INTERVAL, withSstRows } from './sst-rows.js';

export const bench: Bench = async (options) => {
  const { pairs = DEFAULT_PAIRS, log } = options;
  const missing = toolMissing('sst_dump') ?? toolMissing('g++ with librocksdb-dev');
  return withSstRows(options, missing, async ({ rows, encode, folder }) => {
    await using process = new SstProcess();
    const figures: Figures = {};
    for (const compression of ['none', 'zstd'] as const) {
      log?.(`  ${compression}`);
      const file = path.join(folder, `${compression}.sst`);
      await writeWithRocksdb('write', file, encode(), {
        formatVersion: 2,
        compression,
        blockSize: BLOCK_SIZE,
        restartInterval: RESTART_INTERVAL,
      });
      const call = { call: 'scan', file, rows: rows.count } as const;
      await process.warmUp(call);
      const compare = (flags: readonly string[]) =>
        inTurn(
          () => timeTool(file, flags),
          () => process.time(call),
          pairs,
          log,
        );
      const checked = await compare([`--command=${compression === 'none' ? 'verify' : 'check'}`, '--verify_checksum']);
      const bare = await compare(['--command=verify']);
      const [name, compared, against] =
        compression === 'none' ? ['sst.scan', bare, 'verify'] : ['sst.scan.zstd', checked, 'check --verify_checksum'];
      figures[name] = atLeast(compared.ratio, 0.5, 'of sst_dump', {
        rows: rows.count,
        'file bytes': (await stat(file)).size,
        tool: against,
        'tool ms': Math.round(compared.a),
        'ours ms': Math.round(compared.b),
        'ratio to verify': Number(bare.ratio.toFixed(2)),
        'ratio with --verify_checksum': Number(checked.ratio.toFixed(2)),
      });
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
