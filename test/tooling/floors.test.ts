// The import rules of .dependency-cruiser.cjs, tried on a small tree with one wrong import of each kind: a rule that never fires protects nothing.

import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const repository = fileURLToPath(new URL('../../', import.meta.url));

interface CruiseSummary {
  readonly summary: {
    readonly violations: readonly {
      readonly from: string;
      readonly to: string;
      readonly rule: { readonly name: string };
    }[];
  };
}

/** Violations as `rule: from -> to`. */
function cruise(directory: string): Promise<string[]> {
  const command = join(repository, 'node_modules/dependency-cruiser/bin/dependency-cruise.mjs');
  const config = join(repository, '.dependency-cruiser.cjs');
  return new Promise((resolve, reject) => {
    execFile(
      process.execPath,
      [command, '--config', config, '--output-type', 'json', 'src'],
      { cwd: directory, maxBuffer: 1 << 26 },
      (error, stdout) => {
        // The exit code is the number of errors; no JSON means that the tool itself failed.
        if (stdout === '') reject(error ?? new Error('dependency-cruiser printed nothing'));
        else {
          const { summary } = JSON.parse(stdout) as CruiseSummary;
          resolve(summary.violations.map(({ rule, from, to }) => `${rule.name}: ${from} -> ${to}`));
        }
      },
    );
  });
}

const clean: Record<string, string> = {
  'package.json':
    '{"name":"house","type":"module","dependencies":{"p-queue":"1.0.0"},"devDependencies":{"left-pad":"1.0.0","hash-wasm":"1.0.0"},"peerDependencies":{"hash-wasm":"1.0.0"}}',
  'node_modules/p-queue/package.json': '{"name":"p-queue","version":"1.0.0","main":"index.js"}',
  'node_modules/p-queue/index.js': '',
  'node_modules/left-pad/package.json': '{"name":"left-pad","version":"1.0.0","main":"index.js"}',
  'node_modules/left-pad/index.js': '',
  'node_modules/hash-wasm/package.json': '{"name":"hash-wasm","version":"1.0.0","main":"index.js"}',
  'node_modules/hash-wasm/index.js': '',
  'src/container/encrypted-xxh3.ts': "export const load = () => import('hash-wasm');",
  'src/container/encrypted-container.ts': "import './encrypted-xxh3.js';",
  'src/core/a.ts': "import 'node:crypto'; import type { B } from './b.js'; export type A = B;",
  'src/core/b.ts': 'export type B = 1;',
  'src/ports/port.ts': "import type { A } from '../core/a.js'; export type P = A;",
  'src/format/fdb/names.ts': "import '../../core/a.js';",
  'src/schedule/pool.ts': "import 'p-queue'; import '../core/a.js';",
  'src/pipeline/queue.ts': "import '../ports/port.js'; import './lock.js'; import '../schedule/pool.js';",
  'src/pipeline/lock.ts': '',
  'src/job/job.ts': "import '../format/fdb/names.js';",
  'src/worker/worker.ts': "import '../pipeline/queue.js'; import '../job/job.js';",
  'src/testing/log.ts': "import '../ports/port.js';",
  'src/testing/simulation/simulator.ts':
    "import '../log.js'; import '../../worker/worker.js'; import '../../container/memory.js';",
  'src/container/memory.ts': "import '../ports/port.js';",
  'src/index.ts': "export * from './worker/worker.js'; export * from './core/a.js';",
  'src/testing/index.ts': "export * from './log.js'; export * from './simulation/simulator.js';",
};

