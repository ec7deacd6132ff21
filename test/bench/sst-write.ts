// SstWriter on this thread against RocksDB's own C++ SstFileWriter, on the same rows, in turn: 16-byte keys, 100-byte values of which half compresses, blocks of 64 KiB, CRC-32C.
// Both end with a sync of the file.

import { stat } from 'node:fs/promises';
import path from 'node:path';

import type { SstCompression } from '../../src/format/sst/codec.js';
import { writeWithRocksdb } from '../format/sst/rocksdb-writer.js';
import { toolMissing } from '../servers/judges.js';
import { atLeast, type Bench, DEFAULT_PAIRS, type Figures, inTurn } from './bench.js';
import { SstProcess } from './sst-process.js';
import { BLOCK_SIZE, RESTART_INTERVAL, withSstRows } from './sst-rows.js';

const GOALS: readonly { readonly compression: SstCompression; readonly goal: number }[] = [
  { compression: 'none', goal: 0.5 },
  { compression: 'lz4', goal: 0.5 },
  { compression: 'zstd', goal: 0.8 },
];

export const bench: Bench = async (options) => {
  const { pairs = DEFAULT_PAIRS, log } = options;
  return withSstRows(options, toolMissing('g++ with librocksdb-dev'), async ({ rows, encode, folder }) => {
    await using process = new SstProcess();
    const encoded = encode();
    const figures: Figures = {};
    for (const { compression, goal } of GOALS) {
      log?.(`  ${compression}`);
      const rocksdb = { formatVersion: 2, compression, blockSize: BLOCK_SIZE, restartInterval: RESTART_INTERVAL };
      const theirs = path.join(folder, 'rocksdb.sst');
      const ours = path.join(folder, 'ours.sst');
      const call = { call: 'write', file: ours, sizeMiB: rows.sizeMiB, compression } as const;
      await process.warmUp(call);
      const result = await inTurn(
        async () => 1_000 * (await writeWithRocksdb('bench', theirs, encoded, rocksdb)),
        () => process.time(call),
        pairs,
        log,
      );
      const mib = rows.bytes / (1 << 20);
      figures[`sst.write.${compression}`] = atLeast(result.ratio, goal, 'of RocksDB', {
        rows: rows.count,
        'RocksDB MiB/s': Math.round(mib / (result.a / 1_000)),
        'ours MiB/s': Math.round(mib / (result.b / 1_000)),
        'file bytes, RocksDB': (await stat(theirs)).size,
        'file bytes, ours': (await stat(ours)).size,
        note: 'raw bytes per second, one thread for rows, compression and checksums; ours leaves the writing to a thread of Node',
      });
    }
    return figures;
  });
};
