import { setImmediate as hostTurn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { MemoryContainer } from '../../src/container/memory-container.js';
import { BackupError } from '../../src/core/errors.js';
import { toHex, utf8 } from '../../src/core/bytes.js';
import type { BlockPress } from '../../src/format/sst/block-press.js';
import { loadCodec } from '../../src/format/sst/codecs/load-codec.js';
import { inlinePress } from '../../src/format/sst/inline-press.js';
import type { BrPieceAnswer } from '../../src/br/backup/br-snapshot-writer.js';
import type { BackupContainer, BackupFile } from '../../src/ports/backup-container.js';
import type { TxnBatch } from '../../src/ports/txn-range-source.js';
import { RateLimiter } from '../../src/snapshot/rate-limiter.js';
import { ManualClock } from '../../src/testing/manual-clock.js';
import type { TxnRow, WriterOptions } from './writer-world.js';
import { TurningClock, batchOf, batchesOf, checkCover, namesIn, newWriter, row } from './writer-world.js';

/** A container that counts the calls that write, and knows which files were neither finished nor aborted. */
class WatchedContainer {
  readonly inner = new MemoryContainer();
  readonly open = new Set<string>();
  calls = 0;
  /** Called with the number of each call that writes; what it gives replaces the call. */
  onCall: (call: number, effect: () => Promise<unknown>) => Promise<unknown> = (_call, effect) => effect();

  readonly container: BackupContainer = {
    url: 'watched:',
    create: () => this.inner.create(),
    exists: () => this.inner.exists(),
    writeFile: async (name) => {
      await this.#call(() => Promise.resolve());
      this.open.add(name);
      return this.#file(await this.inner.writeFile(name));
    },
    readFile: (name, offset, length) => this.inner.readFile(name, offset, length),
    listFiles: (prefix) => this.inner.listFiles(prefix),
    deleteFile: (name) => this.inner.deleteFile(name),
  };

  #file(file: BackupFile): BackupFile {
    let isFinishing = false;
    return {
      name: file.name,
      append: (chunks) => this.#call(() => file.append(chunks)),
      finish: async () => {
        isFinishing = true;
        try {
          await this.#call(async () => {
            await file.finish();
            this.open.delete(file.name);
          });
        } finally {
          isFinishing = false;
        }
      },
      abort: async () => {
        // Too late: the store is at work on it, and it will be there.
        if (isFinishing) return;
        await file.abort();
        this.open.delete(file.name);
      },
    };
  }

  async #call(effect: () => Promise<void>): Promise<void> {
    await this.onCall(++this.calls, effect);
  }
}

const rows: readonly TxnRow[] = Array.from({ length: 120 }, (_, i) =>
  row(`k${String(i).padStart(3, '0')}`, new Uint8Array(i % 2 === 0 ? 40_000 : 100).fill(i), 1n, 2n),
);

/** Two pieces of two files each, several appends to each. */
const options: WriterOptions = { sstMaxSize: 1_500_000, blockSize: 4096 };

async function writeAll(watched: WatchedContainer, more: WriterOptions = {}): Promise<readonly BrPieceAnswer[]> {
  const writer = await newWriter({ ...options, ...more, container: watched.container });
  for (const batch of batchesOf(rows, 10)) await writer.addTxn(batch);
  return writer.finish();
}

