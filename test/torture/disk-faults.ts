// Disk faults inside one process: it kills itself before, in the middle of or after a disk operation; a rename fails as if the disk was full. Must be imported, and `install` called, before the library is:
// the library gets the functions from here.

import * as fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { constants, tmpdir } from 'node:os';

type Call = (...parameters: never[]) => Promise<unknown>;

const CALLS = ['open', 'link', 'rename', 'unlink', 'mkdir', 'rm', 'appendFile'] as const;
const HANDLE_CALLS = ['write', 'writev', 'writeFile', 'sync'] as const;

export class DiskFaults {
  /** Operations until this process kills itself. */
  #left: number;
  /** Whether the fatal operation is done before the process dies. */
  readonly #isDone: boolean;
  renamesToFail = 0;

  constructor(killAtOperation = Number.POSITIVE_INFINITY) {
    this.#left = killAtOperation;
    this.#isDone = killAtOperation % 2 === 0;
  }

  async install(): Promise<void> {
    const handle = await fs.promises.open(tmpdir(), 'r');
    await handle.close();
    for (const name of HANDLE_CALLS) this.#wrap(Object.getPrototypeOf(handle) as object, name);
    for (const name of CALLS) this.#wrap(fs.promises, name);
    syncBuiltinESMExports();
  }

  #wrap(owner: object, name: string): void {
    const original = Reflect.get(owner, name) as Call;
    const strike = (call: () => Promise<unknown>) => this.#strike(name, call);
    Reflect.set(owner, name, function (this: unknown, ...parameters: never[]) {
      return strike(() => original.apply(this, parameters));
    });
  }

  async #strike(name: string, call: () => Promise<unknown>): Promise<unknown> {
    if (--this.#left === 0) {
      if (this.#isDone) await call();
      // A write that is under way when the process dies may leave any part of its bytes.
      else if (name.startsWith('write')) void call().catch(() => undefined);
      process.kill(process.pid, 'SIGKILL');
    }
    if (name === 'rename' && this.renamesToFail > 0) {
      this.renamesToFail--;
      throw Object.assign(new Error('ENOSPC: no space left on device, rename'), {
        code: 'ENOSPC',
        errno: -constants.errno.ENOSPC,
        syscall: 'rename',
      });
    }
    return call();
  }
}
