// A whole backup in S3: a worker stores the log, a snapshot is taken, and a restore, verify and expire read it again; then it is deleted.

import { afterAll, beforeAll, expect, it } from 'vitest';
import { openContainer } from '../../../src/container/open-container.js';
import { listS3Backups } from '../../../src/container/s3/list-backups.js';
import { S3Container } from '../../../src/container/s3/s3-container.js';
import { utf8 } from '../../../src/core/bytes.js';
import { NORMAL_KEYS } from '../../../src/core/key-range.js';
import { MutationType } from '../../../src/core/mutation.js';
import { logRouterTag } from '../../../src/core/version.js';
import { BackupOperator } from '../../../src/job/operator.js';
import { announceEpoch } from '../../../src/job/recruiter-transactions.js';
import { MemoryProgressStore } from '../../../src/progress/memory-progress-store.js';
import { deleteContainer } from '../../../src/restore/delete-container.js';
import { describeBackup } from '../../../src/restore/describe.js';
import { restore } from '../../../src/restore/restore.js';
import { verifyBackup } from '../../../src/restore/verify.js';
import { takeSnapshot } from '../../../src/snapshot/take-snapshot.js';
import { list } from '../../../src/testing/container-tools.js';
import { MemoryLog } from '../../../src/testing/memory-log.js';
import { MemoryRangeSource } from '../../../src/testing/memory-range-source.js';
import { MemoryRestoreTarget } from '../../../src/testing/memory-restore-target.js';
import { BackupWorker } from '../../../src/worker/backup-worker.js';
import type { S3Server } from '../../servers/s3.js';
import { S3_CREDENTIALS, startS3 } from '../../servers/s3.js';
import { newBucket } from './tools.js';

let server: S3Server;
beforeAll(async () => {
  server = await startS3();
}, 60_000);
afterAll(() => server.stop());

it('takes a job’s log and a snapshot, and gives back every version that it claims', async () => {
  const bucket = newBucket();
  const url = `blobstore://127.0.0.1:${server.port}/prod/users?bucket=${bucket}&region=us-east-1&sc=0`;
  const opened: S3Container[] = [];
  const open = async (opening: string) => {
    const container = await openContainer(opening, { s3: { credentials: S3_CREDENTIALS } });
    if (container instanceof S3Container) opened.push(container);
    return container;
  };
  const logSource = new MemoryLog({ totalTags: 1 });
  const rows = new MemoryRangeSource({ version: 0n });
  const progressStore = new MemoryProgressStore();
  await announceEpoch(progressStore, { epoch: 1, begin: 1n, totalTags: 1 });
  const submitted = new BackupOperator(progressStore).submit({ url, startVersion: 1n });
  const place = { tag: logRouterTag(0), totalTags: 1, startVersion: 1n, recruitedEpoch: 1, backupEpoch: 1 };
  const worker = new BackupWorker({ ...place, logSource, progressStore, openContainer: open, uploadDelay: 1 });
  const stop = new AbortController();
  const run = worker.run({ signal: stop.signal });
  await submitted;
  const commit = (i: number) => {
    const mutation = { type: MutationType.SetValue, param1: utf8(`key ${i % 40}`), param2: utf8(`value ${i}`) };
    const version = logSource.commit([{ tag: 0, mutation }]);
    rows.commit([{ mutation }], { version });
    return version;
  };
  const stored = (version: bigint) =>
    new Promise<void>((resolve) => {
      worker.on('saved', (saved) => {
        if (saved >= version) resolve();
      });
    });
  for (let i = 0; i < 50; i++) commit(i);
  const container = await open(url);
  await takeSnapshot({ container, source: rows, ranges: [NORMAL_KEYS] });
  const versions = [60, 70, 80].map(commit);
  const last = versions.at(-1) as bigint;
  // The log must go beyond the last version that is looked at.
  await Promise.all([stored(last + 1n), Promise.resolve(commit(99))]);
  stop.abort();
  await run;

  const description = await describeBackup(container);
  expect(description.url).toBe(
    `blobstore://127.0.0.1:${server.port}/prod/users?bucket=${bucket}&region=us-east-1&secure_connection=0`,
  );
  for (const version of versions) {
    const target = new MemoryRestoreTarget();
    await restore({ container, target, version });
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    const found = [...target.rows()].map(({ key, value }) => [text(key), text(value)]);
    expect(found).toEqual(rows.rowsAt(version).map(([key, value]) => [text(key), text(value)]));
  }
  expect(await verifyBackup(container, { deep: true })).toMatchObject({ ok: true, problems: [] });
  const s3 = { credentials: S3_CREDENTIALS, endpoint: server.url, region: 'us-east-1' };
  expect(await listS3Backups(`s3://${bucket}`, s3)).toEqual(['prod/users']);
  expect(await listS3Backups(`s3://${bucket}/other`, s3)).toEqual([]);
  expect(await list(await openContainer(`s3://${bucket}/prod/users`, { s3 }), 'plogs/')).toEqual(
    await list(container, 'plogs/'),
  );

  await deleteContainer(container, { concurrency: 16 });
  expect(await list(container, '')).toEqual([]);
  for (const each of opened) each.close();
}, 120_000);
