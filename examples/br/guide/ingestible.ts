// ingestible.ts: rows of your own as a file that RocksDB reads, and takes in as it is (IngestExternalFile, `ldb ingest_extern_sst`).

import { open } from 'node:fs/promises';
import { BlockPool, SstWriter, type SstSummary } from 'tidemark/br';

/** Rows in ascending order of their keys' bytes, no key twice: anything else is refused before it is in the file. */
export async function writeSst(
  path: string,
  rows: AsyncIterable<readonly [key: Uint8Array, value: Uint8Array]>,
  numThreads = 2,
): Promise<SstSummary> {
  await using threads = await BlockPool.open({ numThreads });
  const file = await open(path, 'wx');
  try {
    const sink = {
      append: async (chunks: readonly Uint8Array[]) => {
        await file.writev([...chunks]);
      },
    };
    const writer = new SstWriter({ sink, press: await threads.press({ compression: 'zstd' }) });
    try {
      for await (const [key, value] of rows) {
        writer.add(key, value);
        if (writer.pendingBytes > 0) await writer.flush();
      }
      const summary = await writer.finish();
      await file.sync();
      return summary;
    } catch (error) {
      await writer.abort();
      throw error;
    }
  } finally {
    await file.close();
  }
}
