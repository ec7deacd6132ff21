// What the cases of the container suite share.

import { utf8 } from '../core/bytes.js';
import type { BackupContainer } from '../ports/backup-container.js';

export type ContainerCheck = (
  container: BackupContainer,
  reopen: () => BackupContainer | Promise<BackupContainer>,
) => Promise<void>;

export type ContainerCase = readonly [name: string, check: ContainerCheck];

/** A case that begins with a container that has been made. */
export function made(check: ContainerCheck): ContainerCheck {
  return async (container, reopen) => {
    await container.create();
    await check(container, reopen);
  };
}

export async function put(container: BackupContainer, name: string, content: string): Promise<void> {
  const file = await container.writeFile(name);
  await file.append([utf8(content)]);
  await file.finish();
}

export async function exclusively(container: BackupContainer, name: string, content: string): Promise<void> {
  const file = await container.writeFile(name, { exclusive: true });
  try {
    await file.append([utf8(content)]);
    await file.finish();
  } catch (error) {
    await file.abort();
    throw error;
  }
}

export async function text(container: BackupContainer, name: string): Promise<string> {
  return new TextDecoder().decode(await container.readFile(name, 0, 1 << 24));
}

export async function list(container: BackupContainer, prefix: string): Promise<{ name: string; size: number }[]> {
  const files: { name: string; size: number }[] = [];
  for await (const { name, size } of container.listFiles(prefix)) files.push({ name, size });
  return files;
}

export async function names(container: BackupContainer, prefix: string): Promise<string[]> {
  return (await list(container, prefix)).map((file) => file.name);
}

export function bytes(length: number, random: () => number): Uint8Array {
  const result = new Uint8Array(length);
  for (let i = 0; i < length; i++) result[i] = Math.floor(random() * 256);
  return result;
}
