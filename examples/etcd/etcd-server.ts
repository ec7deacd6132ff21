// A real etcd, of one member, on loopback.

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePorts, hasEnded, stopChild, type Child, type Children } from './children.js';

const START_TIMEOUT = 20_000;

export const HOW_TO_INSTALL = `The demo needs etcd, and found none on the PATH. Install it:
  Debian, Ubuntu   apt-get install etcd-server
  macOS            brew install etcd
  elsewhere        https://github.com/etcd-io/etcd/releases`;

/** The first line of `etcd --version`; undefined where there is no etcd. */
export function etcdVersion(): string | undefined {
  const { status, stdout } = spawnSync('etcd', ['--version'], { encoding: 'utf8' });
  return status === 0 ? stdout.split('\n')[0] : undefined;
}

export class EtcdServer {
  readonly url: string;
  readonly #child: Child;

  private constructor(url: string, child: Child) {
    this.url = url;
    this.#child = child;
  }

  /** Resolves when it answers. */
  static async start(children: Children, name: string, signal: AbortSignal): Promise<EtcdServer> {
    const [client, peer] = (await freePorts(2)).map((port) => `http://127.0.0.1:${port}`) as [string, string];
    const child = children.start(
      'etcd',
      [
        `--name=${name}`,
        `--data-dir=${join(children.folder, name)}`,
        `--listen-client-urls=${client}`,
        `--advertise-client-urls=${client}`,
        `--listen-peer-urls=${peer}`,
        `--initial-advertise-peer-urls=${peer}`,
        `--initial-cluster=${name}=${peer}`,
        '--logger=zap',
        '--log-level=error',
      ],
      'none',
    );
    const server = new EtcdServer(client, child);
    try {
      await server.#answers(name, signal);
      return server;
    } catch (error) {
      await server.stop();
      throw error;
    }
  }

  /** Its data go with the folder: there is nothing to end in order. */
  stop(): Promise<void> {
    return stopChild(this.#child.process, 'SIGKILL');
  }

  async #answers(name: string, signal: AbortSignal): Promise<void> {
    const deadline = performance.now() + START_TIMEOUT;
    while (!(await this.#isHealthy(signal))) {
      if (hasEnded(this.#child.process) || performance.now() > deadline)
        throw new Error(`The etcd "${name}" did not start: ${this.#child.output()}`);
      await sleep(50, undefined, { signal });
    }
  }

  async #isHealthy(signal: AbortSignal): Promise<boolean> {
    try {
      const response = await fetch(`${this.url}/health`, { signal });
      return ((await response.json()) as { health?: string }).health === 'true';
    } catch {
      signal.throwIfAborted();
      return false; // not listening yet
    }
  }
}
