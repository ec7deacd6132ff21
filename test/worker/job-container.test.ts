// Opening a job's container: it belongs to one job of one progress store, and several workers may open it at once.

import { beforeEach, describe, expect, it } from 'vitest';
import { BackupError } from '../../src/core/errors.js';
import { MemoryContainer } from '../../src/container/memory-container.js';
import { openEncryptedContainer } from '../../src/container/encrypted-container.js';
import {
  PROPERTY,
  JOB_MARKER_NAME,
  MAX_PROPERTY_BYTES,
  encodeJobMarker,
  parseEncryptionMetadata,
  parseJobMarker,
} from '../../src/format/fdb/properties.js';
import { logFileName } from '../../src/format/fdb/names.js';
import type { JobRecord } from '../../src/job/records.js';
import { openJobContainer } from '../../src/worker/job-container.js';
import { GatedContainer } from './gates.js';

const job: JobRecord = {
  uid: 'job',
  submission: 'a'.repeat(32),
  state: 'Submitted',
  url: 'memory:job',
  ranges: [],
  logOnly: true,
  firstVersion: 1n,
  startVersion: 1n,
};
const logFile = logFileName({ begin: 1n, end: 40n, uid: 'f'.repeat(32), tag: 0, totalTags: 1, blockSize: 1_048_576 });

describe("a job's container", () => {
  let container: MemoryContainer;
  beforeEach(async () => {
    container = new MemoryContainer({ url: job.url });
    await container.create();
  });

  const open = (record = job, opened: MemoryContainer | GatedContainer = container) =>
    openJobContainer(() => opened, record);
  const put = async (name: string, bytes: Uint8Array = new Uint8Array()) => {
    const file = await container.writeFile(name);
    await file.append([bytes]);
    await file.finish();
  };
  const names = async () => {
    const found: string[] = [];
    for await (const { name } of container.listFiles('')) found.push(name);
    return found.sort();
  };
  const marker = async () => parseJobMarker(await container.readFile(JOB_MARKER_NAME, 0, 10_000));
  const { submission: _submission, ...withoutSubmission } = job;

  it('is marked with the job and its submission, and says what kind of log it holds', async () => {
    await open();
    expect(await marker()).toEqual({
      uid: 'job',
      submission: job.submission,
      logOnly: true,
      ranges: [],
      startVersion: 1n,
      firstVersion: 1n,
    });
    expect(await names()).toEqual([PROPERTY.encryptionMetadata, PROPERTY.mutationLogType, JOB_MARKER_NAME].sort());
  });

  it('may be opened again by the same job, also when it holds the files of that job', async () => {
    await open();
    await put(logFile);
    const before = await marker();
    await open();
    expect(await marker()).toEqual(before);
  });

  it('may be opened by several workers of one job at once', async () => {
    await Promise.all(Array.from({ length: 8 }, () => open()));
    expect((await marker()).submission).toBe(job.submission);
  });

  it.each([
    ['a log file', logFile],
    ['a log file that is not partitioned', 'logs/0000/0000/log,1,40,ffffffffffffffffffffffffffffffff,1048576'],
    ['a range file', 'kvranges/snapshot.000000000000000001/0/range,5,ffffffffffffffffffffffffffffffff,1048576'],
    ['a snapshot', 'snapshots/snapshot,1,5,100'],
  ])('is refused when it holds %s of a backup that has not marked it', async (_what, name) => {
    await put(name);
    await expect(open()).rejects.toMatchObject({ code: 'CONTAINER_IN_USE', container: job.url, jobUid: 'job' });
    await expect(open()).rejects.toThrow(name);
    expect(await names()).toEqual([name]);
  });

  it('is not refused for the first file of a worker of the same job that was faster', async () => {
    const slow = new GatedContainer(container);
    const overtake = async () => {
      await open();
      await put(logFile);
      throw new BackupError('FILE_NOT_FOUND', 'it was not there when it was asked for');
    };
    slow.on('readFile', overtake, { match: ({ name }) => name === JOB_MARKER_NAME });
    await open(job, slow);
    expect(await names()).toContain(logFile);
  });

  it('is refused to another job', async () => {
    await open();
    const other = { ...job, uid: 'other' };
    await expect(open(other)).rejects.toMatchObject({ code: 'CONTAINER_IN_USE', jobUid: 'other' });
    await expect(open(other)).rejects.toThrow(/belongs to job job/);
  });

  it('is refused to a job of the same UID that was submitted to another progress store', async () => {
    await open();
    const again = { ...job, submission: 'b'.repeat(32) };
    await expect(open(again)).rejects.toMatchObject({ code: 'CONTAINER_IN_USE', jobUid: 'job' });
    await expect(open(again)).rejects.toThrow(/another progress store/);
    expect((await marker()).submission).toBe(job.submission);
  });

  it('is accepted when its mark says no submission: such marks were made before', async () => {
    await put(JOB_MARKER_NAME, encodeJobMarker(withoutSubmission));
    await open();
    expect(await marker()).not.toHaveProperty('submission');
  });

  describe('that is encrypted', () => {
    const key = new Uint8Array(32).fill(7);
    const withKey = () => openEncryptedContainer(container, { key });
    const metadata = async () =>
      parseEncryptionMetadata(await container.readFile(PROPERTY.encryptionMetadata, 0, MAX_PROPERTY_BYTES));

    it('is refused to a worker without the key, and stays encrypted', async () => {
      await openJobContainer(withKey, job);
      await expect(open()).rejects.toMatchObject({
        code: 'ENCRYPTION_KEY_MISSING',
        container: job.url,
        jobUid: 'job',
        retryable: false,
      });
      expect((await metadata()).enabled).toBe(true);
      await openJobContainer(withKey, job);
    });

    it('is not even marked by a worker without the key', async () => {
      await (await withKey()).create();
      const before = await names();
      await expect(open()).rejects.toMatchObject({ code: 'ENCRYPTION_KEY_MISSING' });
      expect(await names()).toEqual(before);
    });

    it('is refused also when another worker has made it encrypted meanwhile', async () => {
      const slow = new GatedContainer(container);
      const overtake = async () => {
        await openJobContainer(withKey, job);
        throw new BackupError('FILE_NOT_FOUND', 'it was not there when it was asked for');
      };
      slow.on('readFile', overtake, { match: ({ name }) => name === PROPERTY.encryptionMetadata });
      await expect(open(job, slow)).rejects.toMatchObject({ code: 'ENCRYPTION_KEY_MISSING' });
      expect((await metadata()).enabled).toBe(true);
    });

    it('is not made of one that is plain', async () => {
      await open();
      await expect(withKey()).rejects.toMatchObject({ code: 'INVALID_STATE' });
      expect((await metadata()).enabled).toBe(false);
    });
  });
});