describe('a container that fails', () => {
  const fault = () => new BackupError('CONTAINER_UNAVAILABLE', 'a fault', { retryable: true });

  it.each([false, true])('at any call leaves nothing (the call has an effect all the same: %s)', async (effective) => {
    const all = new WatchedContainer();
    expect(await writeAll(all)).toHaveLength(2);
    expect(all.calls).toBeGreaterThan(10);
    for (let failing = 1; failing <= all.calls; failing++) {
      const watched = new WatchedContainer();
      watched.onCall = async (call, effect) => {
        if (call !== failing) return effect();
        if (effective) await effect();
        throw fault();
      };
      await expect(writeAll(watched), `call ${failing}`).rejects.toMatchObject({ code: 'CONTAINER_UNAVAILABLE' });
      expect([...watched.open]).toEqual([]);
      expect(await namesIn(watched.inner)).toEqual([]);
    }
  });

  it('leaves what was answered with, whole', async () => {
    const watched = new WatchedContainer();
    const told: BrPieceAnswer[] = [];
    const failing = new Set<number>();
    watched.onCall = async (call, effect) => {
      if (failing.has(call)) throw fault();
      await effect();
    };
    const onAnswer = (answer: BrPieceAnswer) => {
      told.push(answer);
      failing.add(watched.calls + 3);
    };
    await expect(writeAll(watched, { onAnswer })).rejects.toMatchObject({ code: 'CONTAINER_UNAVAILABLE' });
    expect(told).toHaveLength(1);
    expect(await namesIn(watched.inner)).toEqual(told.flatMap(({ files }) => files.map(({ name }) => name)).sort());
    expect([...watched.open]).toEqual([]);
  });

  it('and says what has gone wrong; then the writer has ended', async () => {
    const watched = new WatchedContainer();
    watched.onCall = () => Promise.reject(fault());
    const writer = await newWriter({ ...options, container: watched.container });
    await expect(writer.addTxn(batchOf(rows)).then(() => writer.finish())).rejects.toMatchObject({ retryable: true });
    await expect(writer.addTxn(batchOf([]))).rejects.toMatchObject({ code: 'INVALID_STATE' });
    await expect(writer.finish()).rejects.toMatchObject({ code: 'INVALID_STATE' });
    await writer.abort();
  });
});

describe('an end before the end', () => {
  it.each(['before', 'after', 'never'] as const)('at any call leaves nothing (the call ends: %s)', async (ends) => {
    const all = new WatchedContainer();
    await writeAll(all);
    const reason = new Error('cancelled');
    for (let ending = 1; ending <= all.calls; ending++) {
      const watched = new WatchedContainer();
      const clock = new ManualClock();
      const controller = new AbortController();
      watched.onCall = async (call, effect) => {
        if (call !== ending) {
          await effect();
          return;
        }
        if (ends === 'after') await effect();
        controller.abort(reason);
        if (ends === 'never') await new Promise(() => undefined);
        // Late: nobody waits for it any more.
        if (ends === 'before') {
          await hostTurn();
          await hostTurn();
          await effect();
        }
      };
      const writing = expect(writeAll(watched, { clock, signal: controller.signal })).rejects.toBe(reason);
      // A call that hangs is waited for no longer than a second.
      if (ends === 'never') await clock.advance(2_000);
      await writing;
      expect(await namesIn(watched.inner)).toEqual([]);
      expect(clock.pendingTimers).toBe(0);
      if (ends === 'never') continue;
      expect([...watched.open]).toEqual([]);
    }
  });

  it('comes with an abort, while something is under way too; then what was under way is refused', async () => {
    const watched = new WatchedContainer();
    let abort = () => Promise.resolve();
    watched.onCall = async (call, effect) => {
      await effect();
      if (call === 4) void abort();
    };
    const writer = await newWriter({ ...options, container: watched.container });
    abort = () => writer.abort();
    await expect(writer.addTxn(batchOf(rows))).rejects.toMatchObject({ code: 'INVALID_STATE' });
    await writer.abort();
    expect(await namesIn(watched.inner)).toEqual([]);
    expect([...watched.open]).toEqual([]);
  });

  it('comes at any moment: nothing is left, or what was answered with', async () => {
    const few = batchOf(['a', 'b', 'c'].map((key) => row(key, new Uint8Array(key === 'b' ? 300 : 3), 1n, 2n)));
    let isOver = false;
    let moments = 0;
    for (; !isOver; moments++) {
      const watched = new WatchedContainer();
      const writer = await newWriter({ container: watched.container, sstMaxSize: 300 });
      const writing = writer.addTxn(few).then(() => writer.finish());
      const settled = writing.then(
        () => true,
        () => false,
      );
      for (let i = 0; i < moments; i++) await Promise.resolve();
      await writer.abort();
      isOver = await settled;
      await hostTurn();
      const files = isOver ? (await writing).flatMap((answer) => answer.files.map(({ name }) => name)) : [];
      expect(await namesIn(watched.inner), `moment ${moments}`).toEqual(files.sort());
      expect([...watched.open], `moment ${moments}`).toEqual([]);
    }
    expect(moments).toBeGreaterThan(50);
  });

  it('after the end changes nothing', async () => {
    const watched = new WatchedContainer();
    const writer = await newWriter({ container: watched.container });
    await writer.addTxn(batchOf(rows));
    const [answer] = await writer.finish();
    await writer.abort();
    expect(await namesIn(watched.inner)).toEqual(answer?.files.map(({ name }) => name).sort());
    await expect(writer.finish()).rejects.toMatchObject({ code: 'INVALID_STATE' });
  });

  it('has come already: nothing is written', async () => {
    const watched = new WatchedContainer();
    const signal = AbortSignal.abort(new Error('gone'));
    await expect(writeAll(watched, { signal })).rejects.toThrow('gone');
    expect(watched.calls).toBe(0);
  });

  it('one call at a time', async () => {
    const watched = new WatchedContainer();
    const writer = await newWriter({ container: watched.container });
    const adding = writer.addTxn(batchOf(rows));
    await expect(writer.finish()).rejects.toMatchObject({ code: 'INVALID_STATE' });
    await adding;
    checkCover(await writer.finish(), utf8(''), utf8(''));
  });

  it('a callee that throws ends the writer; the files are its own', async () => {
    const watched = new WatchedContainer();
    const onAnswer = () => {
      throw new Error('the callee');
    };
    await expect(writeAll(watched, { onAnswer })).rejects.toThrow('the callee');
    expect(await namesIn(watched.inner)).toHaveLength(2);
    expect([...watched.open]).toEqual([]);
  });
});

