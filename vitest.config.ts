import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const src = (path: string) => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  resolve: {
    alias: [
      { find: /^tidemark\/testing$/, replacement: src('./src/testing/index.ts') },
      { find: /^tidemark\/container\/encrypted$/, replacement: src('./src/container/encrypted-container.ts') },
      { find: /^tidemark\/container\/s3$/, replacement: src('./src/container/s3/index.ts') },
      { find: /^tidemark\/progress\/etcd$/, replacement: src('./src/progress/etcd/index.ts') },
      { find: /^tidemark\/source\/etcd$/, replacement: src('./src/source/etcd/index.ts') },
      { find: /^tidemark\/br$/, replacement: src('./src/br/index.ts') },
      { find: /^tidemark$/, replacement: src('./src/index.ts') },
    ],
  },
  test: {
    include: ['test/**/*.test.ts', 'examples/**/*.test.ts'],
    testTimeout: 30_000,
    // On two cores vitest would run one file at a time, and those that talk to servers mostly wait.
    maxWorkers: Math.max(2, availableParallelism() - 1),
  },
});
