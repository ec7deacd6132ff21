// How fast the tags' logs are merged into one stream, to a target that only counts, and whether memory stays flat while that happens.
// --size is in MiB of log files; the default is 4 M mutations over 32 tags.

import { systemClock } from '../../src/core/clock.js';
import { encodeMutation } from '../../src/core/mutation.js';
import { FileSumsBuilder, encodeFileSums, parseSumsFileName } from '../../src/format/fdb/file-sums.js';
import { logFileName } from '../../src/format/fdb/names.js';
import type { BackupContainer } from '../../src/ports/backup-container.js';
import { mergeLogs } from '../../src/restore/log-merge.js';
import type { LogPiece, TagPieces } from '../../src/restore/restore-set.js';
import { DEFAULT_PAIRS, atLeast, atMost, median, type BenchOptions, type Figures } from './bench.js';

const TAGS = 32;
const MUTATIONS = 4_000_000;
const GOAL = 4_000_000;
const BLOCK = 1 << 20;
const MIB = 1 << 20;
const VERSIONS_PER_FILE = 20_000;
/** What may be used more in the second half of a merge than in the first: collections do not come at fixed times. */
const FLAT_MIB = 16;

const MUTATION = Buffer.from(
  encodeMutation({ type: 0, param1: Buffer.alloc(16, 'k'), param2: Buffer.alloc(100, 'v') }),
);
const RECORD_BYTES = 16 + MUTATION.length;
const RECORDS_PER_BLOCK = Math.floor((BLOCK - 4) / RECORD_BYTES);

export async function bench(options: BenchOptions): Promise<Figures> {
  const mutations = options.sizeMiB === undefined ? MUTATIONS : Math.floor((options.sizeMiB * MIB) / RECORD_BYTES);
  const tags = layOut(Math.floor(mutations / TAGS));
  const runs: Run[] = [];
  // The first run is the compiler's warm-up.
  for (let run = 0; run <= (options.pairs ?? DEFAULT_PAIRS); run++) runs.push(await merge(tags));
  const counted = runs.slice(1);
  const rate = median(counted.map(({ count, ms }) => count / (ms / 1000)));
  const growth = median(counted.map((run) => run.growthMiB));
  const detail = `${counted[0]?.count ?? 0} mutations of 16 + 100 bytes over ${TAGS} tags, version by version; decoding and checksums included`;
  return {
    merge: atLeast(rate, GOAL, 'mutations/s', detail),
    'merge.memory': atMost(
      growth,
      FLAT_MIB,
      'MiB',
      `largest RSS in the second half of a merge less that in the first; ${counted[0]?.rssMiB ?? 0} MiB in all`,
    ),
  };
}

interface Run {
  readonly count: number;
  readonly ms: number;
  readonly growthMiB: number;
  readonly rssMiB: number;
}

async function merge(tags: readonly TagPieces[]): Promise<Run> {
  const files = new GeneratedFiles(tags.flatMap(({ pieces }) => pieces));
  const resident: number[] = [];
  let count = 0;
  const began = performance.now();
  for await (const batch of mergeLogs(files.container, tags, { clock: systemClock })) {
    count += batch.count;
    if (resident.length * 250_000 < count) resident.push(process.memoryUsage.rss() / MIB);
  }
  const ms = performance.now() - began - files.makingMs;
  const half = resident.length >> 1;
  const growthMiB = Math.max(...resident.slice(half)) - Math.max(...resident.slice(0, half));
  return { count, ms, growthMiB, rssMiB: Math.round(Math.max(...resident)) };
}