describe('a press on other threads', () => {
  const codec = loadCodec('zstd');

  /** Batches take turns that depend on their number, so that later ones are done before earlier ones. */
  async function pressLike(onPress: (call: number) => Promise<void>): Promise<BlockPress> {
    const inline = inlinePress(await codec);
    let calls = 0;
    return {
      compression: 'zstd',
      concurrency: 3,
      press: async (blocks) => {
        await onPress(++calls);
        return inline.press(blocks);
      },
    };
  }

  it('that is done in another order makes the same files', async () => {
    const shas: string[] = [];
    for (const turns of [() => 0, (call: number) => (call * 7) % 5]) {
      const watched = new WatchedContainer();
      const press = await pressLike(async (call) => {
        for (let i = turns(call); i > 0; i--) await hostTurn();
      });
      const answers = await writeAll(watched, { press });
      shas.push(answers.flatMap(({ files }) => files.map(({ sha256 }) => toHex(sha256))).join());
    }
    expect(shas[0]).toBe(shas[1]);
  });

  it('that fails at any call leaves nothing', async () => {
    for (let failing = 1; failing <= 8; failing++) {
      const watched = new WatchedContainer();
      const press = await pressLike(async (call) => {
        await hostTurn();
        if (call === failing) throw new Error('the press');
      });
      await expect(writeAll(watched, { press }), `call ${failing}`).rejects.toThrow('the press');
      expect(await namesIn(watched.inner)).toEqual([]);
      expect([...watched.open]).toEqual([]);
    }
  });

  it('that hangs does not keep a file open', async () => {
    for (let hanging = 1; hanging <= 8; hanging++) {
      const watched = new WatchedContainer();
      const clock = new ManualClock();
      const controller = new AbortController();
      const press = await pressLike(async (call) => {
        if (call === hanging) await new Promise(() => undefined);
      });
      const writing = writeAll(watched, { press, clock, signal: controller.signal });
      const ended = expect(writing).rejects.toThrow('enough');
      await clock.advance(10);
      controller.abort(new Error('enough'));
      await clock.advance(2_000);
      await ended;
      expect(await namesIn(watched.inner)).toEqual([]);
      expect([...watched.open]).toEqual([]);
      expect(clock.pendingTimers).toBe(0);
    }
  });
});

