// Rows for SST tests, files written from them in memory, and what RocksDB's tools print of a file.

import type { BlockPress } from '../../../src/format/sst/block-press.js';
import type { SstCompression } from '../../../src/format/sst/codec.js';
import { loadCodec } from '../../../src/format/sst/codecs/load-codec.js';
import { inlinePress } from '../../../src/format/sst/inline-press.js';
import { type SstSummary, SstWriter, type SstWriterOptions } from '../../../src/format/sst/sst-writer.js';

export type Row = readonly [key: Uint8Array, value: Uint8Array];

export const COMPRESSIONS: readonly SstCompression[] = ['none', 'snappy', 'zlib', 'lz4', 'zstd'];

/** Keeps what it is given, as a file does. */
export class MemorySink {
  readonly #chunks: Buffer[] = [];

  append(chunks: readonly Uint8Array[]): Promise<void> {
    for (const chunk of chunks) this.#chunks.push(Buffer.from(chunk));
    return Promise.resolve();
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#chunks);
  }
}

export async function pressFor(compression: SstCompression): Promise<BlockPress> {
  return inlinePress(await loadCodec(compression));
}

export interface WrittenSst {
  readonly bytes: Buffer;
  readonly summary: SstSummary;
}

/** Flushes after every `flushEvery` rows. */
export async function writeSst(
  rows: Iterable<Row>,
  options: Omit<SstWriterOptions, 'sink' | 'press'> & { readonly press: BlockPress; readonly flushEvery?: number },
): Promise<WrittenSst> {
  const { flushEvery = 100, ...others } = options;
  const sink = new MemorySink();
  const writer = new SstWriter({ ...others, sink });
  let added = 0;
  for (const [key, value] of rows) {
    writer.add(key, value);
    if (++added % flushEvery === 0) await writer.flush();
  }
  const summary = await writer.finish();
  return { bytes: sink.bytes, summary };
}
