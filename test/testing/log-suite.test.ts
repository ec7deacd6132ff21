import { describe, it } from 'vitest';
import { MutationType } from '../../src/core/mutation.js';
import { logSourceSuite } from '../../src/testing/log-suite.js';
import { MemoryLog } from '../../src/testing/memory-log.js';

describe('MemoryLog', () => {
  for (const { name, run } of logSourceSuite(openMemoryLog)) it(name, run);
});

function openMemoryLog() {
  const log = new MemoryLog({ totalTags: 3, begin: 100n, epoch: 7 });
  return {
    source: log,
    epoch: { epoch: 7, begin: 100n, totalTags: 3 },
    commit: async (messages: readonly { tag: number; key: Uint8Array; value: Uint8Array }[]) =>
      log.commit(
        messages.map(({ tag, key, value }) => ({
          tag,
          mutation: { type: MutationType.SetValue, param1: key, param2: value },
        })),
        { version: log.knownVersion + 10n },
      ),
    recover: async () => {
      const epoch = log.recover({ totalTags: 2, end: log.committed + 5n });
      return { epoch, begin: log.committed + 1n, totalTags: 2 };
    },
  };
}