describe('rows that a backup cannot hold', () => {
  const good = row('b', '1', 5n, 6n);
  const lengths = (batch: TxnBatch, change: Partial<TxnBatch>): TxnBatch => ({ ...batch, ...change });
  const cases: readonly [what: string, batches: readonly TxnBatch[], more?: WriterOptions][] = [
    ['a key twice', [batchOf([good, good])]],
    ['a key twice, the newer one first', [batchOf([row('b', '1', 5n, 9n), row('b', '1', 5n, 6n)])]],
    ['a key again in the next batch', [batchOf([good]), batchOf([good])]],
    ['keys backward', [batchOf([row('c', '1', 5n, 6n), good])]],
    ['keys backward over batches', [batchOf([row('c', '1', 5n, 6n)]), batchOf([good])]],
    [
      'a key before the range',
      [batchOf([row('a', '1', 5n, 6n)])],
      { range: { startKey: utf8('b'), endKey: utf8('c') } },
    ],
    [
      'a key at the end of the range',
      [batchOf([row('c', '1', 5n, 6n)])],
      { range: { startKey: utf8('b'), endKey: utf8('c') } },
    ],
    ['a row committed before it began', [batchOf([good, row('c', '1', 6n, 5n)])]],
    [
      'a row committed before it began, far apart',
      [batchOf([row('c', '1', 1n << 33n, (1n << 32n) + 1n)])],
      { rows: { kind: 'txn', startTs: 0n, endTs: 1n << 40n } },
    ],
    ['a row that is too new', [batchOf([good, row('c', '1', 5n, 1001n)])]],
    ['a row that is too old', [batchOf([row('c', '1', 5n, 10n)])], { rows: { kind: 'txn', startTs: 10n, endTs: 20n } }],
    ['a row at no time', [batchOf([row('c', '1', 0n, 0n)])]],
    ['a delete in a full backup', [batchOf([good, row('c', undefined, 5n, 6n)])]],
    ['too few values', [lengths(batchOf([good]), { values: [] })]],
    ['too few start timestamps', [lengths(batchOf([good]), { startTs: new BigUint64Array(0) })]],
    ['too many commit timestamps', [lengths(batchOf([good]), { commitTs: new BigUint64Array(2) })]],
  ];

  it.each(cases.map(([what, batches, more = {}]) => ({ what, batches, more })))(
    '$what: refused, and nothing is left',
    async ({ batches, more }) => {
      const watched = new WatchedContainer();
      const writer = await newWriter({ ...more, container: watched.container, sstMaxSize: 1 });
      const adding = (async () => {
        for (const batch of batches) await writer.addTxn(batch);
      })();
      await expect(adding).rejects.toMatchObject({ code: 'ADAPTER_CONTRACT' });
      expect(await namesIn(watched.inner)).toEqual([]);
      expect([...watched.open]).toEqual([]);
      await expect(writer.finish()).rejects.toMatchObject({ code: 'INVALID_STATE' });
    },
  );

  it('a message names the region and the range, and shows no value', async () => {
    const writer = await newWriter({ range: { startKey: utf8('b'), endKey: utf8('c') } });
    await expect(writer.addTxn(batchOf([row('x', 'secret', 1n, 2n)]))).rejects.toThrow(
      /region 2, \["b", "c"\).*outside of the range/,
    );
  });
});

