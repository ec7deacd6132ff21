// Worker threads that run the TypeScript sources: what `BlockPool.open` needs in tests, where no dist is.

import type { BlockPoolOptions } from '../../src/br/threads/block-pool.js';

/** Compiled (the benches) it is what a host has. */
export const sourceThreads: Pick<BlockPoolOptions, 'workerFile' | 'execArgv'> = import.meta.url.endsWith('.js')
  ? {}
  : {
      workerFile: new URL('../../src/br/threads/block-worker.ts', import.meta.url),
      execArgv: ['--import', 'tsx'],
    };
