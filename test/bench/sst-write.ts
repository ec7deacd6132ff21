// SstWriter on this thread against RocksDB's own C++ SstFileWriter, on the same rows, in turn: 16-byte keys, 100-byte values of which half compresses, blocks of 64 KiB, CRC-32C.
// Both end with a sync of the file. It lies in memory where the system has a folder there: otherwise the disk is what is compared.

import { existsSync } from 'node:fs';
import { mkdtemp, open, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

import type { SstCompression } from '../../src/format/sst/codec.js';
import { loadCodec } from '../../src/format/sst/codecs/load-codec.js';
import { inlinePress } from '../../src/format/sst/inline-press.js';
import { loadCrc32c } from '../../src/format/sst/native-crc32c.js';
import { SstWriter } from '../../src/format/sst/sst-writer.js';
import { encodeRows, writeWithRocksdb } from '../format/sst/rocksdb-writer.js';
import type { Row } from '../format/sst/write-rows.js';
import { toolMissing } from '../servers/judges.js';
import { atLeast, type Bench, DEFAULT_PAIRS, type Figures, inTurn } from './bench.js';
import { KEY_BYTES, VALUE_BYTES, numbers } from './messages.js';

const DEFAULT_MIB = 64;
const IN_MEMORY = '/dev/shm';
const BLOCK_SIZE = 64 << 10;
const RESTART_INTERVAL = 16;
const ROW_BYTES = KEY_BYTES + VALUE_BYTES;

const GOALS: readonly { readonly compression: SstCompression; readonly goal: number }[] = [
  { compression: 'none', goal: 0.5 },
  { compression: 'lz4', goal: 0.5 },
  { compression: 'zstd', goal: 0.8 },
];

export function scratch(): string {
  return existsSync(IN_MEMORY) ? IN_MEMORY : tmpdir();
}

export const bench: Bench = async ({ sizeMiB = DEFAULT_MIB, pairs = DEFAULT_PAIRS, directory = scratch(), log }) => {
  const missing = toolMissing('g++ with librocksdb-dev');
  if (missing !== undefined) {
    log?.(`  no figures: ${missing}`);
    return {};
  }
  const rows = benchRows(sizeMiB);
  const encoded = encodeRows(rows);
  const folder = await mkdtemp(path.join(directory, 'tidemark-bench-'));
  try {
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
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
};

/** Of so many values, more than three blocks hold: no compressor sees one twice. Fewer objects than rows: what the garbage collector takes to walk over the bench's own data is not the writer's. */
const DISTINCT_VALUES = 2_048;

/** In memory, as RocksDB's side has them. */
export function benchRows(sizeMiB: number): Row[] {
  const count = Math.ceil((sizeMiB * (1 << 20)) / ROW_BYTES);
  const random = numbers(13);
  const values = Array.from({ length: DISTINCT_VALUES }, () => {
    const value = Buffer.alloc(VALUE_BYTES);
    for (let i = 0; i < VALUE_BYTES / 2; i++) value[i] = random() >>> 24;
    return value;
  });
  const keys = Buffer.alloc(count * KEY_BYTES);
  return Array.from({ length: count }, (_, i) => {
    keys.write(`row ${String(i).padStart(KEY_BYTES - 4, '0')}`, i * KEY_BYTES, 'latin1');
    return [keys.subarray(i * KEY_BYTES, (i + 1) * KEY_BYTES), values[i % DISTINCT_VALUES] as Uint8Array];
  });
}

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