const wrong: Record<string, { source: string; refused: string[] }> = {
  'src/core/up.ts': {
    source: "import type { P } from '../ports/port.js'; export type Up = P;",
    refused: ['floor-1-core: src/core/up.ts -> src/ports/port.ts'],
  },
  'src/ports/sideways.ts': {
    source: "import '../format/fdb/names.js';",
    refused: ['floor-2-ports: src/ports/sideways.ts -> src/format/fdb/names.ts'],
  },
  'src/pipeline/sideways.ts': {
    source: "import '../job/job.js';",
    refused: ['floor-3-pipeline: src/pipeline/sideways.ts -> src/job/job.ts'],
  },
  'src/job/up.ts': {
    source: "import '../worker/worker.js';",
    refused: ['floor-3-job: src/job/up.ts -> src/worker/worker.ts'],
  },
  'src/testing/up.ts': {
    source: "import './simulation/simulator.js';",
    refused: ['floor-3-testing: src/testing/up.ts -> src/testing/simulation/simulator.ts'],
  },
  'src/worker/up.ts': {
    source: "import '../testing/simulation/simulator.js';",
    refused: ['floor-4-worker: src/worker/up.ts -> src/testing/simulation/simulator.ts'],
  },
  'src/worker/face.ts': {
    source: "import '../index.js';",
    refused: [
      'faces-are-not-imported: src/worker/face.ts -> src/index.ts',
      'floor-4-worker: src/worker/face.ts -> src/index.ts',
    ],
  },
  'src/cellar/stray.ts': {
    source: "import '../core/a.js';",
    refused: ['every-file-has-a-floor: src/cellar/stray.ts -> src/core/a.ts'],
  },
  'src/container/one.ts': {
    source: "import './two.js';",
    refused: ['no-cycles: src/container/one.ts -> src/container/two.ts'],
  },
  // A cycle is told of once.
  'src/container/two.ts': { source: "import './one.js';", refused: [] },
  'src/container/one-type.ts': {
    source: "import type { Two } from './two-types.js'; export type One = Two;",
    refused: ['no-cycles: src/container/one-type.ts -> src/container/two-types.ts'],
  },
  'src/container/two-types.ts': {
    source: "import type { One } from './one-type.js'; export type Two = One | 1;",
    refused: [],
  },
  'src/progress/outside.ts': {
    source: "import '../../test/helper.js';",
    refused: ['src-stays-in-src: src/progress/outside.ts -> test/helper.ts'],
  },
  'test/helper.ts': { source: '', refused: [] },
  'src/progress/dev.ts': {
    source: "import 'left-pad';",
    refused: [
      'no-dev-dependencies: src/progress/dev.ts -> node_modules/left-pad/index.js',
      'runtime-packages-only: src/progress/dev.ts -> node_modules/left-pad/index.js',
    ],
  },
  'src/progress/optional.ts': {
    source: "export const load = () => import('hash-wasm');",
    refused: [
      'no-dev-dependencies: src/progress/optional.ts -> node_modules/hash-wasm/index.js',
      'runtime-packages-only: src/progress/optional.ts -> node_modules/hash-wasm/index.js',
    ],
  },
  'src/container/plain.ts': {
    source: "import './encrypted-container.js';",
    refused: ['main-face-without-optional-packages: src/container/plain.ts -> src/container/encrypted-container.ts'],
  },
  'src/progress/missing.ts': {
    source: "import './nowhere.js';",
    refused: ['resolvable: src/progress/missing.ts -> ./nowhere.js'],
  },
};

async function plant(directory: string, files: Record<string, string>): Promise<void> {
  for (const [path, source] of Object.entries(files)) {
    await mkdir(dirname(join(directory, path)), { recursive: true });
    await writeFile(join(directory, path), source);
  }
}

describe('the import rules', () => {
  let directory: string;
  let refused: string[];

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'tidemark-floors-'));
    await plant(directory, clean);
  });

  afterAll(() => rm(directory, { recursive: true, force: true }));

  it('accept imports that run down the floors', async () => {
    expect(await cruise(directory)).toEqual([]);
  });

  describe('refuse', () => {
    beforeAll(async () => {
      await plant(directory, Object.fromEntries(Object.entries(wrong).map(([path, { source }]) => [path, source])));
      refused = await cruise(directory);
    });

    for (const [path, expected] of Object.entries(wrong).filter(([path]) => path.startsWith('src/'))) {
      it(`the wrong import of ${path}`, () => {
        expect(refused.filter((line) => line.includes(`${path} ->`)).sort()).toEqual(expected.refused);
      });
    }

    it('nothing else', () => {
      expect(refused.sort()).toEqual(
        Object.values(wrong)
          .flatMap((file) => file.refused)
          .sort(),
      );
    });
  });
});
