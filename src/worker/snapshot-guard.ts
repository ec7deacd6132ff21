// What a scheduled snapshot sees of its container and its source: every answer is a sign of life, and what others would rely on is done only while the lease is held (rule S5).

import type { BackupContainer, BackupFile, WriteFileOptions } from '../ports/backup-container.js';
import type { RangeSource, ScanRequest } from '../ports/range-source.js';
import { RANGE_FOLDER, SNAPSHOT_FOLDER } from '../format/fdb/names.js';

export interface SnapshotGuard {
  /** Called for every answer. */
  readonly onAnswer: () => void;
  /** Rejects when the lease is lost, or the job is not Running. */
  readonly check: () => Promise<void>;
}

/** The same container; a manifest is finished, and a range file deleted, only after a check. */
export function guardedContainer(container: BackupContainer, { onAnswer, check }: SnapshotGuard): BackupContainer {
  const noted = async <T>(answer: Promise<T>): Promise<T> => {
    const value = await answer;
    onAnswer();
    return value;
  };
  const guardedFile = (file: BackupFile, name: string): BackupFile => ({
    name: file.name,
    append: (chunks) => noted(file.append(chunks)),
    finish: async () => {
      if (name.startsWith(SNAPSHOT_FOLDER)) await check();
      await noted(file.finish());
    },
    abort: () => file.abort(),
  });
  return {
    ...readOnly(container),
    create: () => noted(container.create()),
    exists: () => noted(container.exists()),
    writeFile: async (name: string, options?: WriteFileOptions) =>
      guardedFile(await noted(container.writeFile(name, options)), name),
    readFile: (name, offset, length) => noted(container.readFile(name, offset, length)),
    listFiles: (prefix) => counted(container.listFiles(prefix), onAnswer),
    deleteFile: async (name) => {
      if (name.startsWith(RANGE_FOLDER)) await check();
      await noted(container.deleteFile(name));
    },
  };
}

/** What is no call. */
function readOnly(container: BackupContainer): Pick<BackupContainer, 'url' | 'decrypts' | 'listingLag'> {
  const { url, decrypts, listingLag } = container;
  return {
    url,
    ...(decrypts === undefined ? {} : { decrypts }),
    ...(listingLag === undefined ? {} : { listingLag }),
  };
}

/** The same source; every batch of rows and every region is a sign of life. */
export function watchedSource(source: RangeSource, { onAnswer }: Pick<SnapshotGuard, 'onAnswer'>): RangeSource {
  return {
    readVersion: async (request) => {
      const version = await source.readVersion(request);
      onAnswer();
      return version;
    },
    regions: (request) => counted(source.regions(request), onAnswer),
    scan: (request: ScanRequest) => counted(source.scan(request), onAnswer),
    ...(source.releaseVersion === undefined
      ? {}
      : { releaseVersion: (version: bigint) => source.releaseVersion?.(version) ?? Promise.resolve() }),
  };
}

async function* counted<T>(items: AsyncIterable<T>, onItem: () => void): AsyncGenerator<T, void, undefined> {
  for await (const item of items) {
    onItem();
    yield item;
  }
  onItem();
}
