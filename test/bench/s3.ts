// Log files into S3 through S3Container, against the SDK's own `Upload` (@aws-sdk/lib-storage) of the same bytes in files of the same size to the same server.
// --size is in MiB; the default is 1 GiB. The server is s3rver on loopback, in a process of its own: what it and the loopback cost, both pay.

import { randomFillSync } from 'node:crypto';
import { Upload } from '@aws-sdk/lib-storage';
import { openS3Container } from '../../src/container/s3/open-s3-container.js';
import { S3_CREDENTIALS, startS3 } from '../servers/s3.js';
import { MIB } from './backup.js';
import { atLeast, inTurn, type BenchOptions, type Figures } from './bench.js';

const DEFAULT_SIZE_MIB = 1024;
/** As a worker writes them by default, and as it hands them over. */
const FILE_MIB = 32;
const CHUNK_BYTES = 256 * 1024;
const PART_BYTES = 8 * MIB;
const PARTS_IN_PARALLEL = 4;
/** A pair moves 2 GiB; fewer of them count than elsewhere. */
const PAIRS = 3;
/** As many as a worker writes at once. */
const FILES_AT_ONCE = 2;

export async function bench(options: BenchOptions): Promise<Figures> {
  const sizeMiB = options.sizeMiB ?? DEFAULT_SIZE_MIB;
  const files = Math.max(1, Math.round(sizeMiB / FILE_MIB));
  const server = await startS3();
  const bytes = randomFillSync(new Uint8Array(FILE_MIB * MIB));
  const url = `s3://tidemark-bench/log?endpoint=${server.url}&region=us-east-1`;
  const container = openS3Container(url, {
    credentials: S3_CREDENTIALS,
    partSize: PART_BYTES,
    partsInParallel: PARTS_IN_PARALLEL * FILES_AT_ONCE,
  });
  const client = server.client();
  try {
    await container.create();
    const store = async (name: string) => {
      const file = await container.writeFile(name);
      for (let at = 0; at < bytes.length; at += CHUNK_BYTES) await file.append([bytes.subarray(at, at + CHUNK_BYTES)]);
      await file.finish();
    };
    const upload = async (name: string) => {
      await new Upload({
        client,
        params: { Bucket: 'tidemark-bench', Key: `upload/${name}`, Body: bytes },
        partSize: PART_BYTES,
        queueSize: PARTS_IN_PARALLEL,
      }).done();
    };
    const pairs = options.pairs ?? PAIRS;
    // Time of `Upload` over ours: 1 is as fast, less is slower.
    const { ratio, a, b } = await inTurn(
      () => timed(files, upload),
      () => timed(files, store),
      pairs,
      options.log,
    );
    const rate = (ms: number) => `${Math.round((files * FILE_MIB) / (ms / 1000))} MiB/s`;
    const detail = `${files} files of ${FILE_MIB} MiB, ${FILES_AT_ONCE} at a time: S3Container ${rate(b)}, Upload ${rate(a)}; median of ${pairs} pairs`;
    return { s3: atLeast(ratio, 0.9, "of Upload's speed", detail) };
  } finally {
    container.close();
    client.destroy();
    await server.stop();
  }
}

/** The same names each time: what was there is replaced, and the disk does not fill. */
async function timed(files: number, write: (name: string) => Promise<void>): Promise<number> {
  const begun = performance.now();
  let next = 0;
  const writer = async () => {
    for (let file = next++; file < files; file = next++) await write(`file-${file}`);
  };
  await Promise.all(Array.from({ length: FILES_AT_ONCE }, writer));
  return performance.now() - begun;
}
