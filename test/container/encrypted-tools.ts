// What the tests of encrypted containers share.

import { MemoryContainer } from '../../src/container/memory-container.js';
import type { BackupContainer, ListedFile } from '../../src/ports/backup-container.js';

export const KEY = Uint8Array.from({ length: 32 }, (_, i) => (i * 37 + 11) & 0xff);
export const OTHER_KEY = KEY.map((byte) => byte ^ 1);
export const LOG = 'plogs/0000/0000/log,10,20,0123456789abcdef0123456789abcdef,0-of-1,1048576';

export function pattern(length: number, seed = 1): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 31 + (i >> 8) * 7 + seed) & 0xff);
}

export async function put(container: BackupContainer, name: string, content: Uint8Array): Promise<void> {
  const file = await container.writeFile(name);
  await file.append([content]);
  await file.finish();
}

export function get(container: BackupContainer, name: string): Promise<Uint8Array> {
  return container.readFile(name, 0, 1 << 28);
}

export async function listed(container: BackupContainer, prefix = ''): Promise<ListedFile[]> {
  const files: ListedFile[] = [];
  for await (const file of container.listFiles(prefix)) files.push(file);
  return files;
}

/** Notes what is read of the container that it wraps. */
export class CountingContainer extends MemoryContainer {
  readonly reads: { name: string; offset: number; length: number; got: number }[] = [];

  override async readFile(name: string, offset: number, length: number): Promise<Uint8Array> {
    const bytes = await super.readFile(name, offset, length);
    this.reads.push({ name, offset, length, got: bytes.length });
    return bytes;
  }
}
