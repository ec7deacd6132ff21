// What the calls on a whole backup are asked with: a text is no flag, and an adapter has the functions of its port. Nothing is changed before that is known.

import { expect, it } from 'vitest';
import { MemoryContainer } from '../../src/container/memory-container.js';
import { PROPERTY, encodeEncryptionMetadata } from '../../src/format/fdb/properties.js';
import { compactLogs } from '../../src/restore/compact.js';
import { deleteContainer } from '../../src/restore/delete-container.js';
import { describeBackup } from '../../src/restore/describe.js';
import { expireBackup } from '../../src/restore/expire.js';
import { recordChecksums } from '../../src/restore/record-checksums.js';
import { restore } from '../../src/restore/restore.js';
import { verifyBackup } from '../../src/restore/verify.js';
import { takeSnapshot } from '../../src/snapshot/take-snapshot.js';
import { MemoryRangeSource } from '../../src/testing/memory-range-source.js';
import { MemoryRestoreTarget } from '../../src/testing/memory-restore-target.js';

const container = new MemoryContainer();
const target = new MemoryRestoreTarget();
const source = new MemoryRangeSource();
const nothing = undefined as never;
const text = 'false' as never;

async function names(of: MemoryContainer, found: string[] = []): Promise<string[]> {
  for await (const { name } of of.listFiles('')) found.push(name);
  return found;
}

it.each<[string, RegExp, () => Promise<unknown>]>([
  ['restore', /clearTarget .* got "false"/, () => restore({ container, target, version: 5n, clearTarget: text })],
  ['restore', /deep .* got "false"/, () => restore({ container, target, version: 5n, deep: text })],
  ['restore', /container must be a BackupContainer/, () => restore({ container: nothing, target, version: 5n })],
  ['restore', /target must be a RestoreTarget/, () => restore({ container, target: nothing, version: 5n })],
  ['restore', /ranges must be an array/, () => restore({ container, target, version: 5n, ranges: {} as never })],
  ['expire', /force .* got "false"/, () => expireBackup(container, { before: 5n, force: text })],
  ['expire', /dryRun .* got "false"/, () => expireBackup(container, { before: 5n, dryRun: text })],
  ['expire', /before must be .* got Invalid Date/, () => expireBackup(container, { before: new Date(NaN) })],
  ['verify', /deep .* got "false"/, () => verifyBackup(container, { deep: text })],
  ['verify', /container must be a BackupContainer/, () => verifyBackup(nothing)],
  ['describe', /deep .* got "false"/, () => describeBackup(container, { deep: text })],
  ['describe', /container must be a BackupContainer/, () => describeBackup(nothing)],
  ['compact', /container must be a BackupContainer/, () => compactLogs({} as never)],
  ['record', /container must be a BackupContainer/, () => recordChecksums(nothing)],
  ['delete', /container must be a BackupContainer/, () => deleteContainer(nothing)],
  ['snapshot', /resume .* got "false"/, () => takeSnapshot({ source, container, ranges: [], resume: text })],
  ['snapshot', /pool must be a TaskPool/, () => takeSnapshot({ source, container, ranges: [], pool: {} as never })],
])('%s refuses %s', async (_, message, call) => {
  await expect(call()).rejects.toMatchObject({
    code: 'INVALID_OPTION',
    message: expect.stringMatching(message) as string,
  });
  expect(await names(container)).toEqual([]);
});

it('a backup whose key is not there is not expired: its snapshots cannot be judged', async () => {
  const encrypted = new MemoryContainer();
  await encrypted.create();
  const file = await encrypted.writeFile(PROPERTY.encryptionMetadata);
  await file.append([encodeEncryptionMetadata({ enabled: true, blockSize: 4096 })]);
  await file.finish();
  await expect(expireBackup(encrypted, { before: 5n, force: true })).rejects.toMatchObject({
    code: 'ENCRYPTION_KEY_MISSING',
    container: encrypted.url,
  });
  expect(await names(encrypted)).toEqual([PROPERTY.encryptionMetadata]);
});
