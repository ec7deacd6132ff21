import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

const src = (path: string) => fileURLToPath(new URL(path, import.meta.url));

export default defineConfig({
  resolve: {
    alias: [
      { find: /^tidemark\/testing$/, replacement: src('./src/testing/index.ts') },
      { find: /^tidemark\/container\/encrypted$/, replacement: src('./src/container/encrypted-container.ts') },
      { find: /^tidemark$/, replacement: src('./src/index.ts') },
    ],
  },
  test: { include: ['test/**/*.test.ts', 'examples/**/*.test.ts'], testTimeout: 30_000 },
});
