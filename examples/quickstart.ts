// A backup and a restore in twenty lines, all of it in memory: npx tsx examples/quickstart.ts
import * as tidemark from 'tidemark';
import { MemoryLog, MemoryRestoreTarget } from 'tidemark/testing';

const logSource = new MemoryLog({ totalTags: 1 }); // your database's log
const progressStore = new tidemark.MemoryProgressStore(); // where workers and operators coordinate
const container = new tidemark.MemoryContainer(); // where the files go
await tidemark.announceEpoch(progressStore, { epoch: 1, begin: 1n, totalTags: 1 });

const operator = new tidemark.BackupOperator(progressStore);
const submitted = operator.submit({ url: container.url, startVersion: 1n, logOnly: true });
const place = { tag: tidemark.logRouterTag(0), totalTags: 1, startVersion: 1n, recruitedEpoch: 1, backupEpoch: 1 };
const adapters = { logSource, progressStore, openContainer: () => container };
const worker = new tidemark.BackupWorker({ ...place, ...adapters, uploadDelay: 100 });
const stop = new AbortController();
const run = worker.run({ signal: stop.signal });
await submitted; // the worker of every tag knows of the job

const set = { type: tidemark.MutationType.SetValue, param1: Buffer.from('hello'), param2: Buffer.from('world') };
const version = logSource.commit([{ tag: 0, mutation: set }]);
await new Promise<void>((resolve) => worker.on('saved', (saved) => saved >= version && resolve()));
stop.abort();
await run;

const target = new MemoryRestoreTarget();
await tidemark.restore({ container, target, version, baseline: 'empty' });
console.log(Buffer.from(target.get(set.param1) ?? []).toString());
