// Worker threads that run the TypeScript sources: what `BlockPool.open` needs in tests, where no dist is.

import type { BlockPoolOptions } from '../../src/br/threads/block-pool.js';

/** Under tsx (the benches) threads inherit its loader; under vitest they need to be given one. */
export const sourceThreads: Pick<BlockPoolOptions, 'workerFile' | 'execArgv'> = {
  workerFile: new URL('../../src/br/threads/block-worker.ts', import.meta.url),
  execArgv: ['--import', 'tsx'],
};