describe('options of a writer', () => {
  it.each<[string, WriterOptions]>([
    ['sstMaxSize', { sstMaxSize: 0 }],
    ['sstMaxSize', { sstMaxSize: 1.5 }],
    ['startTs', { rows: { kind: 'txn', startTs: 11n, endTs: 10n } }],
    ['endTs', { rows: { kind: 'txn', startTs: 0n, endTs: 1n << 64n } }],
    ['startTs', { rows: { kind: 'txn', startTs: -1n, endTs: 10n } }],
    ['cf', { rows: { kind: 'raw', cf: 'a/b' } }],
    ['cipher.key', { cipher: { method: 'aes256-ctr', key: new Uint8Array(16) } }],
  ])('%s is looked at', async (option, bad) => {
    const error: unknown = await newWriter(bad).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'INVALID_OPTION' });
    expect((error as Error).message).toContain(option);
  });
});

describe('memory and pace', () => {
  it('what is not stored yet stays bounded, however large batch and file are', async () => {
    const watched = new WatchedContainer();
    let stored = 0;
    let most = 0;
    let counted = () => 0;
    watched.onCall = async (_call, effect) => {
      await effect();
      most = Math.max(most, counted() - stored);
    };
    const { container } = watched;
    const counting: BackupContainer = {
      ...container,
      writeFile: async (name) => {
        const file = await container.writeFile(name);
        return {
          name,
          append: async (chunks) => {
            await file.append(chunks);
            for (const chunk of chunks) stored += chunk.length;
          },
          finish: () => file.finish(),
          abort: () => file.abort(),
        };
      },
    };
    const value = new Uint8Array(2_000).fill(7);
    const many = Array.from({ length: 12_000 }, (_, i) => row(String(i).padStart(8, '0'), value, 1n, 2n));
    const writer = await newWriter({ container: counting });
    counted = () => writer.countedBytes;
    await writer.addTxn(batchOf(many));
    await writer.finish();
    expect(stored).toBeGreaterThan(24_000_000);
    expect(most).toBeGreaterThan(0);
    expect(most).toBeLessThan(5_000_000);
  });

  it('stored bytes keep the rate limit', async () => {
    const clock = new ManualClock();
    const watched = new WatchedContainer();
    const bytesPerSecond = 100_000;
    let isDone = false;
    const writing = writeAll(watched, { clock, limiter: new RateLimiter(bytesPerSecond, clock) }).then((answers) => {
      isDone = true;
      return answers;
    });
    while (!isDone) await clock.advance(100);
    const sizes = (await writing).flatMap(({ files }) => files.map(({ size }) => Number(size)));
    const bytes = sizes.reduce((sum, size) => sum + size, 0);
    // The last request is granted when those before it are paid for; it is of the tail of a file.
    expect(clock.now()).toBeGreaterThan((1000 * (bytes - 50_000)) / bytesPerSecond);
    expect(clock.now()).toBeLessThan((1000 * bytes) / bytesPerSecond + 200);
  });

  it('a wait for the rate limit is cancelled at once', async () => {
    const clock = new ManualClock();
    const controller = new AbortController();
    const watched = new WatchedContainer();
    const limiter = new RateLimiter(1, clock);
    const writing = expect(writeAll(watched, { clock, limiter, signal: controller.signal })).rejects.toThrow('enough');
    await clock.advance(1000);
    controller.abort(new Error('enough'));
    await writing;
    expect(clock.pendingTimers).toBe(0);
    expect([...watched.open]).toEqual([]);
    expect(await namesIn(watched.inner)).toEqual([]);
  });

  it('the host has its turns', async () => {
    let turns = 0;
    class CountingClock extends TurningClock {
      override yieldToHost(): Promise<void> {
        turns++;
        return super.yieldToHost();
      }
    }
    await writeAll(new WatchedContainer(), { clock: new CountingClock(), sstMaxSize: 1 << 30 });
    expect(turns).toBeGreaterThanOrEqual(2);
  });
});
