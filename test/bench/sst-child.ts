// The process in which our side of the SST benches runs, call by call. RocksDB's side is a program that is started for every run, and starting one makes the memory of whoever starts it dear: each of its pages is copied when it is
// touched next. So that is left to the bench's own process.

import { open } from 'node:fs/promises';

import type { SstCompression } from '../../src/format/sst/codec.js';
import { loadCodec } from '../../src/format/sst/codecs/load-codec.js';
import { inlinePress } from '../../src/format/sst/inline-press.js';
import { loadCrc32c } from '../../src/format/sst/native-crc32c.js';
import { SstReader } from '../../src/format/sst/sst-reader.js';
import { SstWriter } from '../../src/format/sst/sst-writer.js';
import { BLOCK_SIZE, RESTART_INTERVAL, SstRows } from './sst-rows.js';

/** What the bench asks for; the answer is how long it took, in ms. */
export type SstCall =
  | {
      readonly call: 'write';
      readonly file: string;
      readonly sizeMiB: number;
      readonly compression: SstCompression;
    }
  | { readonly call: 'scan'; readonly file: string; readonly rows: number };

/** From opening the file to having finished it, with a sync. */
async function write(file: string, rows: SstRows, compression: SstCompression): Promise<number> {
  const press = inlinePress(await loadCodec(compression, { level: 3 }), await loadCrc32c());
  const begin = performance.now();
  const handle = await open(file, 'w');
  try {
    const sink = {
      append: async (chunks: readonly Uint8Array[]) => {
        await handle.writev(chunks as Uint8Array[]);
      },
    };
    await rows.writeTo(new SstWriter({ sink, press, blockSize: BLOCK_SIZE, restartInterval: RESTART_INTERVAL }));
    await handle.sync();
  } finally {
    await handle.close();
  }
  return performance.now() - begin;
}

/** Every row of the file. RocksDB's iterators use their memory again, too. */
async function scan(name: string, rows: number): Promise<number> {
  const begin = performance.now();
  const handle = await open(name);
  try {
    const { size } = await handle.stat();
    const read = async (offset: number, length: number) => {
      // As DirectoryContainer does: not zeroed first.
      const bytes = Buffer.allocUnsafeSlow(length);
      const { bytesRead } = await handle.read(bytes, 0, length, offset);
      return bytes.subarray(0, bytesRead);
    };
    const reader = await SstReader.open({ name, size, read });
    let seen = 0;
    for await (const batch of reader.entries({ reuse: true })) seen += batch.count;
    if (seen !== rows) throw new Error(`read ${seen} rows of ${rows}`);
  } finally {
    await handle.close();
  }
  return performance.now() - begin;
}

function run(call: SstCall): Promise<number> {
  if (call.call === 'scan') return scan(call.file, call.rows);
  return write(call.file, new SstRows(call.sizeMiB), call.compression);
}

process.on('message', (call: SstCall) => {
  run(call).then(
    (ms) => process.send?.(ms),
    (error: unknown) => {
      console.error(error);
      process.exit(1);
    },
  );
});
