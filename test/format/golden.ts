// Where the golden containers are, written by a real FoundationDB. Three of them are in the repository (the larger two of those with the rows' checksums in place of the rows), the
// others lie beside it on the machines that have them.

import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';

const repoRoot = path.resolve(import.meta.dirname, '../..');

export const GOLDEN_NAMES = ['small3', 'plog1', 'plog3', 'plogenc', 'mlog1'] as const;
export type GoldenName = (typeof GOLDEN_NAMES)[number];

/** undefined: not on this machine. */
export function goldenFolder(name: GoldenName): string | undefined {
  return [path.join(repoRoot, 'test/fixtures/golden', name), path.resolve(repoRoot, '../shared/golden', name)].find(
    (folder) => existsSync(folder),
  );
}

/** What tells one list of rows from another. */
export interface RowsDigest {
  readonly rows: number;
  /** Of the lines, in the order of keys: hex key, space, hex value, line feed. */
  readonly sha256: string;
}

export function digestRows(lines: string): RowsDigest {
  return { rows: lines.split('\n').length - 1, sha256: createHash('sha256').update(lines).digest('hex') };
}

/** The rows that the database itself returned at version A or B of `expected.json`. */
export function goldenRows(name: GoldenName, label: 'A' | 'B'): RowsDigest {
  const folder = goldenFolder(name)!;
  const text = path.join(folder, `rows-${label}.txt`);
  if (existsSync(text)) return digestRows(readFileSync(text, 'utf8'));
  const digests = JSON.parse(readFileSync(path.join(folder, 'rows.json'), 'utf8')) as Record<string, RowsDigest>;
  return digests[label]!;
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
