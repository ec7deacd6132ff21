// Asks the process in which our side of the SST benches runs.

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';

import type { SstCall } from './sst-child.js';

/** Runs before the ones that count, all of a kind: the engine takes some until it has compiled what they need, as a host's process has. */
const WARM_UP = 8;

export class SstProcess implements AsyncDisposable {
  readonly #child: ChildProcess = fork(new URL('./sst-child.ts', import.meta.url), { stdio: 'inherit' });

  async warmUp(call: SstCall): Promise<void> {
    for (let i = 0; i < WARM_UP; i++) await this.time(call);
  }

  /** ms. */
  async time(call: SstCall): Promise<number> {
    return await new Promise((resolve, reject) => {
      const onExit = () => reject(new Error('the process of the SST bench has ended'));
      this.#child.once('exit', onExit);
      this.#child.once('message', (ms) => {
        this.#child.off('exit', onExit);
        resolve(ms as number);
      });
      this.#child.send(call);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, 'exit');
    this.#child.kill();
    await ended;
  }
}
