// Deliberate mistakes on the way from a worker to its files: each wraps the containers that a worker is given.

import { encodeFileSums, FileSumsBuilder, sumsFileName } from '../../format/fdb/file-sums.js';
import { LOG_FOLDER } from '../../format/fdb/names.js';
import type { BackupContainer, BackupFile } from '../../ports/backup-container.js';
import type { PlantedOptions } from './planted-rules.js';
import { withWriteFile } from './planted-wrappers.js';
import { layRecords, rawRecords } from './planted-records.js';
import { parseLogName } from './read-log-file.js';

function withFiles(change: (file: BackupFile, container: BackupContainer) => Partial<BackupFile>): PlantedOptions {
  return (options) => ({
    ...options,
    openContainer: async (url) => {
      const container = await options.openContainer(url);
      return withWriteFile(container, async (name, writing) => {
        const file = await container.writeFile(name, writing);
        return { ...file, ...change(file, container) };
      });
    },
  });
}

const isLogFile = ({ name }: BackupFile) => name.startsWith(LOG_FOLDER);

/** A stretch without mutations gets no file. */
export const skipsEmptyFiles = withFiles((file) => {
  let bytes = 0;
  return {
    append: (chunks) => {
      for (const chunk of chunks) bytes += chunk.length;
      return file.append(chunks);
    },
    finish: () => (isLogFile(file) && bytes === 0 ? file.abort() : file.finish()),
  };
});

/** Log files are finished by and by, and count as there at once. */
export const savesBeforeFiles = withFiles((file) => ({
  finish: () => {
    if (!isLogFile(file)) return file.finish();
    file.finish().catch(() => undefined);
    return Promise.resolve();
  },
}));

/** What was given up stays, as far as it had come. */
export const keepsAbortedFiles = withFiles((file) => {
  let isFinished = false;
  return {
    finish: async () => {
      isFinished = true;
      await file.finish();
    },
    abort: () => (isFinished || !isLogFile(file) ? file.abort() : file.finish().catch(() => undefined)),
  };
});

/** An adapter keeps the chunks until the end, although their memory is the writer's again after each append. */
export const keepsForeignMemory = withFiles((file) => {
  const kept: Uint8Array[] = [];
  return {
    append: (chunks) => {
      kept.push(...chunks);
      return Promise.resolve();
    },
    finish: async () => {
      if (kept.length > 0) await file.append(kept);
      await file.finish();
    },
  };
});

/** Checksums are finished after their log file instead of before. */
export const sumsAfterFile: PlantedOptions = (options) => ({
  ...options,
  openContainer: async (url) => {
    const container = await options.openContainer(url);
    const waiting = new Map<string, BackupFile>();
    return withWriteFile(container, async (name, writing) => {
      const file = await container.writeFile(name, writing);
      if (isLogFile(file))
        return {
          ...file,
          finish: async () => {
            await file.finish();
            await waiting.get(sumsFileName(name))?.finish();
          },
        };
      if (!name.startsWith('properties/tidemark_sums/')) return file;
      waiting.set(name, file);
      return { ...file, finish: () => Promise.resolve() };
    });
  },
});

/** A file is cut in the midst of a version: both halves claim it. */
export const splitsVersions: PlantedOptions = (options) => ({
  ...options,
  openContainer: async (url) => {
    const container = await options.openContainer(url);
    const { random } = options;
    const writeWhole = async (name: string, bytes: Uint8Array) => {
      const sums = new FileSumsBuilder(512);
      sums.update(bytes);
      const beside = await container.writeFile(sumsFileName(name));
      await beside.append([encodeFileSums(sums.build())]);
      await beside.finish();
      const file = await container.writeFile(name);
      await file.append([bytes]);
      await file.finish();
    };
    return withWriteFile(container, async (name, writing) => {
      const log = parseLogName(name);
      const file = await container.writeFile(name, writing);
      if (log === undefined || random === undefined) return file;
      const pieces: Uint8Array[] = [];
      return {
        ...file,
        append: (chunks) => {
          for (const chunk of chunks) pieces.push(chunk.slice());
          return file.append(chunks);
        },
        finish: async () => {
          const records = rawRecords(Buffer.concat(pieces), log.blockSize);
          const middle = records.findIndex(({ version }, i) => i > 0 && records[i - 1]?.version === version);
          const split = records[middle]?.version;
          if (split === undefined) return file.finish();
          await file.abort();
          const half = (begin: bigint, end: bigint) =>
            name.replace(/log,\d+,\d+,[0-9a-f]{32},/, `log,${begin},${end},${random.uid()},`);
          await writeWhole(half(log.begin, split + 1n), layRecords(records.slice(0, middle), log.blockSize));
          await writeWhole(half(split, log.end), layRecords(records.slice(middle), log.blockSize));
        },
      };
    });
  },
});
