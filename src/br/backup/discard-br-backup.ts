// Removes what a BR backup has left in a container where it was cut off, so that another one can be taken there.

import { AbortScope } from '../../core/abort.js';
import { systemClock, systemRandom, type Clock, type Random } from '../../core/clock.js';
import { parseBrFileName } from '../../format/br/file-name.js';
import { BACKUP_META_NAME } from '../../format/br/meta-tree.js';
import type { BackupContainer } from '../../ports/backup-container.js';
import { checkedContainer } from '../../ports/checked-container.js';
import { retrying } from '../../snapshot/backoff.js';
import { deleteAll, listAll } from '../../snapshot/small-files.js';
import { CHECKPOINT_FOLDER } from './backup-checkpoint.js';
import { removeLock } from './backup-lock.js';
import { checkNoBackup } from '../meta/backup-meta-writer.js';

export interface DiscardBrBackupOptions {
  readonly signal?: AbortSignal | undefined;
  readonly clock?: Clock | undefined;
  readonly random?: Random | undefined;
}

const POLICY = { retryMinDelay: 100, retryMaxDelay: 10_000, maxAttempts: 8 };

/**
 * Deletes the SST files, the parts of meta data, the entries of its progress, and in the end `backup.lock`; other files stay. Not while a process takes it. FILE_EXISTS for a whole backup, which stays as it is. What a lagging listing does not show
 * yet stays, too, and is in nobody's way: no meta data names it.
 */
export async function discardBrBackup(container: BackupContainer, options: DiscardBrBackupOptions = {}): Promise<void> {
  const { clock = systemClock, random = systemRandom } = options;
  using scope = new AbortScope(options.signal);
  const access = { policy: { ...POLICY, clock, random }, signal: scope.signal };
  const checked = checkedContainer(container, clock);
  await retrying(access.policy, access.signal, () => checkNoBackup(checked));
  const names = (await listAll(checked, '', access)).map(({ name }) => name);
  const isLeftOver = (name: string) =>
    parseBrFileName(name) !== undefined ||
    name.startsWith(`${BACKUP_META_NAME}.`) ||
    name.startsWith(CHECKPOINT_FOLDER);
  await deleteAll(checked, names.filter(isLeftOver), access);
  await removeLock(checked, access);
}
