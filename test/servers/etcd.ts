// Real etcd servers on loopback, started and stopped by the tests themselves. Where etcd is not installed tests skip and say so; with CI set that is a failure.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePorts } from './free-ports.js';

const START_TIMEOUT_MS = 30_000;
/** Of the server's output, kept for the message of a server that does not start. */
const MAX_OUTPUT = 4_000;

/** Why tests with a real etcd cannot run here; undefined: they can. Throws where CI is set, since CI installs it. */
export function etcdMissing(): string | undefined {
  try {
    execFileSync('etcd', ['--version'], { stdio: 'ignore' });
    execFileSync('etcdctl', ['version'], { stdio: 'ignore' });
    return undefined;
  } catch (cause) {
    const why = 'etcd or etcdctl is not installed (Debian: apt-get install etcd-server etcd-client)';
    if ((process.env['CI'] ?? '') !== '') throw new Error(why, { cause });
    return why;
  }
}

export interface EtcdOptions {
  /** More of etcd's own flags, such as `--max-txn-ops=64`. */
  readonly flags?: readonly string[];
}

interface Member {
  readonly name: string;
  readonly clientPort: number;
  readonly peerPort: number;
}

/** One server process with its data; it can be killed and started again. */
export class EtcdServer {
  /** `http://127.0.0.1:…` */
  readonly url: string;
  readonly name: string;
  readonly #args: readonly string[];
  readonly #folder: string;
  #process: ChildProcess | undefined;
  #output = '';

  constructor(member: Member, cluster: readonly Member[], folder: string, flags: readonly string[]) {
    this.url = clientUrl(member);
    this.name = member.name;
    this.#folder = path.join(folder, member.name);
    this.#args = [
      `--name=${member.name}`,
      `--data-dir=${this.#folder}`,
      `--listen-client-urls=${this.url}`,
      `--advertise-client-urls=${this.url}`,
      `--listen-peer-urls=${peerUrl(member)}`,
      `--initial-advertise-peer-urls=${peerUrl(member)}`,
      `--initial-cluster=${cluster.map((other) => `${other.name}=${peerUrl(other)}`).join(',')}`,
      '--initial-cluster-state=new',
      '--logger=zap',
      '--log-level=error',
      ...flags,
    ];
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  /** Resolves when it answers as healthy, which a member of a cluster does once the cluster has a leader. */
  async start(): Promise<void> {
    this.launch();
    await this.healthy();
  }

  launch(): void {
    const child = spawn('etcd', this.#args, { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#process = child;
    const keep = (chunk: Buffer) => (this.#output = (this.#output + chunk.toString()).slice(-MAX_OUTPUT));
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    child.on('error', (error) => (this.#output += String(error)));
  }

  async healthy(): Promise<void> {
    const deadline = Date.now() + START_TIMEOUT_MS;
    while (!(await this.#isHealthy())) {
      if (this.#process?.exitCode !== null || Date.now() > deadline)
        throw new Error(`etcd ${this.name} does not answer at ${this.url}: ${this.#output}`);
      await sleep(50);
    }
  }

  async #isHealthy(): Promise<boolean> {
    try {
      const response = await fetch(`${this.url}/health`, { signal: AbortSignal.timeout(2_000) });
      return ((await response.json()) as { health?: string }).health === 'true';
    } catch {
      // Not listening yet, or without a leader.
      return false;
    }
  }

  /** Resolves when the process is gone. SIGKILL by default; the data stays. */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const child = this.#process;
    if (child?.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill(signal);
    await gone;
  }

  /** SIGSTOP and SIGCONT: a server that stands still. */
  freeze(): void {
    this.#process?.kill('SIGSTOP');
  }

  thaw(): void {
    this.#process?.kill('SIGCONT');
  }
}

/** `stop` kills the servers and removes their data. */
export interface EtcdCluster {
  readonly servers: readonly EtcdServer[];
  readonly urls: readonly string[];
  stop(): Promise<void>;
}

export async function startEtcdCluster(size: number, { flags = [] }: EtcdOptions = {}): Promise<EtcdCluster> {
  const folder = await mkdtemp(path.join(tmpdir(), 'tidemark-etcd-'));
  const ports = await freePorts(2 * size);
  const members = Array.from({ length: size }, (_, i) => ({
    name: `member${i}`,
    clientPort: ports[2 * i] as number,
    peerPort: ports[2 * i + 1] as number,
  }));
  const servers = members.map((member) => new EtcdServer(member, members, folder, flags));
  const stop = async () => {
    await Promise.all(servers.map((server) => server.kill()));
    await rm(folder, { recursive: true, force: true });
  };
  try {
    await Promise.all(servers.map((server) => server.start()));
  } catch (error) {
    await stop();
    throw error;
  }
  return { servers, urls: servers.map(({ url }) => url), stop };
}

/** A server of its own: `const etcd = await startEtcd()`, then `etcd.urls`, and `await etcd.stop()` at the end. */
export function startEtcd(options: EtcdOptions = {}): Promise<EtcdCluster> {
  return startEtcdCluster(1, options);
}

function clientUrl({ clientPort }: Member): string {
  return `http://127.0.0.1:${clientPort}`;
}

function peerUrl({ peerPort }: Member): string {
  return `http://127.0.0.1:${peerPort}`;
}
