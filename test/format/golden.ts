// Where the golden containers are, written by a real FoundationDB. The small one is in the repository; the larger ones lie beside it on the machines that have them.

import { existsSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';

const repoRoot = path.resolve(import.meta.dirname, '../..');

export const GOLDEN_NAMES = ['small3', 'plog1', 'plog3', 'plogenc', 'mlog1'] as const;
export type GoldenName = (typeof GOLDEN_NAMES)[number];

/** undefined: not on this machine. */
export function goldenFolder(name: GoldenName): string | undefined {
  const folder =
    name === 'small3'
      ? path.join(repoRoot, 'test/fixtures/golden/small3')
      : path.resolve(repoRoot, '../shared/golden', name);
  return existsSync(folder) ? folder : undefined;
}

export function goldenContainer(name: GoldenName): string | undefined {
  const folder = goldenFolder(name);
  return folder === undefined ? undefined : path.join(folder, 'container');
}

/** What the original's describe said. */
export interface GoldenDescription {
  readonly Restorable: boolean;
  readonly Snapshots: readonly {
    readonly Start: { readonly Version: number };
    readonly End: { readonly Version: number };
    readonly Restorable: boolean;
    readonly TotalBytes: number;
  }[];
  readonly TotalSnapshotBytes: number;
  readonly MinLogBegin: { readonly Version: number };
  readonly ContiguousLogEnd: { readonly Version: number };
  readonly MaxLogEnd: { readonly Version: number };
  readonly MinRestorablePoint: { readonly Version: number };
  readonly MaxRestorablePoint: { readonly Version: number };
}

export function goldenDescription(name: GoldenName): GoldenDescription | undefined {
  const folder = goldenFolder(name);
  if (folder === undefined) return undefined;
  const expected = JSON.parse(readFileSync(path.join(folder, 'expected.json'), 'utf8')) as {
    describe: GoldenDescription;
  };
  return expected.describe;
}

/** Names of all files of a folder, relative, with `/`. */
export function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(folder, path.join(entry.parentPath, entry.name)).split(path.sep).join('/'))
    .sort();
}
