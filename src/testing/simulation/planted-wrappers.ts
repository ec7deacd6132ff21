// What planted bugs wrap containers with.

import type { BackupContainer } from '../../ports/backup-container.js';

/** The container, with some of its calls replaced. */
export function containerWith(container: BackupContainer, change: Partial<BackupContainer>): BackupContainer {
  return {
    url: container.url,
    ...(container.listingLag === undefined ? {} : { listingLag: container.listingLag }),
    create: () => container.create(),
    exists: () => container.exists(),
    writeFile: (name, options) => container.writeFile(name, options),
    readFile: (name, offset, length) => container.readFile(name, offset, length),
    listFiles: (prefix) => container.listFiles(prefix),
    deleteFile: (name) => container.deleteFile(name),
    ...change,
  };
}

/** The container, with another way of writing. */
export function withWriteFile(container: BackupContainer, writeFile: BackupContainer['writeFile']): BackupContainer {
  return containerWith(container, { writeFile });
}

export interface HastyContainer {
  readonly container: BackupContainer;
  /** What counts as there, by name. */
  readonly believed: ReadonlyMap<string, Uint8Array>;
}

/** Files of the folder are finished by and by: nobody waits for them, and they are read as if they were there at once. */
export function finishingByAndBy(container: BackupContainer, folder: string): HastyContainer {
  const believed = new Map<string, Uint8Array>();
  const hasty = containerWith(container, {
    writeFile: async (name, writing) => {
      const file = await container.writeFile(name, writing);
      if (!name.startsWith(folder)) return file;
      const pieces: Uint8Array[] = [];
      return {
        ...file,
        append: (chunks) => {
          for (const chunk of chunks) pieces.push(chunk.slice());
          return file.append(chunks);
        },
        finish: () => {
          believed.set(name, Buffer.concat(pieces));
          file.finish().catch(() => undefined);
          return Promise.resolve();
        },
      };
    },
    readFile: (name, offset, length) => {
      const bytes = believed.get(name);
      return bytes === undefined
        ? container.readFile(name, offset, length)
        : Promise.resolve(bytes.slice(offset, offset + length));
    },
  });
  return { container: hasty, believed };
}
