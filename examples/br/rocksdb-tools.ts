// RocksDB's own command line tools, as judges of files that it has not written: sst_dump reads them, ldb takes them into a database. Nothing here knows how an SST file is made.

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

export type Tool = 'sst_dump' | 'ldb';

/** A row as a tool prints it: both in lower-case hex. */
export type HexRow = readonly [key: string, value: string];

export const HOW_TO_INSTALL = 'Debian and Ubuntu: apt-get install rocksdb-tools';

/** Whether both are there. Where CI is set they have to be: it installs them. */
export function hasRocksDbTools(): boolean {
  const missing = (['sst_dump', 'ldb'] as const).filter((tool) => !isInstalled(tool));
  if (missing.length > 0 && (process.env['CI'] ?? '') !== '')
    throw new Error(`${missing.join(' and ')}: not installed. ${HOW_TO_INSTALL}`);
  return missing.length === 0;
}

function isInstalled(tool: Tool): boolean {
  try {
    execFileSync(tool, ['--help'], { stdio: 'ignore' });
    return true;
  } catch (error) {
    return !(error instanceof Error && 'code' in error && error.code === 'ENOENT');
  }
}

/** The rows of an SST file, with every checksum compared. */
export async function* dumpRows(file: string, signal: AbortSignal): AsyncGenerator<HexRow> {
  // '7A6B6579' seq:0, type:1 => 76616C7565
  for await (const line of linesOf(
    'sst_dump',
    [`--file=${file}`, '--command=scan', '--output_hex', '--verify_checksum'],
    signal,
  )) {
    const row = /^'([0-9A-F]*)' seq:0, type:1 => ([0-9A-F]*)$/.exec(line);
    if (row?.[1] !== undefined && row[2] !== undefined) yield [row[1].toLowerCase(), row[2].toLowerCase()];
    else if (/corrupt|mismatch|not a valid|error/i.test(line)) throw new Error(`sst_dump of ${file}: ${line}`);
  }
}

/** Takes SST files into a RocksDB, which is made if it is not there. */
export async function ingest(database: string, files: readonly string[], signal: AbortSignal): Promise<void> {
  for (const file of files) {
    const said: string[] = [];
    for await (const line of linesOf(
      'ldb',
      [`--db=${database}`, '--create_if_missing', 'ingest_extern_sst', file],
      signal,
    ))
      said.push(line);
    // ldb ends well also when it has failed.
    if (!said.some((line) => line.includes('ingested')))
      throw new Error(`ldb has not taken ${file}: ${said.join('; ')}`);
  }
}

/** All rows of a RocksDB, in key order. */
export async function* scanRows(database: string, signal: AbortSignal): AsyncGenerator<HexRow> {
  for await (const line of linesOf('ldb', [`--db=${database}`, 'scan', '--hex'], signal)) {
    const row = /^0x([0-9A-F]*) : 0x([0-9A-F]*)$/.exec(line);
    if (row?.[1] === undefined || row[2] === undefined) throw new Error(`ldb scan: ${line}`);
    yield [row[1].toLowerCase(), row[2].toLowerCase()];
  }
}

/** What a tool says, on either of its outputs. Throws when it fails. */
async function* linesOf(tool: Tool, args: readonly string[], signal: AbortSignal): AsyncGenerator<string> {
  const child = spawn(tool, args, { stdio: ['ignore', 'pipe', 'pipe'], signal });
  const closed = once(child, 'close');
  // Waited for below; until then a failure to start must not count as unhandled.
  closed.catch(() => undefined);
  const complaints: string[] = [];
  child.stderr.setEncoding('utf8').on('data', (text: string) => complaints.push(text));
  yield* createInterface({ input: child.stdout, crlfDelay: Infinity });
  const [status] = (await closed) as [number | null];
  const complained = complaints.join('').trim();
  if (status !== 0) throw new Error(`${tool} ${args.join(' ')} ended with ${String(status)}: ${complained}`);
  for (const line of complained.split('\n')) if (line !== '') yield line;
}
