// How long after a commit it is stored: 2,000 puts a second to a real etcd, backed up into a directory with an uploadDelay of a second. From the moment the put was acknowledged to the moment its version was
// recorded as saved.

import { Etcd3 } from 'etcd3';
import { DirectoryContainer } from '../../src/container/directory-container.js';
import { BackupOperator } from '../../src/job/operator.js';
import { MemoryProgressStore } from '../../src/progress/memory-progress-store.js';
import { etcdEpoch } from '../../src/source/etcd/epoch.js';
import { EtcdLogSource } from '../../src/source/etcd/log-source.js';
import { ETCD_GRPC_OPTIONS } from '../../src/source/etcd/options.js';
import { recruit } from '../../src/worker/recruit.js';
import { startEtcd } from '../servers/etcd.js';
import { inFreshFolder } from './backup.js';
import { atMost, percentile, type BenchOptions, type Figures } from './bench.js';

const PUTS_PER_SECOND = 2_000;
/** ms */
const WORKLOAD = 10_000;
/** ms of its begin that do not count: what is compiled and connected first. */
const WARM_UP = 2_000;
const TICK = 10;
const UPLOAD_DELAY = 1_000;
const VALUE_BYTES = 200;
/** ms: the delay itself, and as much again for what it takes to write and record a file. */
const GOAL = 2 * UPLOAD_DELAY;

export function bench(options: BenchOptions): Promise<Figures> {
  return inFreshFolder(options.directory, async (directory) => {
    const etcd = await startEtcd();
    const connect = () => new Etcd3({ hosts: [...etcd.urls], grpcOptions: ETCD_GRPC_OPTIONS });
    const [client, writer] = [connect(), connect()];
    try {
      return await measure(client, writer, directory);
    } finally {
      client.close();
      writer.close();
      await etcd.stop();
    }
  });
}

async function measure(client: Etcd3, writer: Etcd3, directory: string): Promise<Figures> {
  const store = new MemoryProgressStore();
  const epoch = await etcdEpoch({ client, store });
  const source = new EtcdLogSource({ client, epoch, store });
  const container = new DirectoryContainer(directory);
  const stop = new AbortController();
  const committedAt = new Map<bigint, number>();
  const lags: number[] = [];
  let saved = epoch.begin - 1n;
  const onSaved = (version: bigint) => {
    const now = performance.now();
    for (; saved < version; saved++) {
      const at = committedAt.get(saved + 1n);
      if (at !== undefined) lags.push(now - at);
    }
  };
  const running = recruit({
    logSource: source,
    progressStore: store,
    openContainer: () => container,
    epoch,
    uploadDelay: UPLOAD_DELAY,
    signal: stop.signal,
    onWorker: (worker) => worker.on('saved', onSaved),
  });
  const { begin } = epoch;
  const operator = new BackupOperator(store, { pollInterval: 50 });
  await operator.submit({ url: container.url, startVersion: begin, firstVersion: begin, logOnly: true });
  const { last, seconds, puts } = await write(writer, committedAt);
  while (saved < last) await new Promise((resolve) => setTimeout(resolve, 50));
  stop.abort(new Error('the bench has ended'));
  await running;
  source.close();
  const rate = Math.round(puts / seconds);
  const detail = `${rate} puts/s of ${VALUE_BYTES} bytes for ${seconds.toFixed(1)} s, uploadDelay ${UPLOAD_DELAY} ms, ${lags.length} of them counted, one tag`;
  return {
    'etcd.lag.p50': atMost(percentile(lags, 0.5), GOAL, 'ms from commit to saved, p50', detail),
    'etcd.lag.p99': atMost(percentile(lags, 0.99), GOAL, 'ms from commit to saved, p99', detail),
  };
}

/** Puts at the rate, as far as etcd keeps up: what it has not answered counts against the rate. */
async function write(writer: Etcd3, committedAt: Map<bigint, number>) {
  const value = Buffer.alloc(VALUE_BYTES, 0x61);
  const start = performance.now();
  const pending = new Set<Promise<void>>();
  let puts = 0;
  let last = 0n;
  for (let now = start; now - start < WORKLOAD; now = performance.now()) {
    const due = Math.min(Math.floor(((now - start) * PUTS_PER_SECOND) / 1_000), puts + PUTS_PER_SECOND - pending.size);
    for (; puts < due; puts++) {
      const put = writer.kv.put({ key: Buffer.from(`bench/${puts % 5_000}`), value }).then(({ header }) => {
        const version = BigInt(header.revision);
        if (version > last) last = version;
        if (performance.now() - start >= WARM_UP) committedAt.set(version, performance.now());
        pending.delete(put);
      });
      pending.add(put);
    }
    await new Promise((resolve) => setTimeout(resolve, TICK));
  }
  await Promise.all(pending);
  return { last, puts, seconds: (performance.now() - start) / 1_000 };
}
