// The programs of others that judge our files: RocksDB's tools, protoc, and C++ against RocksDB's library. Where one is not installed tests skip and say so; with CI set that is a failure.

import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export type Tool = 'sst_dump' | 'ldb' | 'protoc' | 'g++ with librocksdb-dev';

/** Of each output stream; a judge that says more is killed and fails. */
const MAX_OUTPUT = 256 << 20;
const TIMEOUT_MS = 120_000;
/** Of the compiler: RocksDB's headers are large, and the machine may be busy. */
const COMPILE_TIMEOUT_MS = 240_000;
/** How much of an output goes into an error's message. */
const SHOWN = 2_000;

const PACKAGES: Readonly<Record<Tool, string>> = {
  sst_dump: 'rocksdb-tools',
  ldb: 'rocksdb-tools',
  protoc: 'protobuf-compiler',
  'g++ with librocksdb-dev': 'g++ librocksdb-dev',
};

const missing = new Map<Tool, string | undefined>();

/** Why tests with this tool cannot run here; undefined: they can. Throws where CI is set, since CI installs it. */
export function toolMissing(tool: Tool): string | undefined {
  if (!missing.has(tool)) missing.set(tool, isInstalled(tool) ? undefined : whyNot(tool));
  const why = missing.get(tool);
  if (why !== undefined && (process.env['CI'] ?? '') !== '') throw new Error(why);
  return why;
}

function whyNot(tool: Tool): string {
  return `${tool} is not installed (Debian: apt-get install ${PACKAGES[tool]})`;
}

function isInstalled(tool: Tool): boolean {
  try {
    if (tool === 'g++ with librocksdb-dev') {
      // The preprocessor alone shows that both are there.
      const source = '#include <rocksdb/version.h>\n';
      execFileSync('g++', ['-E', '-x', 'c++', '-'], { input: source, stdio: ['pipe', 'ignore', 'ignore'] });
    } else {
      execFileSync(tool, [tool === 'protoc' ? '--version' : '--help'], { stdio: 'ignore' });
    }
    return true;
  } catch (error) {
    // A tool that is there but does not know the flag is there.
    return (
      !(error instanceof Error && 'code' in error && error.code === 'ENOENT') && tool !== 'g++ with librocksdb-dev'
    );
  }
}

export interface RunOptions {
  readonly cwd?: string;
  /** Given to the program's standard input, which is empty otherwise. */
  readonly input?: Uint8Array | string;
  readonly timeoutMs?: number;
  readonly env?: Readonly<Record<string, string>>;
}

export interface Ran {
  /** The exit status; null where a signal ended it. */
  readonly status: number | null;
  readonly stdout: Buffer;
  readonly stderr: Buffer;
}

/** Runs a program to its end, whatever its exit status. Rejects where it cannot be started, says too much or takes too long. */
export function runAnyhow(program: string, args: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const { cwd, input, timeoutMs = TIMEOUT_MS, env } = options;
  const child = spawn(program, args, { cwd, env: { ...process.env, ...env }, stdio: 'pipe' });
  return new Promise((resolve, reject) => {
    let failure: Error | undefined;
    const giveUp = (why: string) => {
      failure ??= new Error(`${program} ${args.join(' ')}: ${why}`);
      child.kill('SIGKILL');
    };
    const timer = setTimeout(() => giveUp(`takes longer than ${timeoutMs} ms`), timeoutMs);
    const collect = (chunks: Buffer[]) => {
      let bytes = 0;
      return (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > MAX_OUTPUT) giveUp(`says more than ${MAX_OUTPUT} bytes`);
        else chunks.push(chunk);
      };
    };
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    child.stdout.on('data', collect(stdout));
    child.stderr.on('data', collect(stderr));
    child.on('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    child.on('close', (status) => {
      clearTimeout(timer);
      if (failure !== undefined) reject(failure);
      else resolve({ status, stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr) });
    });
    // A program that ends without reading its input is judged by its exit status.
    child.stdin.on('error', () => undefined);
    child.stdin.end(input);
  });
}

/** Runs a program that has to succeed, and returns what it wrote to standard output. */
export async function run(program: string, args: readonly string[], options: RunOptions = {}): Promise<Buffer> {
  const { status, stdout, stderr } = await runAnyhow(program, args, options);
  if (status === 0) return stdout;
  throw new Error(
    `${program} ${args.join(' ')}: exit status ${String(status)}\n${shown(stderr)}\n${shown(stdout)}`.trim(),
  );
}

function shown(output: Buffer): string {
  return output.subarray(0, SHOWN).toString();
}

/** Against RocksDB's shared library, with the standard that its headers need. */
export const ROCKSDB_FLAGS: readonly string[] = ['-std=c++17', '-O2', '-lrocksdb'];

/** Programs stay there from run to run: compiling takes seconds. */
const BINARIES = fileURLToPath(new URL('../../node_modules/.cache/cpp/', import.meta.url));
/** Another release of the library is another program. */
const ROCKSDB_VERSION = '/usr/include/rocksdb/version.h';

const compiled = new Map<string, Promise<string>>();

/** The path of the program compiled from a C++ source text; compiled once for the same source and flags. Libraries (`-l…`) are linked after the source. */
export function compileCpp(source: string, flags: readonly string[] = ROCKSDB_FLAGS): Promise<string> {
  const library = existsSync(ROCKSDB_VERSION) ? readFileSync(ROCKSDB_VERSION, 'utf8') : '';
  const id = createHash('sha256')
    .update(JSON.stringify([source, flags, library]))
    .digest('hex')
    .slice(0, 16);
  let binary = compiled.get(id);
  if (binary === undefined) {
    binary = compileAs(path.join(BINARIES, id), source, flags);
    compiled.set(id, binary);
  }
  return binary;
}

async function compileAs(binary: string, source: string, flags: readonly string[]): Promise<string> {
  if (existsSync(binary)) return binary;
  await mkdir(BINARIES, { recursive: true });
  const folder = await mkdtemp(path.join(BINARIES, 'building-'));
  try {
    const file = path.join(folder, 'program.cc');
    const built = path.join(folder, 'program');
    await writeFile(file, source);
    const libraries = flags.filter((flag) => flag.startsWith('-l'));
    const others = flags.filter((flag) => !flag.startsWith('-l'));
    await run('g++', [...others, file, '-o', built, ...libraries], { timeoutMs: COMPILE_TIMEOUT_MS });
    // Other processes may build the same at the same time.
    await rename(built, binary);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  return binary;
}
