// What the oracle sees at the moment at which something happens: files, memory, what is left behind.

import { describe, expect, it } from 'vitest';
import { utf8 } from '../../src/core/bytes.js';
import type { MessageBatch } from '../../src/core/message-batch.js';
import { MessageBatchBuilder } from '../../src/core/message-batch-builder.js';
import { MutationType } from '../../src/core/mutation.js';
import type { WorkerMetrics } from '../../src/worker/events.js';
import { SimBuffers } from '../../src/testing/simulation/buffers.js';
import { checkAccounts, checkGivenBack, checkHeld } from '../../src/testing/simulation/check-memory.js';
import { checkVisible } from '../../src/testing/simulation/check-visible.js';
import { SimProcess } from '../../src/testing/simulation/process.js';
import { SimContainers } from '../../src/testing/simulation/sim-container.js';
import { SimStore } from '../../src/testing/simulation/sim-store.js';
import { SimVerdict } from '../../src/testing/simulation/verdict.js';
import { makeWorld, runAll } from './world.js';

/** One message of so many bytes. */
function makeBatch(bytes: number): MessageBatch {
  const build = (length: number) => {
    const builder = new MessageBatchBuilder();
    builder.beginVersion(1n);
    builder.add(1, MutationType.SetValue, utf8('k'), new Uint8Array(length));
    return builder.build();
  };
  return build(bytes - build(0).byteLength);
}

async function violationOf(...files: [name: string, content: string][]) {
  const world = makeWorld(1);
  const containers = new SimContainers(world);
  const verdict = new SimVerdict(world.trace, () => world.scheduler.now);
  checkVisible({ containers, verdict, hits: world.hits });
  const write = async () => {
    const container = await containers.open(new SimProcess(world, 'p'), 'sim://c');
    for (const [name, content] of files) {
      const file = await container.writeFile(name);
      await file.append([utf8(content)]);
      await file.finish();
    }
  };
  const work = write();
  await runAll(world);
  await work;
  return verdict.violation;
}

const LOG = `plogs/0000/0000/log,10,20,${'a'.repeat(32)},0-of-1,1024`;
const MARKER = 'properties/tidemark_job';

describe('a file that becomes visible', () => {
  it('may be written again as it was; a mark may move up', async () => {
    const violation = await violationOf(
      [LOG, ''],
      ['properties/mutation_log_type', '1'],
      ['properties/mutation_log_type', '1'],
      ['properties/expired_end_version', '5'],
      ['properties/expired_end_version', '7'],
    );
    expect(violation).toBeUndefined();
  });

  it.each<[string, [string, string][], string]>([
    ['has a name that nobody knows', [['plogs/x', '']], 'every file has a known name'],
    ['is a log file that was cut off', [[LOG, '\0\0']], 'no file is half-visible'],
    ['is half a marker', [[MARKER, '{"uid":"a"']], 'no file is half-visible'],
    ['is an empty manifest', [['snapshots/snapshot,1,2,3', '']], 'no file is half-visible'],
    [
      'is an empty file of checksums',
      [[`properties/tidemark_sums/plogs/0000/0000/sums,${LOG.slice(16)}`, '']],
      'no file is half-visible',
    ],
    [
      'has other bytes than before',
      [
        ['properties/mutation_log_type', '1'],
        ['properties/mutation_log_type', '2'],
      ],
      'a file keeps its bytes',
    ],
    [
      'is a mark that goes back',
      [
        ['properties/unreliable_end_version', '9'],
        ['properties/unreliable_end_version', '8'],
      ],
      'a mark never goes back',
    ],
  ])('is found out when it %s', async (_what, files, check) => {
    expect(await violationOf(...files)).toMatchObject({ check });
  });
});

describe('memory', () => {
  const worker = (
    bufferedBytes: number,
    queuedMessages: number,
    availableBytes = Math.max(0, 100 - bufferedBytes),
  ) => ({
    metrics: () => ({ bufferedBytes, queuedMessages, availableBytes, state: 'PullMode.Pulling' }) as WorkerMetrics,
  });

  function check(held: number, worked: ReturnType<typeof worker>, how: typeof checkAccounts) {
    const verdict = new SimVerdict(makeWorld(1).trace, () => 0);
    const buffers = new SimBuffers();
    if (held > 0) buffers.track(makeBatch(held));
    how(verdict, { name: 'w', lockBytes: 100, buffers, workers: [worked] });
    return verdict.violation?.check;
  }

  it('is fine when permits are held for what is queued', () => {
    expect(check(90, worker(90, 3), checkAccounts)).toBeUndefined();
    expect(check(0, worker(0, 0), checkAccounts)).toBeUndefined();
    expect(check(90, worker(0, 0), checkAccounts)).toBeUndefined();
    // One batch that is larger than the lock passes alone.
    expect(check(180, worker(180, 1), checkAccounts)).toBeUndefined();
  });

  it('is found out when the account does not tally', () => {
    expect(check(90, worker(-1, 3, 101), checkAccounts)).toBe('the lock gives out no more than it has');
    expect(check(90, worker(150, 3), checkAccounts)).toBe('the lock gives out no more than it has');
    expect(check(90, worker(90, 3, 20), checkAccounts)).toBe('what the lock has left is what is not held');
    expect(check(90, worker(0, 3), checkAccounts)).toBe('permits are held for what is queued');
    expect(check(90, worker(80, 0), checkAccounts)).toBe('permits are held for what is queued');
    expect(check(0, worker(80, 1), checkAccounts)).toBe('permits are held for what is in memory');
  });

  it('is looked at whenever a batch is handed out, and at the end', () => {
    const verdict = new SimVerdict(makeWorld(1).trace, () => 0);
    const workers = [worker(0, 0)];
    const buffers = new SimBuffers(() => checkHeld(verdict, memory));
    const memory = { name: 'w', lockBytes: 100, buffers, workers };
    for (let i = 0; i < 4; i++) buffers.track(makeBatch(100));
    expect(verdict.violation).toBeUndefined();
    buffers.track(makeBatch(100));
    expect(verdict.violation?.check).toBe('memory within the lock');
    expect(check(90, worker(0, 0), checkGivenBack)).toBe('memory is given back');
    expect(check(0, worker(7, 1), checkGivenBack)).toBe('memory is given back');
    expect(check(0, worker(0, 0), checkGivenBack)).toBeUndefined();
  });
});

describe('what is left behind', () => {
  it('is the timer of a living process, not that of a dead one or one that was stopped', async () => {
    const world = makeWorld(1);
    const [dead, alive, tidy] = ['dead', 'alive', 'tidy'].map((name) => new SimProcess(world, name)) as [
      SimProcess,
      SimProcess,
      SimProcess,
    ];
    const stop = new AbortController();
    void dead.clock.sleep(1_000_000);
    void alive.clock.sleep(1_000_000);
    const slept = tidy.clock.sleep(1_000_000, stop.signal);
    dead.kill();
    stop.abort(new Error('stop'));
    await expect(slept).rejects.toThrow('stop');
    await runAll(world);
    expect(world.scheduler.pending()).toEqual(['alive']);
  });

  it('is a watch that nobody has withdrawn', async () => {
    const world = makeWorld(1);
    const store = new SimStore(world);
    const stop = new AbortController();
    const watch = store.client(new SimProcess(world, 'p')).watch('key', undefined, stop.signal);
    await runAll(world);
    expect(store.watching()).toEqual(['p on key']);
    stop.abort(new Error('stop'));
    await expect(watch).rejects.toThrow('stop');
    expect(store.watching()).toEqual([]);
  });
});
