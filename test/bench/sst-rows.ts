// What the benches of SST files share: the rows, and a folder for the files.

import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';

import { encodeRows } from '../format/sst/rocksdb-writer.js';
import type { Row } from '../format/sst/write-rows.js';
import { inFreshFolder } from './backup.js';
import type { BenchOptions, Figures } from './bench.js';
import { KEY_BYTES, VALUE_BYTES, numbers } from './messages.js';

export const BLOCK_SIZE = 64 << 10;
export const RESTART_INTERVAL = 16;
export const ROW_BYTES = KEY_BYTES + VALUE_BYTES;
const DEFAULT_MIB = 64;
const IN_MEMORY = '/dev/shm';

export interface SstRows {
  readonly rows: readonly Row[];
  /** The same for RocksDB's side. */
  readonly encoded: ReturnType<typeof encodeRows>;
  /** Gone afterwards. In memory where the system has a folder there: otherwise the disk is what is compared. */
  readonly folder: string;
}

/** Runs `body` unless a tool is missing: then there are no figures, and the log says why. */
export async function withSstRows(
  { sizeMiB = DEFAULT_MIB, directory = scratch(), log }: BenchOptions,
  missing: string | undefined,
  body: (rows: SstRows) => Promise<Figures>,
): Promise<Figures> {
  if (missing !== undefined) {
    log?.(`  no figures: ${missing}`);
    return {};
  }
  const rows = benchRows(sizeMiB);
  const encoded = encodeRows(rows);
  return inFreshFolder(directory, (folder) => body({ rows, encoded, folder }));
}

function scratch(): string {
  return existsSync(IN_MEMORY) ? IN_MEMORY : tmpdir();
}

/** Of so many values, more than three blocks hold: no compressor sees one twice. Fewer objects than rows: what the garbage collector takes to walk over the bench's own data is not the writer's. */
const DISTINCT_VALUES = 2_048;

/** In memory, as RocksDB's side has them. */
function benchRows(sizeMiB: number): Row[] {
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
