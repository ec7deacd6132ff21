// What killed processes leave on the disk.

import { readdirSync } from 'node:fs';
import type { ProgressStore } from '../../src/ports/progress-store.js';

/** Names of unfinished files, anywhere below the folder. */
export function litter(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => /\.(temp|part)$/.test(name));
}

/** The progress store cleans up whenever a generation ends: this makes one end. */
export async function removeLitter(progressStore: ProgressStore, generationCommits = 48): Promise<void> {
  for (let i = 0; i < 2 * generationCommits; i++) {
    await progressStore.transact(async (tx) => tx.set('torture', Buffer.from(String(i))));
  }
}

/** How many commits a progress store has seen. */
export function newestCommit(folder: string): number {
  const numbers = readdirSync(folder, { recursive: true, encoding: 'utf8' }).map(
    (name) => /commit-(\d+)$/.exec(name)?.[1],
  );
  return Math.max(0, ...numbers.map((number) => Number(number ?? 0)));
}
