// The process that the memory bench measures. Argument: the lock's size in MiB. Streams ten times as much.

import { BufferPool } from '../../src/core/buffer-pool.js';
import { MessageBatchBuilder } from '../../src/core/message-batch-builder.js';
import type { MessageBatch } from '../../src/core/message-batch.js';
import type { Version } from '../../src/core/version.js';
import { MemoryContainer } from '../../src/container/memory-container.js';
import type { BackupContainer, BackupFile } from '../../src/ports/backup-container.js';
import { BatchLog, MIB, backUp } from './backup.js';
import { atMost, type Figures } from './bench.js';
import { RECORD_BYTES, makeMessages } from './messages.js';

const BATCH_BYTES = 4 * MIB;
const PER_BATCH = Math.floor(BATCH_BYTES / RECORD_BYTES);
const PER_VERSION = 10;
const TIMES_THE_LOCK = 10;
const SLOWER = 10;
const ALLOWED_ABOVE_LOCK_MIB = 128;
const messages = makeMessages(10_000);

/** The next batch, built in the moment, in pooled buffers. */
function buildBatch(builder: MessageBatchBuilder, begin: Version): MessageBatch {
  let version = begin;
  for (let done = 0; done < PER_BATCH; version++) {
    builder.beginVersion(version);
    for (let i = 0; i < PER_VERSION && done < PER_BATCH; i++, done++) {
      const message = done % messages.keys.length;
      builder.add(i, 0, messages.keys[message] as Uint8Array, messages.values[message] as Uint8Array);
    }
  }
  return builder.build();
}

/** Bytes per ms, once the builder is warm. */
function sourceSpeed(builder: MessageBatchBuilder): number {
  let speed = 0;
  for (let round = 0; round < 5; round++) {
    const start = performance.now();
    for (let i = 0; i < 8; i++) buildBatch(builder, 1n).release();
    speed = (8 * BATCH_BYTES) / (performance.now() - start);
  }
  return speed;
}

/** Takes log files at `speed` bytes per ms and forgets them; keeps the few others. */
function slowContainer(speed: number): BackupContainer {
  const memory = new MemoryContainer({ url: 'memory:slow' });
  const slowFile = (name: string): BackupFile => {
    let due = performance.now();
    return {
      name,
      async append(chunks) {
        due += chunks.reduce((sum, chunk) => sum + chunk.length, 0) / speed;
        await new Promise((resolve) => setTimeout(resolve, due - performance.now()));
      },
      finish: () => Promise.resolve(),
      abort: () => Promise.resolve(),
    };
  };
  return {
    url: memory.url,
    create: () => memory.create(),
    exists: () => memory.exists(),
    writeFile: (name, options) =>
      name.startsWith('plogs/') ? Promise.resolve(slowFile(name)) : memory.writeFile(name, options),
    readFile: (name, offset, length) => memory.readFile(name, offset, length),
    listFiles: (prefix) => memory.listFiles(prefix),
    deleteFile: (name) => memory.deleteFile(name),
  };
}

async function measure(lockMiB: number): Promise<Figures> {
  const lockBytes = lockMiB * MIB;
  const batchCount = Math.ceil((TIMES_THE_LOCK * lockBytes) / BATCH_BYTES);
  const versionsPerBatch = BigInt(Math.ceil(PER_BATCH / PER_VERSION));
  const lastVersion = versionsPerBatch * BigInt(batchCount);
  const idle = process.memoryUsage.rss();

  const builder = new MessageBatchBuilder({ pool: new BufferPool(), initialBytes: BATCH_BYTES });
  const speed = sourceSpeed(builder) / SLOWER;
  const log = new BatchLog(lastVersion, (begin) => (begin > lastVersion ? undefined : buildBatch(builder, begin)));
  let peak = idle;
  const sampling = setInterval(() => (peak = Math.max(peak, process.memoryUsage.rss())), 5);
  const job = { uid: 'slow', ranges: [], container: slowContainer(speed) };
  const { time, files } = await backUp(log, [job], { lockBytes });
  clearInterval(sampling);

  const above = (peak - idle) / MIB;
  const bytes = files.reduce((sum, size) => sum + size, 0);
  const detail =
    `lock ${lockMiB} MiB, ${Math.round(bytes / MIB)} MiB streamed in ${(time / 1000).toFixed(1)} s to a container of ${Math.round((speed * 1000) / MIB)} MiB/s, ` +
    `${SLOWER} times slower than its source; idle process ${Math.round(idle / MIB)} MiB`;
  return { memory: atMost(above, lockMiB + ALLOWED_ABOVE_LOCK_MIB, 'MiB of peak RSS above the idle process', detail) };
}

process.send?.(await measure(Number(process.argv[2] ?? 128)));