function layOut(versions: number): TagPieces[] {
  const uid = '0'.repeat(32);
  return Array.from({ length: TAGS }, (_, tag) => {
    const pieces: LogPiece[] = [];
    for (let from = 1; from <= versions; from += VERSIONS_PER_FILE) {
      const to = Math.min(from + VERSIONS_PER_FILE, versions + 1);
      const range = { begin: BigInt(from), end: BigInt(to) };
      const file = {
        ...range,
        uid,
        tag,
        totalTags: TAGS,
        blockSize: BLOCK,
        name: logFileName({ ...range, uid, tag, totalTags: TAGS, blockSize: BLOCK }),
        size: fileBytes(to - from),
      };
      pieces.push({ ...range, file });
    }
    return { tag, pieces };
  });
}

function fileBytes(records: number): number {
  const fullBlocks = Math.ceil(records / RECORDS_PER_BLOCK) - 1;
  return fullBlocks * BLOCK + 4 + (records - fullBlocks * RECORDS_PER_BLOCK) * RECORD_BYTES;
}

/** Every version has one mutation of each tag, with subsequences dealt in turn: the merge changes the tag with every record. */
function makeFile({ file, begin, end }: LogPiece): Buffer {
  const bytes = Buffer.alloc(file.size, 0xff);
  const first = Number(begin);
  for (let i = 0; i < Number(end - begin); i++) {
    const inBlock = i % RECORDS_PER_BLOCK;
    const block = ((i - inBlock) / RECORDS_PER_BLOCK) * BLOCK;
    if (inBlock === 0) bytes.writeUInt32LE(4110, block);
    const at = block + 4 + inBlock * RECORD_BYTES;
    bytes.writeUInt32BE(0, at);
    bytes.writeUInt32BE(first + i, at + 4);
    bytes.writeUInt32BE(((file.tag + first + i) % TAGS) + 1, at + 8);
    bytes.writeUInt32BE(MUTATION.length, at + 12);
    MUTATION.copy(bytes, at + 16);
  }
  return bytes;
}

/** The files are the same in every run. */
const sumsOfFiles = new Map<string, Uint8Array>();

/** Files that are made when they are first read from, and forgotten after: the container must not be what fills the memory. The time for it does not count. */
class GeneratedFiles {
  readonly container: BackupContainer;
  readonly #current = new Map<number, { readonly name: string; readonly bytes: Buffer }>();
  readonly #pieces: ReadonlyMap<string, LogPiece>;
  makingMs = 0;

  constructor(pieces: readonly LogPiece[]) {
    this.#pieces = new Map(pieces.map((piece) => [piece.file.name, piece]));
    const refuse = () => Promise.reject(new Error('this container can only be read'));
    this.container = {
      url: 'bench:',
      create: refuse,
      exists: () => Promise.resolve(true),
      writeFile: refuse,
      deleteFile: refuse,
      listFiles: () => {
        throw new Error('this container is not listed');
      },
      readFile: (name, offset, length) => Promise.resolve(this.#read(name, offset, length)),
    };
  }

  #read(name: string, offset: number, length: number): Uint8Array {
    const summed = parseSumsFileName(name);
    if (summed !== undefined) return this.#sums(summed).subarray(offset, offset + length);
    return new Uint8Array(this.#file(name).subarray(offset, offset + length));
  }

  #sums(name: string): Uint8Array {
    const piece = this.#pieces.get(name);
    if (piece === undefined) throw new Error(`no file ${name}`);
    const known = sumsOfFiles.get(name);
    if (known !== undefined) return known;
    const began = performance.now();
    const builder = new FileSumsBuilder(BLOCK);
    builder.update(makeFile(piece));
    const sums = encodeFileSums(builder.build());
    sumsOfFiles.set(name, sums);
    this.makingMs += performance.now() - began;
    return sums;
  }

  #file(name: string): Buffer {
    const piece = this.#pieces.get(name);
    if (piece === undefined) throw new Error(`no file ${name}`);
    let file = this.#current.get(piece.file.tag);
    if (file?.name !== name) {
      const began = performance.now();
      file = { name, bytes: makeFile(piece) };
      this.makingMs += performance.now() - began;
      this.#current.set(piece.file.tag, file);
    }
    return file.bytes;
  }
}
