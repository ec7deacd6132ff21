// The adapter of the guide to range sources: it passes the conformance suite, serves snapshots, and the guide shows the very file that does.

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { KeyValueBatch, Version } from 'tidemark';
import { BackupError, MutationType } from 'tidemark';
import type { Store, StoreView } from '../../examples/adapters/store-range-source.js';
import { StoreRangeSource } from '../../examples/adapters/store-range-source.js';
import { MemoryContainer } from '../../src/container/memory-container.js';
import { utf8 } from '../../src/core/bytes.js';
import { takeSnapshot } from '../../src/snapshot/take-snapshot.js';
import { MemoryRangeSource } from '../../src/testing/memory-range-source.js';
import { rangeSourceSuite } from '../../src/testing/range-suite.js';
import type { SuiteChange } from '../../src/testing/range-suite.js';
import { checkSnapshot } from '../snapshot/world.js';

it('the guide shows examples/adapters/store-range-source.ts', () => {
  const text = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');
  const blocks = Array.from(
    text('docs/guides/range-source.md').matchAll(/^```ts\n([\s\S]*?)^```$/gm),
    (match) => match[1],
  );
  expect(blocks).toContain(text('examples/adapters/store-range-source.ts'));
});

/** A store in memory: the rows are a MemoryRangeSource's. */
function openStore() {
  const rows = new MemoryRangeSource();
  const listeners = new Set<() => void>();
  let views = 0;
  let iterators = 0;
  const store: Store = {
    get version() {
      return rows.committed;
    },
    view: async (): Promise<StoreView> => {
      const version = rows.committed;
      views++;
      return {
        version,
        iterate: (range) => {
          let left: KeyValueBatch = rows.rowsAt(version, range);
          iterators++;
          return {
            next: async () => {
              const batch = left.slice(0, 7).map(([key, value]) => [key.slice(), value.slice()] as const);
              left = left.slice(7);
              return batch;
            },
            close: async () => {
              iterators--;
            },
          };
        },
        close: async () => {
          views--;
        },
      };
    },
    onCommit: (listener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
  const commit = async (changes: readonly SuiteChange[]) => {
    const version = rows.commit(
      changes.map((change) => ({
        mutation:
          'key' in change
            ? { type: MutationType.SetValue, param1: change.key, param2: change.value }
            : { type: MutationType.ClearRange, param1: change.begin, param2: change.end },
      })),
    );
    for (const listener of [...listeners]) listener();
    return version;
  };
  return { rows, store, commit, open: () => ({ views, iterators, listeners: listeners.size }) };
}

function openSource() {
  const { store, commit, open, rows } = openStore();
  const source = new StoreRangeSource(store, [utf8('k0100'), utf8('k30')], 3);
  const signal = new AbortController().signal;
  // Newer views push the old ones out.
  const collectGarbage = async (version: Version) => {
    for (let i = 0; i < 3; i++) {
      await commit([]);
      expect(await source.readVersion({ atLeast: 0n, signal })).toBeGreaterThan(version);
    }
  };
  return { source, store, rows, commit, collectGarbage, open };
}

describe('StoreRangeSource', () => {
  for (const { name, run } of rangeSourceSuite(openSource, { regions: false })) it(name, run);

  it('serves a snapshot, and nothing is left open', async () => {
    const { source, rows, commit, open } = openSource();
    await commit(Array.from({ length: 50 }, (_, i) => ({ key: utf8(`k${i}`), value: utf8(`v${i}`) })));
    const container = new MemoryContainer();
    const result = await takeSnapshot({ source, container, ranges: [] });
    await checkSnapshot(container, rows, result);
    expect(open()).toEqual({ views: 0, iterators: 0, listeners: 0 });
  });

  it('closes a view that was dropped under a scan when the scan has ended', async () => {
    const { source, commit, collectGarbage, open } = openSource();
    await commit(Array.from({ length: 50 }, (_, i) => ({ key: utf8(`k${i}`), value: utf8('v') })));
    const signal = new AbortController().signal;
    const version = await source.readVersion({ atLeast: 0n, signal });
    const range = { begin: utf8('a'), end: utf8('z') };
    const scan = async () => {
      let index = 0;
      for await (const _ of source.scan({ region: { id: '1', epoch: '1', range }, range, version, signal })) {
        if (index++ === 2) await collectGarbage(version);
      }
    };
    const error: unknown = await scan().catch((e: unknown) => e);
    expect(BackupError.is(error, 'VERSION_TOO_OLD')).toBe(true);
    expect(open()).toEqual({ views: 3, iterators: 0, listeners: 0 });
  });
});
