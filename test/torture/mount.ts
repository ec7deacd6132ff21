// Small disks that can be filled and made read-only: tmpfs, which only root may mount.

import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, writeSync, openSync, closeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const BALLAST = 'ballast';

/** undefined: it is mounted; otherwise why it cannot be. */
export function mountSmallDisk(folder: string, kibibytes: number): string | undefined {
  mkdirSync(folder, { recursive: true });
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${kibibytes}k,mode=755`, 'tmpfs', folder], { stdio: 'pipe' });
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message.trim() : String(error);
  }
}

export function unmount(folder: string): void {
  execFileSync('umount', ['-l', folder], { stdio: 'pipe' });
}

/** To be read only it must have no file open for writing at this moment: tried until that is so. */
export async function remount(folder: string, mode: 'ro' | 'rw'): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    try {
      execFileSync('mount', ['-o', `remount,${mode}`, folder], { stdio: 'pipe' });
      return;
    } catch (error) {
      if (attempt === 2_000) throw error;
      await sleep(7);
    }
  }
}

/** Takes all the room that is left. */
export function fillDisk(folder: string): void {
  const file = openSync(join(folder, BALLAST), 'a');
  try {
    for (let size = 1 << 16; size > 0;) {
      try {
        writeSync(file, Buffer.alloc(size));
      } catch (error) {
        if (!(error instanceof Error && 'code' in error && error.code === 'ENOSPC')) throw error;
        size >>= 1;
      }
    }
  } finally {
    closeSync(file);
  }
}

export function freeDisk(folder: string): void {
  rmSync(join(folder, BALLAST), { force: true });
}
