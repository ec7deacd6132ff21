// SstWriter on this thread against RocksDB's own C++ SstFileWriter, on the same rows, in turn: 16-byte keys, 100-byte values of which half compresses, blocks of 64 KiB, CRC-32C.
// Both end with a sync of the file.

import { open, stat } from 'node:fs/promises';
import path from 'node:path';

import type { SstCompression } from '../../src/format/sst/codec.js';
import { loadCodec } from '../../src/format/sst/codecs/load-codec.js';
import { inlinePress } from '../../src/format/sst/inline-press.js';
import { loadCrc32c } from '../../src/format/sst/native-crc32c.js';
import { SstWriter } from '../../src/format/sst/sst-writer.js';
import { writeWithRocksdb } from '../format/sst/rocksdb-writer.js';
import type { Row } from '../format/sst/write-rows.js';
import { toolMissing } from '../servers/judges.js';
import { atLeast, type Bench, DEFAULT_PAIRS, type Figures, inTurn } from './bench.js';
import { BLOCK_SIZE, RESTART_INTERVAL, ROW_BYTES, withSstRows } from './sst-rows.js';

const GOALS: readonly { readonly compression: SstCompression; readonly goal: number }[] = [
  { compression: 'none', goal: 0.5 },
  { compression: 'lz4', goal: 0.5 },
  { compression: 'zstd', goal: 0.8 },
];

export const bench: Bench = async (options) => {
  const { pairs = DEFAULT_PAIRS, log } = options;
  return withSstRows(options, toolMissing('g++ with librocksdb-dev'), async ({ rows, encoded, folder }) => {
    const figures: Figures = {};
    for (const { compression, goal } of GOALS) {
      log?.(`  ${compression}`);
      const rocksdb = { formatVersion: 2, compression, blockSize: BLOCK_SIZE, restartInterval: RESTART_INTERVAL };
      const theirs = path.join(folder, 'rocksdb.sst');
      const ours = path.join(folder, 'ours.sst');
      const result = await inTurn(
        async () => 1_000 * (await writeWithRocksdb('bench', theirs, encoded, rocksdb)),
        () => timeWriter(ours, rows, compression),
        pairs,
        log,
      );
      const mib = (rows.length * ROW_BYTES) / (1 << 20);
      figures[`sst.write.${compression}`] = atLeast(result.ratio, goal, 'of RocksDB', {
        rows: rows.length,
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

/** ms from opening the file to having finished it. */
export async function timeWriter(file: string, rows: readonly Row[], compression: SstCompression): Promise<number> {
  const press = inlinePress(await loadCodec(compression, { level: 3 }), await loadCrc32c());
  const begin = performance.now();
  const handle = await open(file, 'w');
  try {
    const sink = {
      append: async (chunks: readonly Uint8Array[]) => {
        await handle.writev(chunks as Uint8Array[]);
      },
    };
    const writer = new SstWriter({ sink, press, blockSize: BLOCK_SIZE, restartInterval: RESTART_INTERVAL });
    for (const [key, value] of rows) {
      writer.add(key, value);
      if (writer.pendingBytes > 0) await writer.flush();
    }
    await writer.finish();
    await handle.sync();
  } finally {
    await handle.close();
  }
  return performance.now() - begin;
}
