// The processes that the demo starts, and the folder that they write to. None of them outlives the demo, however that ends; none hears the Ctrl-C that is meant for the demo, which ends them itself and in order.

import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Writable } from 'node:stream';

/** Takes in numbers of processes; at the end of its input, which comes when the demo is gone, it ends them and removes the folder. */
const SWEEP = 'pids=; while read -r pid; do pids="$pids $pid"; done; kill -9 $pids; rm -rf "$1"';

/** A process that was started. */
export interface Child {
  readonly process: ChildProcess;
  /** The last of what it said. */
  output(): string;
}

const KEPT_OUTPUT = 2_000;

export class Children {
  /** For everything that they write. */
  readonly folder: string;
  readonly #sweeper: ChildProcess & { stdin: Writable };

  private constructor(folder: string) {
    this.folder = folder;
    this.#sweeper = spawn('sh', ['-c', SWEEP, 'sh', folder], { stdio: ['pipe', 'ignore', 'ignore'], detached: true });
  }

  static async open(): Promise<Children> {
    return new Children(await mkdtemp(join(tmpdir(), 'tidemark-demo-etcd-')));
  }

  /** `channel`: what is between it and the demo. Its input stays open, or it may send messages, as long as the demo lives. */
  start(command: string, args: readonly string[], channel: 'none' | 'input' | 'messages'): Child {
    const child = spawn(command, args, {
      stdio: [
        channel === 'input' ? 'pipe' : 'ignore',
        'pipe',
        'pipe',
        ...(channel === 'messages' ? (['ipc'] as const) : []),
      ],
      detached: true, // a process group of its own: a terminal sends Ctrl-C to the whole group
    });
    let output = '';
    const keep = (chunk: Buffer) => (output = (output + chunk.toString()).slice(-KEPT_OUTPUT));
    child.stdout?.on('data', keep);
    child.stderr?.on('data', keep);
    child.on('error', (error) => (output += String(error)));
    if (child.pid !== undefined) this.#sweeper.stdin.write(`${child.pid}\n`);
    return { process: child, output: () => output };
  }

  /** When all have been stopped. Numbers of processes are used again: from now on they may be somebody else's. */
  async close(): Promise<void> {
    await stopChild(this.#sweeper, 'SIGKILL');
    await rm(this.folder, { recursive: true, force: true });
  }
}

export function hasEnded(child: ChildProcess): boolean {
  return child.pid === undefined || child.exitCode !== null || child.signalCode !== null;
}

const PATIENCE = 15_000;

/** Resolves when it is gone; after 15 s it is killed. */
export async function stopChild(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (hasEnded(child)) return;
  const gone = once(child, 'exit');
  child.kill(signal);
  const kill = setTimeout(() => child.kill('SIGKILL'), PATIENCE);
  await gone;
  clearTimeout(kill);
}

/** Ports of loopback that nobody listens on, all different. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => once(server.close(), 'close')));
  return ports;
}
