// A whole backup under a key: written, described, verified, restored, damaged and deleted like any other.

import { beforeEach, describe, expect, it } from 'vitest';
import { DirectoryContainer } from '../../src/container/directory-container.js';
import { openContainer, openEncryptedContainer } from '../../src/container/encrypted-container.js';
import { MemoryContainer } from '../../src/container/memory-container.js';
import { utf8 } from '../../src/core/bytes.js';
import { MutationType } from '../../src/core/mutation.js';
import { logRouterTag } from '../../src/core/version.js';
import { PROPERTY } from '../../src/format/fdb/properties.js';
import { BackupOperator } from '../../src/job/operator.js';
import { announceEpoch } from '../../src/job/recruiter-transactions.js';
import type { BackupContainer } from '../../src/ports/backup-container.js';
import { MemoryProgressStore } from '../../src/progress/memory-progress-store.js';
import { deleteContainer } from '../../src/restore/delete-container.js';
import { describeBackup } from '../../src/restore/describe.js';
import { recordChecksums } from '../../src/restore/record-checksums.js';
import { restore } from '../../src/restore/restore.js';
import { verifyBackup } from '../../src/restore/verify.js';
import { MemoryLog } from '../../src/testing/memory-log.js';
import { MemoryRestoreTarget } from '../../src/testing/memory-restore-target.js';
import { BackupWorker } from '../../src/worker/backup-worker.js';
import { goldenContainer } from '../format/golden.js';
import { KEY, get, listed, put } from './encrypted-tools.js';

/** 64 KiB blocks: some files have several. */
const STORED = 65_536 + 16;
const golden = goldenContainer('small3');

describe.skipIf(golden === undefined)('a backup that was copied under a key', () => {
  let inner: MemoryContainer;
  let container: BackupContainer;
  beforeEach(async () => {
    const plain = new DirectoryContainer(golden ?? '');
    inner = new MemoryContainer();
    container = await openEncryptedContainer(inner, { key: KEY, blockSize: 4096 });
    await container.create();
    for (const { name } of await listed(plain)) await put(container, name, await get(plain, name));
  });

  it('is described as the plain one is', async () => {
    const plain = await describeBackup(new DirectoryContainer(golden ?? ''), { deep: true });
    const encrypted = await describeBackup(container, { deep: true });
    expect(encrypted.encryption).toEqual({ enabled: true, blockSize: 4096 });
    const { url: _url, encryption: _encryption, ...rest } = plain;
    expect(encrypted).toMatchObject(rest);
  });

  it('is described by its names without the key, and not verified', async () => {
    expect(await describeBackup(inner)).toMatchObject({ encrypted: true, unsupported: expect.any(String) as string });
    await expect(verifyBackup(inner)).rejects.toMatchObject({ code: 'ENCRYPTION_KEY_MISSING' });
  });

  it('gets checksums, passes verify, and verify names a flipped byte and a cut between two blocks', async () => {
    expect((await recordChecksums(container)).problems).toEqual([]);
    expect(await verifyBackup(container, { deep: true })).toMatchObject({ ok: true, problems: [] });
    const largest = (await listed(inner, 'plogs/')).reduce((a, b) => (b.size > a.size ? b : a)).name;
    const stored = await get(inner, largest);

    const flipped = stored.slice();
    flipped[5000] = (flipped[5000] as number) ^ 4;
    await put(inner, largest, flipped);
    const { problems } = await verifyBackup(container, { deep: true });
    expect(problems).toContainEqual(
      expect.objectContaining({ code: 'DECRYPTION_FAILED', file: largest, offset: 4096 }),
    );

    await put(inner, largest, stored.subarray(0, 2 * (4096 + 16)));
    const cut = await verifyBackup(container);
    expect(cut.ok).toBe(false);
    expect(cut.problems.map(({ file }) => file)).toContain(largest);
  });
});

it('says that it is encrypted although the job that made it writes otherwise', async () => {
  const inner = new MemoryContainer();
  const container = await openEncryptedContainer(inner, { key: KEY });
  await put(container, PROPERTY.encryptionMetadata, new TextEncoder().encode('{"is_encryption_enabled":false}'));
  await container.create();
  expect((await get(inner, PROPERTY.encryptionMetadata)).length).toBeGreaterThan(50);
  await put(container, 'plogs/x', new Uint8Array(2 * 65_536));
  expect((await listed(inner, 'plogs/'))[0]?.size).toBe(2 * STORED);
});

it('takes a job’s log from a worker, and a restore gives it back with the key alone', async () => {
  const inner = new MemoryContainer();
  const open = () => openEncryptedContainer(inner, { key: KEY, blockSize: 512 });
  const logSource = new MemoryLog({ totalTags: 1 });
  const progressStore = new MemoryProgressStore();
  await announceEpoch(progressStore, { epoch: 1, begin: 1n, totalTags: 1 });
  const submitted = new BackupOperator(progressStore).submit({ url: inner.url, startVersion: 1n, logOnly: true });
  const place = { tag: logRouterTag(0), totalTags: 1, startVersion: 1n, recruitedEpoch: 1, backupEpoch: 1 };
  const worker = new BackupWorker({ ...place, logSource, progressStore, openContainer: open, uploadDelay: 1 });
  const stop = new AbortController();
  const run = worker.run({ signal: stop.signal });
  await submitted;
  let version = 0n;
  for (let i = 0; i < 50; i++) {
    const mutation = { type: MutationType.SetValue, param1: utf8(`key ${i}`), param2: utf8(`a secret value ${i}`) };
    version = logSource.commit([{ tag: 0, mutation }]);
  }
  await new Promise<void>((resolve) => {
    worker.on('saved', (saved) => {
      if (saved >= version) resolve();
    });
  });
  stop.abort();
  await run;

  for (const { name } of await listed(inner)) {
    expect(Buffer.from(await get(inner, name)).includes('secret'), name).toBe(false);
  }
  const target = new MemoryRestoreTarget();
  await restore({ container: await openContainer(inner, { key: KEY }), target, version, baseline: 'empty' });
  for (let i = 0; i < 50; i++) expect(target.get(utf8(`key ${i}`))).toEqual(utf8(`a secret value ${i}`));
  await expect(restore({ container: inner, target, version, baseline: 'empty' })).rejects.toMatchObject({
    code: 'ENCRYPTION_KEY_MISSING',
  });
  expect(await verifyBackup(await open(), { deep: true })).toMatchObject({ ok: true });

  await deleteContainer(await open());
  expect(await listed(inner)).toEqual([]);
});
